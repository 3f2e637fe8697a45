"""Prompts, the input of a transformer: examples, a query, and the current weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from icgd.bounds.letters import ProblemError, whole
from icgd.bounds.problem import Problem
from icgd.bounds.step_error.domain import face

_FLOATS = "a tensor of floats is needed; torch.as_tensor(..., dtype=torch.float64) makes one"


@dataclass(frozen=True, eq=False)
class Prompt:
    """A batch of B prompts, each n examples (x_i, y_i), one query and the current weights w.

    Source: arXiv 2411.16549, the columns h_i = [x_i; y_i; w; 0; 1; t_i] of the input.
    """

    x: Float[Tensor, "B n d"]
    y: Float[Tensor, "B n d_out"]
    query: Float[Tensor, "B d"]
    w: Float[Tensor, "B D_w"]

    def __post_init__(self) -> None:
        for name in ("x", "y", "query", "w"):
            part = getattr(self, name)
            if not isinstance(part, Tensor):
                raise ProblemError(name, getattr(part, "dtype", type(part).__name__), _FLOATS)

    @property
    def batch(self) -> int:
        return self.x.shape[0]

    def __repr__(self) -> str:
        (_, n, d), d_out, D_w = self.x.shape, self.y.shape[-1], self.w.shape[-1]
        kind = f"{self.x.dtype}".removeprefix("torch.")
        return f"<{self.batch} prompts of {n} examples: d = {d}, d_out = {d_out}, D_w = {D_w}, {kind}>"

    @property
    def n(self) -> int:
        return self.x.shape[1]

    def with_weights(self, w: Float[Tensor, "B D_w"]) -> Prompt:
        """The same examples at other weights."""
        return replace(self, w=w)

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> Prompt:
        """The same prompts on another device or in another precision."""
        return Prompt(*(part.to(device=device, dtype=dtype) for part in (self.x, self.y, self.query, self.w)))

    def __getitem__(self, rows: slice | Tensor) -> Prompt:
        """The prompts of the given batch rows."""
        return Prompt(self.x[rows], self.y[rows], self.query[rows], self.w[rows])

    def check(self, problem: Problem) -> Prompt:
        """Returns the prompts; raises ProblemError unless their shapes fit and their entries are allowed.

        Allowed: norm2(x_i), norm2(query) <= B_x, norm2(y_i) <= B_y and w in W.
        """
        problem = Problem.taken(problem)
        shapes = {
            "x": (self.x, (self.batch, problem.n, problem.d)),
            "y": (self.y, (self.batch, problem.n, problem.d_out)),
            "query": (self.query, (self.batch, problem.d)),
            "w": (self.w, (self.batch, problem.D_w)),
        }
        for name, (part, shape) in shapes.items():
            if not part.is_floating_point():
                raise ProblemError(name, part.dtype, _FLOATS)
            if tuple(part.shape) != shape:
                raise ProblemError(name, f"shape {tuple(part.shape)}", f"the problem needs {shape}")
            if not bool(torch.isfinite(part).all()):
                raise ProblemError(name, "not finite", "every entry must be a finite number")
        for name, part, letter in (("x", self.x, "B_x"), ("query", self.query, "B_x"), ("y", self.y, "B_y")):
            radius = getattr(problem, letter)
            largest = float(torch.linalg.vector_norm(part, dim=-1).max())
            if largest > _rounded_up(radius, part):
                raise ProblemError(
                    name,
                    f"2-norm {largest:.6g}",
                    f"at most {letter} = {radius:g}; scale it or raise {letter}",
                )
        for layer, v in enumerate(split_weights(problem, self.w), start=1):
            half = problem.half_width(layer)
            largest = float(v.abs().max())
            if largest > _rounded_up(half, v):
                raise ProblemError(
                    "w", f"entry {largest:.6g} in layer {layer}", f"W allows at most {half:.6g} there"
                )
        return self


def _rounded_up(limit: float, like: Tensor) -> float:
    """A limit with room for a few roundings, in the precision of `like`, of values scaled to it."""
    return limit * (1 + 4 * torch.finfo(like.dtype).eps)


def split_weights(problem: Problem, w: Float[Tensor, "B D_w"]) -> list[Float[Tensor, "B _ _"]]:
    """The matrices V_1..V_N stacked in w, row v_jk after row, layer after layer (views of w)."""
    shapes = list(zip(problem.dims[1:], problem.dims[:-1], strict=True))
    parts = w.split([rows * columns for rows, columns in shapes], dim=-1)
    return [part.unflatten(-1, shape) for part, shape in zip(parts, shapes, strict=True)]


def stack_weights(matrices: Sequence[Float[Tensor, "B _ _"]]) -> Float[Tensor, "B D_w"]:
    """The inverse of split_weights."""
    return torch.cat([v.flatten(-2) for v in matrices], dim=-1)


def check_prompt(given: object) -> Prompt:
    """The prompts themselves; raises ProblemError for anything else."""
    if not isinstance(given, Prompt):
        raise ProblemError("prompt", type(given).__name__, "a Prompt is needed: Prompt(x, y, query, w)")
    return given


def iterates(
    step: Callable[[Prompt], Float[Tensor, "B D_w"]], prompt: Prompt, steps: int
) -> Float[Tensor, "{steps}+1 B D_w"]:
    """w(0), ..., w(steps), from the prompt's own w, by applying one step repeatedly."""
    allowed = "a whole number from 0 to 10^9 is needed"
    path = [check_prompt(prompt).w]
    for _ in range(whole("steps", steps, 0, 10**9, allowed)):
        path.append(step(prompt.with_weights(path[-1])))
    return torch.stack(path)


def box(problem: Problem, like: Tensor) -> Float[Tensor, " D_w"]:
    """Half the sides of the box W, one per weight, on the device and in the precision of `like`."""
    return torch.cat(
        [
            torch.full((rows * columns,), face(problem, layer), dtype=like.dtype, device=like.device)
            for layer, (rows, columns) in enumerate(
                zip(problem.dims[1:], problem.dims[:-1], strict=True), start=1
            )
        ]
    )
