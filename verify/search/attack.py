"""The attack: an adversarial search for a prompt with a large step error.

The search runs over single tokens (`icgd.verify.search.single_token`), and its results are replayed on full
prompts.  Local errors change sign with every linear piece, so gradient ascent alone stops at local maxima
where some signs agree.  No single search is good on every problem, so the attack runs several in turn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch

from icgd.bounds.progress import Progress, silent
from icgd.bounds.step_error.plan import Plan
from icgd.construct.block.assembly import assemble
from icgd.construct.block.transformer import Transformer
from icgd.construct.prompt import Prompt
from icgd.verify.search.alignment import phases
from icgd.verify.search.ascent import Round
from icgd.verify.search.basin_hopping import hops
from icgd.verify.search.climbs import equal_units, near_corners, random_tokens
from icgd.verify.search.covered import Coverage, all_covered
from icgd.verify.search.free_signs import free_signs
from icgd.verify.search.interface import Hunt, TokenSearch
from icgd.verify.search.single_token import FoundTokens, TokenError, decode, encode, examples, with_examples
from icgd.verify.search.sweep import one_step_errors

ROUNDS = (Round(2048, 20, 0.1), Round(256, 50, 0.03), Round(64, 50, 0.01))
"""Fewer points at finer scales in each round: first the region of large errors, then the signs."""

PORTFOLIO: Mapping[str, TokenSearch] = MappingProxyType(
    {
        "random tokens": random_tokens,
        "equal units": equal_units,
        "near corners": near_corners,
        "phases": phases,
        "hops": hops,
    }
)
"""The searches of an attack, in the order in which they run."""

LEADERLESS = ("random tokens", "equal units")
"""The searches that run where nothing is approximated, so that there are no signs and no pieces to align."""

POOL = 20_000
"""Random tokens from which an attack starts."""

_FINALISTS = 32


@dataclass(frozen=True, eq=False)
class Attack:
    """The worst prompt that the search found.

    largest: norm2(err) of one step on `worst`, to be compared with eta*eps.  evaluations: tokens tried.
    free_signs: what `largest` could be if every local error had its worst sign; a search value, not a bound.
    """

    evaluations: int
    largest: float
    worst: Prompt
    free_signs: float | None = None


def attack(
    plan: Plan,
    generator: torch.Generator,
    *,
    transformer: Transformer | None = None,
    pool: int = POOL,
    rounds: tuple[Round, ...] = ROUNDS,
    seeds: Prompt | None = None,
    covers: Coverage = all_covered,
    device: torch.device | str = "cpu",
    progress: Progress = silent,
) -> Attack:
    """The worst prompt found from `pool` random tokens and from the tokens that are worst under free signs.

    transformer: the one under attack, if it is not what `plan` describes; the search over single tokens still
    runs on the planned one, and only the decisive final replay runs on this one.
    rounds: of the ascents; the iterations of the last round also set the length of the later searches.
    seeds: a prompt whose tokens are additional starting points, such as the worst one of a sweep.
    """
    target = (transformer or assemble(plan)).to(device)
    error, width = TokenError(plan, covers, device), _piece_width(plan)
    problem, free = error.problem, None
    if width:
        # The deeper the network, the rarer are tokens from which an ascent reaches the best maxima.
        many = min(4096, 5 * pool) * max(1, problem.N - 2)
        effort = min(1.0, rounds[0].iterations / ROUNDS[0].iterations)
        free = free_signs(plan, generator, pool=many, effort=effort, device=device, progress=progress)
    leaders = (
        encode(problem, free.tokens) if free else torch.empty(0, problem.D_w + problem.d + problem.d_out)
    )
    hunt = Hunt(plan, error, leaders, width, pool, rounds, generator, progress)
    found: dict[str, FoundTokens] = {}
    if seeds is not None:
        found["seeds"] = error.at(encode(problem, examples(seeds.to(device))))
    for name, search in PORTFOLIO.items():
        if width or name in LEADERLESS:
            found[name] = search(hunt, found)
    best = torch.cat([one.best(_FINALISTS).points for one in found.values()])
    finalists = with_examples(decode(problem, best), plan.problem.n)
    replayed = torch.where(covers(finalists), one_step_errors(target, finalists), 0.0)
    winner = int(replayed.argmax())
    return Attack(
        error.tried,
        float(replayed[winner]),
        finalists[winner : winner + 1],
        free.largest if free else None,
    )


def _piece_width(plan: Plan) -> float:
    """The typical width of a linear piece, in units of half the fitted interval; 0 without pieces."""
    fits = [*plan.fits.values(), *(product.square for product in plan.products.values() if product.square)]
    units = sorted(fitted.relus.units for fitted in fits)
    return 2 / max(2, units[len(units) // 2]) if units else 0.0
