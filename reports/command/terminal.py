"""Prints results in a terminal: tables of bounds, plans, verdicts, findings and certificates."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict
from decimal import ROUND_CEILING, Context
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from icgd.bounds.claims import Claim, without_braces
from icgd.bounds.hypotheses import Hypothesis
from icgd.bounds.printable import in_groups, rounded
from icgd.bounds.problem import Problem
from icgd.bounds.step_error.plan import Plan
from icgd.reports.command.console import style_of
from icgd.reports.document.numbers import digits
from icgd.verify.block.one_prompt import Enclosure
from icgd.verify.certificate.proof import Judgement, Proof
from icgd.verify.data.use import DataUse
from icgd.verify.results import Grid, Results, Sandwich, StepError
from icgd.verify.search.excerpt import part_of
from icgd.verify.search.trajectory import Trajectory
from icgd.verify.theorem import Theorem
from icgd.verify.verdict import Verdict, count_claims

if TYPE_CHECKING:
    from icgd.reports.report import Report

_PROSE = 48
"""Least width of a column of sentences, in characters."""

_BOUND = 12
"""Least width of a column of formulas, in characters."""

_STATUS, _EVIDENCE = 14, 48
"""Widths of two columns of the table of verdicts: most of a status, in lines of words; least of evidence."""


def show(console: Console, theorem: Theorem, found: Results, seconds: float) -> None:
    """Print everything that a verification found, sizes first and verdicts last."""
    built = f", construction [bold]{found.construction}[/]" if found.construction else ""
    console.print(f"[bold]{escape(theorem.title)}[/] ({escape(theorem.source)}){built}")
    console.print(escape(found.problem.options), style="dim", soft_wrap=True)
    if found.problem.chosen:
        console.print(escape(found.problem.values), style="dim", highlight=False)
    show_doubts(console, found.data)
    show_hypotheses(console, found.hypotheses)
    show_sizes(console, found.claims, found.census, {verdict.claim for verdict in found.verdicts})
    if found.step:
        _show_step(console, found.step)
    elif found.sandwich:
        show_sandwich(console, found.sandwich, found.is_certified)
    for grid in found.grids:
        show_grid(console, grid)
    show_verdicts(console, found.verdicts)
    console.print(f"seed {found.seed}, verified in {seconds:.1f} s", style="dim")


def show_doubts(console: Console, use: DataUse | None) -> None:
    """Print what is doubtful about a table from which prompts were cut."""
    for doubt in use.warnings if use else ():
        console.print(f"[yellow]warning:[/] {escape(doubt)}", highlight=False)


def _show_step(console: Console, step: StepError) -> None:
    show_plan(console, step.plan)
    show_sandwich(console, step.sandwich, step.is_certified)
    if step.proof:
        show_proof(console, step.proof, step.enclosures, step.plan.units)
    show_trajectory(console, step.trajectory, step.sandwich.allowed)


def show_grid(console: Console, grid: Grid) -> None:
    """Print a table of results and its note; nothing is truncated or broken, so that it can be copied.

    If a last column of prose has too little room, each row becomes a heading and a paragraph; if another
    table is too wide, each row becomes a list of its cells with their columns' names.
    """
    rows = [["" if cell is None else _cell(cell) for cell in row] for row in grid.rows]
    columns = list(zip(*rows, strict=True))
    others = sum(max(map(len, column)) + 3 for column in columns[:-1])
    texts = [[name, *(row[index] for row in rows)] for index, name in enumerate(grid.columns)]
    least = [max(len(word) for text in some for word in text.split() or [""]) for some in texts]
    spare = console.width - sum(least) - 3 * len(least) - 1
    if rows and max(map(len, columns[-1])) > 2 * _PROSE and console.width - others < _PROSE:
        console.print(escape(grid.title), style="italic")
        for key, *words, text in rows:
            about = f"[bold]{escape(key)}[/] {escape(', '.join(words))}"
            console.print(about, highlight=False, soft_wrap=True)
            console.print(Padding(escape(text), (0, 0, 0, 2)), highlight=False)
    elif spare < 0:
        console.print(escape(grid.title), style="italic")
        for row in rows:
            told = [f"{name} {cell}" for name, cell in zip(grid.columns, row, strict=True) if cell]
            console.print(Padding(escape(", ".join(told)), (0, 0, 0, 2)), highlight=False)
    else:
        table = Table(title=escape(grid.title), title_justify="left")
        for name, some, width in zip(grid.columns, texts, least, strict=True):
            more = min(spare, max(map(len, some)) - width)
            table.add_column(escape(name), width=width + more)
            spare -= more
        for row in rows:
            table.add_row(*map(escape, row))
        console.print(table)
    console.print(escape(grid.note), style="dim")


def show_hypotheses(console: Console, assumed: Iterable[Hypothesis]) -> None:
    """Print the hypotheses that this problem does not meet, and what still holds."""
    lacking = [one for one in assumed if one.status != "holds"]
    if lacking:
        console.print("hypotheses not met here:", highlight=False)
    for one in lacking:
        status = f"[{style_of(one.status)}]{one.status}:[/]"
        console.print(Padding(f"{status} {escape(one.statement)}", (0, 0, 0, 2)), highlight=False)
        still = f"; still: {one.still}" if one.still else ""
        console.print(Padding(escape(f"{one.why}{still}"), (0, 0, 0, 4)), highlight=False)


def show_report(console: Console, made: Report) -> None:
    """Print where a report was written."""
    names = ", ".join(path.name for path in made.files)
    console.print(f"wrote {names} in {escape(str(made.json.parent))}", highlight=False, soft_wrap=True)
    if made.message:
        console.print(escape(made.message), highlight=False)


def _cell(value: str | int | float) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else _number(value)


def show_sizes(
    console: Console,
    asserted: Iterable[Claim],
    counts: Mapping[str, int | float] | None = None,
    judged: Collection[str] = (),
) -> None:
    """Print each claim's bound and value, next to the counted size if there is one, in a line each.

    A formula is cut where the line ends: `show_formulas` prints it whole.
    """
    table = Table("claim", "bound", "value", title="Sizes", title_justify="left")
    asserted = tuple(asserted)
    counts = counts or {}
    built = any(claim.key in judged and claim.quantity in counts for claim in asserted)
    if built:
        table.add_column("built", justify="right")
    for column in table.columns:
        column.no_wrap = True
    table.columns[2].justify = "right"
    rows = []
    for claim in asserted:
        counted = claim.key in judged and claim.quantity in counts
        size = [_number(counts[claim.quantity]) if counted else ""] if built else []
        rows.append((claim.key, f"{claim.relation} {claim.expression}", _value(claim), *size))
    names = [str(column.header) for column in table.columns]
    taken = [max(map(len, cells)) for cells in zip(names, *rows, strict=True)]
    room = console.width - sum(taken) + taken[1] - 3 * len(taken) - 1
    for key, bound, *sizes in rows:
        table.add_row(*map(escape, (key, _short(bound, max(_BOUND, room)), *sizes)))
    console.print(table)


def show_formulas(console: Console, asserted: Iterable[Claim]) -> None:
    """Print each bound's whole formula, on as many lines as it takes, then every constant with its value."""
    asserted = tuple(asserted)
    console.print("Bounds in whole", style="italic")
    for claim in asserted:
        said = f"[bold]{escape(claim.key)}[/] {claim.relation} {_value(claim)}  [dim]{escape(claim.title)}[/]"
        console.print(said, highlight=False)
        console.print(Padding(escape(claim.expression), (0, 0, 0, 2), expand=False), highlight=False)
    rows: dict[tuple[str, float, str], list[str]] = {}
    for claim in asserted:
        for symbol, (value, meaning) in claim.constants.items():
            rows.setdefault((str(symbol), value, meaning), []).append(claim.key)
    several = Counter(name for name, _, _ in rows)
    table = Table("constant", "value", "what it is", title="Every constant", title_justify="left")
    table.columns[0].no_wrap = True
    table.columns[1].justify = "right"
    for (name, value, meaning), keys in rows.items():
        of = f"; in {', '.join(keys)}" if several[name] > 1 else ""
        table.add_row(*map(escape, (without_braces(name), _number(value), f"{meaning}{of}")))
    console.print(table)


