"""Which prompts a claim covers: all of them, except for the construction `exact`."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool
from torch import Tensor

from icgd.bounds.step_error.domain import MARGIN
from icgd.bounds.step_error.plan import Plan
from icgd.construct.block.elementwise import torch_callable
from icgd.construct.prompt import Prompt, split_weights

Coverage = Callable[[Prompt], Bool[Tensor, " B"]]
"""A predicate on prompts: whether the claim covers each of them."""


def all_covered(prompt: Prompt) -> Bool[Tensor, " B"]:
    """Every prompt is covered."""
    return torch.ones(prompt.batch, dtype=torch.bool, device=prompt.x.device)


def coverage(plan: Plan) -> Coverage:
    """The predicate for the claim of a construction: every prompt is covered, except for `exact`."""
    return outside_margin(plan) if plan.construction == "exact" else all_covered


def outside_margin(plan: Plan) -> Coverage:
    """Covers prompts without a hidden pre-activation in (0, MARGIN), where the gate of `exact` is half open.

    The interval is widened by the rounding error that a pre-activation can have.
    """
    problem = plan.problem

    def covers(prompt: Prompt) -> Bool[Tensor, " B"]:
        covered = all_covered(prompt)
        p = prompt.x
        for j, v in enumerate(split_weights(problem, prompt.w), start=1):
            z = p @ v.mT
            slack = 1e-9 * plan.layers[j - 1].z
            if problem.activation_at(j).r.kinks:
                # A sum of zeros is exactly 0 in every order of summation, and the gate is closed there.
                inside = (z > -slack) & (z < MARGIN + slack) & ((p.abs() @ v.abs().mT) > 0)
                covered &= ~inside.flatten(1).any(dim=1)
            p = torch_callable(problem.activation_at(j).r)(z)
        return covered

    return covers
