"""The commands about many problems: `sweep`, which makes one table, and `plot`, which draws it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer

from icgd.bounds.estimate import duration_text
from icgd.bounds.letters import ProblemError
from icgd.bounds.printable import printable
from icgd.commands import FAILED, KEPT, USUAL, Asked, ConstructionOption
from icgd.construct.machine.files import check_writable
from icgd.reports.command.audit import emit
from icgd.reports.command.console import console_for
from icgd.reports.command.file_names import refuse_own_name
from icgd.reports.command.options import Json
from icgd.reports.command.progress_lines import lines_or_bars
from icgd.reports.document.document import closing
from icgd.verify.search.options import BRIEF, Search
from icgd.verify.sweeps.posed_sweep import SWEEP_FOLDER, PosedSweep, SweptTable, chosen_workers, pose_sweep
from icgd.verify.sweeps.problem_row import SWEEP_STEPS
from icgd.verify.sweeps.run import check_jobs
from icgd.verify.sweeps.sweep_table import read_table
from icgd.verify.sweeps.table_curves import table_plot

_MOST_REASONS = 5
"""How many different reasons for missing rows are printed; the table has all of them."""


def sweep_command(
    letters: dict[str, Any],
    theorem: Asked = USUAL,
    grid: Annotated[
        str | None, typer.Option("--grid", help='the problems: "N=2,3,4 eps=1e-1:1e-5:9 K=4,8,16"')
    ] = None,
    steps: Annotated[
        str, typer.Option("--with", metavar="WORDS", help=f"besides bounds: {', '.join(SWEEP_STEPS)}")
    ] = "",
    construction: ConstructionOption = None,
    seed: Annotated[int, typer.Option(help="seed of all random work")] = 0,
    samples: Annotated[
        int | None, typer.Option(help=f"random prompts of a verification [default: {BRIEF['samples']}]")
    ] = None,
    effort: Annotated[
        float | None, typer.Option(help=f"length of an attack [default: {BRIEF['effort']}]")
    ] = None,
    jobs: Annotated[int, typer.Option(help="processes on this machine")] = 1,
    scheduler: Annotated[
        str | None, typer.Option(metavar="tcp://HOST:PORT", help="a Dask cluster instead of --jobs")
    ] = None,
    out: Annotated[Path, typer.Option(help="folder for the table and the rows it is made of")] = SWEEP_FOLDER,
    json_to: Json = None,
) -> int:
    """Bound, build or judge many problems: one table.

    Run again, it goes on where it was ended: rows that are there are not computed again.
    """
    began = time.perf_counter()
    if grid is None:
        why = 'a grid of problems is needed, such as "N=2,3,4 eps=1e-1:1e-5:9"'
        raise ProblemError("grid", "nothing", why)
    if scheduler is not None and jobs != 1:
        raise ProblemError("jobs", jobs, "a cluster has its own number of workers; leave one of the two out")
    words = steps.replace(",", " ").split()
    for name, value, step in (
        ("samples", samples, {"verify", "attack", "certify"}),
        ("effort", effort, {"attack"}),
    ):
        if value is not None and not step & set(words):
            raise ProblemError(name, value, f"it is about --with {' or '.join(sorted(step))}")
    given = {"samples": samples, "effort": effort}
    search = Search(
        construction=construction,
        seed=seed,
        **{**BRIEF, **{name: value for name, value in given.items() if value is not None}},
    )
    check_jobs(jobs)
    check_writable(out / "table.parquet", out)
    refuse_own_name(json_to, out, ("table.*",))
    posed = pose_sweep(theorem, grid, letters, search, words)
    workers = chosen_workers(posed.theorem, jobs, scheduler)
    _announce(posed, jobs)
    found = posed.run(workers, out, lines_or_bars())
    paths = found.write(out)
    console = console_for(json_to)
    for line in _told(found):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    console.print(f"wrote {paths[0]} and {paths[1]}", highlight=False, markup=False, soft_wrap=True)
    document = {**found.about, "outcomes": dict(found.outcomes), "rows": list(found.rows)}
    emit(document | closing(began), json_to)
    return FAILED if found.failed else KEPT


def _announce(posed: PosedSweep, jobs: int) -> None:
    """Say on the standard error stream what the grid is and how long it takes, before it starts."""
    count = _counted(len(posed.tasks), "problem")
    for axis in posed.grid.axes:
        _say(str(axis))
    shared = f" by {jobs} processes" if jobs > 1 else ""
    _say(
        f"{count}, {' '.join(('bounds', *posed.steps))}: about {duration_text(posed.seconds / jobs)}{shared}"
    )
    for reason, times in posed.refused.most_common(_MOST_REASONS):
        _say(f"{times} of them will be refused: {reason}")


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"


def _say(sentence: str) -> None:
    print(printable(sentence), file=sys.stderr, flush=True)


def _told(found: SweptTable) -> list[str]:
    counts = ", ".join(f"{number:,} {outcome}" for outcome, number in found.outcomes.most_common())
    lines = [f"{_counted(len(found.rows), 'problem')}: {counts}"]
    most = found.reasons.most_common(_MOST_REASONS)
    lines += [f"{_counted(times, 'time')}: {reason}" for reason, times in most]
    if (more := len(found.reasons) - _MOST_REASONS) > 0:
        lines.append(f"{_counted(more, 'more reason')}: see the column reason")
    failed = sorted({str(row["failed_claims"]) for row in found.rows if row.get("failed_claims")})
    return lines + [f"failed: {claims}" for claims in failed]


def plot_command(
    table: Annotated[Path, typer.Argument(help="the table of a sweep, Parquet or CSV")],
    x: Annotated[str, typer.Option("--x", help="column of the horizontal axis")],
    y: Annotated[str, typer.Option("--y", metavar="COLUMNS", help="what is drawn, by commas")],
    by: Annotated[str, typer.Option("--by", metavar="COLUMNS", help="a curve for each of their values")] = "",
    where: Annotated[
        list[str] | None, typer.Option("--where", metavar="COLUMN=VALUE", help="only these rows")
    ] = None,
    out: Annotated[Path, typer.Option(help="the figure: .svg, .pdf or .png")] = Path("out/plot.svg"),
    json_to: Json = None,
) -> int:
    """Draw columns of a table over another one."""
    began = time.perf_counter()
    from icgd.reports.figures.table_figure import FIGURE_KINDS, save_plot  # loads matplotlib

    if out.suffix not in FIGURE_KINDS:
        raise ProblemError("out", out, f"a figure is a file that ends in {', '.join(FIGURE_KINDS)}")
    check_writable(out)
    if not _columns(y):
        raise ProblemError("y", y, "a column is needed, or several by commas, such as units,fewest_units")
    chosen = dict(_condition(one) for one in where or ())
    rows = read_table(table).to_pylist()
    plot, left = table_plot(rows, x, _columns(y), _columns(by), chosen)
    save_plot(plot, out)
    console = console_for(json_to)
    if left:
        told = f"{_counted(left, 'row')} without {y} left out (column reason says why)"
        console.print(told, highlight=False, markup=False, soft_wrap=True)
    for curve in plot.curves:
        line = (
            f"{curve.label}: {_counted(len(curve.x), 'point')}, {plot.x} {min(curve.x):g} to {max(curve.x):g}"
        )
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    console.print(f"wrote {out}", highlight=False, markup=False, soft_wrap=True)
    emit({one.name: getattr(plot, one.name) for one in fields(plot) if one.name != "curves"} | {
        "curves": [{"label": c.label, "x": c.x, "y": c.y} for c in plot.curves], "left_out": left,
    } | closing(began), json_to)  # fmt: skip
    return KEPT


def _columns(text: str) -> list[str]:
    return [name for name in text.replace(",", " ").split() if name]


def _condition(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise ProblemError("where", text, "COLUMN=VALUE is needed, such as K=4")
    return name, value


SWEEPING: Mapping[str, Callable[..., int]] = {"sweep": sweep_command, "plot": plot_command}
