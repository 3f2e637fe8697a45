"""Evidence for findings about the numerical study of arXiv 2411.16549, Section 5 and Appendix F.

Random networks are read as width 20, without biases, with a linear output; other readings are in the table of
verify/study/readings.py.  Everything here is sampled.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from statistics import fmean

import numpy as np
import torch

from icgd.verify.ledger.entries import Numbers
from icgd.verify.study.baselines.constructed import BUILT_STEPS
from icgd.verify.study.baselines.linear import PENALTIES
from icgd.verify.study.baselines.table import baseline_predictions
from icgd.verify.study.measures import MeasuredR2, between, measures
from icgd.verify.study.network_task import NetworkPrompts, NetworkTask
from icgd.verify.study.published_curves import (
    PLATEAU,
    PublishedCurve,
    published_curve,
    published_curves,
    published_depths,
    repeated_plateau,
    scatter,
)

_DEPTHS = (3, 4, 6)


@lru_cache(maxsize=8)
def _drawn(
    N: int, prompts: int, seed: int, share: float = 1.0, mean: float = 0.0, width: int = 20
) -> NetworkPrompts:
    generator = torch.Generator().manual_seed(seed)
    return NetworkTask(N, width=width, mean=mean).prompts(prompts, 75, share, generator, dtype=torch.float64)


@lru_cache(maxsize=32)
def _plateau(prompts: NetworkPrompts, name: str, measure: str = "pooled") -> MeasuredR2:
    """A baseline measured as the published plateau is: the mean over 26 to 50 examples."""
    until = NetworkPrompts(prompts.x[:, :51], prompts.y[:, :51], prompts.task)
    predicted = baseline_predictions(until, list(PLATEAU), [name])[name]
    return measures(until.y, list(PLATEAU), predicted, together=True)[measure][0]


def _apart(curve: PublishedCurve, found: MeasuredR2) -> bool:
    return curve.interval().disjoint(found)


def averaging(prompts: int = 4800, seed: int = 0) -> Numbers:
    """The mean of the labels beside the ReLU transformers, and beside the softmax transformer at N = 6."""
    numbers: dict[str, float | int | bool] = {"prompts": prompts}
    shows = []
    for N in _DEPTHS:
        drawn = _drawn(N, prompts, seed)
        found = _plateau(drawn, "mean")
        relu, softmax = (published_curve(attention, N) for attention in ("relu", "softmax"))
        shows.append(not _apart(relu, found))
        numbers |= {f"mean_{N}": found.value, f"relu_{N}": relu.plateau, f"softmax_{N}": softmax.plateau}
        numbers |= {f"between_{N}": between(drawn.y).value}
    numbers |= {"gap_3": published_curve("relu", 3).plateau - float(numbers["mean_3"])}
    numbers |= {"jumps_3": published_curve("relu", 3).jumps}
    last = _drawn(6, 1600, seed)
    within = {name: _plateau(last, name, "within") for name in ("mean", "ridge")}
    numbers |= {"mean_within": within["mean"].value, "ridge_within": within["ridge"].value}
    numbers["beside"] = published_curve("relu", 6).interval().high - published_curve("relu", 6).plateau
    shows += [not _apart(published_curve("softmax", 6), _plateau(last, "mean"))]
    shows += [within["mean"].high < 0.1 < 0.5 < within["ridge"].low]
    return numbers | {"shows": all(shows)}


def linear_regression(prompts: int = 1600, seed: int = 0, examples: int = 75, inputs: int = 20) -> Numbers:
    """Ridge regression on the prompt beside every curve of the test without shifts, and its FLOPs.

    FLOPs: the Gram matrix, and for every penalty its factor and two solves an example, to leave it out.
    """
    numbers: dict[str, float | int | bool] = {}
    beyond = 0
    for N in _DEPTHS:
        found = _plateau(_drawn(N, prompts, seed), "ridge")
        curves = [one for one in published_curves() if (one.N, one.share, one.mean) == (N, 1.0, 0.0)]
        beyond += sum(_apart(one, found) and one.plateau > found.value for one in curves)
        best = max(one.plateau for one in curves if one.curve == "transformer")
        numbers |= {f"ridge_{N}": found.value, f"best_{N}": best}
    size = inputs + 1
    one_penalty = size**3 / 3 + 2 * (examples + 1) * 2 * size**2
    flops = 2 * examples * size**2 + len(PENALTIES) * one_penalty
    return numbers | {
        "beyond": beyond,
        "megaflops": flops / 1e6,
        "shows": beyond == 0 and flops < 3.3e9 / 1000,
    }


def ranking(prompts: int = 1600, seed: int = 0) -> Numbers:
    """Softmax less ReLU at 26 to 50 examples, and what either has within prompts if R^2 is pooled."""
    numbers: dict[str, float | int | bool] = {}
    apart = {}
    for N in _DEPTHS:
        c = between(_drawn(N, prompts, seed).y).value
        curves = {attention: published_curve(attention, N) for attention in ("relu", "softmax")}
        apart[N] = curves["relu"].interval().disjoint(curves["softmax"].interval())
        numbers[f"gap_{N}"] = curves["softmax"].plateau - curves["relu"].plateau
        numbers |= {f"{name}_{N}": (one.plateau - c) / (1 - c) for name, one in curves.items()}
    return numbers | {"shows": apart[3] and apart[4] and not apart[6]}


def depth_of_the_transformer(prompts: int = 1600, seed: int = 0) -> Numbers:
    """Figure 7: gains with depth, single steps, and the mean of the labels beside the deepest with ReLU.

    One standard deviation is the smallest that any N gives the curves of the same attention.
    """
    noise = {
        attention: min(max(published_curve(attention, N).jumps, repeated_plateau(N)) for N in _DEPTHS)
        for attention in ("relu", "softmax")
    }
    gains, beyond, steps = [], 0, []
    for (attention, _), by_blocks in published_depths().items():
        values = [by_blocks[blocks] for blocks in (4, 6, 8, 10)]
        gains.append(values[-1] - values[0])
        steps += list(np.diff(values))
        beyond += sum(bool(step > 1.96 * 2**0.5 * noise[attention]) for step in np.diff(values))
    least = {name: 1.96 * 2**0.5 * one for name, one in noise.items()}
    at = 45
    drawn = {N: _drawn(N, prompts, seed) for N in _DEPTHS}
    means = {
        N: measures(one.y, [at], baseline_predictions(one, [at], ["mean"])["mean"])["pooled"][0].value
        for N, one in drawn.items()
    }
    return {
        "least_gain": min(gains),
        "largest_gain": max(gains),
        "fall": float(-min(steps)),
        "steps": len(steps),
        "beyond": int(beyond),
        "needed_relu": least["relu"],
        "needed_softmax": least["softmax"],
        "deepest": published_depths()["relu", at][10],
        **{f"mean_{N}": value for N, value in means.items()},
        "shows": min(gains) > max(least.values()) and beyond <= 2 and bool(min(steps) < 0),
    }


def which_r2(prompts: int = 1600, seed: int = 0, N: int = 6) -> Numbers:
    """What every measure gives to a constant prediction without examples, and to the label of one example."""
    curves = [one for one in published_curves() if (one.N, one.share, one.mean) == (N, 1.0, 0.0)]
    shown = [one for one in published_curves() if (one.share, one.mean) == (1.0, 0.0)]
    drawn = _drawn(N, prompts, seed)
    last = baseline_predictions(drawn, [0, 1], ["last"])["last"]
    found = measures(drawn.y, [0, 1], last)
    names = {
        "pooled": "pooled",
        "batches": "batches of 64",
        "within": "within",
        "median": "median of prompts",
    }
    at = {(short, k): found[name][k].value for short, name in names.items() for k in (0, 1)}
    zero = [one.values[0] for one in shown]
    one = [curve.values[1] for curve in curves]
    return {
        "N": N,
        "curves": len(shown),
        "lowest_at_0": min(zero),
        "highest_at_0": max(zero),
        "lowest_at_1": min(one),
        "highest_at_1": max(one),
        **{f"{short}_{k}": value for (short, k), value in at.items()},
        "shows": min(zero) - 0.005 <= at["pooled", 0] <= max(zero) + 0.005
        and all(at[short, k] < -0.5 for short in ("within", "median") for k in (0,))
        and at["within", 1] < -0.5
        and abs(at["pooled", 1] - fmean(one)) < 0.05,
    }


def spread(prompts: int = 6400, seeds: Sequence[int] = (0, 1)) -> Numbers:
    """How far published curves jump, and differ between copies, beside the mean of the labels here."""
    ours, plateaus = {}, {}
    for N in _DEPTHS:
        curves = []
        for seed in seeds:
            generator = torch.Generator().manual_seed(seed)
            y = NetworkTask(N).prompts(prompts, 75, 1.0, generator).y.double()
            means = y.cumsum(1)[:, :-1] / torch.arange(1, 76)
            errors = (y[:, 1:] - means).square().sum(0)
            curves.append((1 - errors / (y[:, 1:] - y[:, 1:].mean(0)).square().sum(0)).numpy())
        ours[N] = fmean(scatter(np.concatenate([[0.0], one])) for one in curves)
        plateaus[N] = float(np.std([one[25:50].mean() for one in curves], ddof=1))
    copies = {N: [published_curve(a, N, "network") for a in ("relu", "softmax")] for N in _DEPTHS}
    jumps = {N: published_curve("relu", N).jumps for N in _DEPTHS}
    apart = {N: abs(one.values[1] - other.values[1]) for N, (one, other) in copies.items()}
    return {
        "prompts": prompts,
        **{f"jumps_{N}": value for N, value in jumps.items()},
        **{f"ours_{N}": value for N, value in ours.items()},
        **{f"apart_{N}": value for N, value in apart.items()},
        "plateaus": max(plateaus.values()),
        "copies": max(repeated_plateau(N) for N in _DEPTHS),
        "shows": all(jumps[N] > 2 * ours[N] for N in (3, 4)) and apart[3] > 0.1,
    }


def shifted_inputs(prompts: int = 1600, seed: int = 0, share: float = 0.5) -> Numbers:
    """The mean of the labels beside the trained transformers where half of the inputs are from N(2, I)."""
    numbers: dict[str, float | int | bool] = {"share": share}
    below = []
    for N in _DEPTHS:
        found = _plateau(_drawn(N, prompts, seed, share), "mean")
        relu, softmax = (published_curve(attention, N, share=share) for attention in ("relu", "softmax"))
        below.append(_apart(relu, found) and relu.plateau < found.value)
        numbers |= {f"mean_{N}": found.value, f"relu_{N}": relu.plateau, f"softmax_{N}": softmax.plateau}
    return numbers | {"shows": all(below)}


def shifted_parameters(prompts: int = 1600, seed: int = 0, mean: float = 0.5, width: int = 20) -> Numbers:
    """The mean of the labels and ridge beside trained transformers, N = 4, parameters from N(mean, 1)."""
    drawn = _drawn(4, prompts, seed, 1.0, mean, width)
    found = {name: _plateau(drawn, name) for name in ("mean", "ridge")}
    curves = {attention: published_curve(attention, 4, mean=mean) for attention in ("relu", "softmax")}
    return {
        **{name: one.value for name, one in found.items()},
        **{attention: one.plateau for attention, one in curves.items()},
        "between": between(drawn.y).value,
        "shows": all(
            _apart(one, found["mean"]) and one.plateau > found["mean"].value for one in curves.values()
        ),
    }


def constant_networks(
    prompts: int = 400, seed: int = 0, mean: float = -0.5, widths: Sequence[int] = (20, 50, 100)
) -> Numbers:
    """How many random networks are constant on their prompt at N = 4, and how many prompts carry R^2.

    That number is (sum v)^2 / sum v^2 with v the mean square of a prompt's labels.
    """
    numbers: dict[str, float | int | bool] = {"prompts": prompts}
    shares = []
    for width in widths:
        generator = torch.Generator().manual_seed(seed)
        y = NetworkTask(4, width=width, mean=mean).prompts(prompts, 50, 1.0, generator).y.double()
        square = y.square().mean(1)
        shares.append(float((y.var(1) <= 1e-12 * square).double().mean()))
        numbers[f"constant_{width}"] = shares[-1]
        if width == widths[0]:
            numbers["carried"] = float(square.sum() ** 2 / square.square().sum())
    return numbers | {"shows": shares[0] > 0.2 and shares == sorted(shares) and shares[-1] > 0.9}


def constructed_transformer(prompts: int = 256, seed: int = 5, N: int = 3, examples: int = 50) -> Numbers:
    """The construction for ReLU, descending in context from random weights, beside the trained ones.

    Within prompts; the published plateaus are translated with the share of variance between prompts.
    """
    generator = torch.Generator().manual_seed(seed)
    drawn = NetworkTask(N).prompts(prompts, examples, 1.0, generator, dtype=torch.float64)
    numbers: dict[str, float | int | bool] = {"N": N, "examples": examples, "steps": BUILT_STEPS}
    found = {}
    for name in ("exact", "mean", "ridge"):
        predicted = baseline_predictions(drawn, [examples], [name])[name]
        found[name] = measures(drawn.y, [examples], predicted)["within"][0]
        numbers[name] = found[name].value
    numbers |= {"low": found["exact"].low, "high": found["exact"].high}
    c = between(_drawn(N, 1600, 0).y).value
    for attention in ("relu", "softmax"):
        published = published_curve(attention, N).interval()
        numbers[attention] = (published.value - c) / (1 - c)
        numbers[f"{attention}_high"] = (published.high - c) / (1 - c)
    shows = found["exact"].low > max(found["mean"].high, numbers["relu_high"])
    return numbers | {"shows": shows}
