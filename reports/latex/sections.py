"""Prepares a theorem's part of the document for its section of the LaTeX report: cells, rows, citations."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from icgd.reports.document.numbers import digits, exceeds, letter_of
from icgd.reports.document.shape import (
    BoundDocument,
    DocumentNumber,
    NumberSection,
    TermDocument,
    TheoremDocument,
)
from icgd.reports.document.step_bound import bound_key, bound_name, exclusion, is_bounded
from icgd.reports.latex.macros import NamedNumbers, number
from icgd.reports.latex.tables import PreparedTable, prepared_tables, with_room
from icgd.reports.mathematics.citations import Sources
from icgd.reports.mathematics.formulas import formula
from icgd.reports.mathematics.notation import Tex, escape, quantity, spoken, statement, symbol

if TYPE_CHECKING:
    from icgd.reports.figures.figures import Drawn

_STEPS = 12
"""Most rows of a trajectory that are printed."""


class Section:
    """One theorem, for the templates.

    slug: its name in labels.  claims, constants, assumptions: after `drop_repeated` only those that no
    earlier section shows.  same_problem_as, same_bounds_as: an earlier section with the same problem, or the
    same published bounds.
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
        """The value of a key of the part; None if it was not computed."""
        if key.startswith("__"):
            raise AttributeError(key)
        return self.part.get(key)

    def owns(self, figure: Drawn) -> bool:
        return figure.theorem == self.name

    @property
    def letters(self) -> Iterator[tuple[Tex, Tex]]:
        """The problem's letters with numbers as values."""
        chosen = self.part.get("chosen") or {}
        for key, value in self.part["problem"].items():
            name = {"eps": "epsilon"}.get(key, key)
            if isinstance(value, int | float):
                shown = self.numbers.at(f"{self.name} problem {key}", chosen.get(key, value))
                yield symbol(name), Tex(rf"{shown}\text{{ (automatic)}}") if key in chosen else shown

    @property
    def words(self) -> list[tuple[str, str]]:
        """The problem's letters with words as values."""
        return [(key, value) for key, value in self.part["problem"].items() if isinstance(value, str)]

    def _constants(self) -> dict[tuple[str, DocumentNumber, str], tuple[Tex, Tex, str]]:
        """(name, value, meaning) -> printed forms; a symbol with several values names the bound of each."""
        problem = {**self.part["problem"], **(self.part.get("chosen") or {})}
        rows: dict[tuple[str, DocumentNumber, str], tuple[Tex, Tex, str]] = {}
        values: dict[str, set[DocumentNumber]] = {}
        for claim in self.part["bounds"].values():
            for name, constant in claim["constants"].items():
                values.setdefault(name, set()).add(constant["value"])
        for bound, claim in self.part["bounds"].items():
            for name, constant in claim["constants"].items():
                value, meaning = constant["value"], constant["meaning"]
                place = f"{self.name} problem {key}" if problem.get(key := letter_of(name)) == value else ""
                itself = not place and value == claim["value"]
                if (name, value, meaning) in rows and not itself:
                    continue
                # A constant that is the bound itself is printed as that bound, whichever claim comes first.
                if itself:
                    shown = self.numbers.bound(self.name, bound, claim)
                elif place:
                    shown = self.numbers.at(place, value)
                else:
                    shown = self.numbers.constant(self.name, name, bound, value)
                text = f"{meaning}; in {bound}" if len(values[name]) > 1 else meaning
                rows[name, value, meaning] = symbol(name), shown, text
        return rows

    @property
    def constant_rows(self) -> list[tuple[Tex, Tex, str]]:
        """Symbols, values, meaning; constants that differ only in their index share a row."""
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
                rows.append((with_room(letter), shown, meaning))
            before = this
        return rows

    @property
    def bounds(self) -> Iterator[dict[str, object]]:
        """Every claim that no earlier part shows."""
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
        """Sets of hypotheses, each with the titles of the claims that have exactly these."""
        found: dict[tuple[str, ...], list[str]] = {}
        for claim in self.claims.values():
            if claim["hypotheses"]:
                found.setdefault(tuple(claim["hypotheses"]), []).append(claim["title"])
        return list(found.items())

    @property
    def exceeds(self) -> bool:
        """Whether a counted size exceeds the value of the source's claim."""
        return any("dagger" in row[-1] for row in self.sizes)

    @property
    def has_own_bounds(self) -> bool:
        """Whether a counted size has a formula of the construction beside it."""
        return any(ours != number(None) for *_, ours, _ in self.sizes)

    @property
    def has_published_bounds(self) -> bool:
        """Whether a counted size has a claim of the source beside it."""
        return any(theirs != number(None) for *_, theirs in self.sizes)

    @property
    def bound_name(self) -> str:
        """The printed name of the bound on the step error: certified, or not checked."""
        return bound_name(self.part)

    @property
    def sizes(self) -> Iterator[tuple[str, Tex, Tex, Tex, Tex]]:
        """For each size: its name, the count, and the values of our claim and of the source's claim."""
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
            yield Tex(spoken(key)), counted, sign, ours, theirs

    def at(self, section: NumberSection, key: str) -> Tex:
        """A number of a section of the document, as LaTeX."""
        return self.numbers.at(f"{self.name} {section} {key}", (self.part.get(section) or {}).get(key))

    def bounded_by(self, section: NumberSection) -> Tex:
        """The bound of a section of the document, certified or not."""
        return self.at(section, bound_key(self.part))

    @property
    def is_bounded(self) -> bool:
        return is_bounded(self.part)

    @property
    def exclusion(self) -> str | None:
        """A clause about the prompts that the step-error claim does not cover; None if it covers all."""
        return exclusion(self.part)

    @property
    def terms(self) -> list[tuple[Tex, TermDocument]]:
        """The local errors of the plan that need ReLUs."""
        return [(_term(name), one) for name, one in self._terms.items() if one["pieces"] is not None]

    @property
    def _terms(self) -> Mapping[str, TermDocument]:
        plan = self.part.get("plan")
        return plan["terms"] if plan else {}

    @property
    def rounded(self) -> tuple[int, Tex] | None:
        """The number of local errors that are only rounding, and the largest share of one."""
        shares = [one["share"] for one in self._terms.values() if one["pieces"] is None]
        return (len(shares), number(max(shares))) if shares else None

    @property
    def steps(
        self,
    ) -> list[tuple[int, DocumentNumber | None, DocumentNumber, DocumentNumber, DocumentNumber]]:
        """At most _STEPS rows of the trajectory, including the first and the last."""
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
    def tables(self) -> list[PreparedTable]:
        """The theorem's own tables."""
        return list(prepared_tables(self.part))

    @property
    def narrow_tables(self) -> list[PreparedTable]:
        """Those that fit in half a line and on part of a page."""
        return [table for table in self.tables if table.narrow]

    @property
    def wide_tables(self) -> list[PreparedTable]:
        """The theorem's other tables."""
        return [table for table in self.tables if not table.narrow]

    @property
    def has_columns(self) -> bool:
        """Whether the section has content in two columns."""
        held = self.constants, self.census, self.narrow_figures, self.plan, self.steps, self.narrow_tables
        return any(held)


