"""A block that others built: literal matrices from any source, in the format of docs/weights.md."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from icgd.bounds.estimate import bytes_text
from icgd.bounds.letters import ProblemError
from icgd.bounds.problem import Problem
from icgd.construct.block.attention import attention
from icgd.construct.block.given_layer import GivenLayer
from icgd.construct.block.layer_names import in_two_digits, two_digits
from icgd.construct.block.literal import Block, Head, LiteralLayer, Sparse
from icgd.construct.block.stream import OneLine
from icgd.construct.machine.memory import refuse
from icgd.construct.machine.tensor_files import (
    TensorHeader,
    check_finite,
    read_header,
    read_tensors,
    real_tensor,
)
from icgd.construct.prompt import Prompt

Shapes = Mapping[str, tuple[int, ...]]
Ranges = Mapping[str, tuple[int, int]]
"""Name -> [start, stop) of each slot of the stream."""

_NAME = re.compile(r"layer\.(\d{1,4})\.(Q|K|V|W1|W2)")
_MOST_TEXT = 1 << 16
"""The longest metadata entry that is read."""

_COPIES = 4
"""How often the matrices are in memory at most: read, stacked, without zero rows, as entries."""


@dataclass(frozen=True)
class Declaration:
    """What a block says of itself besides its matrices, from metadata and from options.

    stream: [start, stop) of the slots x, y, V1..VN, one, t; every other coordinate is scratch.
    attention: its kind.  diagonal: the layers in which each token attends to itself only.
    layers: how many there are, where that is said.  construction: whose it says it is.
    letters: of the problem, for the loss with 1/(2n).  name: how messages call the source.
    """

    stream: Ranges
    attention: str = "relu"
    diagonal: frozenset[str] = frozenset()
    layers: int | None = None
    construction: str | None = None
    letters: Mapping[str, Any] = field(default_factory=dict)


def parse_stream(text: str) -> dict[str, tuple[int, int]]:
    """The slots in a text such as "x=0:2,y=2:4,V1=4:8"; raises ProblemError where it is not one.

    >>> parse_stream("x=0:2, one=2, t=3")
    {'x': (0, 2), 'one': (2, 3), 't': (3, 4)}
    """
    slots: dict[str, tuple[int, int]] = {}
    for part in text.split(","):
        found = re.fullmatch(r"\s*(\w{1,40})=(\d{1,9})(?::(\d{1,9}))?\s*", part)
        if not found or found[1] in slots:
            raise ProblemError("stream", part, "each slot is given once, as name=start:stop, such as x=0:2")
        start = int(found[2])
        slots[found[1]] = start, int(found[3]) if found[3] else start + 1
    return slots


def declared(metadata: Mapping[str, str], source: object) -> dict[str, Any]:
    """The fields of a `Declaration` that metadata give; raises ProblemError for a malformed one."""
    found: dict[str, Any] = {}
    for name in ("stream", "diagonal", "problem", "layers", "attention", "construction"):
        if name not in metadata:
            continue
        text = metadata[name]
        if len(text) > _MOST_TEXT:
            raise ProblemError(name, source, f"these metadata are longer than {bytes_text(_MOST_TEXT)}")
        if name in ("attention", "construction"):
            found[name] = text
            continue
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            raise ProblemError(name, text, "these metadata are not JSON") from None
        if name == "stream":
            found[name] = _ranges(value)
        elif name == "diagonal":
            if not isinstance(value, list) or not all(isinstance(layer, str) for layer in value):
                raise ProblemError(name, text, 'a list of layers is needed, such as ["layer.03"]')
            found[name] = frozenset(value)
        elif name == "layers":
            if type(value) is not int or not 0 < value < 10**4:
                raise ProblemError(name, text, "a number of layers is needed")
            found[name] = value
        elif not isinstance(value, dict):
            raise ProblemError(name, text, "letters with their values are needed")
        else:
            found["letters"] = value
    return found


def _ranges(value: Any) -> dict[str, tuple[int, int]]:
    if not isinstance(value, dict):
        raise ProblemError("stream", value, "slots with their [start, stop) are needed")
    for name, ends in value.items():
        pair = isinstance(ends, list) and len(ends) == 2 and all(type(end) is int for end in ends)
        if not pair or not 0 <= ends[0] <= ends[1] < 2**31:
            raise ProblemError(f"stream.{name}", ends, "it is [start, stop) of a slot")
    return {name: (ends[0], ends[1]) for name, ends in value.items()}


@dataclass(frozen=True)
class GivenStream:
    """Where the parts of a token are: coordinates of x, y, w, one and t, and of the scratch between them.

    w: of V_1..V_N, row after row.  scratch: every coordinate that none of these names.
    """

    D: int
    x: list[int]
    y: list[int]
    w: list[int]
    one: int
    t: int

    @property
    def scratch(self) -> list[int]:
        named = {*self.x, *self.y, *self.w, self.one, self.t}
        return [place for place in range(self.D) if place not in named]

    @classmethod
    def of(cls, ranges: Ranges, problem: Problem, D: int) -> GivenStream:
        """The stream of width D; raises ProblemError, with the slot, where it does not fit the letters."""
        dims = problem.dims
        sizes = {"x": (dims[0], "d"), "y": (dims[-1], "d_out")}
        for j in range(1, problem.N + 1):
            sizes[f"V{j}"] = dims[j] * dims[j - 1], f"dims {dims[j]} x {dims[j - 1]} of layer {j}"
        sizes |= {"one": (1, "one coordinate"), "t": (1, "one coordinate")}
        taken: dict[int, str] = {}
        for name, (size, why) in sizes.items():
            if name not in ranges:
                raise ProblemError(
                    "stream",
                    ", ".join(ranges),
                    f"there is no slot {name}; give --stream {name}=start:stop too",
                )
            start, stop = ranges[name]
            if stop - start != size:
                posed = f"N={problem.N}, K={problem.K}, d={problem.d}, d_out={problem.d_out}"
                raise ProblemError(
                    f"stream.{name}", f"{start}:{stop}", f"it needs {size} coordinates ({why}) for {posed}"
                )
            if stop > D:
                raise ProblemError(f"stream.{name}", f"{start}:{stop}", f"the matrices have {D} coordinates")
            for place in range(start, stop):
                if taken.setdefault(place, name) != name:
                    raise ProblemError(
                        f"stream.{name}", f"{start}:{stop}", f"it overlaps the slot {taken[place]}"
                    )
        for name in ranges:
            if re.fullmatch(r"V\d+", name) and name not in sizes:
                raise ProblemError(f"stream.{name}", ranges[name], f"the letters pose N = {problem.N} layers")
        spans = {name: list(range(*ranges[name])) for name in sizes}
        w = [place for j in range(1, problem.N + 1) for place in spans[f"V{j}"]]
        return cls(D, spans["x"], spans["y"], w, spans["one"][0], spans["t"][0])


class GivenBlock(OneLine, nn.Module):
    """One gradient step by the literal matrices of anyone, for the loss with 1/(2n).

    Batched over prompts, differentiable, on any device; tensors are kept in float64.
    Raises ProblemError, in one sentence, where matrices, stream and letters do not fit together.
    """

    name = "given"

    def __init__(self, tensors: Mapping[str, Tensor], problem: Problem, declaration: Declaration) -> None:
        super().__init__()
        tensors = in_two_digits({name: real_tensor(name, tensor) for name, tensor in tensors.items()})
        alone = frozenset(map(two_digits, declaration.diagonal))
        shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        layers, D = check_shapes(shapes, declaration)
        refuse(needed_bytes(shapes), "the given matrices", problem)
        for name, tensor in tensors.items():
            check_finite(name, tensor)
        self.problem, self.declaration = problem, declaration
        self.attention, self.stream = (
            attention(declaration.attention).name,
            GivenStream.of(declaration.stream, problem, D),
        )
        self.tensors = {name: tensor.detach().to("cpu", torch.float64) for name, tensor in tensors.items()}
        self.layers = nn.ModuleList(
            GivenLayer(self._of(index), D, self.attention, diagonal=layer_name(index) in alone)
            for index in range(layers)
        )

    @classmethod
    def read(
        cls,
        path: Path,
        problem: Problem | None = None,
        letters: Mapping[str, Any] | None = None,
        *,
        header: TensorHeader | None = None,
        **chosen: Any,
    ) -> GivenBlock:
        """The block of a file of tensors; `chosen` replaces fields of its `Declaration`.

        problem: in place of the one in the metadata, in which `letters` replaces some.  Sizes are checked
        before any tensor is read.  header: of this file, if it was read before.
        """
        header = header or read_header(path, "weights")
        declaration = declaration_of(header, path, chosen)
        chosen_letters = {**declaration.letters, **(letters or {})}
        if problem is None and not chosen_letters:
            why = "its metadata name no letters; give them, such as --N 2 --K 3 --d 2 --n 8"
            raise ProblemError("problem", path, why)
        posed = problem or Problem.parse(chosen_letters)
        shapes = {name: one.shape for name, one in header.tensors.items()}
        _, D = check_shapes(shapes, declaration)
        GivenStream.of(declaration.stream, posed, D)
        refuse(needed_bytes(shapes), "the given matrices", posed)
        return cls(read_tensors(path, "weights", header), posed, declaration)

    @classmethod
    def of_block(cls, block: Block) -> GivenBlock:
        """The literal matrices of a block of ours."""
        tensors, diagonal, index = {}, set(), -1
        for index, layer in enumerate(block.literal()):
            if layer.heads:
                for part in "QKV":
                    tensors[f"{layer_name(index)}.{part}"] = torch.stack(
                        [getattr(h, part).dense() for h in layer.heads]
                    )
            if layer.hidden:
                tensors |= {
                    f"{layer_name(index)}.W1": layer.W1.dense(),
                    f"{layer_name(index)}.W2": layer.W2.dense(),
                }
            diagonal |= {layer_name(index)} if layer.diagonal else set()
        ranges = {name: (slot.start, slot.stop) for name, slot in block.stream.slots.items()}
        said = Declaration(ranges, block.attention, frozenset(diagonal), index + 1, block.name)
        return cls(tensors, block.problem, said)

    def _of(self, index: int) -> dict[str, Tensor]:
        start = f"{layer_name(index)}."
        return {name.removeprefix(start): one for name, one in self.tensors.items() if name.startswith(start)}

    def literal(self) -> Iterator[LiteralLayer]:
        """The matrices layer by layer, as entries."""
        D = self.stream.D
        for index, name in enumerate(map(layer_name, range(len(self.layers)))):
            found = self._of(index)
            heads = zip(*(found.get(part, ()) for part in "QKV"), strict=True)
            yield LiteralLayer(
                tuple(Head(*map(_sparse, head)) for head in heads),
                _sparse(found.get("W1", torch.zeros(0, D))),
                _sparse(found.get("W2", torch.zeros(D, 0))),
                name in self.declaration.diagonal,
            )

    def pack(self, prompt: Prompt) -> Float[Tensor, "B T D"]:
        """The input, one row per token, the query last, with y = 0 and t = 0."""
        at, tokens = self.stream, torch.cat([prompt.x, prompt.query[:, None]], dim=1)
        B, T = tokens.shape[:2]
        y = torch.cat([prompt.y, torch.zeros_like(prompt.y[:, :1])], dim=1)
        w = prompt.w[:, None].expand(B, T, -1)
        marks = tokens.new_ones(B, T, 2)
        marks[:, -1, 1] = 0.0
        parts = torch.cat([tokens, y, w, marks], dim=-1)
        H = tokens.new_zeros(B, T, at.D)
        return H.index_copy(2, torch.tensor([*at.x, *at.y, *at.w, at.one, at.t], device=H.device), parts)

    def forward(self, H: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        """One gradient step."""
        for layer in self.layers:
            H = layer(H)
        return H

    def weights(self, H: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D_w"]:
        """The w that every token carries."""
        return H[..., self.stream.w]

    def step(self, prompt: Prompt) -> Float[Tensor, "B D_w"]:
        """The w that the query's token carries after one step."""
        return self.weights(self(self.pack(prompt)))[:, -1]


