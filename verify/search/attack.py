"""Adversarial search for a large step error: sampling with a will.

The search runs over single tokens (`icgd.verify.search.single_token`), and what it finds is replayed on full
prompts. No one search is good at every problem: local errors flip their signs with every linear piece, and
ascent alone stops where they happen to line up.  So a portfolio of searches takes turns.
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
from icgd.verify.search.climbs import equal_units, random_tokens
from icgd.verify.search.covered import Admit, all_covered
from icgd.verify.search.free_signs import free_signs
from icgd.verify.search.interface import Hunt, TokenSearch
from icgd.verify.search.single_token import FoundTokens, TokenError, decode, encode, examples, with_examples
from icgd.verify.search.sweep import one_step_errors

ROUNDS = (Round(2048, 20, 0.1), Round(256, 50, 0.03), Round(64, 50, 0.01))
"""Ever fewer points at ever finer scales: first where errors weigh most, then how they line up."""

PORTFOLIO: Mapping[str, TokenSearch] = MappingProxyType(
    {
        "random tokens": random_tokens,
        "equal units": equal_units,
        "phases": phases,
        "hops": hops,
    }
)
"""The searches of an attack, in turn."""

LEADERLESS = ("random tokens", "equal units")
"""Those that are left where nothing is approximated: there are no signs to free and no pieces to line up."""

_FINALISTS = 32


@dataclass(frozen=True, eq=False)
class Attack:
    """The worst prompt that the search found.

    largest: norm2(err) of one step on `worst`, in the theorem's unit.  evaluations: single tokens tried.
    free_signs: what `largest` could be if every local error took its worst sign; a search value, not a bound.
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
    pool: int = 20_000,
    rounds: tuple[Round, ...] = ROUNDS,
    seeds: Prompt | None = None,
    admit: Admit = all_covered,
    device: torch.device | str = "cpu",
    progress: Progress = silent,
) -> Attack:
    """The worst prompt that the portfolio finds, from `pool` random tokens and those worst under free signs.

    transformer: the one under attack if it is not what `plan` describes; the search over single tokens then
    still runs on the planned one, and only the final replay, which decides, is on it.
    rounds: of ascents; the last one's iterations set the length of the searches after them.
    seeds: a prompt whose tokens are starting points too, such as the worst of a sweep.
    """
    target = (transformer or assemble(plan)).to(device)
    error, width = TokenError(plan, admit, device), _piece_width(plan)
    problem, free = error.problem, None
    if width:
        # The best basins are rarer the deeper the network is.
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
    replayed = torch.where(admit(finalists), one_step_errors(target, finalists), 0.0)
    winner = int(replayed.argmax())
    return Attack(
        error.tried,
        float(replayed[winner]),
        finalists[winner : winner + 1],
        free.largest if free else None,
    )


def _piece_width(plan: Plan) -> float:
    """The usual width of a linear piece, in units of half the range it lies in; 0 if nothing has pieces."""
    fits = [*plan.fits.values(), *(product.square for product in plan.products.values() if product.square)]
    units = sorted(fitted.relus.units for fitted in fits)
    return 2 / max(2, units[len(units) // 2]) if units else 0.0
