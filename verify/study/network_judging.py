"""The judging of the study of networks: pieces for every predictor and test, and every depth and length."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from icgd.bounds.letters import ProblemError
from icgd.verify.given_predictor.nearness import BootstrapInterval
from icgd.verify.study.baselines.table import BASELINES, baseline_predictions
from icgd.verify.study.discrepancy import Discrepancy, discrepancies
from icgd.verify.study.judged_pieces import JudgedPiece
from icgd.verify.study.measures import MeasuredR2, measures
from icgd.verify.study.network_report import IN_DISTRIBUTION, MeasuredCurve
from icgd.verify.study.network_scales import NetworkCell, NetworkScale, PromptCondition
from icgd.verify.study.network_task import NetworkPrompts
from icgd.verify.study.train_cells import CellFiles, digest_of_weights

QUICK = tuple(name for name, one in BASELINES.items() if not one.slow)
SLOW = tuple(name for name, one in BASELINES.items() if one.slow)
"""Baselines on all prompts of every test; and on few, of the test like training alone."""

_KIND = {"mean": "trivial", "last": "trivial", "exact": "constructed", "lean": "constructed"}
_SECONDS = {"ridge": 0.15, "neighbours": 0.35, "lean": 0.002, "exact": 0.001}
"""On one core: of quick ones for 1,000 prompts of 20 examples, of slow ones for one prompt and example."""


@dataclass(frozen=True, eq=False)
class Answers:
    """What a trained model answered.  tests: by condition (B, len(at)); judged: by step (B, examples).

    device: the kind of device that it was trained on.
    """

    step: int
    device: str
    tests: dict[str, Tensor]
    judged: dict[int, Tensor]


@dataclass(frozen=True, eq=False)
class NetworkTest:
    """Predictors that are measured together, on the first `prompts` of one test, at some numbers of examples.

    piece: its value is, for each predictor and measure, a value with the ends of its interval at each number.
    """

    piece: JudgedPiece
    N: int
    condition: PromptCondition
    at: tuple[int, ...]
    prompts: int


def read_answers(scale: NetworkScale, cell: NetworkCell, folder: Path, seed: int) -> Answers:
    """The answers that training kept; raises ProblemError where they are missing, or to other prompts.

    Also where the weights beside them are others.  Answers of earlier versions hold no digest of theirs.
    """
    path, weights = CellFiles(folder, cell).answers, CellFiles(folder, cell).weights
    if not path.is_file():
        raise ProblemError("as-trained", path, "there is no such file; leave the option out to train it")
    with np.load(path, allow_pickle=False) as held:
        arrays = {name: held[name] for name in held.files}
    posed = json.loads(str(arrays["posed"]))
    wanted = {"task": asdict(scale.task_of(cell.N)), "seed": seed}
    if any(posed[name] != value for name, value in wanted.items()):
        raise ProblemError("out", path, "its answers are of another task or seed; choose another folder")
    known = str(arrays["weights"]) if "weights" in arrays else None
    if known and weights.is_file() and known != digest_of_weights(weights.read_bytes()):
        why = f"{path.name} has answers of other weights; remove it and this file, and train again"
        raise ProblemError("as-trained", weights, why)
    tests = {}
    for condition in scale.conditions(cell.N):
        y = scale.test_prompts(cell.N, condition, seed).y[:64, list(scale.at)].numpy()
        known = arrays[f"labels {condition.name}"]
        if known.shape != y.shape or np.abs(known - y).max() > 1e-3 * np.abs(y).max():
            why = "its answers are to prompts that are not drawn here; train again, with this version"
            raise ProblemError("out", path, why)
        tests[condition.name] = torch.from_numpy(arrays[f"test {condition.name}"])
    judged = {
        int(name.removeprefix("judged-")): torch.from_numpy(one)
        for name, one in arrays.items()
        if name.startswith("judged-")
    }
    return Answers(int(arrays["step"]), posed["device"], tests, judged)


def network_tests(
    scale: NetworkScale, seed: int, answers: Mapping[NetworkCell, Answers]
) -> Iterator[NetworkTest]:
    """What is measured by R^2.  answers: of the models; without them pieces are listed, not computed."""
    for N in scale.depths:
        for condition in scale.conditions(N):
            for cell in (one for one in scale.cells if one.N == N):
                told = answers[cell].tests[condition.name] if cell in answers else None
                yield _test_of_model(scale, seed, cell, condition, told)
            for name in QUICK:
                yield _test_of_baselines(scale, seed, N, condition, (name,), scale.at, scale.prompts)
            if condition.name == IN_DISTRIBUTION:
                count, at = scale.slow
                for names in _trained_together(SLOW):
                    for k in at:
                        few = min(count, scale.prompts)
                        yield _test_of_baselines(scale, seed, N, condition, names, (k,), few)


def _trained_together(names: Iterable[str]) -> Iterator[tuple[str, ...]]:
    """The networks that are trained on the prompt, as one training serves them; the others one by one."""
    epochs = tuple(name for name in names if BASELINES[name].epoch)
    yield from ((epochs,) if epochs else ())
    yield from ((name,) for name in names if name not in epochs)


def _test_of_model(
    scale: NetworkScale, seed: int, cell: NetworkCell, condition: PromptCondition, told: Tensor | None
) -> NetworkTest:
    name = f"{cell.attention} transformer"
    return _test(
        scale,
        seed,
        (cell.N, condition, scale.at, scale.prompts),
        f"{cell.attention}-transformer",
        {"answers": _digest(told)},
        0.0,
        lambda prompts: {name: told} if told is not None else {},
    )


def _test_of_baselines(
    scale: NetworkScale,
    seed: int,
    N: int,
    condition: PromptCondition,
    names: tuple[str, ...],
    at: tuple[int, ...],
    count: int,
) -> NetworkTest:
    title, seconds = names[0], 5e-5 * count * max(at) * _SECONDS.get(names[0], 0.05)
    if names[0] in SLOW:
        title = "networks trained on the prompt" if BASELINES[names[0]].epoch else names[0]
        title, seconds = f"{title} k={at[0]}", count * at[0] * _SECONDS.get(names[0], 0.005)
    return _test(
        scale,
        seed,
        (N, condition, at, count),
        title,
        {"names": names},
        seconds,
        lambda prompts: baseline_predictions(prompts, at, names, seed),
    )


def _test(
    scale: NetworkScale,
    seed: int,
    posed: tuple[int, PromptCondition, tuple[int, ...], int],
    title: str,
    inputs: Mapping[str, Any],
    seconds: float,
    predict: Callable[[NetworkPrompts], Mapping[str, Tensor]],
) -> NetworkTest:
    N, condition, at, count = posed

    def compute() -> dict[str, Any]:
        prompts = _drawn(scale, N, condition, seed)[:count]
        found = {}
        for name, predicted in predict(prompts).items():
            numbers = measures(prompts.y, at, predicted, seed=seed)
            found[name] = {
                measure: [(one.value, one.low, one.high) for one in values]
                for measure, values in numbers.items()
            }
        return found

    about = {"task": asdict(scale.task_of(N)), "condition": asdict(condition), "at": at, "count": count}
    drawn = {"prompts": scale.prompts, "examples": max(scale.at), "seed": seed}
    name = f"{title} N={N} share={condition.share:g} mean={condition.mean:g}"
    seconds += 0.2 + 8e-5 * count
    return NetworkTest(
        JudgedPiece(name, {**about, **drawn, **inputs}, seconds, compute), N, condition, at, count
    )


@lru_cache(maxsize=1)
def _drawn(scale: NetworkScale, N: int, condition: PromptCondition, seed: int) -> NetworkPrompts:
    """The prompts of a test, which many pieces share."""
    return scale.test_prompts(N, condition, seed)


def network_curves(tests: Iterable[NetworkTest], judged: Mapping[str, Any]) -> list[MeasuredCurve]:
    """The values of all pieces as curves, one for each predictor under each condition."""
    found: dict[tuple[str, int, str], MeasuredCurve] = {}
    for one in tests:
        for predictor, numbers in judged[one.piece.name].items():
            read = {measure: [MeasuredR2(*three) for three in values] for measure, values in numbers.items()}
            key = (predictor, one.N, one.condition.name)
            at = one.at
            if key in found:  # of a slow one every number of examples is a piece
                at = found[key].at + at
                read = {name: [*found[key].found[name], *values] for name, values in read.items()}
            kind = _kind(predictor)
            found[key] = MeasuredCurve(predictor, kind, one.N, one.condition, at, one.prompts, read)
    return list(found.values())


def _kind(predictor: str) -> str:
    if predictor not in BASELINES:
        return "trained"
    return _KIND.get(predictor, "network" if BASELINES[predictor].epoch else "regression")


def network_distances(
    scale: NetworkScale, seed: int, answers: Mapping[NetworkCell, Answers]
) -> Iterator[JudgedPiece]:
    """How far every model was from every reference, over its training; one piece a depth and length."""
    for N in scale.depths:
        for place, k in enumerate(scale.judged[1]):
            yield _distances(scale, seed, N, place, k, {c: a for c, a in answers.items() if c.N == N})


def _distances(
    scale: NetworkScale, seed: int, N: int, place: int, k: int, answers: Mapping[NetworkCell, Answers]
) -> JudgedPiece:
    given = {
        (cell.name, step): one.judged[step][:, place]
        for cell, one in answers.items()
        for step in sorted(one.judged)
    }

    def compute() -> list[dict[str, Any]]:
        prompts = scale.judged_prompts(N, seed)
        return [asdict(one) for one in discrepancies(prompts, k, given, seed)]

    inputs = {
        "task": asdict(scale.task_of(N)),
        "judged": scale.judged,
        "share": scale.training.share,
        "k": k,
        "seed": seed,
        "answers": [[*name, _digest(told)] for name, told in given.items()],
    }
    seconds = scale.judged[0] / 512 * (0.8 * k + 2.0 * len(scale.marks))
    return JudgedPiece(f"distances N={N} k={k}", inputs, seconds, compute)


def read_discrepancies(values: Iterable[Mapping[str, Any]]) -> list[Discrepancy]:
    """The value of a piece of distances as it was computed."""
    return [Discrepancy(**{**one, "share": BootstrapInterval(**one["share"])}) for one in values]


def _digest(told: Tensor | None) -> str:
    return "" if told is None else hashlib.sha256(told.contiguous().numpy().tobytes()).hexdigest()