def holds_block(shapes: Shapes) -> bool:
    """Whether tensors of these names may be a block: some layer has K, V, W1 or W2.

    >>> holds_block({"layer.00.W1": (8, 4)}), holds_block({"layer.00.P": (3, 3), "layer.00.Q": (3, 3)})
    (True, False)
    """
    parts = {found[2] for name in shapes if (found := _NAME.fullmatch(name))}
    return bool(parts) and "layer.00.P" not in shapes and "layer.00.O" not in shapes


def declaration_of(header: TensorHeader, source: object, chosen: Mapping[str, Any]) -> Declaration:
    """The declaration in a header's metadata, with `chosen` in place; raises ProblemError without one."""
    found = declared(header.metadata, source) | {
        name: value for name, value in chosen.items() if value is not None
    }
    if "stream" not in found:
        why = "its metadata name no slots; give them as --stream x=0:2,y=2:4,V1=4:8,...,one=20,t=21"
        raise ProblemError("stream", source, why)
    if "attention" not in found and any(name.endswith(".Q") for name in header.shapes):
        why = "its metadata name no kind of attention; give it as --attention relu or --attention softmax"
        raise ProblemError("attention", source, why)
    return Declaration(**found)


def layer_name(index: int) -> str:
    """What the names of a layer's tensors begin with.

    >>> layer_name(3)
    'layer.03'
    """
    return f"layer.{index:02d}"


