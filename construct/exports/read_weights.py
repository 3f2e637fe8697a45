"""A file of weights as every export takes it: which kind it is, its tensors in float64, and its metadata."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from torch import Tensor

from icgd.bounds.letters import ProblemError
from icgd.bounds.problem import Problem
from icgd.construct.block.given_block import (
    Declaration,
    GivenBlock,
    GivenStream,
    Ranges,
    check_shapes,
    declaration_of,
    declared,
    holds_block,
)
from icgd.construct.block.layer_names import in_two_digits
from icgd.construct.exports.pair_checks import check_pairs
from icgd.construct.given_linear import holds_linear
from icgd.construct.machine.tensor_files import TensorHeader, read_header, read_tensors


def _of_pairs(header: TensorHeader) -> bool:
    """Whether the tensors are P and Q, of all layers at once or layer by layer."""
    return holds_linear(in_two_digits(header.shapes)) and all(name[-1] in "PQ" for name in header.shapes)


WEIGHT_KINDS: Mapping[str, Callable[[TensorHeader], bool]] = {
    "block": lambda header: holds_block(header.shapes),
    "kernel": lambda header: _of_pairs(header) and "kernels" in header.metadata,
    "linear": lambda header: _of_pairs(header) and "kernels" not in header.metadata,
}
"""What a file of weights may hold: one gradient step, attention with kernels, or linear attention (P, Q)."""


EXPORTED_ATTENTION = ("relu", "softmax")
"""The kinds of attention of a block that every format writes."""


@dataclass(frozen=True, eq=False)
class ReadWeights:
    """What a file of weights holds.

    kind: its name in `WEIGHT_KINDS`.  tensors: by name, in float64.  metadata: as docs/weights.md says.
    """

    path: Path
    kind: str
    header: TensorHeader
    tensors: Mapping[str, Tensor]

    @property
    def metadata(self) -> Mapping[str, str]:
        """The texts beside the tensors, by name."""
        return self.header.metadata

    @cached_property
    def declaration(self) -> Declaration:
        """What a block says of itself besides its matrices: its slots, attention and layers."""
        return declaration_of(self.header, self.path, {})

    def block(self) -> GivenBlock:
        """One gradient step by these matrices; raises ProblemError where file and letters do not fit."""
        return GivenBlock.read(self.path, header=self.header)


def read_weights(path: Path) -> ReadWeights:
    """Read a file of weights; raises ProblemError, in one sentence, where it is not one."""
    header = read_header(path, "weights")
    kind = next((name for name, holds in WEIGHT_KINDS.items() if holds(header)), None)
    if kind is None:
        named = ", ".join(list(header.tensors)[:3]) or "no tensors"
        why = f"it holds {named}; what `icgd build` writes is needed, as docs/weights.md says"
        raise ProblemError("weights", path, why)
    if kind == "block":
        _check_block(header, path)
    else:
        check_pairs(header, path)
    letters = declared({name: text for name, text in header.metadata.items() if name == "problem"}, path)
    n = letters.get("letters", {}).get("n", 1)
    if type(n) is not int or n < 1:
        raise ProblemError("problem", f"n = {n}", "the number of examples is a whole number from 1 on")
    tensors = read_tensors(path, "weights", header)
    if set(tensors) == {"P", "Q"}:
        tensors = {name: one if one.ndim > 2 else one[None] for name, one in tensors.items()}
    return ReadWeights(path, kind, header, tensors)


def _check_block(header: TensorHeader, path: Path) -> None:
    """Raises ProblemError for a block that does not say what it is, or whose attention no format knows."""
    for name in ("stream", "attention"):
        if name not in header.metadata:
            raise ProblemError(name, path, f"its metadata have no {name}; docs/weights.md says what it is")
    if header.metadata["attention"] not in EXPORTED_ATTENTION:
        why = f"blocks with {' and '.join(EXPORTED_ATTENTION)} are exported"
        raise ProblemError("attention", header.metadata["attention"], why)
    said = declaration_of(header, path, {})
    layers, D = check_shapes(header.shapes, said)
    if len({name.rpartition(".")[0] for name in header.shapes}) != layers:
        raise ProblemError("weights", path, "the tensors of one layer begin with the same name")
    if said.letters:
        GivenStream.of(said.stream, Problem.parse(dict(said.letters)), D)
    else:
        _check_stream(said.stream, D)


def _check_stream(stream: Ranges, D: int) -> None:
    """Raises ProblemError where a slot of what a prompt gives is missing, too long, or on another one."""
    matrices = sorted(
        (name for name in stream if re.fullmatch(r"V\d+", name)), key=lambda name: int(name[1:])
    )
    wanted = ["x", "y", "one", "t", *(matrices or ["V1"])]
    taken: dict[int, str] = {}
    for index, name in enumerate(wanted):
        if name not in stream or (index > 3 and name != f"V{index - 3}"):
            raise ProblemError(
                "stream", ", ".join(stream), "the slots x, y, V1, V2, ..., one and t are needed"
            )
        start, stop = stream[name]
        shown = f"{start}:{stop}"
        if stop == start or (name in ("one", "t") and stop - start != 1):
            raise ProblemError(f"stream.{name}", shown, "it needs coordinates; one and t have one each")
        if stop > D:
            raise ProblemError(f"stream.{name}", shown, f"the matrices have {D} coordinates")
        for place in range(start, stop):
            if taken.setdefault(place, name) != name:
                raise ProblemError(f"stream.{name}", shown, f"it overlaps the slot {taken[place]}")
