"""Requests to verify a theorem on given letters: the claims to judge, the command line, the verdicts."""

from __future__ import annotations

import json
import shlex
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from icgd.bounds.letters import Letters, ProblemError
from icgd.construct.machine.files import write_atomically
from icgd.construct.machine.locks import locked
from icgd.verify.catalogue import command_name, theorems
from icgd.verify.data.table import DataError
from icgd.verify.search.options import Search, option_words
from icgd.verify.theorem import Theorem
from icgd.verify.verdict import Verdict, with_replay


@dataclass(frozen=True)
class Found:
    """The outcome of a verification: verdicts by key, or the traceback of a crash."""

    verdicts: dict[str, Verdict]
    crash: str = ""

    def as_json(self) -> str:
        return json.dumps([[asdict(one) for one in self.verdicts.values()], self.crash])

    @classmethod
    def from_json(cls, text: str) -> Found:
        verdicts, crash = json.loads(text)
        return cls({one["claim"]: Verdict(**one) for one in verdicts}, crash)


@dataclass(frozen=True)
class Request:
    """One theorem on one problem, in one of its constructions where it has several.

    refusal: why the given letters do not pose the theorem; the problem is then the default one.
    """

    theorem: Theorem
    problem: Letters
    construction: str | None = None
    refusal: ProblemError | None = None

    @property
    def name(self) -> str:
        """Such as "looped" or "relu-icgd/lean"."""
        return self.theorem.name + (f"/{self.construction}" if self.construction else "")

    @property
    def chosen(self) -> dict[str, str]:
        """The keyword `construction` for those functions of the theorem that take it."""
        return {"construction": self.construction} if self.construction else {}

    def claim_keys(self) -> tuple[str, ...]:
        """The keys of the claims that are judged."""
        return self.theorem.claim_keys(self.construction, self.problem)

    def command(self, search: Search) -> str:
        """The command line that repeats this verification."""
        words = ["icgd", "verify", command_name(self.theorem), *shlex.split(self.problem.options)]
        words += [
            "--seed",
            str(search.seed),
            *(w for one in self.chosen.items() for w in (f"--{one[0]}", one[1])),
        ]
        for name, value in search.given.items():
            if name not in ("seed", "construction") and name in self.theorem.taken(search):
                words += option_words(name, value)
        return shlex.join(words)

    def verify(self, search: Search) -> Found:
        """Every verdict; all are inapplicable where the theorem does not apply to this problem."""
        try:
            if self.refusal is not None:
                raise self.refusal
            self.theorem.fits(self.problem, **self.chosen)
            search = replace(search, construction=self.construction)
            found = self.theorem.judged_by(search, self.problem)
            verdicts = found.verdicts
            if found.step and (broken := found.step.counterexample):
                command = broken.save_below(search.out)
                verdicts = with_replay(verdicts, command, of=broken.claim)
        except (ProblemError, DataError) as error:
            refused = (Verdict(key, "inapplicable", str(error)) for key in self.claim_keys())
            verdicts = self.theorem.attributed(refused)
        except Exception:
            return Found({}, traceback.format_exc())
        verdicts = with_replay(verdicts, self.command(search))
        by_key = {one.claim: one for one in verdicts}
        twice = "two of its verdicts are on the same claim" if len(by_key) < len(verdicts) else ""
        return Found(by_key, twice)

    def verify_once(self, search: Search, folder: Path, workers: int) -> Found:
        """The outcome, computed once by one of the `workers` processes and shared through `folder`."""
        path = folder / f"icgd-{self.name.replace('/', '-')}.json"
        with locked(path):
            if path.exists():
                return Found.from_json(path.read_text("utf-8"))
            with _threads(max(1, torch.get_num_threads() // workers)):
                found = self.verify(search)
            write_atomically(path, found.as_json())
        return found


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def all_requests(
    letters: Mapping[str, Any], construction: str | None = None, search: Search | None = None
) -> tuple[Request, ...]:
    """One request or more for every theorem: each takes the letters that it has, and defaults for the rest.

    construction: for the theorems that have one of that name; None takes all that apply to the problem.
    search: its data may set letters, such as d.

    A letter may be too large for one theorem and right for another; the first is then refused.  Raises
    ProblemError for a letter that no theorem has, or that every theorem that has it refuses.
    """
    known = {name for theorem in theorems().values() for name in theorem.letters.names()}
    for letter, value in letters.items():
        if letter not in known:
            hint = ", ".join(sorted(known))
            raise ProblemError(letter, value, f"there is no such letter; the letters are {hint}")
    constructions = [name for theorem in theorems().values() for name in theorem.constructions]
    if construction is not None and construction not in constructions:
        raise ProblemError("construction", construction, f"the constructions are {', '.join(constructions)}")
    asked = [
        one for theorem in theorems().values() for one in requests_of(theorem, letters, construction, search)
    ]
    if all(one.refusal is not None and one.refusal.field == "data" for one in asked):
        raise asked[0].refusal or ProblemError("data", "", "no theorem takes it")
    for one in asked:
        if one.refusal is not None and one.refusal.field in letters:
            having = [other for other in asked if one.refusal.field in other.problem.names()]
            if all(other.refusal is not None for other in having):
                raise one.refusal
    return tuple(asked)


def requests_of(
    theorem: Theorem,
    letters: Mapping[str, Any],
    construction: str | None = None,
    search: Search | None = None,
) -> Iterator[Request]:
    """Requests for one theorem on the letters that it has, in the chosen construction or in all that apply.

    Raises ProblemError where the chosen construction does not apply to the problem.
    """
    usual = theorem.constructions[0] if theorem.constructions else None
    chosen = construction if construction in theorem.constructions else None
    own: Mapping[str, Any] = {
        name: value for name, value in letters.items() if name in theorem.letters.names()
    }
    try:
        if search is not None and theorem.read:
            own, _ = theorem.read(own, search)
        problem = theorem.letters.parse(own)
    except (ProblemError, DataError) as found:
        error = (
            found
            if isinstance(found, ProblemError)
            else ProblemError("data", search and search.data, str(found))
        )
        yield Request(theorem, theorem.letters(), chosen or usual, error)
        return
    if chosen is not None:
        theorem.applies(problem, construction=chosen)
    applicable = (chosen,) if chosen else theorem.applicable(problem)
    if theorem.constructions and not applicable:
        try:
            theorem.applies(problem, construction=usual)
        except ProblemError as error:
            yield Request(theorem, theorem.letters(), usual, error)
        return
    for one in applicable or (None,):
        yield Request(theorem, problem, one)
