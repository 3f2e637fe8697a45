"""What a predictor depends on: its sensitivities beside those of references, and what moves its answers."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from icgd.verify.given_predictor.calling import Called
from icgd.verify.given_predictor.nearness import BootstrapInterval, bootstrapped
from icgd.verify.given_predictor.references import REFERENCES, Parameters
from icgd.verify.given_predictor.regression_task import RegressionPrompts

SENSITIVE_PROMPTS = 64
"""How many prompts sensitivities are computed on."""

SENSITIVE_LABELS = 64
"""In longer prompts, only so many labels are moved, evenly spaced, the first and the last among them."""

_STILL = 1e-6
"""A smaller sensitivity, relative to the largest, has no direction."""


@dataclass(frozen=True)
class Sensitivity:
    """The cosine of the gradients of a predictor and of a reference, by query and by labels.

    None where more than half of the gradients of either are zero.
    """

    reference: str
    by_query: BootstrapInterval | None
    by_labels: BootstrapInterval | None


@dataclass(frozen=True)
class Dependence:
    """How far answers move when one part of the prompt changes, as a share of their spread.

    change: root mean square of the move, over the standard deviation of the answers.
    """

    words: str
    change: float


def reference_gradients(
    name: str, prompts: RegressionPrompts, parameters: Parameters
) -> tuple[Float[Tensor, "B d"], Float[Tensor, "B n"]]:
    """d f / d query and d f / d y of a reference, by autograd."""
    y, query = prompts.y.clone().requires_grad_(), prompts.query.clone().requires_grad_()
    with torch.enable_grad():
        answers = REFERENCES[name].predict(replace(prompts, y=y, query=query), parameters)
        found = torch.autograd.grad(answers.sum(), [query, y], allow_unused=True)
    by_query, by_y = (
        torch.zeros_like(at) if one is None else one for at, one in zip((query, y), found, strict=True)
    )
    return by_query, by_y


def cosine(
    ours: Float[Tensor, "B size"], theirs: Float[Tensor, "B size"], seed: int
) -> BootstrapInterval | None:
    """The mean cosine of the rows; None where more than half of the rows of either are zero."""
    lengths = [torch.linalg.vector_norm(one, dim=1) for one in (ours, theirs)]
    moving = torch.stack([one > _STILL * one.max().clamp(min=1e-300) for one in lengths]).all(dim=0)
    if int(moving.sum()) * 2 <= len(ours):
        return None
    found = (ours * theirs).sum(dim=1)[moving] / (lengths[0] * lengths[1])[moving]
    return bootstrapped([found[:, None]], seed)[0]


def compared_gradients(
    called: Called, prompts: RegressionPrompts, parameters: dict[str, Parameters], seed: int
) -> tuple[tuple[Sensitivity, ...], str]:
    """The cosines with every reference, and how the predictor's gradients were found."""
    some = prompts[:SENSITIVE_PROMPTS]
    count = min(SENSITIVE_LABELS, some.n)
    columns = [round(i * (some.n - 1) / max(1, count - 1)) for i in range(count)]
    by_query, by_labels, how = called.gradients(some, columns)
    rows = []
    for name in REFERENCES:
        query, labels = reference_gradients(name, some, parameters[name])
        of_labels = cosine(by_labels, labels[:, columns], seed)
        rows.append(Sensitivity(name, cosine(by_query, query, seed), of_labels))
    return tuple(rows), how


def dependences(
    called: Called,
    prompts: RegressionPrompts,
    answers: Float[Tensor, "B"],
    rounding: float,
    generator: torch.Generator,
) -> dict[str, Dependence]:
    """How far answers move when the order, the query, the labels, or all but the last example change.

    rounding: mean squared moves that say nothing.
    """
    order = torch.rand(prompts.y.shape, generator=generator, dtype=torch.float64).argsort(dim=1)
    rows = torch.arange(len(prompts))[:, None]
    other_x, other_y = prompts.x.roll(1, 0), prompts.y.roll(1, 0)
    changed = {
        "order": ("the examples change places", {"x": prompts.x[rows, order], "y": prompts.y[rows, order]}),
        "examples": ("the examples are those of another prompt", {"x": other_x, "y": other_y}),
        "query": ("the query is that of another prompt", {"query": prompts.query.roll(1, 0)}),
        "labels": ("the labels are those of another prompt", {"y": other_y}),
        "earlier": (
            "all examples but the last are those of another prompt",
            {
                "x": torch.cat([other_x[:, :-1], prompts.x[:, -1:]], dim=1),
                "y": torch.cat([other_y[:, :-1], prompts.y[:, -1:]], dim=1),
            },
        ),
    }
    spread = float(answers.std())
    found = {}
    for name, (words, parts) in changed.items():
        moved = float((called(replace(prompts, **parts)) - answers).square().mean())
        found[name] = Dependence(words, math.sqrt(moved) / max(spread, 1e-300) if moved > rounding else 0.0)
    return found
