"""The class `Theorem`: how a theorem is posed, what it claims, what is built for it, how it is judged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from html import escape
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from icgd.bounds.claims import Claim
from icgd.bounds.estimate import Estimate, Stage
from icgd.bounds.html_table import html_table
from icgd.bounds.hypotheses import Hypothesis
from icgd.bounds.letters import Letters, ProblemError
from icgd.bounds.listing import Listing
from icgd.bounds.progress import Progress, silent
from icgd.bounds.step_error.plan import Plan
from icgd.construct.model import Model
from icgd.verify.results import Grid, Plot, Results, use_grid
from icgd.verify.search.options import EVERYWHERE, Search
from icgd.verify.verdict import Subject, Verdict

Judged = tuple[str, ...] | Mapping[str, tuple[str, ...]]
Surveyed = Callable[[Progress], tuple[Plot, ...]]
"""A function that waits for the figures of a survey and returns them in order."""


def _anything(problem: Any, **construction: str) -> None:
    """Accepts every problem."""


def _none(problem: Any) -> tuple[str, ...]:
    """Nothing more."""
    return ()


def _no_tables(problem: Any, **construction: str) -> tuple[Grid, ...]:
    return ()


def _unknown(problem: Any, search: Search) -> Estimate:
    """The estimate of a theorem that provides none: loading alone."""
    return Estimate((Stage("start", 3.5),))


@dataclass(frozen=True, kw_only=True, eq=False)
class Theorem:
    """One theorem, for every command, for pytest and for Python.

    Every theorem has the first eight fields; `judge` is the only function that takes work to write.

    name: on the command line, such as "looped".  title, source: of the statement, with its arXiv number.
    letters: the class of its problems: each letter with its meaning and its default.
    claims: (problem) -> its bounds, with explicit constants; a claim and its verdict have the same key.
    judge: (problem, *, seed, device, progress) -> `Results` with a `Verdict` for each name in `judged`; it
        raises ProblemError where the theorem does not apply to the problem.
    judged: the claims that are judged at the default problem, in the order of the table, without "name/".
    model: how its transformer is built; None where the theorem is about another theorem's transformer.

    options: the fields of `Search` that `judge` also takes, as keywords of the same names.
    draws_prompts: whether `prompts` is how many are drawn without `data`, too, not only how many are cut.
    fits: raises ProblemError for a problem whose transformer would not fit in memory.
    estimate: (problem, search) -> how long judging it takes.
    constructions: the ways to build the transformer, the default first.  Where there are any, `claims`,
        `judge`, `fits`, `applies`, `plan`, `tables` and `model.build` take `construction=`, and `judged` is a
        mapping from each to its claims, no two of which have the same name.
    applies: raises ProblemError where a construction does not apply to a problem.
    read: (letters, search) -> letters and keywords for `judge`, where options such as data set letters.
    hypotheses, plan: what the theorem assumes and how its tolerance is spent, for `icgd bounds`.
    survey: figures for a report, computed during the verification.  replay: judges a saved counterexample.
    also: (problem) -> names beyond `judged` that are judged on this problem alone.
    own: the names in both that are icgd's claims about its constructions and bounds, not the source's.
    repaired: those of the source that are judged in a form repaired here, or with constants found here.
    tables: (problem) -> tables of constants, for `icgd bounds`, which builds nothing.
    findings: a TOML file of entries for the ledger; evidence: the functions that they name.
    """

    name: str
    title: str
    source: str
    letters: type[Letters]
    claims: Callable[..., tuple[Claim, ...]]
    judge: Callable[..., Results]
    judged: Judged
    model: Model | None = None

    options: frozenset[str] = frozenset()
    draws_prompts: bool = False
    also: Callable[[Any], tuple[str, ...]] = _none
    own: frozenset[str] = frozenset()
    repaired: frozenset[str] = frozenset()
    tables: Callable[..., tuple[Grid, ...]] = _no_tables
    fits: Callable[..., None] = _anything
    estimate: Callable[[Any, Search], Estimate] = _unknown
    constructions: tuple[str, ...] = ()
    applies: Callable[..., None] = _anything
    read: Callable[[Mapping[str, Any], Search], tuple[Mapping[str, Any], Mapping[str, Any]]] | None = None
    hypotheses: Callable[[Any], tuple[Hypothesis, ...]] | None = None
    plan: Callable[..., Plan] | None = None
    survey: Callable[..., AbstractContextManager[Surveyed]] | None = None
    replay: Callable[[Any], Verdict] | None = None
    findings: Path | Traversable | None = None
    evidence: Mapping[str, Callable[..., Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = (
            [name for some in self.judged.values() for name in some]
            if isinstance(self.judged, Mapping)
            else []
        )
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{self.name}: two constructions are judged by one claim {', '.join(twice)}")

    def __repr__(self) -> str:
        return f"<theorem {self.name}: {self.title} ({self.source})>"

    def chosen(self, construction: str | None) -> dict[str, str]:
        """The keyword `construction` with that value or the default; empty where there is nothing to choose.

        Raises ProblemError for an unknown construction.
        """
        if construction is not None and construction not in self.constructions:
            hint = " or ".join(self.constructions) or f"{self.name} has only one construction"
            raise ProblemError("construction", construction, f"it is {hint}" if self.constructions else hint)
        return {"construction": construction or self.constructions[0]} if self.constructions else {}

    def applicable(self, problem: Letters) -> tuple[str, ...]:
        """The constructions that apply to this problem."""
        return tuple(one for one in self.constructions if self._applies(problem, one))

    def _applies(self, problem: Letters, construction: str) -> bool:
        try:
            self.applies(problem, construction=construction)
        except ProblemError:
            return False
        return True

    def claim_keys(self, construction: str | None = None, problem: Letters | None = None) -> tuple[str, ...]:
        """The keys of the claims that are judged, such as "relu-icgd/lean/step-error", in order.

        They are the same on every surface, and no two constructions share one.  problem: where it is given,
        what is judged on it alone comes last.
        """
        judged = self.judged
        names = judged[self.chosen(construction)["construction"]] if isinstance(judged, Mapping) else judged
        return tuple(f"{self.name}/{name}" for name in (*names, *(self.also(problem) if problem else ())))

    def _repr_html_(self) -> str:
        usual, meant = self.letters.defaults(), self.letters.meanings()
        rows = [(name, usual[name], meant[name]) for name in usual]
        lead = f"<p><b>{escape(self.name)}</b>: {escape(self.title)} ({escape(self.source)})</p>"
        return lead + html_table(("letter", "default", "meaning"), rows)

    def pose(self, problem: Letters | Mapping[str, Any] | None, letters: Mapping[str, Any]) -> Letters:
        """The problem of these letters, or the given one; raises ProblemError for both, or for another's."""
        if letters and problem is not None:
            name = next(iter(letters))
            raise ProblemError(name, letters[name], "a problem is given, too: name its letters there")
        if problem is None or isinstance(problem, Mapping):
            return self.letters.parse(problem or letters)
        if not isinstance(problem, self.letters):
            needed = f"{self.name} needs a {self.letters.__name__}"
            raise ProblemError("problem", type(problem).__name__, needed)
        return problem

    def bounds(
        self,
        problem: Letters | Mapping[str, Any] | None = None,
        *,
        construction: str | None = None,
        **letters: Any,
    ) -> Listing[Claim]:
        """Its claims on a problem, with every constant, also by key: `bounds(N=4)["heads"].value`.

        Builds nothing and judges nothing.  Raises ProblemError for an unknown letter or construction.
        """
        return Listing(self.claims(self.pose(problem, letters), **self.chosen(construction)))

    def taken(self, search: Search) -> frozenset[str]:
        """The options that have an effect beside the others of this search."""
        idle = search.data is None and "data" in self.options and not self.draws_prompts
        return (self.options | EVERYWHERE) - ({"prompts"} if idle else set())

    def refuse_idle(self, search: Search, names: Iterable[str]) -> None:
        """Raises ProblemError for one of these options that the theorem takes, but not beside the others."""
        for name in sorted(self.options.intersection(names) - self.taken(search)):
            why = f"for {self.name} it is about --data, which is missing; name data, or leave it out"
            raise ProblemError(name, getattr(search, name), why)

    def unknown(self, name: str, value: object, *more: str) -> ProblemError:
        """The refusal of a keyword that is no letter and no option; more: names of other options."""
        choice = ("construction",) if self.constructions else ()
        options = ", ".join(sorted({*self.options, *EVERYWHERE, *choice, *more}))
        known = f"the letters are {', '.join(self.letters.names())}; the options are {options}"
        return ProblemError(name, value, f"{self.name} has no such option, and no such letter; {known}")

    def attributed(self, verdicts: Iterable[Verdict]) -> tuple[Verdict, ...]:
        """The verdicts, each with whose claim it is about."""
        return tuple(replace(one, about=self.subject(one.claim)) for one in verdicts)

    def subject(self, claim: str) -> Subject:
        """Whose claim it is that has this key."""
        name = claim.removeprefix(f"{self.name}/")
        return "icgd" if name in self.own else "repaired" if name in self.repaired else "paper"

    def verify(
        self,
        problem: Letters | Mapping[str, Any] | None = None,
        *,
        progress: Progress = silent,
        **options: Any,
    ) -> Results:
        """Judge every claim, on the default problem where none is given.

        problem: of the theorem, also as a mapping of the letters that are not at their defaults; data may
        then set some, such as d.  options: fields of `Search`; without a problem, letters, too.

        Raises ProblemError for an option that the theorem does not take, or a problem it does not apply to.
        """
        letters: dict[str, Any] = {
            name: options.pop(name) for name in self.letters.names() if name in options
        }
        unknown = options.keys() - self.options - EVERYWHERE - {"construction"}
        if unknown:
            name = min(unknown)
            raise self.unknown(name, options[name])
        search = Search(**options)
        self.refuse_idle(search, options)
        read: Mapping[str, Any] = {}
        if isinstance(problem, Mapping) and not letters:
            letters, problem = dict(problem), None
        if self.read and problem is None:
            given, read = self.read(letters, search)
            letters = dict(given)
        return self.judged_by(search, self.pose(problem, letters), progress=progress, **read)

    def judged_by(
        self,
        search: Search,
        problem: Letters | Mapping[str, Any],
        *,
        progress: Progress = silent,
        **read: Any,
    ) -> Results:
        """The same with a `Search` for the options; read: keywords that `read` returned."""
        problem = self.pose(problem, {})
        taken = {name: getattr(search, name) for name in self.options}
        given = self.chosen(search.construction) | taken | read
        found = self.judge(problem, seed=search.seed, device=search.device, progress=progress, **given)
        verdicts = self.attributed(found.verdicts)
        grids = (*([use_grid(found.data)] if found.data else []), *found.grids)
        return replace(found, verdicts=verdicts, grids=grids, construction=given.get("construction"))
