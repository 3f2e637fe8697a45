"""A theorem: how it is posed, what it claims, what is built for it, and how it is judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from icgd.bounds.claims import Claim
from icgd.bounds.estimate import Estimate, Piece
from icgd.bounds.hypotheses import Hypothesis
from icgd.bounds.letters import Letters, ProblemError
from icgd.bounds.progress import Progress, silent
from icgd.bounds.step_error.plan import Plan
from icgd.construct.model import Model
from icgd.verify.results import Plot, Results
from icgd.verify.search.options import EVERYWHERE, Search
from icgd.verify.verdict import Verdict

Judged = tuple[str, ...] | Mapping[str, tuple[str, ...]]
Surveyed = Callable[[Progress], tuple[Plot, ...]]
"""Waits for the figures of a survey, in their order."""


def _anything(problem: Any, **construction: str) -> None:
    """Every problem is admitted."""


def _unknown(problem: Any, search: Search) -> Estimate:
    """Work that nobody has estimated: loading alone."""
    return Estimate((Piece("start", 3.5),))


@dataclass(frozen=True, kw_only=True, eq=False)
class Theorem:
    """One theorem, for every command, for pytest and for Python.

    The first eight fields are what each theorem has; `judge` is the only function that takes work to write.

    name: on the command line, such as "looped".  title, source: of the statement, with its arXiv number.
    letters: how it is posed: each letter with its meaning and its default.
    claims: (problem) -> its bounds, with explicit constants.
    judge: (problem, *, seed, device, progress) -> `Results` with a `Verdict` for each name in `judged`; it
        raises ProblemError where the theorem does not take the problem.
    judged: the claims that are judged at the default problem, in the order of the table, without "name/".
    model: how its transformer is made; None where the theorem is about that of another one.

    options: of `Search`, those that `judge` takes, too, as keywords of the same names.
    fits: raises ProblemError for a problem whose transformer would not fit in memory.
    estimate: (problem, search) -> how long judging it takes.
    constructions: the ways in which it is built, the usual one first.  Where there are any, `claims`,
        `judge`, `fits`, `applies`, `plan` and `model.build` take `construction=`, and `judged` is a mapping
        from each to its claims.
    applies: raises ProblemError where a construction is not for a problem.
    read: (letters, search) -> letters and keywords for `judge`, where options decide letters, as data do.
    hypotheses, plan: what the theorem presupposes and how its tolerance is spent, for `icgd bounds`.
    survey: figures for a report, computed beside the verification.  replay: tries a counterexample again.
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

    def chosen(self, construction: str | None) -> dict[str, str]:
        """The keyword `construction` of that name, or of the usual one; none where there are no several.

        Raises ProblemError for a name that there is not.
        """
        if construction is not None and construction not in self.constructions:
            hint = " or ".join(self.constructions) or f"{self.name} has one construction only"
            raise ProblemError("construction", construction, f"it is {hint}" if self.constructions else hint)
        return {"construction": construction or self.constructions[0]} if self.constructions else {}

    def applicable(self, problem: Letters) -> tuple[str, ...]:
        """Those of its constructions that are for this problem."""
        return tuple(one for one in self.constructions if self._applies(problem, one))

    def _applies(self, problem: Letters, construction: str) -> bool:
        try:
            self.applies(problem, construction=construction)
        except ProblemError:
            return False
        return True

    def named_claims(self, construction: str | None = None) -> dict[str, str]:
        """The claims that are judged: a name that is unique in an audit -> key.

        What several constructions are judged by is named after the construction, too.
        """
        if not isinstance(self.judged, Mapping):
            return {f"{self.name}/{name}": f"{self.name}/{name}" for name in self.judged}
        own = self.chosen(construction)["construction"]
        others = {name for one, names in self.judged.items() if one != own for name in names}
        return {
            f"{self.name}/{own}/{name}" if name in others else f"{self.name}/{name}": f"{self.name}/{name}"
            for name in self.judged[own]
        }

    def verify(
        self, problem: Letters | None = None, *, progress: Progress = silent, **options: Any
    ) -> Results:
        """Every claim judged, for the default problem where none is given; options: of `Search`.

        Raises ProblemError for an option that the theorem does not take, or a problem that it is not about.
        """
        unknown = options.keys() - self.options - EVERYWHERE - {"construction"}
        if unknown:
            name = min(unknown)
            raise ProblemError(name, options[name], f"{self.name} has no such option")
        return self.judged_by(Search(**options), problem or self.letters(), progress=progress)

    def judged_by(
        self, search: Search, problem: Letters, *, progress: Progress = silent, **read: Any
    ) -> Results:
        """The same by a search; read: keywords that `read` gave."""
        taken = {name: getattr(search, name) for name in self.options}
        given = self.chosen(search.construction) | taken | read
        found = self.judge(problem, seed=search.seed, device=search.device, progress=progress, **given)
        return replace(found, construction=given.get("construction"))
