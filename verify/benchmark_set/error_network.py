"""One network of ONNX whose output is a step error: what a transformer computes, less the exact step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import Tensor

from icgd.bounds.letters import ProblemError
from icgd.bounds.problem import Problem
from icgd.bounds.step_error.domain import face
from icgd.construct.block.given_block import Declaration, GivenStream, check_shapes
from icgd.construct.exports.onnx_graph import OnnxGraph
from icgd.construct.exports.onnx_step import add_layers
from icgd.construct.prompt import Prompt

Floats = npt.NDArray[np.float64]

INPUT, OUTPUT = "X", "E"
"""The names of the network's only input and output."""


def _tanh(graph: OnnxGraph, z: str) -> tuple[str, str]:
    r = graph.node("Tanh", z)
    return r, graph.node("Sub", graph.constant(1.0), graph.node("Mul", r, r))


def _sigmoid(graph: OnnxGraph, z: str) -> tuple[str, str]:
    r = graph.node("Sigmoid", z)
    return r, graph.node("Sub", r, graph.node("Mul", r, r))


ONNX_ACTIVATIONS: Mapping[str, Callable[[OnnxGraph, str], tuple[str, str]]] = {
    "tanh": _tanh,
    "sigmoid": _sigmoid,
}
"""How r(z) and r'(z) are written in ONNX."""


@dataclass(frozen=True)
class InputLayout:
    """Where the parts of a prompt are in the input X, (1, size): x_1..x_n, y_1..y_n, the query, then w."""

    problem: Problem

    @property
    def parts(self) -> dict[str, range]:
        """The places of x, y, query and w."""
        p, found, start = self.problem, {}, 0
        for name, size in (("x", p.n * p.d), ("y", p.n * p.d_out), ("query", p.d), ("w", p.D_w)):
            found[name] = range(start, start + size)
            start += size
        return found

    @property
    def size(self) -> int:
        """How many numbers a prompt has."""
        return self.parts["w"].stop

    def flat(self, prompt: Prompt) -> Floats:
        """Prompts as inputs, (B, size)."""
        parts = (prompt.x.flatten(1), prompt.y.flatten(1), prompt.query, prompt.w)
        return np.concatenate([np.asarray(part.detach()) for part in parts], axis=1)


def check_exact_step(problem: Problem) -> None:
    """Raises ProblemError for a problem whose exact step is not written in ONNX here."""
    if problem.activation.name not in ONNX_ACTIVATIONS or problem.loss.name != "squared":
        posed = f"activation {problem.activation.name}, loss {problem.loss.name}"
        why = f"the exact step is written for {' and '.join(ONNX_ACTIVATIONS)} with the squared loss"
        raise ProblemError("problem", posed, why)
    if problem.output != "activated":
        raise ProblemError("output", problem.output, "the exact step is written for activated outputs")


def write_error_network(
    path: Path, tensors: Mapping[str, Tensor], said: Declaration, problem: Problem
) -> None:
    """Write the network X -> E, E = w' - Proj(w - eta grad L_n(w)), w' what the query's token holds.

    problem: in the letters of the loss with 1/(2n).  Both halves are nodes of the graph, in float64; Proj is
    onto the box at whose faces the block clips.  Raises ProblemError for another activation or loss.
    """
    check_exact_step(problem)
    graph = OnnxGraph("the error of one gradient step in context")
    reached = _reached(graph, tensors, said, problem)
    graph.node("Sub", reached, exact_step(graph, problem), name=OUTPUT)
    size = InputLayout(problem).size
    graph.write(path, {INPUT: (1, size)}, {OUTPUT: (1, problem.D_w)}, {"problem": str(problem.as_dict())})


def _reached(graph: OnnxGraph, tensors: Mapping[str, Tensor], said: Declaration, problem: Problem) -> str:
    """The w that the query's token holds after the block, (1, D_w)."""
    _, D = check_shapes({name: tuple(one.shape) for name, one in tensors.items()}, said)
    at, layout, T = GivenStream.of(said.stream, problem, D), InputLayout(problem).parts, problem.n + 1
    spread, fixed = np.zeros((layout["w"].stop, T, D)), np.zeros((T, D))
    for token in range(T):
        last = token == problem.n
        parts = [(at.x, layout["query"] if last else layout["x"][token * problem.d :])]
        parts += [(at.w, layout["w"])]
        parts += [] if last else [(at.y, layout["y"][token * problem.d_out :])]
        for slots, places in parts:
            for slot, place in zip(slots, places, strict=False):
                spread[place, token, slot] = 1.0
        fixed[token, at.one], fixed[token, at.t] = 1.0, 0.0 if last else 1.0
    placed = graph.node("MatMul", INPUT, graph.constant(spread.reshape(len(spread), -1), "tokens"))
    placed = graph.node("Add", placed, graph.constant(fixed.reshape(1, -1), "one and t"))
    H = add_layers(graph, tensors, said, graph.node("Reshape", placed, graph.constant([1, T, D])))
    chosen = np.zeros((T, D, len(at.w)))
    for index, slot in enumerate(at.w):
        chosen[-1, slot, index] = 1.0
    flat = graph.node("Reshape", H, graph.constant([1, T * D]))
    return graph.node("MatMul", flat, graph.constant(chosen.reshape(T * D, -1), "w of the query"))


def exact_step(graph: OnnxGraph, problem: Problem) -> str:
    """Proj(w - eta grad L_n(w)) by backward differentiation, (1, D_w); the loss is squared, over 2n."""
    layout, size, n = InputLayout(problem).parts, InputLayout(problem).size, problem.n

    def part(places: range, rows: int) -> str:
        """(1, rows, columns) of the input."""
        picked = np.zeros((size, len(places)))
        picked[places, range(len(places))] = 1.0
        taken = graph.node("MatMul", INPUT, graph.constant(picked))
        return graph.node("Reshape", taken, graph.constant([1, rows, len(places) // rows]))

    def turned(name: str) -> str:
        return graph.node("Transpose", name, perm=[0, 2, 1])

    r, outputs, slopes, V, start = (
        ONNX_ACTIVATIONS[problem.activation.name],
        [part(layout["x"], n)],
        [],
        [],
        0,
    )
    for rows, columns in zip(problem.dims[1:], problem.dims[:-1], strict=True):
        V.append(part(layout["w"][start : start + rows * columns], rows))
        start += rows * columns
        p, slope = r(graph, graph.node("MatMul", outputs[-1], turned(V[-1])))
        outputs.append(p)
        slopes.append(slope)
    back = graph.node("Sub", outputs[-1], part(layout["y"], n))
    found: list[str] = []
    rate = graph.constant(problem.eta / n)
    for layer in reversed(range(problem.N)):
        s = graph.node("Mul", back, slopes[layer])
        step = graph.node("Mul", graph.node("MatMul", turned(s), outputs[layer]), rate)
        h = face(problem, layer + 1)
        ends = graph.constant(-h), graph.constant(h)
        moved = graph.node("Clip", graph.node("Sub", V[layer], step), *ends)
        found.insert(0, graph.node("Reshape", moved, graph.constant([1, -1])))
        back = graph.node("MatMul", s, V[layer])
    return graph.node("Concat", *found, axis=1) if len(found) > 1 else found[0]
