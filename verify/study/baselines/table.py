"""Every baseline by name, with a sentence about it, and the call that computes those that are asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from icgd.bounds.letters import ProblemError
from icgd.verify.study.baselines.constructed import constructed
from icgd.verify.study.baselines.linear import least_squares_fit, ridge_regression
from icgd.verify.study.baselines.network_kernel import kernel_regression
from icgd.verify.study.baselines.prompt_network import PEEKING, trained_on_prompt
from icgd.verify.study.baselines.simple import label_means, last_labels, nearest_means
from icgd.verify.study.network_task import NetworkPrompts, NetworkTask

_AT_ONCE = 128
"""So many prompts at a time: the matrices of all examples then stay in the cache."""


PromptFit = Callable[[NetworkTask, Tensor, Tensor, Sequence[int]], Tensor]
"""From the task, inputs (B, T, d), labels (B, T) and numbers of examples to predictions (B, numbers)."""


@dataclass(frozen=True)
class Baseline:
    """A predictor of y_k from the first k examples, in one of three ways.

    said: what it is, in a sentence.  fit: a function of the prompt.  epoch: how that of a network which is
    trained on the prompt is chosen.  built: a construction of ours.
    """

    said: str
    fit: PromptFit | None = None
    epoch: str = ""
    built: Literal["exact", "lean"] | None = None

    @property
    def slow(self) -> bool:
        """Whether something is trained or run on every prompt."""
        return self.fit is None

    @property
    def peeks(self) -> bool:
        """Whether it looks at the answer: no predictor then, it is there because it was published."""
        return self.epoch in PEEKING


BASELINES: dict[str, Baseline] = {
    "mean": Baseline("the mean of the labels in the prompt", lambda task, x, y, at: label_means(y, at)),
    "last": Baseline("the last label in the prompt", lambda task, x, y, at: last_labels(y, at)),
    "ridge": Baseline(
        "ridge regression with an offset, its penalty the best by leave-one-out",
        lambda task, x, y, at: ridge_regression(x, y, at),
    ),
    "least squares": Baseline(
        "least squares with an offset, the solution of least norm where many fit",
        lambda task, x, y, at: least_squares_fit(x, y, at),
    ),
    "neighbours": Baseline(
        "the mean label of the nearest examples, their number the best by leave-one-out",
        lambda task, x, y, at: nearest_means(x, y, at),
    ),
    "kernel": Baseline(
        "the best linear function of the labels for a random network of great width", kernel_regression
    ),
    "network, best epoch": Baseline(
        "a network trained on the prompt, its epoch the best on the test itself", epoch="by test"
    ),
    "network, each best epoch": Baseline(
        "a network trained on the prompt, for every prompt the epoch nearest to the answer",
        epoch="each by test",
    ),
    "network, last epoch": Baseline("a network trained on the prompt for 100 epochs", epoch="last"),
    "network, validated": Baseline(
        "a network trained on four fifths of the prompt, its epoch the best on the rest", epoch="validated"
    ),
    "exact": Baseline(
        "our construction for ReLU: 200 steps in context on a network with ReLUs", built="exact"
    ),
    "lean": Baseline(
        "our construction for smooth activations: 200 steps in context on a tanh network", built="lean"
    ),
}
"""All baselines, in the order in which tables show them."""


def baseline_predictions(
    prompts: NetworkPrompts, at: Sequence[int], names: Sequence[str] | None = None, seed: int = 0
) -> dict[str, Tensor]:
    """For each named baseline, what it predicts for y[:, k] from the first k examples: (B, len(at)), float64.

    names: all that are not slow, by default.  With no examples the answer is 0 but for "kernel", which knows
    the task's mean.  Raises ProblemError.
    """
    chosen = [name for name, one in BASELINES.items() if not one.slow] if names is None else list(names)
    for name in chosen:
        if name not in BASELINES:
            raise ProblemError("baseline", name, f"one of {'; '.join(BASELINES)}")
    for k in at:
        if not 0 <= k <= prompts.examples:
            raise ProblemError("at", k, f"the prompts have {prompts.examples} examples")
    positions = list(at)
    task, x, y = prompts.task, prompts.x.double(), prompts.y.double()
    epochs = {name: BASELINES[name].epoch for name in chosen if BASELINES[name].epoch}
    found: dict[str, Tensor] = {}
    for name in chosen:
        one = BASELINES[name]
        if one.fit is not None:
            parts = zip(x.split(_AT_ONCE), y.split(_AT_ONCE), strict=True)
            found[name] = torch.cat([one.fit(task, *part, positions) for part in parts])
        elif one.built is not None:
            found[name] = constructed(one.built, task, x, y, positions, seed)
        elif name not in found:  # one training serves all choices of the epoch
            trained = trained_on_prompt(prompts.x, prompts.y, positions, task.N, seed, epochs.values())
            found |= {other: trained[how].double() for other, how in epochs.items()}
    return {name: found[name] for name in chosen}
