"""A theorem's part of the document as its section of the report shows it: cells, rows, citations."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from icgd.reports.document.numbers import digits, exceeds, grouped
from icgd.reports.document.shape import (
    BoundDocument,
    DocumentNumber,
    NumberSection,
    TermDocument,
    TheoremDocument,
)
from icgd.reports.document.step_bound import bound_key, bound_name, exclusion, is_bounded
from icgd.reports.latex.macros import NamedNumbers, number
from icgd.reports.mathematics.citations import Sources
from icgd.reports.mathematics.formulas import formula
from icgd.reports.mathematics.notation import Tex, escape, quantity, statement, symbol
from icgd.verify.results import Cell

if TYPE_CHECKING:
    from icgd.reports.figures.figures import Drawn

_STEPS = 12
"""Rows of a trajectory that are printed."""

_HALF, _GAP, _LONGEST = 60.0, 1.5, 32.0
"""Digits in half a line of a table, between two columns, and in a cell that is not broken."""

_MOST_ROWS = 30
"""Rows of a table that is not broken."""


class Section:
    """One theorem for the templates.

    slug: its name in labels.  claims, constants, assumptions: what no earlier section shows, after
    `drop_repeated`.  same_problem_as, same_bounds_as: an earlier section with the same problem, or the same
    published bounds.
    """

    def __init__(
        self,
        name: str,
        part: TheoremDocument,
        numbers: NamedNumbers,
        sources: Sources,
        figures: Sequence[Drawn],
    ) -> None:
        self.name, self.part, self.numbers, self.sources = name, part, numbers, sources
        self.slug = Tex(re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-"))
        self.family = name.split("/")[0]
        self.source = sources.cite(part["source"])
        construction = part.get("construction")
        self.title_shown = part["title"] + (f" (construction {construction})" if construction else "")
        self.claims = dict(part["bounds"])
        self.assumptions = list(part.get("hypotheses") or ())
        self.constants = self._constants()
        self.same_problem_as: Section | None = None
        self.same_bounds_as: Section | None = None
        self.narrow_figures = [one for one in figures if self.owns(one) and not wide(one.pdf)]
        self.wide_figures = [(one,) for one in figures if self.owns(one) and wide(one.pdf)]
        self.figures = side_by_side(one for one in figures if self.owns(one))

    def __getattr__(self, key: str) -> object:
        """A key of the document's part; None where it was not computed."""
        if key.startswith("__"):
            raise AttributeError(key)
        return self.part.get(key)

    def owns(self, figure: Drawn) -> bool:
        return figure.theorem == self.name

    @property
    def letters(self) -> Iterator[tuple[Tex, Tex]]:
        """The problem's letters that are numbers."""
        chosen = self.part.get("chosen") or {}
        for key, value in self.part["problem"].items():
            name = {"eps": "epsilon"}.get(key, key)
            if isinstance(value, int | float):
                shown = self.numbers.at(f"{self.name} problem {key}", chosen.get(key, value))
                yield symbol(name), Tex(rf"{shown}\text{{ (automatic)}}") if key in chosen else shown

    @property
    def words(self) -> list[tuple[str, str]]:
        """The problem's letters that are words."""
        return [(key, value) for key, value in self.part["problem"].items() if isinstance(value, str)]

    def _constants(self) -> dict[tuple[str, DocumentNumber, str], tuple[Tex, Tex, str]]:
        """Name, value, meaning -> what is shown for them; a symbol with two values says whose each is."""
        problem = {**self.part["problem"], **(self.part.get("chosen") or {})}
        rows: dict[tuple[str, DocumentNumber, str], tuple[Tex, Tex, str]] = {}
        values: dict[str, set[DocumentNumber]] = {}
        for claim in self.part["bounds"].values():
            for name, constant in claim["constants"].items():
                values.setdefault(name, set()).add(constant["value"])
        for bound, claim in self.part["bounds"].items():
            for name, constant in claim["constants"].items():
                value, meaning = constant["value"], constant["meaning"]
                key = {"epsilon": "eps"}.get(name, re.sub(r"[{}]", "", name))
                place = f"{self.name} problem {key}" if problem.get(key) == value else ""
                itself = not place and value == claim["value"]
                if (name, value, meaning) in rows and not itself:
                    continue
                # The bound itself is printed as the bound is, whichever claim shows it first.
                shown = (
                    self.numbers.bound(self.name, bound, claim) if itself else self.numbers.at(place, value)
                )
                text = f"{meaning}; in {bound}" if len(values[name]) > 1 else meaning
                rows[name, value, meaning] = symbol(name), shown, text
        return rows

    @property
    def constant_rows(self) -> list[tuple[Tex, Tex, str]]:
        """Symbols, values, meaning; constants that differ by their index alone share a row."""
        rows: list[tuple[Tex, Tex, str]] = []
        before = ("", "")
        for (name, _, _), (letter, shown, meaning) in self.constants.items():
            index = re.search(r"\d+$", name)
            stem = re.sub(rf"\b{index[0]}$", "", meaning) if index else meaning
            this = (name[: index.start()] if index else name, stem)
            if index and rows and this == before and stem != meaning:
                letters, values, text = rows[-1]
                rows[-1] = (Tex(f"{letters}$, ${letter}"), Tex(f"{values}, {shown}"), f"{text}, {index[0]}")
            else:
                rows.append((letter, shown, meaning))
            before = this
        return rows

    @property
    def bounds(self) -> Iterator[dict[str, object]]:
        """Every claim that this part is the first to show."""
        for key, claim in self.claims.items():
            yield {
                **claim,
                "key": key,
                "source": self.sources.cite(claim["source"]),
                "stated": _stated(claim),
                "sign": Tex(r"\le" if claim["relation"] == "<=" else "="),
                "of": quantity(claim["quantity"]),
                "formula": formula(claim["expression"], claim["constants"], claim["latex"]),
                "shown": self.numbers.bound(self.name, key, claim),
                "equals": _equals(claim),
            }

    @property
    def hypothesis_groups(self) -> list[tuple[tuple[str, ...], list[str]]]:
        """Hypotheses, and the titles of the claims that have exactly these."""
        found: dict[tuple[str, ...], list[str]] = {}
        for claim in self.claims.values():
            if claim["hypotheses"]:
                found.setdefault(tuple(claim["hypotheses"]), []).append(claim["title"])
        return list(found.items())

    @property
    def exceeds(self) -> bool:
        """Whether a size is more than the number beside it that the source's claim comes to."""
        return any("dagger" in row[-1] for row in self.sizes)

    @property
    def bound_name(self) -> str:
        """What the bound on the step error is called: certified, or not checked."""
        return bound_name(self.part)

    @property
    def sizes(self) -> Iterator[tuple[str, Tex, Tex, Tex, Tex]]:
        """What was counted, what this construction is to have, and what the source's claim comes to."""
        own = f"{self.name}/" if "/" in self.name else ""
        for key, value in (self.part.get("census") or {}).items():
            ours, theirs, sign = number(None), number(None), Tex("")
            for name, claim in self.part["bounds"].items():
                if claim["quantity"] != key:
                    continue
                shown = self.numbers.bound(self.name, name, claim)
                if name.startswith(own) if own else claim["source"] == "icgd":
                    ours, sign = shown, Tex(r"$\le$" if claim["relation"] == "<=" else "$=$")
                else:
                    more = exceeds(value, claim["value"])
                    theirs = Tex(rf"{shown}\rlap{{$^{{\dagger}}$}}") if more else shown
            counted = self.numbers.at(f"{self.name} census {key}", value)
            yield key.replace("_", " ").replace("mlp", "MLP"), counted, sign, ours, theirs

    def at(self, section: NumberSection, key: str) -> Tex:
        """A number of one of the document's sections."""
        return self.numbers.at(f"{self.name} {section} {key}", (self.part.get(section) or {}).get(key))

    def bounded_by(self, section: NumberSection) -> Tex:
        """The bound of a section of the document, under the name that it may have."""
        return self.at(section, bound_key(self.part))

    @property
    def is_bounded(self) -> bool:
        return is_bounded(self.part)

    @property
    def exclusion(self) -> str | None:
        """Which prompts the claim on the step error is not about, if there are such."""
        return exclusion(self.part)

    @property
    def terms(self) -> list[tuple[Tex, TermDocument]]:
        """Local errors of the plan that take ReLUs."""
        return [(_term(name), one) for name, one in self._terms.items() if one["pieces"] is not None]

    @property
    def _terms(self) -> Mapping[str, TermDocument]:
        plan = self.part.get("plan")
        return plan["terms"] if plan else {}

    @property
    def rounded(self) -> tuple[int, Tex] | None:
        """Local errors that are rounding alone: how many, and the largest share of one."""
        shares = [one["share"] for one in self._terms.values() if one["pieces"] is None]
        return (len(shares), number(max(shares))) if shares else None

    @property
    def steps(
        self,
    ) -> list[tuple[int, DocumentNumber | None, DocumentNumber, DocumentNumber, DocumentNumber]]:
        """Rows of the trajectory, at most a dozen of them, the first and the last among them."""
        run = self.part.get("trajectory")
        if not run:
            return []
        rows = list(
            zip(
                range(len(run["loss"])),
                [None, *run["errors"]],
                run["loss"],
                run["exact_loss"],
                run["apart"],
                strict=False,
            )
        )
        if len(rows) <= _STEPS:
            return rows
        return [rows[round(i * (len(rows) - 1) / (_STEPS - 1))] for i in range(_STEPS)]

    @property
    def narrow_tables(self) -> list[dict[str, object]]:
        """The theorem's own tables that have room in half a line and on part of a page."""
        return [table for table in self._tables() if table["narrow"]]

    @property
    def wide_tables(self) -> list[dict[str, object]]:
        """The theorem's other tables."""
        return [table for table in self._tables() if not table["narrow"]]

    @property
    def has_columns(self) -> bool:
        """Whether anything stands in two columns."""
        held = self.constants, self.census, self.narrow_figures, self.plan, self.steps, self.narrow_tables
        return any(held)

    def _tables(self) -> Iterator[dict[str, object]]:
        """The theorem's own tables, with the lines of their headings and a width for every column."""
        for grid in self.part.get("grids") or ():
            columns, rows = grid["columns"], grid["rows"]
            widths, room = _needed_widths(columns, rows), _HALF - _GAP * (len(columns) - 1)
            narrow = sum(widths) <= room and len(rows) <= _MOST_ROWS
            widths = _widened(columns, widths, room)
            whole = max(sum(widths), _HALF)
            yield {
                "title": grid["title"],
                "note": grid.get("note", ""),
                "columns": columns,
                "headings": [_lines(column, width) for column, width in zip(columns, widths, strict=True)],
                "rows": [[_cell(cell) for cell in row] for row in rows],
                "narrow": narrow,
                # Rounded down, so that all of them fit.
                "widths": [Tex(f"{width / whole - 5e-4:.3f}") for width in widths],
            }


