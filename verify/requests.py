"""The verifications that a user's letters ask for: their claims before they run, their verdicts after."""

from __future__ import annotations

import json
import shlex
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

from icgd.bounds.letters import Letters
from icgd.bounds.problem import Problem, ProblemError
from icgd.bounds.relu_icgd import built
from icgd.bounds.relu_icgd import claims as claims_of_theorem_1
from icgd.bounds.step_error.budget import Construction
from icgd.construct.catalogue import RECIPES
from icgd.construct.machine.device import check_device
from icgd.construct.machine.files import write_atomically
from icgd.construct.machine.memory import refuse_if_too_large
from icgd.construct.relu_icgd import check_construction
from icgd.verify import relu_icgd
from icgd.verify.catalogue import THEOREMS
from icgd.verify.verdict import Verdict, with_replay


@dataclass(frozen=True, kw_only=True)
class Search:
    """How a verification looks.  samples, effort, certify: of relu-icgd.  out: folder for counterexamples.

    Raises ProblemError.
    """

    samples: int
    effort: float
    seed: int
    device: str
    out: Path
    certify: bool = False

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise ProblemError("samples", self.samples, "at least one prompt is needed")
        if not 0 <= self.effort <= 1000:
            raise ProblemError("effort", self.effort, "a number from 0 (no attack) to 1000 is needed")
        if not -(2**63) <= self.seed < 2**63:
            raise ProblemError("seed", self.seed, "a 64-bit whole number is needed")
        check_device(self.device)


@dataclass(frozen=True)
class Found:
    """What became of a verification: verdicts by key, or why it broke down."""

    verdicts: dict[str, Verdict]
    crash: str = ""

    def as_json(self) -> str:
        return json.dumps([[asdict(one) for one in self.verdicts.values()], self.crash])

    @classmethod
    def from_json(cls, text: str) -> Found:
        verdicts, crash = json.loads(text)
        return cls({one["claim"]: Verdict(**one) for one in verdicts}, crash)


@dataclass(frozen=True)
class Run:
    """One verification: of a theorem, or of one construction for the first one.

    refusal: why this theorem cannot be posed with the letters given; its problem is then the default one.
    """

    theorem: str
    problem: Letters | Problem
    construction: Construction | None = None
    refusal: ProblemError | None = None

    @property
    def name(self) -> str:
        """Such as "looped" or "relu-icgd/lean"."""
        return self.theorem + (f"/{self.construction}" if self.construction else "")

    def claims(self) -> dict[str, str]:
        """The claims that it judges: a name of its own for each -> key."""
        if self.construction is not None:
            return _claims_of_theorem_1(self.construction)
        return {key: key for key in (f"{self.theorem}/{name}" for name in THEOREMS[self.theorem].claims)}

    def command(self, search: Search) -> str:
        """The command line that repeats this verification."""
        line = f"icgd verify {self.theorem} {self.problem.options} --seed {search.seed}"
        if self.construction is not None:
            line += f" --construction {self.construction} --samples {search.samples}"
            line += f" --effort {search.effort}" + " --certify" * search.certify
            line += f" --out {shlex.quote(str(search.out))}" if search.out != Path("out") else ""
        return line + (f" --device {shlex.quote(search.device)}" if search.device != "cpu" else "")

    def verify(self, search: Search) -> Found:
        """Every verdict; inapplicable ones where the theorem does not take this problem."""
        try:
            if self.refusal is not None:
                raise self.refusal
            verdicts = self._judged(search)
        except ProblemError as error:
            verdicts = tuple(Verdict(key, "inapplicable", str(error)) for key in self.claims().values())
        except Exception:
            return Found({}, traceback.format_exc())
        replayed = (one if one.replay else with_replay([one], self.command(search))[0] for one in verdicts)
        found = {one.claim: one for one in replayed}
        return Found(
            found, "" if len(found) == len(verdicts) else "two of its verdicts are on the same claim"
        )

    def _judged(self, search: Search) -> tuple[Verdict, ...]:
        if self.construction is None:
            RECIPES[self.theorem].refuse(self.problem)
            entry = THEOREMS[self.theorem]
            return entry.verify(self.problem, seed=search.seed, device=search.device).verdicts
        assert isinstance(self.problem, Problem)
        refuse_if_too_large(self.problem, self.construction)
        found = relu_icgd.verify(
            self.problem,
            self.construction,
            samples=search.samples,
            effort=search.effort,
            certify=search.certify,
            seed=search.seed,
            device=search.device,
        )
        broken = found.counterexample
        if broken is None:
            return found.verdicts
        command = relu_icgd.save_counterexample(broken, search.out)
        return tuple(replace(one, replay=command) if one.claim == broken.claim else one
                     for one in found.verdicts)  # fmt: skip

    def verify_once(self, search: Search, folder: Path, workers: int) -> Found:
        """What this process finds out, or what one of `workers` that share `folder` has found out before."""
        path = folder / f"icgd-{self.name.replace('/', '-')}.json"
        with FileLock(path.with_suffix(".lock")):  # free after a crash, too
            if path.exists():
                return Found.from_json(path.read_text(encoding="utf-8"))
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


