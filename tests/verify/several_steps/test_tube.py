"""Tubes around exact descent: by exact rationals, and with real runs inside, in any order of summation."""

from fractions import Fraction

import pytest
import torch

from icgd.bounds.convergence import diameter
from icgd.bounds.problem import Problem
from icgd.bounds.step_error.plan import plan
from icgd.construct.block.assembly import assemble
from icgd.construct.block.dense import DenseTransformer
from icgd.construct.prompt import box
from icgd.verify.descent import descend
from icgd.verify.search.prompts import random_prompts, seeded
from icgd.verify.several_steps.proof import prove_several_steps
from icgd.verify.several_steps.tube import tube

SMALL = Problem(N=2, K=2, d=1, d_out=1, n=3, L=6, eps=0.2, eta=0.5)
STEP = {
    "certified": 0.25,
    "errors": {"update[1]": 3 * 2.0**-40, "update[2]": 2.0**-38},
    "layers": [{"s_norm": 2.0, "p_in": 1.5}, {"s_norm": 1.0, "p_in": 4.0}],
}


@pytest.fixture(scope="module")
def proved():
    planned = plan(SMALL)
    transformer = assemble(planned)
    return transformer, prove_several_steps(SMALL, planned, transformer)


@pytest.mark.parametrize(("below", "above", "eta"), [(1.0, 2.0, 0.25), (0.0, 8.0, 0.5), (0.5, 0.0, 2.0)])
def test_distances_are_those_of_the_recursion_in_rationals(below, above, eta):
    found = tube(STEP, below, above, eta, 9, 1e9)
    size = Fraction(eta)
    stretch = max(1 + size * Fraction(below), size * Fraction(above) - 1)
    spread = Fraction(5, 2**40)  # the norm of 3 and 4
    distance, steepest_squared = Fraction(0), Fraction(9, 4) + 4
    for step, shown in enumerate(found.distances):
        assert shown == pytest.approx(float(distance), rel=1e-12) and Fraction(shown) >= distance
        grown = stretch * distance + size / 4 + 2 * size * spread * step
        moved = (
            distance
            + size / 4
            + 2 * size * Fraction(steepest_squared.numerator**0.5 / 2)
            + 4 * size * spread * step
        )
        distance = min(grown, moved) if step else grown
    assert Fraction(found.stretch) >= stretch and found.stretch == pytest.approx(float(stretch), rel=1e-12)
    assert found.at(9) == found.distances[9] == found.at(100)


def test_the_diameter_ends_a_tube():
    found = tube(STEP, 50.0, 50.0, 1.0, 10**6, 2.0)
    assert found.distances[-1] == 2.0 and len(found.distances) < 10 and found.at(10**6) == 2.0


def test_runs_stay_inside_in_every_token_and_in_any_order(proved):
    """The literal matrices on shuffled tokens: floats add up in another order in each."""
    transformer, proof = proved
    assert proof.tube is not None and not proof.why
    prompt = random_prompts(SMALL, 64, seeded(2))
    exact = descend(SMALL, prompt, SMALL.L)
    stream, dense = transformer.stream, DenseTransformer(transformer)
    H = stream.pack(stream.open(prompt))
    for step in range(1, SMALL.L + 1):
        order = torch.randperm(SMALL.n + 1, generator=seeded(step))
        H = dense.block(H[:, order])[:, order.argsort()]
        w = H[..., stream.weights]
        apart = (w - exact[step][:, None]).norm(dim=-1)
        assert float(apart.max()) <= proof.tube.at(step)
        rounding = sum(proof.step.certificate["errors"][f"update[{j}]"] ** 2 for j in (1, 2)) ** 0.5
        assert float((w - w[:, :1]).norm(dim=-1).max()) <= 2 * step * SMALL.eta * rounding


def test_a_tube_from_numbers_that_are_too_small_is_left(proved):
    """Errors of the certified size, always away from exact descent, leave a tube that is drawn too narrow."""
    _, proof = proved
    certificate, widest = proof.step.certificate, diameter(SMALL)
    narrow = tube(
        {**certificate, "certified": certificate["certified"] / 2}, 0.0, 1.0, SMALL.eta, SMALL.L, widest
    )
    honest = tube(certificate, proof.below, proof.above, SMALL.eta, SMALL.L, widest)
    prompt = random_prompts(SMALL, 64, seeded(0))
    exact, w = descend(SMALL, prompt, SMALL.L), prompt.w
    left, faces = False, box(SMALL, prompt.w)
    for step in range(1, SMALL.L + 1):
        target = descend(SMALL, prompt.with_weights(w), 1)[1]
        away = torch.nn.functional.normalize(target - exact[step] + 1e-9, dim=-1)
        w = (target + SMALL.eta * certificate["certified"] * away).clamp(-faces, faces)
        apart = float((w - exact[step]).norm(dim=-1).max())
        assert apart <= honest.at(step) + 1e-12
        left |= apart > narrow.at(step)
    assert left


def test_no_tube_without_both_proofs():
    planned = plan(SMALL)
    wrong = assemble(planned, 5)
    proof = prove_several_steps(SMALL, planned, wrong)
    assert proof.tube is None and "matrices" in proof.why and proof.lam < float("inf")
    deep = Problem(N=13, K=1, d=1, d_out=1, activation="sigmoid", eps=0.5)
    assert "13" in prove_several_steps(deep, planned, object()).why
