"""What a trained model's answers are nearest to: k steps of descent on a network, ridge, the mean, a kernel.

arXiv 2411.16549 proves that a transformer can descend on an N-layer network, and says that what a trained one
does may differ; this measures by how much, at every checkpoint of training.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from icgd.verify.given_predictor.nearness import BootstrapInterval, bootstrapped
from icgd.verify.given_predictor.references import REFERENCES
from icgd.verify.given_predictor.regression_task import RegressionPrompts
from icgd.verify.study.baselines.table import baseline_predictions
from icgd.verify.study.network_task import NetworkPrompts, NetworkTask

DESCENT_STEPS = (1, 2, 5, 10, 20, 50, 100, 200)
DESCENT_SIZES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
"""Numbers and sizes of steps of descent on a network that are tried."""

FITTED_REFERENCES = (
    "mean of labels",
    "last label",
    "ridge",
    "least squares",
    "descent",
    "kernel regression",
    "constant",
)
FIXED_REFERENCES = ("ridge", "neighbours", "kernel")
"""References with parameters fitted to the answers, and baselines that have none to fit."""

NETWORK_DESCENT = "descent on a network"
_FARTHEST = 1e100
"""Descent that diverges is no farther, so that means of distances are numbers."""
_NAMES = {"descent": "linear descent", "kernel regression": "kernel smoother"}
_OF_BASELINE = {"ridge": "ridge with offset", "neighbours": "neighbours", "kernel": "kernel of the network"}


@dataclass(frozen=True)
class Discrepancy:
    """How far answers are from a reference, as a share of their variance on prompts that fitted nothing.

    model: its name; step: of its training.  examples: in the prompts.  words: the reference with its
    parameters.
    """

    model: str
    step: int
    examples: int
    reference: str
    words: str
    share: BootstrapInterval


def network_descent(
    task: NetworkTask,
    x: Float[Tensor, "B n d"],
    y: Float[Tensor, "B n"],
    query: Float[Tensor, "B d"],
    seed: int = 0,
    steps: Sequence[int] = DESCENT_STEPS,
    sizes: Sequence[float] = DESCENT_SIZES,
) -> dict[tuple[int, float], Float[Tensor, "B"]]:
    """Answers after each number of steps of each size on (1/(2n)) sum_i (f(x_i) - y_i)^2.

    f is a network of the task's depth and width, from the same random weights for every prompt, drawn as the
    task draws its own.  What diverges is left out.
    """
    generator = torch.Generator().manual_seed(seed)
    first = task.networks(1, generator, dtype=x.dtype)
    found = {}
    for size in sizes:
        layers = [one.expand(len(x), -1, -1).clone().requires_grad_() for one in first]
        for number in range(1, max(steps) + 1):
            loss = (task.labels(layers, x) - y).square().mean(dim=1).sum() / 2
            slopes = torch.autograd.grad(loss, layers)
            with torch.no_grad():
                for layer, slope in zip(layers, slopes, strict=True):
                    layer -= size * slope
            if number in steps:
                with torch.no_grad():
                    answers = task.labels(layers, query[:, None])[:, 0]
                if not bool(torch.isfinite(answers).all()):
                    break
                found[number, size] = answers
    return found


def discrepancies(
    prompts: NetworkPrompts,
    examples: int,
    answers: Mapping[tuple[str, int], Float[Tensor, "B"]],
    seed: int = 0,
) -> list[Discrepancy]:
    """The distance of answers, of each model at each step of training, to every reference.

    prompts: with at least so many examples, of which the first count.  Half of the prompts fit parameters,
    the others measure.
    """
    x, y = prompts.x[:, : examples + 1].double(), prompts.y[:, : examples + 1].double()
    posed = RegressionPrompts(x[:, :-1], y[:, :-1], x[:, -1], y[:, -1])
    half = len(posed) // 2
    short = NetworkPrompts(x, y, prompts.task)
    plain = {
        _OF_BASELINE[name]: one[:, 0]
        for name, one in baseline_predictions(short, (examples,), FIXED_REFERENCES, seed).items()
    }
    descended = network_descent(
        prompts.task, posed.x, posed.y, posed.query, seed, DESCENT_STEPS, DESCENT_SIZES
    )
    found = []
    for (model, step), given in answers.items():
        told = given.double()
        near: dict[str, tuple[str, Tensor]] = {}
        for name in FITTED_REFERENCES:
            one = REFERENCES[name]
            parameters = one.fit(posed[:half], told[:half])
            words = one.words([parameters]).replace("of descent", "of linear descent")
            near[_NAMES.get(name, name)] = (words, one.predict(posed, parameters))
        near |= {name: (name, one) for name, one in plain.items()}
        if descended:
            (k, size), best = min(
                descended.items(), key=lambda item: float((item[1][:half] - told[:half]).square().mean())
            )
            steps = f"{k} step{'s' * (k > 1)} of descent of size {size:g} on a {prompts.task.N}-layer network"
            near[NETWORK_DESCENT] = (steps, best)
        rest = told[half:]
        spread = float(rest.var())
        if not math.isfinite(spread) or spread <= 0:
            continue
        apart = torch.stack([(one[half:] - rest).square() for _, one in near.values()], dim=1) / spread
        apart = apart.nan_to_num(nan=_FARTHEST, posinf=_FARTHEST).clamp(max=_FARTHEST)
        for (name, (words, _)), share in zip(near.items(), bootstrapped([apart], seed), strict=True):
            found.append(Discrepancy(model, step, examples, name, words, share))
    return found


def nearest_of_all(found: Sequence[Discrepancy]) -> Discrepancy:
    """The reference with the least distance, of those at one step and number of examples."""
    return min(found, key=lambda one: one.share.mean)
