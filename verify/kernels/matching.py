"""Compares attention with one kernel on data of another: test errors over depth and in the limit."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from icgd.bounds.functional import COMPARED, FunctionalProblem
from icgd.bounds.progress import Advance
from icgd.construct.functional import Examples, FunctionalTransformer
from icgd.verify.kernels.prompts import draw_examples, kernel_values
from icgd.verify.results import Cell, Curve, Grid, Plot
from icgd.verify.verdict import Status, Verdict

MATCHED = ("linear", "exp", "relu")  # whose attention is matched
STUDIED = 256  # prompts on which rates are chosen, and as many on which they are tested
STUDIED_LAYERS = 64
TRIALS = len(MATCHED) * len(COMPARED)
"""How often the progress advances."""


def matched(
    problem: FunctionalProblem, generator: torch.Generator, advance: Advance
) -> tuple[Grid, Plot, Verdict]:
    """Test error over depth for data of one kernel and a transformer with another."""
    rows: list[tuple[Cell, ...]] = []
    curves, lost, ahead = [], [], []
    problem = replace(problem, L=min(problem.L, STUDIED_LAYERS))
    depth = tuple(float(layer) for layer in range(problem.L + 1))
    best = "the Bayes predictor" if problem.noise else "the data's own kernel"
    optimal: dict[str, float] = {}
    for data in MATCHED:
        posed = replace(problem, kernel=data, r=0.0)
        chosen, tested = (draw_examples(posed, STUDIED, generator) for _ in range(2))
        power = float((tested.answer**2).mean())
        bayes = (regressed(posed, data, tested, posed.noise**2) - tested.answer) ** 2 / power
        errors = {}
        for name in COMPARED:
            errors[name] = _best_rates(posed, name, chosen, tested) / power
            advance(1)
        limits = {name: (regressed(posed, name, tested) - tested.answer) ** 2 / power for name in COMPARED}
        curves += [Curve(f"data {data}, attention {name}", depth, tuple(found.mean(dim=1).tolist()))
                   for name, found in errors.items()]  # fmt: skip
        for name in COMPARED if data != "relu" else ():
            if _beats(limits[name], bayes, 4.0):
                lost.append(f"in the limit {name} beats {best} on {data} data")
            if problem.noise and _beats(errors[name][-1], bayes, 4.0):
                lost.append(f"at {problem.L} layers {name} beats {best} on {data} data")
            if _beats(errors[name][-1], errors[data][-1], 2.0):
                ahead.append(f"{name} on {data} data")
        shown = data if data != "relu" else "relu (clipped)"
        optimal[shown] = float(bayes.mean())
        rows.append((shown, problem.L, *(float(errors[name][-1].mean()) for name in COMPARED)))
        ends = (float(limits[name].mean()) if name != "relu" else None for name in COMPARED)
        rows.append((shown, "limit", *ends))
    note = (
        f"mean squared error over the labels' power, {STUDIED} test prompts; one step for all layers, "
        "the best of 14 on other prompts, none below 1/(n k_max), which no inputs make diverge; "
        f"{_bayes_words(problem, optimal)}; relu has none, and is clipped"
    )
    grid = Grid("Matching attention to data", ("data", "layers", *COMPARED), tuple(rows), note)
    plot = Plot("Test error over depth", "layer", "mean squared error / power", tuple(curves), "y")
    evidence = "; ".join(lost) or f"in the limit no attention beats {best} (linear, exp)"
    evidence += f", {STUDIED} prompts, 4 standard errors; ahead of the attention with the data's own kernel "
    evidence += f"by 2 standard errors at {problem.L} layers: "
    status: Status = "failed" if lost else "held"
    return grid, plot, Verdict("functional/matching", status, evidence + (", ".join(ahead) or "none"))


def _beats(one: Float[Tensor, " B"], other: Float[Tensor, " B"], deviations: float) -> bool:
    """Whether the mean of `one` is lower by 1e-9 plus `deviations` standard errors of the difference."""
    gain = other - one
    return float(gain.mean()) > 1e-9 + deviations * float(gain.std()) / len(gain) ** 0.5


def _bayes_words(problem: FunctionalProblem, optimal: dict[str, float]) -> str:
    if not problem.noise:
        return "the data's own limit is Bayes"
    errors = ", ".join(f"{value:.3g} on {data} data" for data, value in optimal.items() if "relu" not in data)
    return f"Bayes, k_q^T (K + noise^2 I)^-1 y, has {errors}; limits of descent fit the noise"


def regressed(
    posed: FunctionalProblem, attention: str, examples: Examples, ridge: float = 0.0
) -> Float[Tensor, " B"]:
    """k_q^T (K + ridge I)^+ y: with 0 the limit of descent from 0 where K has no negative eigenvalue.

    With the variance of the noise for ridge, the Bayes predictor if K is the covariance of the data.
    """
    points = torch.cat([examples.x, examples.query[:, None]], dim=1).numpy()
    values = kernel_values(attention, points, posed.scale, posed.normaliser)
    kernel = torch.from_numpy(values)[:, :-1].mT
    gram = kernel[:, :-1] + ridge * torch.eye(examples.y.shape[1], dtype=kernel.dtype)
    coefficients = torch.linalg.pinv(gram, rtol=1e-10) @ examples.y[..., None]
    return (kernel[:, -1:] @ coefficients)[:, 0, 0]


def _best_rates(
    posed: FunctionalProblem, attention: str, chosen: Examples, tested: Examples
) -> Float[Tensor, "{posed.L}+1 B"]:
    """Squared test errors at every depth, with the step size that is best at this depth on other prompts."""
    safe = replace(posed, kernel=attention, r=0.0).rate
    found = []
    for power in range(14):
        rates = [safe * 2 ** (power / 2)] * posed.L
        transformer = FunctionalTransformer(
            (attention,), rates, posed.d, normaliser=posed.normaliser, scale=posed.scale
        )
        found.append([
            torch.nan_to_num((transformer.predict(e.x, e.y, e.query) - e.answer) ** 2, nan=torch.inf)
            for e in (chosen, tested)
        ])  # fmt: skip
    train, test = (torch.stack([pair[k] for pair in found]) for k in (0, 1))
    best = train.mean(dim=-1).argmin(dim=0)
    return test[best, torch.arange(posed.L + 1)]