@cache
def _claims_of_theorem_1(construction: Construction) -> dict[str, str]:
    """Found with a tiny problem: the keys are the same for each, and planning a large one takes long.

    What each construction does, such as relu-icgd/step-error, is named after the construction, too.
    """
    activation = "relu" if construction == "exact" else "tanh"
    tiny = Problem.parse({"N": 1, "K": 1, "d": 1, "n": 1, "L": 1, "eps": 1e3, "activation": activation})
    asserted = (*claims_of_theorem_1(tiny), *built(tiny, construction))
    sizes = {claim.key for claim in asserted if claim.quantity != "step_error"}
    theorem = relu_icgd.THEOREM
    return {
        key if key in sizes else key.replace(theorem, f"{theorem}/{construction}", 1): key
        for key in relu_icgd.claim_keys(tiny, construction)
    }


def has(kind: type[Letters] | type[Problem]) -> set[str]:
    """The letters of a theorem's problem."""
    return {field.name for field in fields(kind)}  # type: ignore[arg-type]


def takers(letter: str) -> list[str]:
    """The theorems that have this letter."""
    kinds = {relu_icgd.THEOREM: Problem, **{name: entry.letters for name, entry in THEOREMS.items()}}
    return [name for name, kind in kinds.items() if letter in has(kind)]


def asked_for(letters: Mapping[str, Any], construction: Construction | None = None) -> tuple[Run, ...]:
    """The verifications of all theorems: each takes the letters that it has, and defaults for the others.

    construction: of relu-icgd; None takes lean and paper, or exact for ReLU networks.
    A letter may be too large for one theorem and right for another: the first is then refused.  Raises
    ProblemError for a letter that no theorem has, or that all that have it refuse.
    """
    known = has(Problem).union(*(has(entry.letters) for entry in THEOREMS.values()))
    for letter, value in letters.items():
        if letter not in known:
            raise ProblemError(
                letter, value, f"there is no such letter; there are {', '.join(sorted(known))}"
            )
    runs = (*_runs_of_theorem_1(letters, construction), *_runs_of_catalogue(letters))
    for run in runs:
        if run.refusal is not None and run.refusal.field in letters:
            having = [other for other in runs if run.refusal.field in has(type(other.problem))]
            if all(other.refusal is not None for other in having):
                raise run.refusal
    return runs


def _own(letters: Mapping[str, Any], kind: type[Letters] | type[Problem]) -> dict[str, Any]:
    return {letter: value for letter, value in letters.items() if letter in has(kind)}


def _runs_of_theorem_1(letters: Mapping[str, Any], chosen: Construction | None) -> Iterator[Run]:
    name = relu_icgd.THEOREM
    try:
        problem = Problem.parse(_own(letters, Problem))
    except ProblemError as error:
        yield Run(name, Problem(), chosen or "lean", error)
        return
    if chosen is not None:
        check_construction(problem, chosen)
        yield Run(name, problem, chosen)
        return
    constructions: tuple[Construction, ...] = (
        ("exact",) if problem.activation.name == "relu" else ("lean", "paper")
    )
    try:
        for construction in constructions:
            check_construction(problem, construction)
    except ProblemError as error:
        yield Run(name, Problem(), "lean", error)
        return
    for construction in constructions:
        yield Run(name, problem, construction)


def _runs_of_catalogue(letters: Mapping[str, Any]) -> Iterator[Run]:
    for name, entry in THEOREMS.items():
        try:
            yield Run(name, entry.letters.parse(_own(letters, entry.letters)))
        except ProblemError as error:
            yield Run(name, entry.letters(), refusal=error)