def side_by_side(figures: Iterable[Drawn]) -> list[tuple[Drawn, ...]]:
    """Figures side by side, a wide one alone."""
    rows: list[tuple[Drawn, ...]] = []
    open_row = False
    for one in figures:
        wide_one = wide(one.pdf)
        if open_row and not wide_one:
            rows[-1] += (one,)
        else:
            rows.append((one,))
        open_row = not wide_one and len(rows[-1]) == 1
    return rows


def wide(pdf: Path) -> bool:
    """Whether a figure was drawn for the whole line and not for half of it."""
    box = re.search(rb"/MediaBox\s*\[\s*[\d.]+\s+[\d.]+\s+([\d.]+)", pdf.read_bytes())
    return box is not None and float(box[1]) > 300


def drop_repeated(parts: Sequence[Section]) -> None:
    """What an earlier part shows of the same theorem, or of the same problem, is not shown again."""
    for here, part in enumerate(parts):
        for earlier in parts[:here]:
            same = earlier.part["problem"] == part.part["problem"]
            if same and part.same_problem_as is None:
                part.same_problem_as = earlier
            if same or earlier.family == part.family:
                part.constants = {k: v for k, v in part.constants.items() if k not in earlier.constants}
            if earlier.family == part.family:
                known = earlier.part.get("hypotheses") or ()
                part.assumptions = [one for one in part.assumptions if one not in known]
                repeated = part.claims.keys() & earlier.claims.keys()
                part.same_bounds_as = part.same_bounds_as or (earlier if repeated else None)
                part.claims = {k: v for k, v in part.claims.items() if k not in repeated}