def needed_bytes(shapes: Shapes) -> float:
    """The memory that matrices of these shapes take here, in bytes."""
    return 8.0 * _COPIES * sum(float(np.prod(shape, dtype=float)) for shape in shapes.values())


def check_shapes(shapes: Shapes, declaration: Declaration) -> tuple[int, int]:
    """The number of layers and the width D; raises ProblemError for a missing, extra or misshapen tensor."""
    found: dict[int, dict[str, tuple[int, ...]]] = {}
    for name, shape in in_two_digits(shapes).items():
        parts = _NAME.fullmatch(name)
        if not parts or len(parts[1]) < 2:
            why = "the tensors of a block are layer.00.Q, .K, .V, .W1 and .W2, then layer.01, and so on"
            raise ProblemError("tensor", name, why)
        found.setdefault(int(parts[1]), {})[parts[2]] = shape
    if not found:
        raise ProblemError("weights", "no tensors", "there are no matrices to judge")
    layers = declaration.layers or max(found) + 1
    widths = [
        shape[-1] for layer in found.values() for part, shape in layer.items() if part != "W2" and shape
    ]
    D = max(widths, key=widths.count, default=0)
    for index in sorted(set(range(layers)) | set(found)):
        parts_here, name = found.get(index, {}), layer_name(index)
        if index >= layers:
            raise ProblemError("layers", layers, f"there are tensors of {name}, too")
        if not parts_here:
            raise ProblemError("tensor", name, f"it has no matrices, and there are {layers} layers")
        for group in (("Q", "K", "V"), ("W1", "W2")):
            for part in group:
                if part not in parts_here and set(group) & set(parts_here):
                    others = " and ".join(one for one in group if one in parts_here)
                    raise ProblemError("tensor", f"{name}.{part}", f"it is missing, and {others} are there")
        heads, hidden = (parts_here[part][0] if parts_here.get(part) else 0 for part in ("Q", "W1"))
        wanted = dict.fromkeys("QKV", (heads, D, D)) | {"W1": (hidden, D), "W2": (D, hidden)}
        for part, shape in parts_here.items():
            if shape == wanted[part] and not all(shape):
                raise ProblemError(f"{name}.{part}", f"shape {shape}", "it is empty; leave it out")
            if shape != wanted[part]:
                raise ProblemError(f"{name}.{part}", f"shape {shape}", f"{wanted[part]} is needed")
    for layer in declaration.diagonal:
        if two_digits(layer) not in map(layer_name, range(layers)):
            raise ProblemError(
                "diagonal", layer, f"the layers are {layer_name(0)} to {layer_name(layers - 1)}"
            )
    return layers, D


def _sparse(matrix: Float[Tensor, "rows columns"]) -> Sparse:
    full = matrix.numpy()
    rows, columns = np.nonzero(full)
    return Sparse((full.shape[0], full.shape[1]), np.stack([rows, columns, full[rows, columns]], axis=1))
