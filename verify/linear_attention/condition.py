"""Condition numbers of simulated Gaussian matrices, and whether bounds on them and on their failure stand."""

from __future__ import annotations

import scipy.special
import torch
from jaxtyping import Float
from torch import Tensor

from icgd.bounds.progress import Advance
from icgd.verify.verdict import Verdict


def condition_numbers(
    n: int, d: int, count: int, generator: torch.Generator, advance: Advance = lambda done: None
) -> Float[Tensor, " count"]:
    """Condition numbers of (1/n) X^T X for `count` standard normal n x d matrices X, in float64."""
    group, found = max(1, (1 << 20) // (n * d)), []
    for start in range(0, count, group):
        size = (min(group, count - start), n, d)
        X = torch.randn(*size, generator=generator, dtype=torch.float64)
        values = torch.linalg.eigvalsh(X.mT @ X / n)
        found.append(values[:, -1] / values[:, 0].clamp(min=0))
        advance(size[0])
    return torch.cat(found)


def judge_condition(kappas: Float[Tensor, " count"], bound: float, probability: float) -> Verdict:
    """Fails only where more matrices exceed the bound than the probability explains (one-sided, 1e-6)."""
    over, count = int((kappas > bound).sum()), len(kappas)
    chance = float(scipy.special.bdtrc(over - 1, count, probability))
    return Verdict(
        "looped/condition",
        "held" if chance > 1e-6 else "failed",
        f"{over} of {count:,} Gaussian matrices have kappa > {bound:.6g}; a fraction {probability:.4g} is "
        f"allowed; median {float(kappas.median()):.4g}, largest {float(kappas.max()):.4g}",
    )  # fmt: skip


def judge_failure(kappas: Float[Tensor, " count"], bound: float, probability: float) -> Verdict:
    """Fails where the Clopper-Pearson lower limit of the frequency, at 1 - 1e-6, exceeds the probability."""
    over, count = int((kappas > bound).sum()), len(kappas)
    least = float(scipy.special.betaincinv(over, count - over + 1, 1e-6)) if over else 0.0
    return Verdict(
        "looped/failure",
        "held" if least <= probability else "failed",
        f"kappa > {bound:.6g} with frequency {over / count:.4g} in {count:,} Gaussian matrices"
        + (f", so with a probability of {least:.3g} or more (confidence 1 - 1e-6)" if over else "")
        + f"; the bound is {probability:.4g}",
    )
