"""A search of the attack: basin hopping, random moves followed by short ascents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch

from icgd.verify.search.interface import Hunt
from icgd.verify.search.single_token import FoundTokens

_HOPPERS, _TRIES, _SETTLE = 48, 12, 25


def hops(hunt: Hunt, found: Mapping[str, FoundTokens]) -> FoundTokens:
    """Random moves of a few coordinates of the best tokens so far, each followed by a short ascent."""
    best = hunt.survivors(found, hunt.affordable(hunt.widened(_HOPPERS), _TRIES))
    count, coordinates = best.points.shape
    rows = torch.arange(count, device=best.points.device)
    settle = replace(hunt.rounds[-1], iterations=_SETTLE, step=0.02)
    times = -(-hunt.rounds[-1].iterations // 5)
    with hunt.progress("hops", times * count * _TRIES * (1 + _SETTLE)) as advance:
        for _ in range(times):
            size = hunt.width * hunt.sizes(0.2, 3, count, _TRIES, 1)
            chosen_coordinates = hunt.uniform(count, _TRIES, coordinates) < 3 / coordinates
            moves = torch.where(chosen_coordinates, size * hunt.normal(count, _TRIES, coordinates), 0.0)
            tried = hunt.error.inside((best.points[:, None] + moves).flatten(0, 1))
            settled = hunt.climb(tried, settle, advance)
            values, chosen = settled.values.view(count, _TRIES).max(dim=1)
            best = best.improved(
                FoundTokens(settled.points.view(count, _TRIES, coordinates)[rows, chosen], values)
            )
    return best
