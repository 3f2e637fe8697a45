"""Bounds of auto_LiRPA on the benchmark set of `icgd benchmark-set`, and what they settle.

python docs/lirpa_bounds.py out/benchmark-set [INSTANCE ...]

Needs torch, onnx and auto_LiRPA (0.7.1 is commit a050a3d of its repository on GitHub), not icgd.
auto_LiRPA takes modules of torch, so the nodes of each file are run as torch functions here.
"""

import csv
import re
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import torch
from auto_LiRPA import BoundedModule, BoundedTensor, PerturbationLpNorm

torch.set_default_dtype(torch.float64)


class Network(torch.nn.Module):
    """The nodes of a file of ONNX, one after the other; the shapes of the input are fixed."""

    def __init__(self, path):
        super().__init__()
        self.graph, self.constants = onnx.load(path).graph, {}
        for index, one in enumerate(self.graph.initializer):
            value = torch.from_numpy(onnx.numpy_helper.to_array(one).copy())
            self.constants[one.name] = value.tolist()
            if value.is_floating_point():
                self.register_buffer(f"constant{index}", value)
                self.constants[one.name] = f"constant{index}"

    def forward(self, x):
        values = {self.graph.input[0].name: x}
        for name, held in self.constants.items():
            values[name] = getattr(self, held) if isinstance(held, str) else held
        for node in self.graph.node:
            given = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
            inputs = [values[name] for name in node.input]
            values[node.output[0]] = OPERATORS[node.op_type](*inputs, **given)
        return values[self.graph.output[0].name]


def clip(x, low, high):
    return high - torch.relu(high - low - torch.relu(x - low))


OPERATORS = {
    "Add": torch.add,
    "Sub": torch.sub,
    "Mul": torch.mul,
    "Div": torch.div,
    "MatMul": torch.matmul,
    "Relu": torch.relu,
    "Tanh": torch.tanh,
    "Sigmoid": torch.sigmoid,
    "Softmax": lambda x, axis: torch.softmax(x, dim=axis),
    "Clip": clip,
    "Transpose": lambda x, perm: x.permute(*perm),
    "Reshape": lambda x, shape: x.reshape([x.shape[0], *shape[1:]]),
    "Unsqueeze": lambda x, axes: x.unsqueeze(axes[0]),
    "ReduceSum": lambda x, axes, keepdims=1: x.sum(axes[0], keepdim=bool(keepdims)),
    "Concat": lambda *parts, axis: torch.cat(parts, dim=axis),
    "Shape": lambda x, start, end: x.shape[start],
    "Cast": lambda size, to: float(size),
}


def box(text):
    """The least and the largest input that a property allows, each (1, size)."""
    found = re.findall(r"\(assert \((>=|<=) X\[0,\d+\] (-?[\d.]+)\)\)", text)
    return [torch.tensor([[float(v) for sign, v in found if sign == which]]) for which in (">=", "<=")]


def main(folder, names):
    for network, asked, _ in csv.reader((folder / "instances.csv").read_text().splitlines()):
        name, text = Path(asked).stem, (folder / asked).read_text()
        threshold = re.search(r"\(or \(>= E\[0,0\] ([\d.]+)\)", text)
        if (names and name not in names) or not threshold:
            continue
        (low, high), least = box(text), float(threshold[1])
        for method in ("IBP", "CROWN"):
            began = time.perf_counter()
            bounded = BoundedModule(Network(folder / network), (low + high) / 2)
            x = BoundedTensor((low + high) / 2, PerturbationLpNorm(norm=np.inf, x_L=low, x_U=high))
            below, above = bounded.compute_bounds(x=(x,), method=method)
            below, above = float(below.min()), float(above.max())
            says = "unsat" if -below < least and above < least else "unknown"
            ends = f"E from {below:.3g} to {above:.3g}, {least:.3g} asked"
            print(f"{name} {method}: {ends}: {says}, {time.perf_counter() - began:.1f} s")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
