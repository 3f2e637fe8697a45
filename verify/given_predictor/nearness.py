"""How near answers are to each reference: parameters from half of the prompts, distances on the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from icgd.bounds.printable import Brief
from icgd.verify.given_predictor.references import REFERENCES, Parameters
from icgd.verify.given_predictor.regression_task import RegressionPrompts

RESAMPLES = 2000
LEVEL = 0.95
"""Bootstrap intervals: how many resamples, and their level."""


@dataclass(frozen=True)
class BootstrapInterval:
    """A mean with its bootstrap interval."""

    mean: float
    low: float
    high: float

    def overlaps(self, other: BootstrapInterval) -> bool:
        return self.low <= other.high and other.low <= self.high

    def __str__(self) -> str:
        return f"{self.mean:.3g} ({self.low:.3g} to {self.high:.3g})"


@lru_cache(maxsize=8)
def _resamples(count: int, seed: int, group: int) -> np.ndarray:
    """How often each of `count` prompts is in each resample, (RESAMPLES, count), as shares."""
    rng = np.random.default_rng([seed, group])
    return rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES) / count


def bootstrapped(samples: Sequence[Float[Tensor, "B columns"]], seed: int) -> list[BootstrapInterval]:
    """The mean of each column over independent groups of prompts, each resampled within its group.

    Percentile bootstrap with `RESAMPLES` resamples; the same ones for every column, so columns stay paired.
    """
    means, resampled = 0.0, 0.0
    for number, group in enumerate(samples):
        values = group.numpy()
        means = means + values.mean(axis=0) / len(samples)
        resampled = resampled + _resamples(len(values), seed, number) @ values / len(samples)
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(np.asarray(resampled), [tail, 1 - tail], axis=0)
    # A resample that is the sample may differ from its mean in the last digit.
    rows = zip(np.asarray(means), low, high, strict=True)
    return [BootstrapInterval(float(m), float(min(m, a)), float(max(m, b))) for m, a, b in rows]


@dataclass(frozen=True)
class Nearness:
    """How near a reference is at one prompt length, or over all.

    apart: mean squared distance of the predictor's answers to it.  error: its own mean squared error
    against the truth.
    """

    reference: str
    parameters: Parameters
    apart: BootstrapInterval
    error: BootstrapInterval


@dataclass(frozen=True, eq=False, repr=False)
class LengthFound(Brief):
    """Everything about prompts of one length.

    spread: the variance of the answers.  rounding: distances below it say nothing.  error: of the answers
    against the truth.  rows: one for each reference.
    """

    n: int
    held_out: RegressionPrompts
    answers: Float[Tensor, "B"]
    spread: float
    rounding: float
    error: BootstrapInterval
    rows: tuple[Nearness, ...]

    @property
    def parameters(self) -> dict[str, Parameters]:
        return {row.reference: row.parameters for row in self.rows}


def fitted(prompts: RegressionPrompts, answers: Float[Tensor, "B"]) -> dict[str, Parameters]:
    """The best parameters of every reference for these answers."""
    return {name: one.fit(prompts, answers) for name, one in REFERENCES.items()}


def squared_apart(
    prompts: RegressionPrompts, answers: Float[Tensor, "B"], parameters: Mapping[str, Parameters]
) -> tuple[Float[Tensor, "B references"], Float[Tensor, "B references+1"]]:
    """Squared distances of the answers to each reference; squared errors of the answers, then of those."""
    found = [one.predict(prompts, parameters[name]) for name, one in REFERENCES.items()]
    errors = [(one - prompts.truth).square() for one in (answers, *found)]
    return torch.stack([(one - answers).square() for one in found], dim=1), torch.stack(errors, dim=1)


def near(
    prompts: RegressionPrompts, answers: Float[Tensor, "B"], precision: float, seed: int
) -> tuple[LengthFound, Float[Tensor, "held references"]]:
    """What is found at one length, and the squared distances on the held-out half.

    precision: the relative rounding of the answers.
    """
    half = len(prompts) // 2
    parameters = fitted(prompts[:half], answers[:half])
    rest, told = prompts[half:], answers[half:]
    apart, errors = squared_apart(rest, told, parameters)
    own, *others = bootstrapped([errors], seed)
    rows = zip(REFERENCES, bootstrapped([apart], seed), others, strict=True)
    found = LengthFound(
        prompts.n,
        rest,
        told,
        float(told.var()),
        float((1e3 * precision) ** 2 * (told.square().mean() + prompts.truth.square().mean())),
        own,
        tuple(Nearness(name, parameters[name], one, error) for name, one, error in rows),
    )
    return found, apart


def nearest_of(apart: Mapping[str, BootstrapInterval], rounding: float) -> tuple[list[str], list[str]]:
    """The reference with the least distance and those not told apart from it, then all others, nearest first.

    Intervals that overlap, or that lie below `rounding`, are not told apart.
    """
    order = sorted(apart, key=lambda name: apart[name].mean)
    best = apart[order[0]]
    tied = [
        name for name in order if apart[name].overlaps(best) or max(apart[name].mean, best.mean) <= rounding
    ]
    return tied, [name for name in order if name not in tied]
