"""Prints and documents what was found out about linear attention that others trained or built."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from icgd.bounds.estimate import Estimate, Stage
from icgd.construct.given_linear import DIVISORS, GivenLinear
from icgd.reports.command.judging import show_replays
from icgd.reports.command.terminal import show_grid
from icgd.verify import workload
from icgd.verify.given_linear.deep_loss import loss_seconds
from icgd.verify.given_linear.judge import LinearResults
from icgd.verify.results import Grid

_PER_NUMBER = 2e-8
"""Seconds that a number of a prompt takes on an ascent, forwards and backwards."""


def judging_linear(given: GivenLinear, n: int, samples: int, effort: float) -> Estimate:
    """Estimate of judging linear attention: ascents, bounds, the expected loss."""
    numbers = n * (given.d + 1) * (samples + 120_000 * effort)
    search = Stage("search", 0.5 + 4 * _PER_NUMBER * numbers, letter="n", value=n)
    searched = 10.0 * effort * (given.L > 1) * min(1.0, max(0, given.d - 1) / 2)
    bounds = Stage(
        "bounds", 0.05 * given.L * 2.0 ** min(given.d, 6) + searched, letter="effort", value=effort
    )
    loss = Stage("expected loss", 0.3 + loss_seconds(given), letter="d", value=given.d)
    return Estimate((workload.START, search, bounds, loss))


def show_linear(console: Console, found: LinearResults, source: str, seconds: float) -> None:
    """Print what linear attention is, how far from which descent, and every verdict."""
    given = found.given
    sizes = ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in given.census.items())
    mask = "the query is no example" if given.masked else "the query is among the examples"
    read = f"{given.layout}; {DIVISORS[given.divisor]}; {mask}"
    console.print(f"[bold]{escape(source)}[/]: linear attention, {sizes}; {escape(read)}", highlight=False)
    console.print(escape(found.conclusion), highlight=False)
    console.print(escape(_loss(found)), highlight=False)
    for grid in found.grids:
        show_grid(console, grid)
    rows = tuple((one.claim, one.said, one.evidence) for one in found.verdicts)
    show_grid(console, Grid("Verdicts", ("claim", "verdict", "evidence"), rows))
    show_replays(console, found.verdicts)
    console.print(f"seed {found.seed}, {seconds:.1f} s", style="dim")


def _loss(found: LinearResults) -> str:
    loss, S = found.loss, ", ".join(map(str, dict.fromkeys(found.S)))
    inputs = "inputs on the sphere" if loss.covariates == "sphere" else "Gaussian prompts"
    on = f"expected loss on {inputs} (n = {found.radii.n}, variances {S}, y = w . x)"
    mean, half = loss.sampled
    sampled = f"sampled {mean:.6g} +- {half:.2g}"
    if loss.value is None:
        return f"{on}: {sampled}; not in rationals: {loss.why}"
    exact = str(loss.value) if len(str(loss.value)) <= 40 else f"{float(loss.value):.10g}, in rationals"
    slope = "" if loss.gradient is None else f"; norm2(gradient) {loss.gradient:.6g}"
    return f"{on}: {exact}{slope}; {sampled}"


def linear_document(found: LinearResults, path: Path) -> dict[str, Any]:
    """Every number about judged linear attention, as plain values."""
    given = found.given
    return {
        "weights": {"file": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()},
        "conclusion": found.conclusion,
        "layout": given.layout,
        "masked": given.masked,
        "divide_by": given.divisor,
        "census": dict(given.census),
        "radii": {"n": found.radii.n, "B_x": found.radii.B_x, "B_y": found.radii.B_y},
        "descent": None if found.proved is None else [_texts(A) for A in found.proved],
        "nearest": {
            kind: {
                "A": one.A.tolist(),
                "sampled": one.sampled,
                "attacked": one.attacked,
                "certified": one.certified,
            }
            for kind, one in found.nearest.items()
        },
        "expected_loss": {
            "exact": None if found.loss.value is None else str(found.loss.value),
            "gradient": found.loss.gradient,
            "sampled": found.loss.sampled[0],
            "half_width": found.loss.sampled[1],
            "not_exact": found.loss.why,
        },
        "regression_weights": list(found.weights),
        "names": list(found.names),
        "reference": found.named_reference,
        "verdicts": [one.as_dict() for one in found.verdicts],
        "seed": found.seed,
    }


def _texts(A: Any) -> list[list[str]]:
    return [[str(value) for value in row] for row in A]
