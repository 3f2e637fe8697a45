"""Samples of signals keep what is known of every prompt, and their mean square is that of the difference."""

from fractions import Fraction

import numpy as np
import pytest
from flint import fmpq, fmpq_mat

from icgd.verify.given_linear import signal_samples as sampling
from icgd.verify.given_linear.exact_bounds import floats
from icgd.verify.given_linear.signal_chain import OperatorPairs, SignalChain, signal_chain
from tests.numpy_linear_attention import states
from tests.verify.given_linear.test_signal_chain import heads_of, random_pair


@pytest.mark.parametrize("masked", [True, False])
def test_samples_are_those_of_prompts(masked):
    rng = np.random.default_rng(3)
    d, L = 2, 2
    pairs = random_pair(rng, L, d, 1)
    share = Fraction(0) if masked else Fraction(1, 3)
    chain = signal_chain(*(heads_of(P, Q) for P, Q in pairs), d, 1, share)
    samples = sampling.signal_samples(chain)
    D = floats(chain.difference)
    again, wanted = np.random.default_rng(0), 0.0
    for index in range(sampling._PROMPTS):
        x, y, q = sampling._random_operators(again, d, index)
        assert np.linalg.norm(x, 2) <= 1 + 1e-12 and np.linalg.norm(y) <= 1 + 1e-12
        x, y, q = 3**0.5 * x.T, 3**0.5 * y[0], q[:, 0]
        each = [
            [states(P, Q, x, y, e, masked=mask)[-1][-1, -1] for e in ([q] if not masked else np.eye(d))]
            for (P, Q), mask in zip(pairs, (masked, True), strict=True)
        ]
        wanted += np.square(np.subtract(*each)).sum() / sampling._PROMPTS
    found = samples.numbers[-1, -1] if not masked else np.trace(D @ samples.known @ D.T)
    assert found == pytest.approx(wanted, rel=1e-9)
    assert samples.known[0, 0] == pytest.approx(1)
    for at, family in enumerate(samples.families):
        kept, S = family.forward, samples.numbers if at == 2 else samples.hidden
        s = family.hidden @ S @ family.hidden.T
        b = np.einsum("pai,ij,qaj->pq", family.outer, samples.known, family.outer)
        assert s[:kept, kept:] == pytest.approx(b[:kept, kept:], rel=1e-8, abs=1e-8 * np.abs(s).max())
        for sign, part in ((1, slice(0, kept)), (-1, slice(kept, None))):
            apart = sign * (s - b)[part, part]
            assert family.slack[part, part] == pytest.approx(apart, abs=1e-8 * np.abs(b).max())
            assert np.linalg.eigvalsh(apart).min(initial=0) >= -1e-8 * np.abs(b).max()
            assert family.power[part] == pytest.approx(np.diag(s if sign == 1 else b)[part], rel=1e-8)


def test_a_pair_weighs_what_comes_out_times_what_it_moves():
    """D = 3 X X^T 2 with one number x, of mean square 1 in some prompts: 2 is made by X^T, 6 by the rest."""
    X = OperatorPairs((fmpq_mat([[0, 1]]), fmpq_mat([[2, 0]])), ((fmpq(1),), (fmpq(1),)), 1)
    nobody = OperatorPairs((), (), 0)
    samples = sampling.signal_samples(SignalChain(fmpq_mat([[0, 3]]), (X, nobody, nobody), 1))
    assert samples.families[0].weight == pytest.approx([6.0, 6.0])
    assert samples.hidden[0, 0] == pytest.approx(samples.families[0].power[0])
    assert samples.known[0, 1] == pytest.approx(samples.hidden[0, 0] / 2)


def test_multipliers_that_weigh_most_are_chosen():
    family = sampling.FamilySamples(
        outer=np.zeros((3, 1, 1)),
        hidden=np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]),
        slack=np.zeros((3, 3)),
        power=np.zeros(3),
        weight=np.array([1.0, 3.0, 2.0]),
        forward=1,
    )
    for least, wanted in (
        (7.0, {(0, 0), (1, 1), (2, 2), (0, 1)}),  # squares, and a vector with what it is applied to
        (6.0, {(0, 0), (1, 1), (2, 2), (0, 1), (1, 2)}),
        (2.0, {(0, 0), (1, 1), (2, 2), (0, 1), (1, 2), (0, 2)}),
    ):
        assert set(zip(*sampling.chosen_pairs(family, least), strict=True)) == wanted
    assert [sampling.least_weight([family], most) for most in (1, 3, 6)] == [9.0, 4.0, 0.0]
