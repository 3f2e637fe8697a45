"""The format `onnx`: one gradient step as a graph of ONNX in float64."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from icgd.construct.block.given_block import Declaration, check_shapes, layer_name
from icgd.construct.block.layer_names import in_two_digits, two_digits
from icgd.construct.exports.onnx_graph import OnnxGraph
from icgd.construct.exports.read_weights import ReadWeights
from icgd.construct.machine.memory import refuse_tensors

_COPIES = 4
"""How often the matrices are in memory at most, besides those that were read."""


def write_onnx_step(weights: ReadWeights, path: Path) -> tuple[Path, ...]:
    """Write a graph from tokens `H` (batch, tokens, D) to `H_after`, the metadata of the weights with it."""
    refuse_tensors(8 * _COPIES * sum(one.numel() for one in weights.tensors.values()), path)
    graph = OnnxGraph("one gradient step in context")
    after = add_layers(graph, weights.tensors, weights.declaration, "H")
    graph.node("Identity", after, name="H_after")
    _, D = check_shapes(
        {name: tuple(one.shape) for name, one in weights.tensors.items()}, weights.declaration
    )
    shape = ("batch", "tokens", D)
    return graph.write(path, {"H": shape}, {"H_after": shape}, weights.metadata)


def add_layers(graph: OnnxGraph, tensors: Mapping[str, Tensor], said: Declaration, H: str) -> str:
    """Add the layers of a block to a graph, from tokens (batch, tokens, D) on; returns its last tokens.

    The constant `layer.00.Q.T` holds (heads, D, D), each matrix transposed, and so do the others.
    """
    held = in_two_digits(tensors)
    layers, _ = check_shapes({name: tuple(one.shape) for name, one in held.items()}, said)
    alone = set(map(two_digits, said.diagonal))
    for layer in map(layer_name, range(layers)):
        turned = {
            part: graph.constant(held[f"{layer}.{part}"].mT.numpy(), f"{layer}.{part}.T")
            for part in ("Q", "K", "V", "W1", "W2")
            if f"{layer}.{part}" in held
        }
        if "Q" in turned:
            each = graph.node("Unsqueeze", H, graph.constant([1]))
            query, key, value = (graph.node("MatMul", each, turned[part]) for part in "QKV")
            if layer in alone:
                added = _alone(graph, said.attention, query, key, value)
            else:
                added = _attended(graph, said.attention, query, key, value)
            heads = graph.node("ReduceSum", added, graph.constant([1]), keepdims=0)
            H = graph.node("Add", H, heads)
        if "W1" in turned:
            hidden = graph.node("Relu", graph.node("MatMul", H, turned["W1"]))
            H = graph.node("Add", H, graph.node("MatMul", hidden, turned["W2"]))
    return H


def _alone(graph: OnnxGraph, attention: str, query: str, key: str, value: str) -> str:
    """Each token attends to itself: relu of its own score times its value; softmax of one score is 1."""
    if attention == "softmax":
        return value
    score = graph.node("ReduceSum", graph.node("Mul", query, key), graph.constant([3]))
    return graph.node("Mul", graph.node("Relu", score), value)


def _attended(graph: OnnxGraph, attention: str, query: str, key: str, value: str) -> str:
    scores = graph.node("MatMul", query, graph.node("Transpose", key, perm=[0, 1, 3, 2]))
    if attention == "softmax":
        return graph.node("MatMul", graph.node("Softmax", scores, axis=3), value)
    size = graph.node("Shape", scores, start=3, end=4)
    tokens = graph.node("Cast", size, to=graph.onnx.TensorProto.DOUBLE)
    return graph.node("Div", graph.node("MatMul", graph.node("Relu", scores), value), tokens)
