"""R^2 under every reading of the word, with intervals from a bootstrap over prompts.

A prompt has labels y_0..y_T of one network; what is judged is a prediction p of y_k from the first k of them.

    pooled          1 - sum (y_k - p)^2 / sum (y_k - mean y_k)^2, sums and mean over all prompts
    batches of 64   the same in every batch of 64 prompts, then the mean: R^2 as a test run reports it
    within          1 - sum (y_k - p)^2 / sum v, v the variance of all labels of the prompt, unbiased
    mean of prompts the mean over prompts of 1 - (y_k - p)^2 / v
    median of prompts  the median of the same

Pooled R^2 rewards knowing which network it is: with c, the share of the variance of labels that lies between
prompts, pooled = c + (1 - c) within, up to sampling, so a prediction with no skill within prompts has R^2 c.
The mean of k labels has within = -1/k, as its labels are exchangeable.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from icgd.bounds.letters import ProblemError

BATCH = 64
R2_MEASURES: dict[str, str] = {
    "pooled": "squared errors over the variance of the labels, over all prompts together",
    "batches of 64": "pooled over 64 prompts, as one batch of the published test; the mean over batches",
    "within": "squared errors over the variance of the labels inside prompts, over all prompts together",
    "mean of prompts": "squared error over the variance inside the prompt; the mean over prompts",
    "median of prompts": "squared error over the variance inside the prompt; the median over prompts",
}
"""Each measure with its meaning."""
_LEAST = 1e-12
"""Labels whose variance is below this part of their mean square are constant: no R^2 of the prompt."""


@dataclass(frozen=True)
class MeasuredR2:
    """A number with its bootstrap interval over prompts."""

    value: float
    low: float
    high: float

    def disjoint(self, other: MeasuredR2) -> bool:
        """Whether the two intervals have no point in common."""
        return self.low > other.high or other.low > self.high


def measures(
    labels: Tensor,
    at: Sequence[int],
    predicted: Tensor,
    *,
    together: bool = False,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, list[MeasuredR2]]:
    """Every measure at every position: labels (B, T), predicted (B, len(at)), the prediction of labels[:, k].

    together: one number for all positions, the mean over them.  The intervals hold `level` of the bootstrap
    distribution over prompts.  A measure that cannot be computed (one batch alone, constant labels) is not a
    number.  Raises ProblemError.
    """
    if predicted.shape != (labels.shape[0], len(at)):
        allowed = "one row a prompt, one column a position"
        raise ProblemError("predicted", f"shape {tuple(predicted.shape)}", allowed)
    if min(labels.shape) < 2:
        shape = f"shape {tuple(labels.shape)}"
        raise ProblemError("labels", shape, "at least two prompts of two labels are needed for a variance")
    if not at:
        return {name: [] for name in R2_MEASURES}
    y, p = (part.detach().double().cpu() for part in (labels, predicted))
    answers = y[:, list(at)]
    errors = (answers - p).square()
    inside = y.var(1, keepdim=True)
    constant = inside <= _LEAST * y.square().mean(1, keepdim=True)
    inside = torch.where(constant, 0.0, inside)
    drawn = _weights(len(y), resamples, seed)
    own = torch.where(constant, math.nan, 1 - errors / inside)[~constant[:, 0]]
    counted = _weights(len(own), resamples, seed) if len(own) else drawn[:, :0]
    samples = {
        "pooled": _pooled(errors, answers, drawn),
        "batches of 64": _batches(errors, answers, resamples, seed),
        "within": _explained(drawn @ errors, drawn @ inside),
        "mean of prompts": (counted @ own) / counted.sum(1, keepdim=True),
    }
    if together:
        samples = {name: one.mean(1, keepdim=True) for name, one in samples.items()}
    found = {name: _interval(one, level) for name, one in samples.items()}
    medians = [_median(column, level) for column in own.T]
    if together:  # the interval of a mean is no wider than the mean of the intervals
        ends = ((one.value, one.low, one.high) for one in medians)
        medians = [MeasuredR2(*(sum(part) / len(medians) for part in zip(*ends, strict=True)))]
    return found | {"median of prompts": medians}


def between(labels: Tensor, resamples: int = 1000, level: float = 0.95, seed: int = 0) -> MeasuredR2:
    """The share c of the variance of labels that lies between prompts, and its interval; labels (B, T).

    Every label is about the overall mean; unbiased in numerator and denominator.
    """
    y = labels.detach().double().cpu()
    drawn = _weights(len(y), resamples, seed)
    moments = torch.stack([y.var(1), y.square().mean(1), y.mean(1)], dim=1)
    inside, square, mean = (drawn @ moments).div(len(y)).unbind(1)
    return _interval((1 - inside / (square - mean.square()))[:, None], level)[0]


def _weights(count: int, resamples: int, seed: int) -> Tensor:
    """How often each prompt is drawn: in the first row once, in the others at random, with replacement."""
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=resamples)
    return torch.from_numpy(np.concatenate([np.ones((1, count)), drawn]))


def _pooled(errors: Tensor, answers: Tensor, weights: Tensor) -> Tensor:
    total = weights.sum(1, keepdim=True)
    mean = answers.mean(0)  # centred first: nothing is lost to cancellation
    around = answers - mean
    spread = weights @ around.square() - (weights @ around).square() / total
    return _explained(weights @ errors, spread)


def _explained(errors: Tensor, spread: Tensor) -> Tensor:
    """1 - errors / spread, not a number where nothing is spread."""
    return 1 - errors / torch.where(spread > 0, spread, math.nan)


def _batches(errors: Tensor, answers: Tensor, resamples: int, seed: int) -> Tensor:
    batches = len(errors) // BATCH
    if batches < 2:
        return torch.full((resamples + 1, errors.shape[1]), math.nan, dtype=errors.dtype)
    shape = (batches, BATCH, errors.shape[1])
    errors, answers = (part[: batches * BATCH].reshape(shape) for part in (errors, answers))
    each = _explained(errors.sum(1), (answers - answers.mean(1, keepdim=True)).square().sum(1))
    return _weights(batches, resamples, seed) @ each / batches


def _interval(samples: Tensor, level: float) -> list[MeasuredR2]:
    """The first row is the value, the others are the resamples."""
    tail = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=samples.dtype)
    ends = samples[1:].quantile(tail, dim=0)
    return [MeasuredR2(*three) for three in zip(samples[0].tolist(), *ends.tolist(), strict=True)]


def _median(values: Tensor, level: float) -> MeasuredR2:
    """The median, and the interval that its bootstrap has without sampling.

    A resample's lower median is at most the r-th smallest value when at least half of it falls there, whose
    number is binomial.
    """
    ordered = values.sort().values
    count = len(ordered)
    if not count:
        return MeasuredR2(math.nan, math.nan, math.nan)
    low, high = (ordered[rank - 1].item() for rank in _ranks(count, level))
    return MeasuredR2(float(ordered.quantile(0.5)), low, high)


def _ranks(count: int, level: float) -> Iterator[int]:
    """The ranks, from 1, of the two ends of the bootstrap interval of a median."""
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, count + 1)))])
    k = np.arange((count + 1) // 2, count + 1)
    terms = logs[count] - logs[k] - logs[count - k]

    def below(rank: int) -> float:
        """P(Binomial(count, rank / count) >= half)."""
        if rank == count:
            return 1.0
        chance = rank / count
        return float(np.exp(terms + k * math.log(chance) + (count - k) * math.log1p(-chance)).sum())

    for tail in ((1 - level) / 2, (1 + level) / 2):
        yield bisect_left(range(1, count + 1), tail, key=below) + 1
