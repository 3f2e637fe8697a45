"""Counterexamples: prompts on which a claim fails, simplified, saved to a file, and replayed."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from typing_extensions import TypedDict

from icgd.bounds.letters import ProblemError
from icgd.bounds.problem import Problem
from icgd.construct.machine.files import write_atomically
from icgd.construct.machine.json_files import json_text, load_json
from icgd.construct.machine.json_types import misfit
from icgd.construct.machine.memory import refuse_prompts
from icgd.construct.prompt import Prompt
from icgd.verify.search.excerpt import once, repeated

_PARTS = ("x", "y", "query", "w")

_COPIES = 24
"""How many copies of the examples a replay holds at once, roughly."""


class SavedPrompt(TypedDict):
    """A prompt as its file holds it: rows of x and y; the query; the weights."""

    x: list[list[float]]
    y: list[list[float]]
    query: list[float]
    w: list[float]


class Saved(TypedDict):
    """A counterexample as its file holds it."""

    problem: dict[str, int | float | str]
    construction: Literal["lean", "paper", "exact", "given"]
    claim: str
    prompt: SavedPrompt
    error: float | Literal["inf", "nan"]
    allowed: float | Literal["inf", "nan"]


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
    def load(cls, path: Path | str) -> Counterexample:
        """Read a counterexample from its file; raises ProblemError where the file is not one.

        Its `error` and `allowed` are what the file says: whoever replays it computes both again.
        """
        plain = load_json(path, "replay")
        if wrong := misfit(plain, Saved):
            raise ProblemError("replay", path, f"not a counterexample file, at {wrong}")
        problem, construction = Problem.parse(plain["problem"]), plain["construction"]
        claim = _upgraded(plain["claim"], construction)
        names = claim.split("/")[1:]
        if len(names) != 1 if construction == "given" else names != [construction, "step-error"]:
            why = f"not a counterexample file: {construction} has no prompt against the claim {claim}"
            raise ProblemError("replay", path, why)
        given = plain["prompt"]
        ragged = any(len(row) != len(given[name][0]) for name in "xy" for row in given[name])
        if ragged or len(given["x"]) != len(given["y"]):
            why = "not a counterexample file: x and y need equally many rows, all of one length"
            raise ProblemError("replay", path, why)
        refuse_prompts(_COPIES * 8.0 * problem.n * (problem.d + problem.d_out))
        prompt = Prompt(*(torch.tensor(given[name], dtype=torch.float64)[None] for name in _PARTS))
        if prompt.x.ndim == prompt.y.ndim == 3 and 0 < prompt.n == prompt.y.shape[1] < problem.n:
            prompt = repeated(prompt, problem.n)
        error, allowed = float(plain["error"]), float(plain["allowed"])
        return cls(problem, construction, claim, prompt.check(problem), error, allowed)

    def recorded(self, error: float, allowed: float) -> str:
        """What the file says about itself where that is not so; empty where it is, up to rounding."""
        says = [
            f"{name} {value:.6g}"
            for name, value, now in (("an error", self.error, error), ("allowed", self.allowed, allowed))
            if not math.isclose(value, now, rel_tol=1e-6, abs_tol=1e-12) and value != now
        ]
        return f"; the file says {' and '.join(says)}" if says else ""


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
