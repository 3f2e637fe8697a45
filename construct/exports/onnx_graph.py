"""Graphs of ONNX in float64, node by node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from icgd.bounds.letters import ProblemError
from icgd.construct.machine.files import write_atomically

OPSET, IR_VERSION = 17, 8
"""Not the newest, since verifiers read old ones: ONNX of 2022."""

MOST_ONNX = 2**31 - 1
"""The largest file of ONNX that keeps its numbers inside, in bytes."""


def onnx_library() -> ModuleType:
    """The package onnx; raises ProblemError where it is not installed."""
    try:
        import onnx
        import onnx.helper
        import onnx.numpy_helper
    except ImportError:
        raise ProblemError("to", "onnx", "the package onnx is needed: pip install 'icgd[onnx]'") from None
    return onnx


class OnnxGraph:
    """A graph in the making: every method adds a node and returns the name of its result."""

    def __init__(self, name: str) -> None:
        self.name, self.onnx = name, onnx_library()
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}

    def constant(self, value: npt.ArrayLike, name: str | None = None) -> str:
        """A constant: whole numbers as int64, others in float64; equal ones without a name are shared."""
        array = np.array(value, np.int64 if np.asarray(value).dtype.kind == "i" else np.float64, order="C")
        name = name or f"constant {array.dtype} {array.tolist()}"
        if name not in self.constants:
            self.constants[name] = self.onnx.numpy_helper.from_array(array, name)
        return name

    def node(self, op: str, *inputs: str, name: str | None = None, **attributes: Any) -> str:
        """The result of one operator."""
        result = name or f"{op}.{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(op, list(inputs), [result], result, **attributes))
        return result

    def write(
        self,
        path: Path,
        inputs: Mapping[str, Sequence[int | str]],
        outputs: Mapping[str, Sequence[int | str]],
        metadata: Mapping[str, str],
    ) -> tuple[Path, ...]:
        """Write the graph; sizes in words stand for any number.  Raises ProblemError if it is too large."""
        helper, double = self.onnx.helper, self.onnx.TensorProto.DOUBLE
        ends = [
            [helper.make_tensor_value_info(name, double, list(shape)) for name, shape in some.items()]
            for some in (inputs, outputs)
        ]
        made = helper.make_model(
            helper.make_graph(self.nodes, self.name, *ends, list(self.constants.values())),
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="icgd",
        )
        helper.set_model_props(made, dict(metadata))
        if made.ByteSize() > MOST_ONNX:
            raise ProblemError(
                "out", path, "a file of ONNX holds at most 2 GiB, and these weights are larger"
            )
        self.onnx.checker.check_model(made, full_check=True)
        write_atomically(path, made.SerializeToString(deterministic=True))
        return (path,)
