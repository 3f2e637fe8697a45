"""Counterexamples: prompts on which a claim fails, simplified, saved to a file, and replayed."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from icgd.bounds.letters import ProblemError
from icgd.bounds.problem import Problem
from icgd.construct.machine.files import write_atomically
from icgd.construct.machine.json_files import json_text, load_json
from icgd.construct.prompt import Prompt
from icgd.verify.search.excerpt import once, repeated

_PARTS = ("x", "y", "query", "w")


@dataclass(frozen=True, eq=False)
class Counterexample:
    """One prompt that breaks a claim about one construction, with its error.

    error, allowed: norm2(err) of one step and eta*eps.  Floats are saved in full, so a replay is exact.
    """

    problem: Problem
    construction: str
    claim: str
    prompt: Prompt
    error: float
    allowed: float

    def describe(self, most: int = 12) -> str:
        """The prompt in one line: the nonzero entries of its parts, at most `most` of each part."""
        parts = []
        for name in _PARTS:
            flat = getattr(self.prompt, name)[0].flatten()
            places = flat.nonzero()[:, 0].tolist()
            shown = [f"[{place}]={float(flat[place]):.6g}" for place in places[:most]]
            parts.append(f"{name}{' '.join(shown)}{' ...' * (len(places) > most)}" if shown else f"{name}=0")
        return f"norm2(err) = {self.error:.6g} at {'; '.join(parts)}"

    def save(self, path: Path) -> None:
        """Write it as JSON, atomically."""
        write_atomically(path, self.text)

    @property
    def file_name(self) -> str:
        """The name of its file."""
        return f"counterexample-{self.construction}.json"

    def replayed_from(self, path: Path) -> str:
        """The command that replays it from this file."""
        theorem = self.claim.partition("/")[0]
        return f"icgd verify {theorem} --replay {shlex.quote(path.as_posix())}"

    def save_below(self, folder: Path) -> str:
        """Write it into a folder under its file name; returns the command that replays it."""
        self.save(folder / self.file_name)
        return self.replayed_from(folder / self.file_name)

    @property
    def text(self) -> str:
        """The counterexample as JSON; if the examples are a repeated sequence, it is written once."""
        written = once(self.prompt)
        plain = {
            "problem": self.problem.as_dict(),
            "construction": self.construction,
            "claim": self.claim,
            "prompt": {name: getattr(written, name)[0].tolist() for name in _PARTS},
            "error": self.error,
            "allowed": self.allowed,
        }
        return json_text(plain, indent=1)

    @classmethod
    def load(cls, path: Path) -> Counterexample:
        """Read a counterexample from its file; raises ProblemError where the file is not one."""
        plain = load_json(path, "replay")
        try:
            parts = [torch.tensor(plain["prompt"][name], dtype=torch.float64)[None] for name in _PARTS]
            problem = Problem.parse(plain["problem"])
            construction, claim = plain["construction"], _upgraded(plain["claim"], plain["construction"])
            error, allowed = float(plain["error"]), float(plain["allowed"])
        except ProblemError:
            raise
        except (AttributeError, ValueError, LookupError, TypeError, ArithmeticError, RuntimeError) as wrong:
            raise ProblemError("replay", path, f"not a counterexample file ({wrong})") from None
        if construction not in ("lean", "paper", "exact", "given") or not isinstance(claim, str):
            raise ProblemError("replay", path, "not a counterexample file (unknown construction or claim)")
        prompt = Prompt(*parts)
        if prompt.x.ndim == prompt.y.ndim == 3 and 0 < prompt.n == prompt.y.shape[1] < problem.n:
            prompt = repeated(prompt, problem.n)
        return cls(problem, construction, claim, prompt.check(problem), error, allowed)


def _upgraded(claim: str, construction: str) -> str:
    """The key of a claim about a construction; earlier versions left the construction out of it.

    >>> _upgraded("relu-icgd/step-error", "lean"), _upgraded("relu-icgd/lean/step-error", "lean")
    ('relu-icgd/lean/step-error', 'relu-icgd/lean/step-error')
    """
    theorem, *names = claim.split("/")
    if construction == "given":  # somebody else's, whose claims name no construction
        return claim
    return "/".join([theorem, construction, *names] if len(names) == 1 else [theorem, *names])


def shrink(prompt: Prompt, fails: Callable[[Prompt], bool]) -> Prompt:
    """A simpler prompt near `prompt` that still fails: tries zeros first, then fewer decimals.

    prompt: a batch of one.  The method is greedy and deterministic; every accepted change keeps `fails` true.
    """
    for name in ("query", "y", "x", "w"):
        for simpler in _simpler(getattr(prompt, name)):
            candidate = replace(prompt, **{name: simpler})
            if fails(candidate):
                prompt = candidate
                break
        prompt = _zero_entries(prompt, name, fails)
    return prompt


def _simpler(part: Tensor) -> Iterator[Tensor]:
    yield torch.zeros_like(part)
    for decimals in range(8):
        # Truncation is towards zero, so the prompt stays within the radii and W.
        yield torch.trunc(part * 10**decimals) / 10**decimals


def _zero_entries(prompt: Prompt, name: str, fails: Callable[[Prompt], bool], most: int = 64) -> Prompt:
    flat = getattr(prompt, name).flatten()
    for index in flat.nonzero()[:most, 0].tolist():
        candidate_part = getattr(prompt, name).clone()
        candidate_part.view(-1)[index] = 0.0
        candidate = replace(prompt, **{name: candidate_part})
        if fails(candidate):
            prompt = candidate
    return prompt