def _stated(claim: BoundDocument) -> Tex:
    """The statement, unless it only repeats the bound that is displayed below it."""
    text = claim["statement"]
    if claim["latex"] in text and claim["source"] == "icgd":
        return Tex("")
    left = re.split(r"\\le\b|\\ge\b|=|<|>", text, maxsplit=1)
    bare = "$" not in text and (len(left) == 1 or not left[0].strip())
    return Tex("") if bare else statement(text)


def _equals(claim: BoundDocument) -> Tex:
    """How a bound's value as printed relates to its expression; nothing where it is the expression."""
    value = claim["value"]
    if claim["expression"] == str(value):
        return Tex("")
    if not isinstance(value, float) or float(digits(value)) == value:
        return Tex("=")
    return Tex(r"\le" if claim["relation"] == "<=" else r"\approx")


def _term(name: str) -> Tex:
    """A local error such as dr[2] or product[1]."""
    found = re.fullmatch(r"(\w+)\[(\d+)\]", name)
    kinds = {"r": "$r$", "dr": "$r'$", "product": "product", "u": "$u$"}
    if found is None or found[1] not in kinds:
        return Tex(kinds[name]) if name in kinds else escape(name)
    return Tex(f"{kinds[found[1]]}, layer {found[2]}")


def _cell(value: object) -> Tex:
    return Tex("") if value is None else number(value)


