"""Calls a predictor from elsewhere: which arrays it takes, whether its answers make sense, its gradients."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from icgd.bounds.letters import ProblemError
from icgd.verify.given_predictor.regression_task import RegressionPrompts

Predictor = Callable[[Any, Any, Any], Any]
"""f(x (B, n, d), y (B, n), query (B, d)) -> (B,), in torch or in numpy."""

Arrays = Literal["torch float64", "torch float32", "numpy"]
ARRAYS: tuple[Arrays, ...] = ("torch float64", "torch float32", "numpy")
"""What a predictor may be called with, in the order in which they are tried."""

_STEP = 1e-3
"""Step of central differences: exact to 1e-6 for smooth predictors, and to 1e-3 for those in float32."""

_LARGEST_ANSWER = 1e100
"""Squares of answers must be numbers, too."""

_SAME = 1e-3
"""Answers to the same prompt may differ by this share of their spread; dropout changes them by far more."""


def takes_prompts(predictor: Any) -> bool:
    """Whether something can be called with three arrays, as far as its signature tells.

    >>> takes_prompts(lambda x, y, query: y[:, 0]), takes_prompts(len)
    (True, False)
    """
    called = predictor.forward if isinstance(predictor, nn.Module) else predictor
    try:
        inspect.signature(called).bind(None, None, None)
    except TypeError:
        return False
    except ValueError:  # some builtins tell nothing
        return callable(called)
    return True


class Called:
    """A predictor with the arrays that it takes; its answers are float64.

    Raises ProblemError where it cannot be called, its answers have another shape or are not finite, it
    answers the same prompt differently twice, or the answer depends on the other prompts of the batch.
    """

    def __init__(
        self, predictor: Predictor, prompts: RegressionPrompts, arrays: Arrays | None = None
    ) -> None:
        if arrays is not None and arrays not in ARRAYS:
            raise ProblemError("arrays", arrays, f"the known ones are {', '.join(ARRAYS)}")
        self.predictor = predictor
        self.arrays = self._first_that_works(prompts[:2], (arrays,) if arrays else self._likely())
        self._check(prompts)

    def _likely(self) -> tuple[Arrays, ...]:
        if isinstance(self.predictor, nn.Module):
            kinds = {parameter.dtype for parameter in self.predictor.parameters()}
            if torch.float32 in kinds:
                return ("torch float32", "torch float64", "numpy")
        return ARRAYS

    def _first_that_works(self, prompts: RegressionPrompts, tried: tuple[Arrays, ...]) -> Arrays:
        """The first arrays with which it can be called; numpy where tensors come back as something else."""
        refused, usable = [], list[Arrays]()
        for arrays in tried:
            try:
                with warnings.catch_warnings():
                    # numpy warns so where a tensor goes through functions of its own.
                    warnings.filterwarnings("error", message=".*__array_wrap__.*")
                    found = self._raw(prompts, arrays)
            except Exception as error:
                refused.append(f"with {arrays}: {type(error).__name__}: {' '.join(str(error).split())[:120]}")
            else:
                usable.append(arrays)
                if isinstance(found, Tensor) or arrays == "numpy":
                    return arrays
        if usable:
            return usable[0]
        raise ProblemError(
            "predictor", _name_of(self.predictor), f"it cannot be called; {'; '.join(refused)}"
        )

    def _raw(self, prompts: RegressionPrompts, arrays: Arrays) -> Any:
        given = [part.clone() for part in (prompts.x, prompts.y, prompts.query)]
        if arrays == "numpy":
            return self.predictor(*(part.numpy() for part in given))
        dtype = torch.float32 if arrays == "torch float32" else torch.float64
        with torch.no_grad():
            return self.predictor(*(part.to(dtype) for part in given))

    def __call__(self, prompts: RegressionPrompts) -> Float[Tensor, "B"]:
        """Its answer for each query; raises ProblemError unless they are one finite number each."""
        try:
            found = self._raw(prompts, self.arrays)
        except ProblemError:  # it says itself what is wrong with the prompts
            raise
        except Exception as error:
            told = f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
            where = f"on {len(prompts)} prompts of {prompts.n} examples"
            raise ProblemError("predictor", _name_of(self.predictor), f"{where} it raised {told}") from error
        try:
            answers = (
                found.detach().cpu() if isinstance(found, Tensor) else torch.as_tensor(np.asarray(found))
            )
        except (TypeError, ValueError, RuntimeError):
            answers = None
        if answers is None or answers.is_complex() or answers.dtype == torch.bool:
            raise ProblemError("answers", type(found).__name__, "an array of real numbers is needed")
        wanted = (len(prompts),)
        if tuple(answers.shape) != wanted:
            why = f"{wanted} is needed, one number for each of {len(prompts)} prompts"
            raise ProblemError("answers", f"shape {tuple(answers.shape)}", why)
        answers = answers.to(torch.float64)
        wrong = (~(answers.abs() <= _LARGEST_ANSWER)).nonzero()
        if len(wrong):
            row = int(wrong[0])
            why = f"finite numbers up to {_LARGEST_ANSWER:g} are needed; {len(wrong)} answers are none"
            raise ProblemError(f"answer {row} of {len(prompts)}", float(answers[row]), why)
        return answers

    def _check(self, prompts: RegressionPrompts) -> None:
        some = prompts[:32]
        first = self(some)
        allowed = _SAME * float(first.std()) + 1e-6 * float(first.abs().max())
        if float((self(some) - first).abs().max()) > allowed:
            why = "it answers the same prompts differently when asked twice; switch dropout and sampling off"
            raise ProblemError("predictor", _name_of(self.predictor), why)
        alone = torch.cat([self(some[row : row + 1]) for row in range(4)])
        if float((alone - first[:4]).abs().max()) > allowed:
            why = "its answer to a prompt depends on which others are in the batch; call model.eval() first"
            raise ProblemError("predictor", _name_of(self.predictor), why)

    def gradients(
        self, prompts: RegressionPrompts, labels: Sequence[int]
    ) -> tuple[Float[Tensor, "B d"], Float[Tensor, "B labels"], str]:
        """d f / d query, d f / d y for some of the labels, and how: by autograd or by central differences."""
        if self.arrays != "numpy":
            found = self._by_autograd(prompts)
            if found is not None and self._agrees(prompts[:16], *(part[:16] for part in found)):
                return found[0], found[1][:, list(labels)], "autograd"
        by_query = self._differences(prompts, "query", range(prompts.query.shape[1]))
        return by_query, self._differences(prompts, "y", labels), "central differences"

    def _by_autograd(self, prompts: RegressionPrompts) -> tuple[Tensor, Tensor] | None:
        dtype = torch.float32 if self.arrays == "torch float32" else torch.float64
        x, y, query = (part.to(dtype).clone() for part in (prompts.x, prompts.y, prompts.query))
        y.requires_grad_(), query.requires_grad_()
        try:
            with torch.enable_grad():
                answers = self.predictor(x, y, query)
                if not isinstance(answers, Tensor) or not answers.requires_grad:
                    return None
                found = torch.autograd.grad(answers.sum(), [query, y], allow_unused=True)
        except Exception:  # some predictors answer only without gradients
            return None
        whole = [
            torch.zeros_like(at) if one is None else one for at, one in zip((query, y), found, strict=True)
        ]
        good = all(bool(torch.isfinite(one).all()) for one in whole)
        return (whole[0].double(), whole[1].double()) if good else None

    def _agrees(self, prompts: RegressionPrompts, by_query: Tensor, by_y: Tensor) -> bool:
        """Whether gradients predict the change along a fixed direction: a detached part would go missing."""
        along_query = torch.ones_like(prompts.query)
        along_y = torch.ones_like(prompts.y)
        ends = [
            self(replace(prompts, query=prompts.query + h * along_query, y=prompts.y + h * along_y))
            for h in (_STEP, -_STEP)
        ]
        change = (ends[0] - ends[1]) / (2 * _STEP)
        told = (by_query * along_query).sum(dim=1) + (by_y * along_y).sum(dim=1)
        size = by_query.abs().sum(dim=1) + by_y.abs().sum(dim=1) + change.abs()
        return float(((change - told).abs() - 0.01 * size).median()) <= 1e-9

    def _differences(
        self, prompts: RegressionPrompts, part: Literal["query", "y"], moved_columns: Sequence[int]
    ) -> Tensor:
        at: Tensor = getattr(prompts, part)
        columns = []
        for column in moved_columns:
            ends = []
            for h in (_STEP, -_STEP):
                moved = at.clone()
                moved[:, column] += h
                ends.append(self(_with(prompts, part, moved)))
            columns.append((ends[0] - ends[1]) / (2 * _STEP))
        return torch.stack(columns, dim=1)


def _with(prompts: RegressionPrompts, part: Literal["query", "y"], moved: Tensor) -> RegressionPrompts:
    return replace(prompts, query=moved) if part == "query" else replace(prompts, y=moved)


def _name_of(predictor: Any) -> str:
    return str(getattr(predictor, "__name__", type(predictor).__name__))
