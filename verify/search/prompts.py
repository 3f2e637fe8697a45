"""Random prompts inside the theorem's radii, from a mixture that includes extreme cases, with a seed."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from icgd.bounds.letters import ProblemError, whole
from icgd.bounds.problem import Problem
from icgd.construct.prompt import Prompt, box
from icgd.verify.descent import project

Device = torch.device | str


def seeded(seed: int) -> torch.Generator:
    """The generator from which all random numbers of one command are drawn, in order; raises ProblemError."""
    allowed = "a 64-bit whole number is needed"
    return torch.Generator().manual_seed(whole("seed", seed, -(2**63), 2**63 - 1, allowed))


def into_ball(v: Float[Tensor, "*batch size"], radius: float) -> Float[Tensor, "*batch size"]:
    """The vectors, with those longer than `radius` scaled down to it (less a few ulps, for rounding)."""
    length = torch.linalg.vector_norm(v, dim=-1, keepdim=True)
    inside = radius * (1 - 8 * torch.finfo(v.dtype).eps)
    return torch.where(length > inside, v * (inside / length), v)


def into_domain(problem: Problem, prompt: Prompt) -> Prompt:
    """The nearest prompts in the theorem's domain: x_i and query within B_x, y_i within B_y, w in W."""
    return Prompt(
        into_ball(prompt.x, problem.B_x),
        into_ball(prompt.y, problem.B_y),
        into_ball(prompt.query, problem.B_x),
        project(problem, prompt.w),
    )


def _uniform(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.rand(*shape, generator=generator, dtype=torch.float64, device=generator.device)


def _vectors(
    generator: torch.Generator, count: int, rows: int, size: int, radius: float
) -> Float[Tensor, "count rows size"]:
    """Vectors of which half are uniform in the ball of this radius and half on its sphere."""
    normal = torch.randn(count, rows, size, generator=generator, dtype=torch.float64, device=generator.device)
    direction = normal / torch.linalg.vector_norm(normal, dim=-1, keepdim=True)
    depth = _uniform(generator, count, rows, 1) ** (1 / size)
    on_sphere = _uniform(generator, count, rows, 1) < 0.5
    vectors: Tensor = direction * torch.where(on_sphere, 1.0, depth) * radius
    return vectors


def _weights(problem: Problem, generator: torch.Generator, count: int) -> Float[Tensor, "count D_w"]:
    """Weights of W: 40% uniform, 30% corners, 20% uniform on a log-uniform scale of 0.001 to 1, 10% zero."""
    uniform = 2 * _uniform(generator, count, problem.D_w) - 1
    kind = _uniform(generator, count, 1)
    small = uniform * 10 ** (-3 * _uniform(generator, count, 1))
    unit = torch.where(kind < 0.4, uniform, torch.where(kind < 0.7, torch.sign(uniform), small))
    return torch.where(kind < 0.9, unit, 0.0) * box(problem, unit)


def random_prompts(
    problem: Problem,
    count: int,
    generator: torch.Generator,
    device: Device | None = None,
    dtype: torch.dtype = torch.float64,
) -> Prompt:
    """`count` prompts in the theorem's domain, from a mixture.

    Each x_i, y_i and query is uniform in its ball or, equally often, on its sphere.  One prompt in four
    repeats a single example n times: the error is a mean over examples, so the worst prompts are of this
    kind.  w: 40% uniform in the box W, 30% at its corners, 20% small, 10% zero.  Drawn on the generator's
    device (in float64), returned on `device`.
    """
    if count < 1:
        raise ProblemError("prompts", count, "at least one prompt is needed")
    x = _vectors(generator, count, problem.n, problem.d, problem.B_x)
    y = _vectors(generator, count, problem.n, problem.d_out, problem.B_y)
    query = _vectors(generator, count, 1, problem.d, problem.B_x)[:, 0]
    repeated = _uniform(generator, count, 1, 1) < 0.25
    x, y = torch.where(repeated, x[:, :1], x), torch.where(repeated, y[:, :1], y)
    prompt = Prompt(x, y, query, _weights(problem, generator, count))
    return into_domain(problem, prompt.to(device or generator.device, dtype))


def start(
    problem: Problem,
    kind: str,
    count: int,
    generator: torch.Generator,
    device: Device | None = None,
    dtype: torch.dtype = torch.float64,
) -> Float[Tensor, "count D_w"]:
    """Weights to start from: "zero" (the theorem's w(0) = 0) or "random" (uniform in the box W)."""
    if kind not in ("zero", "random"):
        raise ProblemError("start", kind, "either zero or random is needed")
    unit = 2 * _uniform(generator, count, problem.D_w) - 1
    unit = unit.to(device=device or generator.device, dtype=dtype) * (kind == "random")
    return unit * box(problem, unit)