def _needed_widths(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> list[float]:
    """How wide a column is, in digits: its cells on one line each, its heading a word a line if it must."""
    widths = []
    for index, column in enumerate(columns):
        cells = [row[index] for row in rows]
        # What is printed for 1e-16 is longer, and a number is not broken.
        shown = [
            cell if isinstance(cell, str) else grouped(cell).replace("e", " x 10")
            for cell in cells
            if cell is not None
        ]
        widest = max(map(_text_width, shown), default=0.0)
        widths.append(max([min(widest, _LONGEST), *map(_text_width, column.split())]))
    return widths


def _widened(columns: Sequence[str], widths: Sequence[float], room: float) -> list[float]:
    """The widths, and what room is left for the headings of most lines."""
    widened = list(widths)
    while sum(widened) + 1 <= room:
        lines = [len(_lines(column, width)) for column, width in zip(columns, widened, strict=True)]
        if max(lines) < 3:
            break
        widened[lines.index(max(lines))] += 1
    return widened


def _text_width(text: str) -> float:
    """How wide a text is, in digits: about as in Computer Modern."""
    return sum(0.6 if sign in ",. ijlt()" else 1.5 if sign.isupper() else 1.0 for sign in text)


def _lines(heading: str, width: float) -> list[str]:
    """A heading in lines that are no wider than what stands below it, where its words allow that."""
    lines: list[str] = []
    for word in heading.split():
        if lines and _text_width(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines
