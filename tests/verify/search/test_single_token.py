"""Single tokens: conversion to points and back, the error of a prompt of n copies, and its gradient."""

from dataclasses import replace

import pytest
import torch

from icgd.bounds.problem import Problem
from icgd.bounds.step_error.plan import plan
from icgd.construct.block.assembly import assemble
from icgd.verify.search.covered import all_covered
from icgd.verify.search.free_signs import away_from_faces
from icgd.verify.search.prompts import random_prompts, seeded
from icgd.verify.search.single_token import FoundTokens, TokenError, decode, encode, examples, with_examples
from icgd.verify.search.sweep import one_step_errors

PROBLEM = Problem(N=2, K=3, d=2, d_out=1, n=5, eps=0.05, B_x=1.5, B_y=2.0)


def _points(count, seed=1):
    single = replace(PROBLEM, n=1)
    return encode(single, random_prompts(single, count, seeded(seed)))


def test_tokens_come_back_from_their_points():
    prompt = random_prompts(replace(PROBLEM, n=1), 50, seeded(1))
    again = decode(PROBLEM, encode(PROBLEM, prompt))
    for part in ("x", "y", "w"):
        assert torch.allclose(getattr(again, part), getattr(prompt, part), rtol=0, atol=1e-15)


def test_points_outside_are_brought_inside():
    error = TokenError(plan(PROBLEM), all_covered, "cpu")
    far = 9 * torch.randn(50, PROBLEM.D_w + 3, generator=seeded(2), dtype=torch.float64)
    decode(error.problem, far).check(error.problem)
    inside = error.inside(far)
    assert torch.allclose(error.inside(inside), inside, rtol=0, atol=1e-14) and float(inside.abs().max()) <= 2


def test_the_error_is_that_of_a_prompt_of_copies_and_every_token_counts():
    made, points = plan(PROBLEM), _points(40)
    error = TokenError(made, all_covered, "cpu")
    found = error.at(points)
    full = one_step_errors(assemble(made), with_examples(decode(error.problem, points), PROBLEM.n))
    assert torch.allclose(found.values, full, rtol=0, atol=1e-13) and error.tried == 40
    error.slope(points)
    assert error.tried == 80


def test_tokens_that_are_not_admitted_count_as_zero():
    error = TokenError(plan(PROBLEM), lambda prompt: prompt.y[:, 0, 0] > 0, "cpu")
    points = _points(40)
    positive = points[:, -1] > 0
    for values in (error.at(points).values, error.slope(points)[0]):
        assert not values[~positive].any() and bool((values[positive] > 0).all())


def test_the_slope_is_that_of_the_error():
    error = TokenError(plan(PROBLEM), all_covered, "cpu")
    points = away_from_faces(plan(PROBLEM), 0.5 * _points(200))
    values, slope = error.slope(points)
    assert torch.allclose(values, error.at(points).values, rtol=1e-9, atol=1e-13)
    h = 1e-7 / (1 + torch.linalg.vector_norm(slope, dim=-1, keepdim=True))
    ahead, behind = (error.at(points + k * h * slope).values for k in (1, -1))
    close = (ahead - behind - 2 * h[:, 0] * (slope**2).sum(dim=-1)).abs() < 1e-3 * (
        ahead - behind
    ).abs() + 1e-14
    assert float(close.double().mean()) > 0.95  # elsewhere a kink lies in between


def test_examples_of_the_first_prompt():
    prompt = random_prompts(PROBLEM, 3, seeded(3))
    tokens = examples(prompt)
    assert tokens.batch == PROBLEM.n and tokens.n == 1
    assert torch.equal(tokens.x[:, 0], prompt.x[0]) and torch.equal(tokens.w[4], prompt.w[0])


def test_the_best_the_distinct_and_the_better_of_two():
    values = torch.tensor([3.0, 5.0, 5.0 * (1 - 1e-6), 1.0, 4.0], dtype=torch.float64)
    found = FoundTokens(torch.arange(5.0, dtype=torch.float64)[:, None], values)
    assert found.best(3).points[:, 0].tolist() == [1, 2, 4]
    assert found.distinct(3).points[:, 0].tolist() == [1, 4, 0]
    assert found.distinct(99).values.tolist() == [5, 4, 3, 1]
    other = FoundTokens(-found.points, torch.full_like(values, 4.5))
    assert found.improved(other).points[:, 0].tolist() == [0, 1, 2, -3, -4]
    assert found.improved(other).values.tolist() == [4.5, 5, 5.0 * (1 - 1e-6), 4.5, 4.5]
    assert len(FoundTokens.joined([found, other]).values) == 10 and found.best(99).values[0] == pytest.approx(
        5
    )
