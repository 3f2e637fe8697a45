"""The small networks of the benchmark set, each with a certificate of its step error."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from icgd.bounds.problem import Problem
from icgd.bounds.step_error.domain import face
from icgd.construct.block.given_block import GivenBlock
from icgd.construct.prompt import Prompt
from icgd.verify.benchmark_set.error_network import Floats, InputLayout
from icgd.verify.benchmark_set.rounding_room import rounding_room
from icgd.verify.certificate.constructions import CONSTRUCTIONS
from icgd.verify.certificate.issue import as_read, posed_letters
from icgd.verify.certificate.proof import mismatch, refusal
from icgd.verify.checker.lemmas import Refused
from icgd.verify.descent import descend, step_error

CERTIFIED_NETWORKS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "tiny": ("lean", {"N": 1, "K": 1, "d": 1, "n": 1, "eps": 0.1}),
    "wide": ("lean", {"N": 1, "K": 1, "d": 2, "n": 2, "eps": 0.1}),
    "sigmoid": ("lean", {"N": 1, "K": 1, "d": 1, "n": 3, "eps": 0.02, "activation": "sigmoid"}),
    "deep": ("lean", {"N": 2, "K": 1, "d": 1, "n": 1, "eps": 0.2}),
    "deep-wide": ("lean", {"N": 2, "K": 2, "d": 2, "n": 2, "eps": 0.2}),
    "paper": ("paper", {"N": 1, "K": 1, "d": 1, "n": 1, "eps": 0.2}),
    "softmax": ("softmax", {"N": 1, "K": 1, "d": 1, "n": 1, "eps": 0.2}),
}
"""Name -> construction and letters, in those of its theorem; d_out is 1."""

INPUT_SEED, INPUT_SAMPLES, MOVES = 18, 20_000, 60
"""Of the search for a large error: its seed, random inputs, then rounds of 200 moves of the worst one."""

_DIGITS = 10**6
"""Ends of the domain are rounded inwards to so many parts of 1, so that their decimals are short."""


@dataclass(frozen=True, eq=False)
class CertifiedNetwork:
    """A block whose step error a checked certificate bounds.

    block: its matrices, its problem in the letters of the loss with 1/(2n).
    certificate: as its file holds it; its checker accepted it, and its program is these matrices.
    bound: on norm2(err), for every prompt in the radii and every w in W, rounding included.
    """

    name: str
    construction: str
    stated: Problem
    block: GivenBlock
    certificate: Mapping[str, Any]
    bound: float

    @classmethod
    def make(cls, name: str) -> CertifiedNetwork:
        """The network of that name; raises Refused where its certificate proves nothing."""
        construction, letters = CERTIFIED_NETWORKS[name]
        entry = CONSTRUCTIONS[construction]
        plan = entry.plan(Problem.parse({"d_out": 1, **letters}))
        found, block = as_read(entry.issue(plan)), entry.assemble(plan)
        posed = entry.posed(plan)
        reason = refusal(found, posed_letters(posed), construction) or mismatch(found, block.literal())
        if reason:
            raise Refused(reason)
        bound = posed.eta * found["certified"] * (1 + 2.0**-40)
        return cls(name, construction, posed, GivenBlock.of_block(block), found, bound)

    @property
    def problem(self) -> Problem:
        """The letters for the loss with 1/(2n)."""
        return self.block.problem

    @property
    def layout(self) -> InputLayout:
        """Where the parts of a prompt are in the network's input."""
        return InputLayout(self.problem)

    @cached_property
    def least(self) -> float:
        """A number that no entry of the computed E reaches: the bound, and room to compute the exact step."""
        return (self.bound + rounding_room(self.problem)) * (1 + 2.0**-40)

    @property
    def norm_least(self) -> float:
        """The same of the 2-norm of E."""
        return (self.bound + math.sqrt(self.problem.D_w) * rounding_room(self.problem)) * (1 + 2.0**-40)

    def largest_entry(self, x: Floats) -> float:
        """The largest entry of the error at this one input, in absolute value."""
        prompt = self.prompt(x[None])
        with torch.no_grad():
            error = self.block.step(prompt) - descend(self.problem, prompt, 1)[1]
        return float(error.abs().max())

    def ends(self, *, ball: bool = False) -> Floats:
        """The largest size of each input: the largest box within the radii, or (ball) around them.

        Rounded inwards, the box to less than B_x / sqrt(d) for each entry of x, and within W for w.
        """
        p, found = self.problem, np.zeros(self.layout.size)
        for name, radius, size in (("x", p.B_x, p.d), ("query", p.B_x, p.d), ("y", p.B_y, p.d_out)):
            found[self.layout.parts[name]] = _inwards(radius / math.sqrt(1 if ball else size))
        sides = [face(p, j + 1) for j in range(p.N) for _ in range(p.dims[j] * p.dims[j + 1])]
        found[self.layout.parts["w"]] = [_inwards(side) for side in sides]
        return found

    def prompt(self, x: Floats) -> Prompt:
        """Inputs (B, size) as prompts."""
        p, at = self.problem, self.layout.parts
        part = {name: torch.from_numpy(np.ascontiguousarray(x[:, places])) for name, places in at.items()}
        shapes = {"x": (-1, p.n, p.d), "y": (-1, p.n, p.d_out), "query": (-1, p.d), "w": (-1, p.D_w)}
        return Prompt(**{name: part[name].reshape(shape) for name, shape in shapes.items()})

    @cached_property
    def worst_input(self) -> Floats:
        """An input within the box where norm2(E) is large: the worst of random ones, then moved at random."""
        generator, ends = np.random.default_rng(INPUT_SEED), self.ends()
        tried = generator.uniform(-1, 1, (INPUT_SAMPLES, len(ends))) * ends
        corner = np.sign(tried[: INPUT_SAMPLES // 4]) * ends
        tried[: INPUT_SAMPLES // 4] = np.where(
            generator.random(corner.shape) < 0.5, corner, tried[: INPUT_SAMPLES // 4]
        )
        best, error = None, -1.0
        for spread in np.geomspace(0.3, 1e-3, MOVES):
            errors = self._errors(tried)
            if errors.max() > error:
                best, error = tried[errors.argmax()], float(errors.max())
            assert best is not None
            tried = np.clip(best + spread * ends * generator.normal(size=(200, len(ends))), -ends, ends)
        assert best is not None
        return np.round(best, 6)

    def _errors(self, x: Floats) -> Floats:
        prompt = self.prompt(x)
        with torch.no_grad():
            reached = self.block.step(prompt)
        return np.asarray(step_error(self.problem, prompt, reached))


def _inwards(value: float) -> float:
    return math.floor(value * _DIGITS) / _DIGITS
