"""Searches of the attack that are plain gradient ascents, from different kinds of starting points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from icgd.construct.prompt import split_weights, stack_weights
from icgd.verify.search.free_signs import away_from_faces
from icgd.verify.search.interface import Hunt
from icgd.verify.search.prompts import random_prompts
from icgd.verify.search.single_token import FoundTokens, encode

CORNER_TOKENS = 2.5
"""Tokens near corners, as a multiple of the pool: most of them are not ascended from."""

CORNER_ASCENTS = 4
"""How many times as many tokens near corners are ascended from as in other searches."""


def random_tokens(hunt: Hunt, found: Mapping[str, FoundTokens]) -> FoundTokens:
    """Ascents from random tokens, and from tokens near those that are worst under free signs.

    Near the latter, a short move aligns most of the true signs.
    """
    starts = [_random(hunt)]
    if len(hunt.leaders):
        starts.append(away_from_faces(hunt.plan, _cloud(hunt, 0.1)))
    return hunt.ascend("random tokens", hunt.error.at(torch.cat(starts)))


def equal_units(hunt: Hunt, found: Mapping[str, FoundTokens]) -> FoundTokens:
    """Ascents from tokens with all hidden units of a layer equal, both near leaders and at random.

    Equal units make equal local errors and have equal gradients, so an ascent keeps them equal.  It runs in a
    low-dimensional space in which all signs of a layer agree.
    """
    clouds = [_cloud(hunt, 0.3), _random(hunt)] if len(hunt.leaders) else [_random(hunt)]
    return hunt.ascend(
        "equal units", hunt.error.at(away_from_faces(hunt.plan, _copied(hunt, torch.cat(clouds))))
    )


def near_corners(hunt: Hunt, found: Mapping[str, FoundTokens]) -> FoundTokens:
    """Ascents from tokens at which layers pass on errors with one sign; first units have any z.

    Matrices after the first are near corners of W and have equal rows up to sign, which an ascent keeps: all
    units of a later layer stay equal.  First z differ, and so do the distances of columns from the corner.
    """
    first, *finer = hunt.rounds
    wider = replace(hunt, rounds=(replace(first, points=CORNER_ASCENTS * first.points), *finer))
    return wider.ascend("near corners", hunt.error.at(away_from_faces(hunt.plan, _with_equal_rows(hunt))))


def _with_equal_rows(hunt: Hunt) -> Float[Tensor, "B coordinates"]:
    """Random tokens whose later matrices are signs of rows times signs of columns, columns a little smaller.

    Rows of V1 are multiples of x, one for each first z; some tokens have equal ones.  W clips the largest.
    z is smaller in deeper networks, where each layer may double it.
    """
    problem, count = hunt.error.problem, hunt.affordable(CORNER_TOKENS * hunt.pool)
    prompt = random_prompts(problem, count, hunt.generator, hunt.error.device)
    direction, y = torch.nn.functional.normalize(prompt.x[:, 0], dim=-1), prompt.y[:, 0]
    sides = [hunt.uniform(count, size) - 0.5 for size in problem.dims[1:]]
    z = hunt.uniform(count, problem.dims[1])
    z = torch.where(hunt.uniform(count, 1) < 0.3, z[:, :1], z) * sides[0].sign()
    z = torch.where(hunt.uniform(count, 1) < 0.5, z, z * (hunt.uniform(*z.shape) - 0.5).sign())
    z = z * hunt.uniform(count, 1) ** max(0, problem.N - 2)
    level = torch.linalg.vector_norm(y, dim=-1, keepdim=True) / problem.d_out**0.5
    y = torch.where(hunt.uniform(count, 1) < 0.5, y, level * sides[-1].sign())
    blocks = [z[:, :, None] * direction[:, None, :] * problem.dims[0] ** 0.5]
    for into, out in pairwise(sides):
        short = hunt.sizes(0.003, 0.3, count, 1, 1) * hunt.uniform(count, 1, into.shape[1])
        blocks.append(out.sign()[:, :, None] * into.sign()[:, None, :] * (1 - short))
    return torch.cat([stack_weights(blocks), problem.B_x * direction, y], dim=-1)


def _random(hunt: Hunt) -> Float[Tensor, "B coordinates"]:
    problem = hunt.error.problem
    return encode(
        problem, random_prompts(problem, hunt.affordable(hunt.pool), hunt.generator, hunt.error.device)
    )


def _cloud(hunt: Hunt, reach: float) -> Float[Tensor, "B coordinates"]:
    """Points at distances up to `reach` from leaders, which are first shrunk so that w can move freely."""
    count = hunt.affordable(0.4 * hunt.pool)
    size = hunt.sizes(0.003, reach, count, 1)
    points = hunt.leaders[hunt.choice(len(hunt.leaders), count)] * (1 - size * hunt.uniform(count, 1))
    return points + size * hunt.normal(*points.shape)


def _copied(hunt: Hunt, points: Float[Tensor, "B coordinates"]) -> Float[Tensor, "B coordinates"]:
    """The points with a random hidden unit of each layer copied to all other units of that layer."""
    problem = hunt.error.problem
    matrices, rows = [], torch.arange(len(points), device=points.device)
    before: Tensor | None = None
    for j, v in enumerate(split_weights(problem, points[:, : problem.D_w]), start=1):
        unit = hunt.choice(v.shape[1], len(points))
        if j < problem.N:
            v = v[rows, unit][:, None].expand_as(v)
        if before is not None:
            v = v[rows, :, before][:, :, None].expand_as(v)
        matrices.append(v)
        before = unit
    return torch.cat([stack_weights(matrices), points[:, problem.D_w :]], dim=-1)
