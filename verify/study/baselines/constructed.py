"""The theorem's transformer on the theorem's task: it descends in context, from random weights.

Its radii are B_x = B_y = 1, so inputs are divided by the largest norm of all, and labels by the largest of
their prompt; predictions are multiplied back.  The start is uniform in the box of the weights, which is as
wide as keeps the size of signals: variance 2/K after He for ReLU, 1/K after Glorot for tanh.  eps = 0.5,
since at N = 6 the bound on rounding in float64 does not allow 0.05.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from icgd.bounds.activation import ACTIVATIONS
from icgd.bounds.problem import Problem
from icgd.construct.prompt import Prompt, box
from icgd.construct.relu_icgd import build
from icgd.verify.descent import empirical_loss, network
from icgd.verify.study.network_task import NetworkTask

BUILT_STEPS = 200
STEP_SIZES = (0.3, 1.0)
"""The one with the smaller loss on the examples of all prompts, after the last step, is taken."""
BUILT_WIDTH = 20
_OF = {"exact": ("relu", math.sqrt(6)), "lean": ("tanh", math.sqrt(3))}
"""The activation that each construction simulates here, and B_v."""


def constructed(
    kind: Literal["exact", "lean"],
    task: NetworkTask,
    x: Float[Tensor, "B T d"],
    y: Float[Tensor, "B T"],
    at: Sequence[int],
    seed: int,
    steps: int = BUILT_STEPS,
    width: int = BUILT_WIDTH,
) -> Float[Tensor, "B A"]:
    """Predictions of y_k by `steps` steps of the built transformer on the first k examples."""
    radius = float(torch.linalg.vector_norm(x, dim=-1).max())
    inputs = (x / radius).double()
    found = []
    for k in at:
        if k == 0:
            found.append(torch.zeros_like(y[:, 0]))
            continue
        size = y[:, :k].abs().amax(1, keepdim=True).double()
        size = torch.where(size > 0, size, 1.0)
        labels = y[:, :k].double() / size
        generator = torch.Generator().manual_seed(seed)
        best: tuple[float, Tensor] | None = None
        start: Tensor | None = None
        for eta in STEP_SIZES:
            posed = _posed(kind, task, k, eta, width)
            if start is None:
                drawn = torch.rand((len(x), posed.D_w), generator=generator, dtype=torch.float64)
                start = 2 * drawn.to(x.device) - 1
            prompt = Prompt(inputs[:, :k], labels[..., None], inputs[:, k], start * box(posed, inputs))
            made = build(posed, kind).to(x.device)
            reached = prompt
            for _ in range(steps):
                reached = reached.with_weights(made.step(reached))
            loss = float(empirical_loss(posed, reached).sum())
            answer = network(posed, reached.w, inputs[:, k : k + 1])[:, 0, 0] * size[:, 0]
            if best is None or loss < best[0]:
                best = loss, answer.to(y.dtype)
        assert best is not None
        found.append(best[1])
    return torch.stack(found, dim=1)


def _posed(kind: str, task: NetworkTask, k: int, eta: float, width: int) -> Problem:
    """The theorem's letters for prompts of k examples of this task."""
    activation, B_v = _OF[kind]
    return Problem(
        N=task.N,
        K=width,
        d=task.d,
        d_out=1,
        n=k,
        L=BUILT_STEPS,
        eta=eta,
        eps=0.5,
        B_v=B_v,
        activation=ACTIVATIONS[activation],
        output="linear",
    )
