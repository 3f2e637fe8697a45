"""Networks of ONNX over the reals, in ball arithmetic: the file itself, not the code that wrote it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import flint
import numpy as np
import numpy.typing as npt
from flint import arb

from icgd.bounds.letters import ProblemError
from icgd.construct.exports.onnx_graph import onnx_library

BALL_BITS = 256
"""The precision of the balls: the numbers of a network reach 2^60, and their sums cancel to 2^-60."""

BallArray = npt.NDArray[Any]

_each = partial(np.vectorize, otypes=[object])


def exact_balls(values: npt.ArrayLike) -> BallArray:
    """Floats as balls of radius 0."""
    return np.asarray(_each(lambda value: arb(float(value)))(np.asarray(values, np.float64)), dtype=object)


def _softmax(x: BallArray, axis: int) -> BallArray:
    raised = _each(lambda one: one.exp())(x)
    return np.asarray(raised / raised.sum(axis=axis, keepdims=True))


def _whole(x: BallArray | npt.NDArray[np.int64]) -> list[int]:
    return [int(value) for value in np.asarray(x).reshape(-1)]


OPERATORS: Mapping[str, Callable[..., Any]] = {
    "Add": lambda a, b: a + b,
    "Sub": lambda a, b: a - b,
    "Mul": lambda a, b: a * b,
    "Div": lambda a, b: a / b,
    "MatMul": lambda a, b: a @ b,
    "Relu": _each(lambda one: one.max(arb(0))),
    "Tanh": _each(lambda one: one.tanh()),
    "Sigmoid": _each(lambda one: 1 / (1 + (-one).exp())),
    "Clip": _each(lambda one, low, high: one.max(low).min(high)),
    "Identity": lambda a: a,
    "Transpose": lambda a, perm: a.transpose(perm),
    "Reshape": lambda a, shape: a.reshape(_whole(shape)),
    "Unsqueeze": lambda a, axes: np.expand_dims(a, tuple(_whole(axes))),
    "Concat": lambda *parts, axis: np.concatenate(parts, axis=axis),
    "ReduceSum": lambda a, axes, keepdims=1: a.sum(axis=tuple(_whole(axes)), keepdims=bool(keepdims)),
    "Softmax": _softmax,
    "Shape": lambda a, start=0, end=None: np.array(a.shape[start:end]),
    "Cast": lambda a, to: exact_balls(a),
}
"""What each operator is over the reals; sums in any order, as addition is associative."""


def run_in_balls(path: Path, x: npt.ArrayLike) -> BallArray:
    """The only output of a network for its only input, over the reals, each entry within its ball.

    Raises ProblemError for an operator without meaning here.
    """
    onnx = onnx_library()
    model = onnx.load(str(path))
    with flint.ctx.workprec(BALL_BITS):
        values: dict[str, Any] = {model.graph.input[0].name: exact_balls(x)}
        for one in model.graph.initializer:
            array = onnx.numpy_helper.to_array(one)
            values[one.name] = array if array.dtype == np.int64 else exact_balls(array)
        for node in model.graph.node:
            if node.op_type not in OPERATORS:
                known = ", ".join(OPERATORS)
                raise ProblemError("operator", node.op_type, f"balls are computed for {known}")
            given = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
            values[node.output[0]] = OPERATORS[node.op_type](*map(values.__getitem__, node.input), **given)
        return np.asarray(values[model.graph.output[0].name])
