"""The results of verifying a theorem: verdicts, tables, plots, and all numbers about the step error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from html import escape
from typing import Any

from icgd.bounds.claims import Claim
from icgd.bounds.html_table import html_table, value_in_words
from icgd.bounds.hypotheses import Hypothesis
from icgd.bounds.letters import Letters
from icgd.bounds.listing import Listing, listing
from icgd.bounds.printable import Brief, printable
from icgd.bounds.step_error.plan import Plan
from icgd.bounds.tabular import Tabular
from icgd.verify.block.one_prompt import Enclosure
from icgd.verify.certificate.constructions import CONSTRUCTIONS
from icgd.verify.certificate.proof import Proof
from icgd.verify.data.use import DataUse
from icgd.verify.search.attack import Attack
from icgd.verify.search.counterexample import Counterexample
from icgd.verify.search.sweep import Sweep
from icgd.verify.search.trajectory import Trajectory
from icgd.verify.verdict import Verdict, count_claims

Cell = str | int | float | None


@dataclass(frozen=True, repr=False)
class Grid(Brief, Tabular):
    """A table of results.  columns: headings with units.  rows: one value per column.  note: its method."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""

    @property
    def table_rows(self) -> Sequence[Mapping[str, Cell]]:
        """The rows as dictionaries."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]

    @property
    def table_about(self) -> Mapping[str, str]:
        """Title and note."""
        return {"title": self.title, "note": self.note}

    def _repr_html_(self) -> str:
        note = f"<p>{escape(self.note)}</p>" if self.note else ""
        return f"<p><b>{escape(self.title)}</b></p>{html_table(self.columns, self.rows)}{note}"


def use_grid(use: DataUse) -> Grid:
    """The columns of a table with their scaling, and in the note all that is to be said about its rows."""
    rows = tuple(
        (one.name, one.role, one.smallest, one.largest, one.centre, one.unit, one.factor)
        for one in use.columns
    )
    columns = ("column", "role", "smallest", "largest", "centre", "unit", "factor")
    drawn = f"{use.prompts:,} prompts of {use.examples:,} examples and a query; factor * (value - centre)"
    return Grid(f"Data: {printable(use.source)}", columns, rows, "; ".join((*use.said, drawn)))


@dataclass(frozen=True, repr=False)
class Curve(Brief):
    """One line of a plot: y over x."""

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True, repr=False)
class Plot(Brief):
    """A figure as data; reports draw it.  logarithmic: "", "x", "y" or "xy"."""

    title: str
    x: str
    y: str
    curves: tuple[Curve, ...]
    logarithmic: str = ""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Plot:
        """The inverse of `asdict`, also after a round trip through JSON."""
        curves = (Curve(one["label"], tuple(one["x"]), tuple(one["y"])) for one in values["curves"])
        return cls(**{**values, "curves": tuple(curves)})


@dataclass(frozen=True)
class Sandwich:
    """Every number known about norm2(err) of one step: sampled <= attacked <= bound <= allowed.

    bound: what the plan guarantees, rounding included; certified once a checker accepts it.  It is None for
    `exact`, whose bound, `bound_off_margin`, covers only prompts outside the gate's margin.
    allowed: eta*eps.
    """

    sampled: float
    attacked: float
    bound: float | None
    allowed: float
    bound_off_margin: float | None = None

    @property
    def limit(self) -> float:
        """The largest error that a covered prompt may have."""
        bound = self.bound if self.bound is not None else self.bound_off_margin
        return self.allowed if bound is None else min(bound, self.allowed)

    def in_words(self, *, certified: bool) -> str:
        """From sampled to allowed, as far as it is known; certified: whether a checker accepted the bound."""
        known = {
            "sampled": self.sampled,
            "attacked": self.attacked,
            "certified" if certified else "bound, unchecked": self.bound,
            "allowed": self.allowed,
        }
        return " <= ".join(
            f"{name} {value_in_words(value, up=value is self.bound)}"
            for name, value in known.items()
            if value is not None
        )

    def _repr_html_(self) -> str:
        known = {name: value for name, value in asdict(self).items() if value is not None}
        shown = [value_in_words(value, up="bound" in name) for name, value in known.items()]
        return html_table([name.replace("_", " ") for name in known], [shown])


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class StepError:
    """Everything found out about the error of one step of a transformer.

    plan: how its tolerance is spent.  sweep, attack: the searches; attack is None where none was requested.
    trajectory: many steps, compared with exact descent.  proof: where one was requested.
    enclosures: of single prompts, each with the name of its prompt.  counterexample: the smallest one found,
    where the claim fails.
    """

    plan: Plan
    sandwich: Sandwich
    sweep: Sweep
    attack: Attack | None
    trajectory: Trajectory
    proof: Proof | None = None
    enclosures: tuple[tuple[str, Enclosure], ...] = ()
    counterexample: Counterexample | None = None

    @property
    def is_certified(self) -> bool:
        """Whether a checker accepted a certificate of the bound."""
        return self.proof is not None and self.proof.refusal is None

    @property
    def _parts(self) -> dict[str, Any]:
        """What it holds by name, without what was not asked for or not found."""
        held = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: value for name, value in held.items() if value is not None and value != ()}

    def __repr__(self) -> str:
        known = self.sandwich.in_words(certified=self.is_certified)
        return f"<error of a step: {known}\n  with {', '.join(self._parts)}>"

    def _repr_html_(self) -> str:
        parts = ((name, repr(value)) for name, value in self._parts.items() if value is not self.sandwich)
        return self.sandwich._repr_html_() + html_table(("part", "what is in it"), parts)


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Results:
    """Everything found out about one theorem on one problem.

    verdicts: one for each claim that was judged, also by key, such as `verdicts["contraction"]`.
    construction: the judged one, where there are several.  claims: the bounds, with explicit constants.
    hypotheses: of the theorem, each checked on this problem.  census: sizes counted from the tensors.
    step: where the theorem is about the error of a step.  step_error: where its numbers alone are known.
    certificate: of the step error, where there is one.
    data: where prompts were cut from a table.  also_trusted: what proofs by certificate rely on, beyond what
    the construction of `certificate` needs.
    """

    problem: Letters
    seed: int
    verdicts: tuple[Verdict, ...]
    construction: str | None = None
    claims: tuple[Claim, ...] = ()
    hypotheses: tuple[Hypothesis, ...] = ()
    census: Mapping[str, int | float] = field(default_factory=dict)
    step: StepError | None = None
    step_error: Sandwich | None = None
    grids: Sequence[Grid] = ()
    plots: Sequence[Plot] = ()
    certificate: Mapping[str, Any] | None = None
    data: DataUse | None = None
    also_trusted: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("verdicts", "claims", "hypotheses"):
            object.__setattr__(self, name, listing(getattr(self, name)))

    @property
    def bounds(self) -> Listing[Claim]:
        """The claims, also by key: `bounds["heads"].value`."""
        return listing(self.claims)

    @property
    def summary(self) -> tuple[str, ...]:
        """How many claims got which verdict: a line for the papers' as stated, as repaired, and icgd's."""
        return count_claims(verdict.as_dict() for verdict in self.verdicts)

    @property
    def conclusion(self) -> str:
        """What was judged, in two or three sentences; empty for a theorem, whose verdicts say it."""
        return ""

    @property
    def is_certified(self) -> bool:
        """Whether a checker accepted a certificate of the bound on the error of a step."""
        if self.step:
            return self.step.is_certified
        proved = (one.claim for one in self.verdicts if one.means == "certificate")
        return self.step_error is not None and any(claim.endswith("/step-error") for claim in proved)

    @property
    def trusted(self) -> tuple[str, ...]:
        """What its proofs by certificate rely on; empty if it has none."""
        if not any(verdict.means == "certificate" for verdict in self.verdicts):
            return ()
        built = CONSTRUCTIONS[self.certificate["construction"]].trusted if self.certificate else ()
        return tuple(dict.fromkeys((*built, *self.also_trusted)))

    @property
    def sandwich(self) -> Sandwich | None:
        """Every number about the error of a step; None where nothing is known of one."""
        return self.step.sandwich if self.step else self.step_error

    def __repr__(self) -> str:
        posed = self.problem.brief + (f", {self.construction}" if self.construction else "")
        return f"<{posed}: {'; '.join(self.summary)}>"

    def _repr_html_(self) -> str:
        """The conclusion and the verdicts as a table, for notebooks."""
        lead = self.conclusion or "; ".join(self.summary)
        rows = ((one.claim, one.said, one.evidence) for one in self.verdicts)
        return f"<p>{escape(lead)}</p>{html_table(('claim', 'verdict', 'evidence'), rows)}"
