"""A search of the attack: aligns the positions of units within their linear pieces, one unit at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from icgd.bounds.step_error.plan import Plan
from icgd.verify.search.free_signs import Passes, away_from_faces
from icgd.verify.search.interface import Hunt
from icgd.verify.search.single_token import FoundTokens, decode

_CHAINS, _LEADERS, _MOVES = 96, 16, 64
_SHRINKAGES = (0.3, 1.0, 3.0, 10.0)
"""How far leaders are shrunk, in widths of a piece."""


def phases(hunt: Hunt, found: Mapping[str, FoundTokens]) -> FoundTokens:
    """Random moves of z and g of one unit at a time, keeping the best if it improves; an ascent at the end.

    Leaders are included after shrinking them by a few piece widths: their signs are right, but the positions
    of their units within the linear pieces (the phases) are not.
    """
    units, coordinates = hunt.plan.problem.units, hunt.leaders.shape[-1]
    versions = max(2 * units, _MOVES)
    so_far = hunt.survivors(found, hunt.affordable(hunt.widened(_CHAINS), versions))
    leaders = hunt.leaders[: hunt.affordable(hunt.widened(_LEADERS), versions)]
    shrunk = [leaders * (1 - min(0.3, widths * hunt.width)) for widths in _SHRINKAGES]
    best = FoundTokens.joined([so_far, *(hunt.error.at(away_from_faces(hunt.plan, one)) for one in shrunk)])
    count = len(best.values)
    reach = torch.full_like(best.values, hunt.width)
    reach[len(so_far.values) :] *= reach.new_tensor(_SHRINKAGES).repeat_interleave(len(leaders))
    reach = reach[:, None, None]
    rows = torch.arange(count, device=best.points.device)
    last = hunt.rounds[-1]
    sweeps = -(-last.iterations // 8)
    with hunt.progress("phases", sweeps * units * count * _MOVES) as advance:
        for _ in range(sweeps):
            basis = phase_moves(hunt.plan, best.points)
            for unit in torch.randperm(
                units, generator=hunt.generator, device=hunt.generator.device
            ).tolist():
                move = reach * hunt.sizes(0.1, 10, count, _MOVES, 1) * hunt.normal(count, _MOVES, 2)
                move = torch.where(hunt.uniform(*move.shape) < 0.25, 0.0, move)
                near = best.points[:, None] + move @ basis[:, :, [unit, units + unit]].mT
                near = hunt.error.inside(near.flatten(0, 1)).view(count, _MOVES, coordinates)
                values, chosen = hunt.error.at(near.flatten(0, 1)).values.view(count, _MOVES).max(dim=1)
                best = best.improved(FoundTokens(near[rows, chosen], values))
                advance(count * _MOVES)
            reach = 0.8 * reach
    fine = replace(last, step=hunt.width / 10)
    with hunt.progress("fine ascents", count * (1 + fine.iterations)) as advance:
        return FoundTokens.joined([best, hunt.climb(best.points, fine, advance)])


def phase_moves(plan: Plan, points: Float[Tensor, "B coordinates"]) -> Float[Tensor, "B coordinates phases"]:
    """The smallest move of a point that changes one z or g of one unit and, as far as possible, no other.

    A local error depends only on the z and g of its unit, and on where in a linear piece they lie.
    """
    with torch.enable_grad():
        points = points.detach().requires_grad_()
        passes = Passes.of(plan, decode(plan.problem, points), {})
        z = [z / layer.z for z, layer in zip(passes.z, plan.layers, strict=True)]
        g = [g / layer.g for g, layer in zip(passes.g, plan.layers, strict=True)]
        places = torch.cat(z + g, dim=-1)
        each = torch.eye(places.shape[-1], dtype=places.dtype, device=places.device)
        each = each[:, None].expand(-1, len(points), -1)
        (slopes,) = torch.autograd.grad(places, points, each, is_grads_batched=True)
    moves: Tensor = torch.linalg.pinv(slopes.nan_to_num(0.0, 0.0, 0.0).transpose(0, 1), rtol=1e-3)
    return moves
