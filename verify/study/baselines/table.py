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
from icgd.verify.study.baselines.prompt_network import trained_on_prompt
from icgd.verify.study.baselines.simple import label_means, last_labels, nearest_means
from icgd.verify.study.network_task import NetworkPrompts

_AT_ONCE = 128
"""So many prompts at a time: the matrices of all examples then stay in the cache."""


@dataclass(frozen=True)
class Baseline:
    """A predictor of y_k from the first k examples.

    said: what it is, in a sentence.  slow: whether it trains or runs something on every prompt.
    peeks: whether it looks at the answer, so that it is no predictor; it is there because it was published.
    """

    said: str
    slow: bool = False
    peeks: bool = False


BASELINES: dict[str, Baseline] = {
    "mean": Baseline("the mean of the labels in the prompt"),
    "last": Baseline("the last label in the prompt"),
    "ridge": Baseline("ridge regression with an offset, its penalty the best by leave-one-out"),
    "least squares": Baseline("least squares with an offset, the solution of least norm where many fit"),
    "neighbours": Baseline("the mean label of the nearest examples, their number the best by leave-one-out"),
    "kernel": Baseline("the best linear function of the labels for a random network of great width"),
    "network, best epoch": Baseline(
        "a network trained on the prompt, its epoch the best on the test itself", slow=True, peeks=True
    ),
    "network, each best epoch": Baseline(
        "a network trained on the prompt, for every prompt the epoch nearest to the answer", True, True
    ),
    "network, last epoch": Baseline("a network trained on the prompt for 100 epochs", slow=True),
    "network, validated": Baseline(
        "a network trained on four fifths of the prompt, its epoch the best on the rest", slow=True
    ),
    "exact": Baseline("our construction for ReLU: 200 steps in context on a network with ReLUs", slow=True),
    "lean": Baseline(
        "our construction for smooth activations: 200 steps in context on a tanh network", slow=True
    ),
}
"""All baselines, in the order in which tables show them."""
_NETWORKS = {
    "network, best epoch": "by test",
    "network, each best epoch": "each by test",
    "network, last epoch": "last",
    "network, validated": "validated",
}
_BUILT: dict[str, Literal["exact", "lean"]] = {"exact": "exact", "lean": "lean"}


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
    quick: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "mean": lambda x, y: label_means(y, positions),
        "last": lambda x, y: last_labels(y, positions),
        "ridge": lambda x, y: ridge_regression(x, y, positions),
        "least squares": lambda x, y: least_squares_fit(x, y, positions),
        "neighbours": lambda x, y: nearest_means(x, y, positions),
        "kernel": lambda x, y: kernel_regression(task, x, y, positions),
    }
    found: dict[str, Tensor] = {}
    for name in chosen:
        if name in quick:
            parts = zip(x.split(_AT_ONCE), y.split(_AT_ONCE), strict=True)
            found[name] = torch.cat([quick[name](*part) for part in parts])
        elif name in _BUILT:
            found[name] = constructed(_BUILT[name], task, x, y, positions, seed)
        elif name not in found:  # one training serves all choices of the epoch
            wanted = {one: _NETWORKS[one] for one in chosen if one in _NETWORKS}
            trained = trained_on_prompt(prompts.x, prompts.y, positions, task.N, seed, wanted.values())
            found |= {one: trained[how].double() for one, how in wanted.items()}
    return {name: found[name] for name in chosen}
