"""Prompts: the layout of w, the box W, and refused inputs."""

from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from icgd.bounds.letters import ProblemError
from icgd.bounds.loss import LOSSES
from icgd.bounds.problem import Problem
from icgd.bounds.step_error.domain import face_slack
from icgd.construct.prompt import Prompt, box, split_weights, stack_weights
from icgd.verify.search.prompts import random_prompts
from icgd.verify.strategies import problems, prompts

PROBLEM = Problem(N=3, K=4, d=2, d_out=3, n=5, B_x=2.0, B_y=0.5, B_v=1.5)


def prompt(batch=2, problem=PROBLEM):
    return random_prompts(problem, batch, torch.Generator().manual_seed(1))


@settings(deadline=None, max_examples=40)
@given(problems(), st.integers(1, 3))
def test_split_and_stack_are_inverse_row_after_row(problem, batch):
    w = torch.arange(batch * problem.D_w, dtype=torch.float64).reshape(batch, problem.D_w)
    matrices = split_weights(problem, w)
    assert [tuple(v.shape) for v in matrices] == [
        (batch, rows, columns) for columns, rows in zip(problem.dims[:-1], problem.dims[1:], strict=True)
    ]
    assert torch.equal(stack_weights(matrices), w)
    place = 0
    for v in matrices:
        for row in range(v.shape[1]):
            for column in range(v.shape[2]):
                assert v[0, row, column] == place
                place += 1


# A step of size 1 far from the box: the faces give up 2e-12 of B_v, a hundred times what half_width does.
@example(Problem.parse({"N": 3, "K": 3, "d": 1, "activation": "softplus", "B_v": 2.0, "eta": 1.0}))
@settings(deadline=None, max_examples=40)
@given(problems())
def test_corners_of_the_box_have_rows_of_norm_at_most_B_v(problem):
    corner = box(problem, torch.zeros((), dtype=torch.float64))
    assert corner.shape == (problem.D_w,)
    # half_width gives 2**-50 away; its root, quotient and product round, and so does the face's difference.
    kept = (1 - Fraction(1, 2**50)) * (1 - Fraction(1, 2**53)) ** 4
    for layer, v in enumerate(split_weights(problem, corner[None]), start=1):
        for row in v[0].tolist():
            sides = [Fraction(side) for side in row]
            assert sum(side**2 for side in sides) <= Fraction(problem.B_v) ** 2
            largest = [side + Fraction(face_slack(problem, layer)) for side in sides]
            assert sum(side**2 for side in largest) >= (kept * Fraction(problem.B_v)) ** 2


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_what_lies_inside_the_radii_passes(data):
    problem = data.draw(problems())
    given_ = data.draw(prompts(problem, batch=2))
    assert given_.check(problem) is given_


def test_targets_of_the_logistic_loss_may_lie_anywhere_in_their_ball():
    problem = replace(PROBLEM, loss=LOSSES["logistic"], B_y=2.0)
    for value in (-1.0, 0.5, 1.1):
        good = prompt(problem=problem)
        Prompt(good.x, torch.full_like(good.y, value), good.query, good.w).check(problem)


def test_box_follows_precision():
    assert box(PROBLEM, torch.zeros(1, dtype=torch.float32)).dtype == torch.float32


@pytest.mark.usefixtures("any_shapes")
@pytest.mark.parametrize("part", ["x", "y", "query", "w"])
def test_wrong_shapes_are_named(part):
    good = prompt()
    parts = {name: getattr(good, name) for name in ("x", "y", "query", "w")}
    parts[part] = parts[part][..., :-1]
    with pytest.raises(ProblemError, match="the problem needs") as caught:
        Prompt(**parts).check(PROBLEM)
    assert caught.value.field == part
    assert str(tuple(parts[part].shape)) in str(caught.value)


@pytest.mark.parametrize("part", ["x", "y", "query", "w"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_are_not_finite_are_named(part, value):
    good = prompt()
    spoilt = getattr(good, part).clone()
    spoilt.view(-1)[-1] = value
    parts = {name: getattr(good, name) for name in ("x", "y", "query", "w")} | {part: spoilt}
    with pytest.raises(ProblemError, match="finite") as caught:
        Prompt(**parts).check(PROBLEM)
    assert caught.value.field == part


@pytest.mark.parametrize(("part", "letter"), [("x", "B_x"), ("query", "B_x"), ("y", "B_y")])
def test_vectors_beyond_their_radius_are_named(part, letter):
    good = prompt()
    long = getattr(good, part).clone()
    long[0] = 1.01 * getattr(PROBLEM, letter) / long.shape[-1] ** 0.5
    parts = {name: getattr(good, name) for name in ("x", "y", "query", "w")} | {part: long}
    with pytest.raises(ProblemError, match=letter) as caught:
        Prompt(**parts).check(PROBLEM)
    assert caught.value.field == part


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_weights_outside_the_box_name_their_layer(layer):
    good = prompt()
    matrices = [v.clone() for v in split_weights(PROBLEM, good.w)]
    matrices[layer - 1][1, 0, -1] = -1.001 * PROBLEM.half_width(layer)
    with pytest.raises(ProblemError, match=f"layer {layer}"):
        good.with_weights(stack_weights(matrices)).check(PROBLEM)


def test_slices_keep_rows_together():
    whole = prompt(5)
    part = whole[torch.tensor([3, 1])]
    for name in ("x", "y", "query", "w"):
        assert torch.equal(getattr(part, name)[0], getattr(whole, name)[3])
        assert torch.equal(getattr(part, name)[1], getattr(whole, name)[1])
    assert (whole[1:3].batch, whole[1:3].n) == (2, PROBLEM.n)


def test_to_changes_precision_of_every_part():
    single = prompt().to("cpu", torch.float32)
    assert {part.dtype for part in (single.x, single.y, single.query, single.w)} == {torch.float32}
    assert single.check(PROBLEM) is single


def test_with_weights_keeps_the_examples():
    before = prompt()
    after = before.with_weights(torch.zeros_like(before.w))
    assert after.x is before.x and after.y is before.y and after.query is before.query
    assert not after.w.any() and before.w.any()
