"""Judges a GPT-2 from a file, from tensors by name or from a module, with the config that it needs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from icgd.bounds.letters import ProblemError
from icgd.construct.gpt2 import GPT2
from icgd.construct.gpt2_state import GPT2Settings
from icgd.construct.machine.tensor_files import TensorHeader
from icgd.verify.given_predictor.judge import PredictorResults, judge_predictor
from icgd.verify.given_predictor.regression_task import RegressionTask


def judge_gpt2(
    source: Path | str | Mapping[str, Tensor] | nn.Module | GPT2,
    config: Mapping[str, Any] | Path | str | None = None,
    *,
    heads: int | None = None,
    header: TensorHeader | None = None,
    **options: Any,
) -> PredictorResults:
    """Measure a GPT-2 that predicts labels in context; see docs/judging_predictors.md.

    config: settings by name, as in Hugging Face's config.json, or that file; default: the metadata of a file
    of tensors, config.json beside it, or the config of the module.  heads: in place of its n_head.
    options: as in `judge_predictor`.
    """
    model = gpt2_from(source, config, heads=heads, header=header)
    letters = {name: options.pop(name) for name in RegressionTask.names() if name in options}
    task = options.pop("task", None) or gpt2_task(model, letters)
    return judge_predictor(model, task, **options)


def gpt2_from(
    source: Path | str | Mapping[str, Tensor] | nn.Module | GPT2,
    config: Mapping[str, Any] | Path | str | None = None,
    *,
    heads: int | None = None,
    header: TensorHeader | None = None,
) -> GPT2:
    """The model, with its settings from where they are said; raises ProblemError where they are not."""
    if isinstance(source, GPT2):
        return source
    if isinstance(source, str | Path):
        source = Path(source)
        said = config or _beside(source, header)
    elif isinstance(source, nn.Module):
        said = config or _of_module(source)
    else:
        said = config
    if said is None and heads is None:
        why = "it is needed: tensors do not show the number of heads; give a config, or heads alone"
        raise ProblemError("config", "none", why)
    settings = GPT2Settings.read(said if said is not None else {"n_head": heads})
    settings = settings if heads is None else replace(settings, heads=heads)
    if isinstance(source, Path):
        return GPT2.read(source, settings, header)
    return GPT2(source.state_dict() if isinstance(source, nn.Module) else source, settings)


def gpt2_task(model: GPT2, letters: Mapping[str, Any]) -> RegressionTask:
    """The prompts for a model: d is its own, and n fits into its positions."""
    if letters.get("d", model.d) != model.d:
        raise ProblemError("d", letters["d"], f"the model reads inputs of size {model.d}")
    if model.most_examples < 1:
        raise ProblemError("positions", model.sizes.positions, "not even one example and a query fit")
    task = RegressionTask.parse({**letters, "d": model.d})
    if letters.get("n") is None:
        task = replace(task, n=min(task.n, model.most_examples))
    if task.n > model.most_examples:
        why = f"the model has {model.sizes.positions} positions, for at most {model.most_examples} examples"
        raise ProblemError("n", task.n, why)
    return task


def _beside(path: Path, header: TensorHeader | None) -> Mapping[str, Any] | Path | None:
    """The config in the metadata of a file, or in config.json beside it."""
    metadata = header.metadata if header else {}
    if "config" in metadata:
        try:
            found = json.loads(metadata["config"])
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise ProblemError("config", metadata["config"], "these metadata are not an object in JSON")
        return found
    if metadata.get("n_head", "").isdecimal():
        return {"n_head": int(metadata["n_head"])}
    other = path.parent / "config.json"
    return other if other.is_file() else None


def _of_module(module: nn.Module) -> Mapping[str, Any] | None:
    """The config that a module of Hugging Face's, or one inside, carries."""
    for one in module.modules():
        config: Any = getattr(one, "config", None)
        if hasattr(config, "n_head") and hasattr(config, "to_dict"):
            return dict(config.to_dict())
    return None
