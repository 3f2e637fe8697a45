"""A chain of signals is what the two attentions compute, and no prompt is above its bound."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from flint import arb_mat, fmpq, fmpq_mat
from hypothesis import given, settings
from hypothesis import strategies as st

from icgd.bounds.algebra.rationals import exact_matrix
from icgd.construct.given_linear import GivenLinear, descent
from icgd.verify.given_linear import signal_bound
from icgd.verify.given_linear.exact_bounds import floats
from icgd.verify.given_linear.nearest_descent import Radii, attack_distance, nearest_descent
from icgd.verify.given_linear.prediction_distance import distance_bound
from icgd.verify.given_linear.signal_bound import chain_bound, is_surely_positive
from icgd.verify.given_linear.signal_chain import OperatorPairs, SignalChain, signal_chain
from icgd.verify.given_linear.tightness import near_descent
from tests.numpy_linear_attention import states


def heads_of(P, Q):
    return [
        [tuple(exact_matrix([[Fraction(v) for v in row] for row in part.tolist()]) for part in head)
         for head in zip(*layer, strict=True)]
        for layer in zip(P, Q, strict=True)
    ]  # fmt: skip


def random_pair(rng, L, d, heads):
    """Two attentions, some of whose entries are 0, as in descent."""
    made = []
    for _ in range(2):
        P, Q = rng.normal(size=(2, L, heads, d + 1, d + 1)) * (
            rng.random(size=(2, L, heads, d + 1, d + 1)) < 0.6
        )
        if rng.random() < 0.4:
            P[..., :d, :] = 0.0
        made.append((P, Q))
    return made


def in_floats(chain):
    """The pairs of every operator: outer, hidden and whether it is a forward pair."""
    return [
        [
            (floats(outer), np.array([float(int(v.p) / int(v.q)) for v in vector]), at < family.forward)
            for at, (outer, vector) in enumerate(zip(family.outer, family.hidden, strict=True))
        ]
        for family in chain.families
    ]


def run(chain, families, X, Y, query):
    """The difference, from the pairs of the chain alone, for one prompt."""
    known, made = np.eye(chain.difference.ncols())[0], np.zeros((chain.hidden, X.shape[1]))
    numbers = np.zeros((chain.numbers, 1))
    operators = (X, made), (Y, made), (query[:, None], numbers)
    for _ in range(2 * (chain.hidden + chain.numbers) + 2):  # more often than one signal can wait for another
        before = known.copy(), made.copy(), numbers.copy()
        for pairs, (operator, hidden) in zip(families, operators, strict=True):
            for outer, vector, forward in pairs:
                if forward:
                    known[outer.argmax(1)] = operator @ (vector @ hidden)
                else:
                    hidden[vector.argmax()] = operator.T @ (outer @ known)
        if all(np.array_equal(one, two) for one, two in zip(before, (known, made, numbers), strict=True)):
            break
    found = floats(chain.difference) @ known
    if chain.numbers:
        assert numbers[-1, 0] == pytest.approx(query @ found, rel=1e-9, abs=1e-9)
    return found


@settings(max_examples=12)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(1, 2),
    st.sampled_from((1, -1)),
    st.booleans(),
)
def test_a_chain_computes_the_difference_of_the_weights(seed, L, d, heads, sign, masked):
    rng = np.random.default_rng(seed)
    pairs = random_pair(rng, L, d, heads if L < 3 else 1)
    share = Fraction(0) if masked else Fraction(1, 2)
    chain = signal_chain(*(heads_of(P, Q) for P, Q in pairs), d, sign, share)
    if chain is None:
        return
    assert masked == (chain.numbers == 0)
    x, y = rng.normal(size=(2, d)), rng.normal(size=2)
    held = []
    for (P, Q), mask in zip(pairs, (masked, True), strict=True):  # a unit vector reads one entry of a weight
        held.append([states(P, Q, x, y, e, masked=mask)[-1][-1, -1] for e in np.eye(d)])
    wanted = sign * np.array(held[0]) - held[1]
    parts, families = (x.T / 2**0.5, y[None] / 2**0.5), in_floats(chain)
    queries = x[:1] if masked else np.eye(d)
    found = [run(chain, families, *parts, query) for query in queries]
    found = found[0] if masked else np.diag(found)
    assert found == pytest.approx(wanted, rel=1e-8, abs=1e-8 * (1 + np.abs(wanted).max()))


def test_steps_of_any_size_are_bounded_closely_and_a_bound_that_is_too_small_is_not_proved(monkeypatch):
    rng = np.random.default_rng(5)
    d, L, radii = 4, 3, Radii(4, 0.5, 2.0)
    steps = torch.from_numpy(np.eye(d) + 0.1 * rng.normal(size=(L, d, d)))
    generator = torch.Generator().manual_seed(0)
    A = nearest_descent(descent(steps), radii, "plain", generator)
    found, _ = attack_distance(descent(steps), A, radii, generator, 0.5)
    sizes = Fraction(0.5), Fraction(2)
    bound = distance_bound(descent(steps), A.tolist(), 4, *sizes, found, work=1.0).value
    assert found <= bound <= 1.2 * found
    searched = signal_bound._searched

    def smaller(chain):
        for tables in searched(chain):
            yield [tables[0] / (1.3 * bound / found) ** 2, *tables[1:]]

    monkeypatch.setattr(signal_bound, "_searched", smaller)
    assert distance_bound(descent(steps), A.tolist(), 4, *sizes, found, work=1.0).value > 1.1 * bound


def test_attention_far_from_descent_is_bounded_closely():
    rng = np.random.default_rng(1)
    d, radii, generator = 3, Radii(4, 1.0, 1.0), torch.Generator().manual_seed(0)
    P, Q = np.zeros((2, 2, 1, d + 1, d + 1))
    P[:, 0, d, d] = 1.0
    P[0, 0, :d, :d], Q[0, 0, :d, :d] = 0.8 * np.eye(d), -4 * np.eye(d) + rng.normal(size=(d, d))
    Q[1, 0, :d, :d] = -12 * np.eye(d) + rng.normal(size=(d, d))
    far = GivenLinear.of(torch.from_numpy(P), torch.from_numpy(Q))
    A = nearest_descent(far, radii, "preconditioned", generator)
    found, _ = attack_distance(far, A, radii, generator, 0.5)
    bound = distance_bound(far, A.tolist(), 4, Fraction(1), Fraction(1), found, work=1.0).value
    assert 10 < found <= bound <= 1.4 * found


def test_attention_without_a_mask_is_bounded_closely():
    radii, generator = Radii(1, 0.5, 2.0), torch.Generator().manual_seed(0)
    for L, d, dense in ((1, 3, True), (2, 2, True), (3, 2, False)):
        bare = replace(near_descent(L, d, dense=dense), masked=False, divisor="n+1" if dense else "n")
        A = nearest_descent(bare, radii, "plain", generator)
        if not dense:  # from its own steps the missing mask alone makes a difference
            A = -bare.Q[:, 0, :d, :d].mT
        found, _ = attack_distance(bare, A, radii, generator, 0.2)
        bound = distance_bound(bare, A.tolist(), 1, Fraction(0.5), Fraction(2), found, work=1.0).value
        assert 0 < found <= bound <= 1.2 * found


def test_attention_that_is_read_with_the_other_sign_is_bounded_closely():
    radii, generator = Radii(6, 1.0, 1.0), torch.Generator().manual_seed(0)
    ascending = replace(near_descent(2, 2, dense=True), sign=1)
    A = torch.eye(2, dtype=torch.float64).expand(2, 2, 2) / 2
    found, _ = attack_distance(ascending, A, radii, generator, 0.5)
    bound = distance_bound(ascending, A.tolist(), 6, Fraction(1), Fraction(1), found, work=1.0).value
    assert 1 < found <= bound <= 1.2 * found


def test_multipliers_that_break_one_condition_prove_nothing(monkeypatch):
    """D = X X^T 1, whose least bound is 1, and an operator of which 0 = Y 0 and 0 = Y^T 0 alone are known."""
    one, nothing = fmpq_mat([[1, 0]]), fmpq_mat(1, 2)
    known = fmpq_mat([[0, 1]])
    X = OperatorPairs((known, one), ((fmpq(1),), (fmpq(1),)), 1)
    idle = OperatorPairs((nothing, nothing), ((fmpq(0),), (fmpq(0),)), 1)
    chain = SignalChain(known, (X, idle, OperatorPairs((), (), 0)), 1)
    signs = [[1.0, 0.0], [0.0, -1.0]]
    for square, of_X, of_idle, proved in (
        (4.0, [[3.0, -1.5], [-1.5, -1.0]], signs, True),
        (1.01, [[2.0, -1.0], [-1.0, -0.005]], signs, True),
        (0.99, [[2.0, -1.0], [-1.0, -0.005]], signs, False),  # the form of what is known
        (0.5, [[2.0, 0.0], [0.0, -0.1]], signs, False),  # that of the examples
        (0.5, [[2.0, 0.0], [-3.0, -0.1]], signs, False),  # both are definite if each reads another half
        (4.0, [[3.0, -1.5], [-1.5, -1.0]], [[-1.0, 0.0], [0.0, -1.0]], False),  # a forward block
        (4.0, [[3.0, -1.5], [-1.5, -1.0]], [[1.0, 0.0], [0.0, 1.0]], False),  # an adjoint one
        (4.0, signs, [[3.0, -1.5], [-1.5, -1.0]], False),  # operators exchanged
        (4.0, [[3.0, -1.5], [-1.5, float("nan")]], signs, False),
    ):
        tables = [np.array(one) for one in ([[square]], of_X, of_idle)]
        monkeypatch.setattr(signal_bound, "_searched", lambda _, tables=tables: [tables])
        bound = chain_bound(chain, 1.0)
        assert bound == (pytest.approx(square**0.5, rel=1e-14) if proved else float("inf")), (square, of_X)


def test_multipliers_of_a_query_that_break_one_condition_prove_nothing(monkeypatch):
    """t = q^T 1, whose least bound is 1."""
    one, nobody = fmpq_mat([[1]]), OperatorPairs((), (), 0)
    chain = SignalChain(one, (nobody, nobody, OperatorPairs((one,), ((fmpq(1),),), 0)), 0, 1)
    for square, multiplier, proved in (
        (1.02, -1.01, True),
        (1.0, -1.01, False),  # the form of what is known
        (1.02, -0.99, False),  # that of the numbers
        (1.02, 1.01, False),
    ):
        tables = [np.array([[square]]), np.array([[multiplier]])]
        monkeypatch.setattr(signal_bound, "_searched", lambda _, tables=tables: [tables])
        bound = chain_bound(chain, 1.0)
        assert bound == (pytest.approx(square**0.5, rel=1e-14) if proved else float("inf")), (
            square,
            multiplier,
        )


def test_where_the_least_bound_is_not_proved_a_larger_one_is_tried(monkeypatch):
    one, nobody = fmpq_mat([[1]]), OperatorPairs((), (), 0)
    chain = SignalChain(one, (nobody, nobody, OperatorPairs((one,), ((fmpq(1),),), 0)), 0, 1)
    found = [[np.array([[square]]), np.array([[-1.01]])] for square in (1.005, 1.02, 1.05)]
    monkeypatch.setattr(signal_bound, "_searched", lambda _: found)
    assert chain_bound(chain, 1.0) == pytest.approx(1.02**0.5, rel=1e-14)


def test_differences_that_floats_hardly_hold_are_bounded():
    P, Q = 1e-160 * np.random.default_rng(0).normal(size=(2, 2, 1, 2, 2))
    tiny = GivenLinear.of(torch.from_numpy(P), torch.from_numpy(Q))
    for reached in (5e-324, 1e-320):
        bound = distance_bound(tiny, [[[0.0]]] * 2, 3, Fraction(1), Fraction(2), reached, work=1.0).value
        assert 0 < bound < 1e-310


def test_only_positive_definite_matrices_are_surely_positive():
    rng = np.random.default_rng(0)
    for size in (1, 4, 9):
        root = rng.normal(size=(size, size))
        values = root @ root.T + np.eye(size)
        least = np.linalg.eigvalsh(values)[0]
        for shift in (0.0, 0.99 * least, 1.01 * least):
            matrix = arb_mat((values - shift * np.eye(size)).tolist())
            assert is_surely_positive(matrix) == (shift < least)
