"""Surveys around one problem of Theorem 1: sizes over eps, step error over depth, loss on real data.

Every survey is the data of a figure.  The labels say how each curve was made, because the effort spent here
is far below that of a verification.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import torch

from icgd.bounds.letters import ProblemError
from icgd.bounds.problem import Problem
from icgd.bounds.progress import Advance
from icgd.bounds.relu_icgd import claims
from icgd.bounds.step_error.budget import Construction
from icgd.bounds.step_error.plan import Plan, plan
from icgd.construct.block.assembly import assemble
from icgd.construct.prompt import Prompt
from icgd.verify.data.real_prompts import prompts_from_table
from icgd.verify.data.sources import load_table
from icgd.verify.data.table import DataError
from icgd.verify.descent import descend, empirical_loss
from icgd.verify.results import Curve, Plot
from icgd.verify.search.ascent import Round
from icgd.verify.search.attack import attack
from icgd.verify.search.excerpt import excerpt
from icgd.verify.search.prompts import seeded
from icgd.verify.search.sweep import sweep
from icgd.verify.sweeps.size_columns import TableRow, claim_columns, column_points, plan_columns

FACTORS = (16.0, 4.0, 1.0, 0.25)
"""Sizes are surveyed at eps times each of these."""

DEPTHS = (1, 2, 3)
"""Depths that are surveyed in addition to the problem's own."""

_SAMPLES, _POOL, _ASCENT = 4_000, 200, Round(32, 8, 0.2)
_ATTACKABLE = 2_000
"""Largest number of neurons times weights at which a network is attacked in a survey."""

SURVEYED_DATA = "diabetes"
_STEPS, _PROMPTS = 20, 64
_NUMBERS = 1 << 24
"""The most numbers that the iterates of a trajectory may have."""

_MOST_UNITS = 20_000
"""The most ReLUs of a plan made for a survey; the problem's own plan exists already."""

_FLOATS = 1e300
"""Larger values are not plotted: a number of heads may exceed the range of floats."""

Points = Sequence[tuple[float, int | float]]


def sizes(
    problem: Problem,
    construction: Construction = "lean",
    factors: Sequence[float] = FACTORS,
    advance: Advance = lambda done: None,
) -> tuple[Plot, ...]:
    """The theorem's heads, our ReLUs and the lower bound on ReLUs over eps; and our ReLUs over that bound.

    The power laws have the theorem's exponent and ours, and lie five times above the last point.  An eps at
    which the plan is refused (rounding) or too large is left out; the problem's own eps is always tried.  The
    numbers are columns of a sweep's table over eps.
    advance: called with 1 after each plan.
    """
    own = plan(problem, construction)
    if own.fewest_units <= 0:  # every function is linear, and no size depends on eps
        return ()
    tolerances = sorted({problem.eps * factor for factor in (*factors, 1.0)}, reverse=True)
    affordable = problem.eps * (own.units / _MOST_UNITS) ** 2  # units grow like eps^(-1/2)
    rows: list[TableRow] = []
    for eps in tolerances:
        if eps >= min(affordable, problem.eps) and (one := _planned(problem, construction, eps=eps)):
            published = claim_columns("relu-icgd", claims(one.problem))
            rows.append({"eps": one.problem.eps, **published, **plan_columns(one)})
        advance(1)
    heads, units, fewest = (column_points(rows, "eps", name) for name in ("heads", "units", "fewest_units"))
    kind = "heads" if construction == "paper" else "hidden units"
    curves = [
        *_curve("heads of the theorem's fullest layer", heads),
        *_law("-2", heads),
        *_curve(f"ReLUs built for one step ({construction}, {kind})", units),
        *_curve("fewest ReLUs by the lower bound on pieces", fewest),
        *_law("-1/2", units),
    ]
    ratio = [(e, count / least) for (e, count), (_, least) in zip(units, fewest, strict=True) if least > 0]
    over = _curve("ReLUs built over the fewest for the same tolerances", ratio)
    return (
        *_plot("Sizes over the tolerance", "eps", "heads or ReLUs", curves, "xy"),
        *_plot("ReLUs over the lower bound", "eps", "ratio", over, "x"),
    )