def side_by_side(figures: Iterable[Drawn]) -> list[tuple[Drawn, ...]]:
    """Rows of one or two figures; a wide figure has a row of its own."""
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
    """Whether a figure was drawn for the full line width, not for half of it."""
    box = re.search(rb"/MediaBox\s*\[\s*[\d.]+\s+[\d.]+\s+([\d.]+)", pdf.read_bytes())
    return box is not None and float(box[1]) > 300


def drop_repeated(parts: Sequence[Section]) -> None:
    """Remove from each section what an earlier section of the same theorem or problem shows."""
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
    """The statement; empty if it only repeats the bound that is displayed below it."""
    text = claim["statement"]
    if claim["latex"] in text and claim["source"] == "icgd":
        return Tex("")
    left = re.split(r"\\le\b|\\ge\b|=|<|>", text, maxsplit=1)
    bare = "$" not in text and (len(left) == 1 or not left[0].strip())
    return Tex("") if bare else statement(text)


def _equals(claim: BoundDocument) -> Tex:
    """The relation between a bound's expression and its printed value; empty if both are the same number."""
    value = claim["value"]
    with suppress(ValueError, ZeroDivisionError):  # of letters, or infinite
        if Fraction(claim["expression"]) == Fraction(digits(value, up=claim["relation"] == "<=")):
            return Tex("")
    if not isinstance(value, float) or float(digits(value)) == value:
        return Tex("=")
    return Tex(r"\le" if claim["relation"] == "<=" else r"\approx")


def _term(name: str) -> Tex:
    """The printed name of a local error such as dr[2] or product[1]."""
    found = re.fullmatch(r"(\w+)\[(\d+)\]", name)
    kinds = {"r": "$r$", "dr": "$r'$", "product": "product", "u": "$u$"}
    if found is None or found[1] not in kinds:
        return Tex(kinds[name]) if name in kinds else escape(name)
    return Tex(f"{kinds[found[1]]}, layer {found[2]}")