def show_plan(console: Console, plan: Plan) -> None:
    """Print how the tolerance is divided, and how near the number of pieces is to the fewest possible."""
    title = f"Tolerance plan: {plan.units} ReLUs; the lower bound on pieces allows {plan.fewest_units}"
    table = Table(
        "local error", "certified", "share of bound", "pieces", "fewest", title=title, title_justify="left"
    )
    for column in table.columns[1:]:
        column.justify = "right"
    rounding = 0.0
    for term, share in sorted(plan.contributions.items(), key=lambda item: -item[1]):
        product = plan.products.get(term)
        chosen = plan.fits.get(term) or (product.square if product else None)
        if chosen is None:
            rounding += share
            continue
        part = f"{share / plan.bound:.1%}"
        table.add_row(
            escape(str(term)), f"{plan.errors[term]:.2e}", part, str(chosen.pieces), str(chosen.fewest)
        )
    if plan.bound:
        table.add_row("rounding alone", "", f"{rounding / plan.bound:.1e}", "", "")
    console.print(table)


def show_sandwich(console: Console, sandwich: Sandwich, proved: bool) -> None:
    """Print sampled <= attacked <= certified (unless proved: bound) <= allowed, in the theorem's unit."""
    table = Table(title="Error of one step, norm2(err)", title_justify="left")
    row = asdict(sandwich)
    if sandwich.bound_off_margin is None:
        del row["bound_off_margin"]
    for name in row:
        table.add_column(name.replace("bound", "certified") if proved else name, justify="right")
    # Upper bounds are rounded up.
    table.add_row(*["" if v is None else digits(v, up=name.startswith("bound")) for name, v in row.items()])
    console.print(table)
    if sandwich.bound is not None and sandwich.attacked > 0:
        ratio = sandwich.bound / sandwich.attacked
        given_away = "what the proof gives away, or the attack has not found"
        console.print(f"{'certified' if proved else 'bound'} / attacked = {ratio:.2f}: {given_away}")


def show_proof(
    console: Console, proof: Proof, enclosures: Iterable[tuple[str, Enclosure]], units: int
) -> None:
    """Print what a certificate proves and what it assumes, and the step error on single prompts."""
    if proof.why is not None:
        console.print(f"[bold yellow]held[/], {escape(proof.why)}")
    else:
        console.print(
            f"[bold green]proved by certificate[/]{proof.where}: "
            f"norm2(err) <= eta * {digits(proof.bound, up=True)} for every prompt of n examples in the radii "
            f"and every w in W; "
            f"{proof.certificate['splits'].count(0)} cells; "
            f"found in {proof.proving:.2f} s, checked in {proof.checking:.2f} s"
        )
    console.print(f"units: {proof.units_before} against the plain recurrence, {units} against this bound")
    said = proof.float32
    if not isinstance(said, str):
        said = f"norm2(err) <= eta * {digits(said, up=True)}"
    console.print(escape(f"the same weights in float32: {said}"))
    for name, one in enclosures:
        low, high = one.deployed
        console.print(escape(f"on {name}: norm2(err) in [{low:.15g}, {high:.15g}]"))
    show_trusted(console, proof.trusted)


def show_trusted(console: Console, trusted: Iterable[str]) -> None:
    """Print what a proof takes for granted."""
    console.print("taken for granted:", style="dim")
    for item in trusted:
        console.print(f"  {escape(item)}", style="dim")


def show_judgement(console: Console, judged: Judgement, problem: Problem) -> None:
    """Print what a certificate proves, or the first thing in it that does not hold."""
    if judged.refusal is not None:
        reason = escape(judged.refusal)
        console.print(f"[bold red]refused[/], since this does not hold: {reason}", highlight=False)
        return
    bound = digits(judged.bound or 0.0, up=True)
    console.print(f"[bold green]accepted[/]: norm2(err) <= eta * {bound} <= eta * eps, for")
    posed = f"{problem.options} --construction {judged.construction}"
    console.print(escape(posed), highlight=False, soft_wrap=True)
    same = "is its program, entry by entry"
    built = same if judged.apart is None else f"is another program: {judged.apart}"
    console.print(f"the transformer that is built here {escape(built)}", highlight=False)
    show_trusted(console, judged.trusted)


def show_trajectory(console: Console, trajectory: Trajectory, allowed: float) -> None:
    """Print the loss of the transformer and of exact descent step by step, with the error of each step."""
    title = f"{part_of(trajectory.steps, trajectory.L)} steps on {trajectory.prompts} prompts of "
    title += f"{trajectory.source}, start {trajectory.start}"
    table = Table(
        "step",
        "norm2(err)",
        "of allowed",
        "loss",
        "exact loss",
        "distance",
        title=escape(title),
        title_justify="left",
    )
    for column in table.columns:
        column.justify = "right"
    last = len(trajectory.errors)
    for step in range(last + 1):
        error = trajectory.errors[step - 1] if step else None
        table.add_row(
            str(step),
            "" if error is None else f"{error:.3g}",
            "" if error is None else f"{error / allowed:.1%}",
            f"{trajectory.loss[step]:.8f}",
            f"{trajectory.exact_loss[step]:.8f}",
            f"{trajectory.apart[step]:.2e}",
        )
    console.print(table)


def show_verdicts(console: Console, verdicts: Iterable[Verdict]) -> None:
    """Print one row for each claim, counts, then the commands that replay failures, each on one line.

    Keys are whole, so that they can be copied; where they leave too little room for evidence, it gets a
    paragraph of its own.
    """
    table = Table(title="Verdicts", title_justify="left")
    table.add_column("claim", no_wrap=True, overflow="fold")
    table.add_column("verdict", max_width=_STATUS)
    table.add_column("evidence", overflow="fold")
    shown = list(verdicts)
    room = console.width - max((len(verdict.claim) for verdict in shown), default=0) - _STATUS - 10
    if room < _EVIDENCE:
        console.print("Verdicts", style="italic")
    for verdict in shown:
        said = f"[{style_of(verdict.status)}]{verdict.said}[/]"
        if room < _EVIDENCE and len(f"{verdict.claim} {verdict.said}: {verdict.evidence}") <= console.width:
            console.print(f"{escape(verdict.claim)} {said}: {escape(verdict.evidence)}", highlight=False)
        elif room < _EVIDENCE:
            console.print(f"{escape(verdict.claim)} {said}", highlight=False, soft_wrap=True)
            console.print(Padding(escape(verdict.evidence), (0, 0, 0, 2)), highlight=False)
        else:
            table.add_row(escape(verdict.claim), said, escape(verdict.evidence))
    if room >= _EVIDENCE:
        console.print(table)
    for line in count_claims([verdict.as_dict() for verdict in shown]) if len(shown) > 1 else ():
        console.print(line, highlight=False)
    for replay in dict.fromkeys(verdict.replay for verdict in shown if verdict.replay):
        # A table cell would wrap the command, so that it could not be copied.
        console.print(f"replay: {escape(replay)}", highlight=False, soft_wrap=True)


def show_census(console: Console, counted: Mapping[str, int | float]) -> None:
    """Print the counted sizes of one step of the transformer."""
    show_numbers(console, "census of one step", counted)


def show_numbers(console: Console, title: str, numbers: Mapping[str, str | int | float]) -> None:
    """Print named numbers or words, one per line; names of several words are printed as words."""
    table = Table("what", "value", title=title, title_justify="left")
    table.columns[1].justify = "right"
    for name, value in numbers.items():
        words = re.fullmatch(r"[a-z]{2,}(_[a-z]{2,})+", name)
        shown = in_groups(value) if isinstance(value, str) else _cell(value)
        table.add_row(escape(name.replace("_", " ") if words else name), escape(shown))
    console.print(table)


def _number(value: float) -> str:
    """A whole number in full up to 21 digits, else rounded up to 6, as are others (to the nearest).

    >>> _number(3726826744), _number(10**400 + 1), _number(0.1)
    ('3,726,826,744', '1.00001e+400', '0.1')
    """
    if not isinstance(value, int):
        return f"{value:,.6g}"
    if abs(value) < 10**21:
        return f"{value:,}"
    return f"{Context(prec=6, rounding=ROUND_CEILING).create_decimal(value):.6g}".lower()


def _value(claim: Claim) -> str:
    """The value of a bound; an upper one is rounded up."""
    if claim.relation == "<=" and isinstance(claim.value, float) and math.isfinite(claim.value):
        return f"{float(rounded(claim.value, 6, up=True)):,.10g}"
    return _number(claim.value)


def _short(expression: str, width: int) -> str:
    return expression if len(expression) <= width else expression[: width - 3] + "..."