def depths(
    problem: Problem,
    construction: Construction = "lean",
    over: Sequence[int] = DEPTHS,
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> tuple[Plot, ...]:
    """norm2(err)/eta of one step for networks of several depths: sampled, attacked, certified, allowed.

    Depths at which the plan is refused or too large, or the network is too large to attack, are left out.
    The numbers are columns of a sweep's table over N, with less effort in the search.
    """
    rows: list[TableRow] = []
    if plan(problem, construction).units > _MOST_UNITS:
        return ()
    for N in sorted({*over, problem.N}):
        one = replace(problem, N=N)
        planned = _planned(one, construction) if one.units * one.D_w <= _ATTACKABLE else None
        if planned is None:
            continue
        short = excerpt(planned)
        generator, transformer = seeded(seed), assemble(short).to(device)
        swept = sweep(transformer, _SAMPLES, generator, device=device)
        found = attack(
            short, generator, pool=_POOL, rounds=(_ASCENT,), seeds=swept.worst, device=device
        ).largest
        measured = {"sampled": swept.largest, "attacked": max(found, swept.largest)}
        rows.append({"N": N, **measured, **plan_columns(planned)})
    labels = {
        "sampled": f"sampled, {_SAMPLES:,} prompts",
        "attacked": f"attacked, {_ASCENT.points} brief ascents",
        "bound": "bound (prover, not checked)",
        "allowed": "allowed",
    }
    curves = [
        curve
        for name, label in labels.items()
        for curve in _curve(label, [(N, error / problem.eta) for N, error in column_points(rows, "N", name)])
    ]
    return _plot("Step error over depth", "depth N", "norm2(err)/eta", curves, "y")


def losses(
    problem: Problem,
    construction: Construction = "lean",
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> tuple[Plot, ...]:
    """Mean empirical loss on prompts of the diabetes data, and the distance of the iterates from exact ones.

    No rows of a sweep, which would repeat the run from its start for each step of a curve.
    Both start at the same random w(0) of each prompt.  No plots where the data have too few rows or columns.
    """
    try:
        prompt = _real(problem, seed).to(device)
    except DataError:
        return ()
    steps = max(1, min(_STEPS, _NUMBERS // (prompt.batch * problem.D_w)))
    paths = (
        assemble(plan(problem, construction)).to(device).simulate(prompt, steps),
        descend(problem, prompt, steps),
    )
    mean = [[float(empirical_loss(problem, prompt.with_weights(w)).mean()) for w in path] for path in paths]
    apart = torch.linalg.vector_norm(paths[0] - paths[1], dim=-1).amax(dim=1).tolist()
    labels = f"transformer, {prompt.batch} prompts", "exact descent"
    loss = [
        curve for label, line in zip(labels, mean, strict=True) for curve in _curve(label, [*enumerate(line)])
    ]
    distance = _curve("largest over the prompts", [*enumerate(apart)][1:])
    title = f"on {SURVEYED_DATA} data"
    return (
        *_plot(f"Loss {title}", "step", "mean empirical loss", loss, ""),
        *_plot(f"Distance from exact descent {title}", "step", "distance, 2-norm", distance, "y"),
    )


def _planned(problem: Problem, construction: Construction, **changed: Any) -> Plan | None:
    """The plan for this problem with some letters changed, or None where it is refused."""
    try:
        return plan(replace(problem, **changed), construction)
    except ProblemError:
        return None


def _real(problem: Problem, seed: int) -> Prompt:
    """Prompts of the diabetes data at random w(0), the problem's sizes taken from its columns."""
    table = load_table(SURVEYED_DATA)
    names = [name for name in table.names if name != "target"]
    inputs, others = names[: problem.d], names[problem.d : problem.d + problem.d_out - 1]
    targets = ("target", *others)
    generator = seeded(seed)
    return prompts_from_table(
        problem, table, inputs, targets, count=_PROMPTS, generator=generator, weights="random"
    ).prompt


def _law(exponent: str, points: Points) -> list[Curve]:
    """The curve c eps^exponent, five times above the last point, which has the smallest eps."""
    if len(points) < 2 or not all(abs(y) < _FLOATS for _, y in points):
        return []
    (last, value), power = points[-1], float(Fraction(exponent))
    return _curve(f"c eps^({exponent})", [(eps, 5 * value * (eps / last) ** power) for eps, _ in points])


def _curve(label: str, points: Points) -> list[Curve]:
    """The curve through the points that floats can represent; no curve where there are none."""
    finite = [(float(x), float(y)) for x, y in points if abs(y) < _FLOATS]
    return [Curve(label, *zip(*finite, strict=True))] if finite else []


def _plot(title: str, x: str, y: str, curves: Sequence[Curve], logarithmic: str) -> tuple[Plot, ...]:
    """The plot, if one of its curves has more than one point."""
    if "y" in logarithmic:
        curves = [
            curve
            for one in curves
            for curve in _curve(one.label, [(a, b) for a, b in zip(one.x, one.y, strict=True) if b > 0])
        ]
    shown = max((len(curve.x) for curve in curves), default=0) > 1
    return (Plot(title, x, y, tuple(curves), logarithmic),) if shown else ()
