"""Which prompts a claim is about, when it is not about all of them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool
from torch import Tensor

from icgd.bounds.step_error.domain import MARGIN
from icgd.bounds.step_error.plan import Plan
from icgd.construct.block.elementwise import torch_callable
from icgd.construct.prompt import Prompt, split_weights

Admit = Callable[[Prompt], Bool[Tensor, " B"]]
"""Says of each prompt whether the claim covers it."""


def all_covered(prompt: Prompt) -> Bool[Tensor, " B"]:
    """Every prompt is covered."""
    return torch.ones(prompt.batch, dtype=torch.bool, device=prompt.x.device)


def admission(plan: Plan) -> Admit:
    """The prompts that a construction's claim covers: all of them, but for `exact`."""
    return outside_margin(plan) if plan.construction == "exact" else all_covered


def outside_margin(plan: Plan) -> Admit:
    """Prompts without a hidden pre-activation in (0, MARGIN), where the gate of `exact` is half open.

    The strip is widened by the rounding that a pre-activation can suffer.
    """
    problem = plan.problem

    def admit(prompt: Prompt) -> Bool[Tensor, " B"]:
        admitted = all_covered(prompt)
        p = prompt.x
        for j, v in enumerate(split_weights(problem, prompt.w), start=1):
            z = p @ v.mT
            slack = 1e-9 * plan.layers[j - 1].z
            if problem.activation_at(j).r.kinks:
                # A sum of zeros is 0 in every order of summation, and the gate is shut there.
                inside = (z > -slack) & (z < MARGIN + slack) & ((p.abs() @ v.abs().mT) > 0)
                admitted &= ~inside.flatten(1).any(dim=1)
            p = torch_callable(problem.activation_at(j).r)(z)
        return admitted

    return admit
