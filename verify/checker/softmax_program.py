"""What one block with softmax attention computes, in plain numbers, and where its slots lie."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate, pairwise
from typing import TypedDict

from icgd.verify.checker.program import Header, PlainProduct, PlainSum, layer_sizes


class Squares(TypedDict):
    """left right = (square(a left + b right) - square(a left - b right)) / 4, without the constant."""

    a: float
    b: float
    square: PlainSum


class GatedSquares(Squares):
    """The same with every unit relu(a v + b) made relu(a v + b - offset (1 - t)), which is 0 in the query."""

    offset: float


class SoftmaxNetworkLayer(TypedDict):
    """Layer j of the simulated network.

    face: half the side of the box of V_j.  r, dr: the sums for r and r'; r is None where p(N) is not read.
    z: V_j p(j-1), entry by entry.  product: r'(z) times g.  g: V_(j+1)^T s(j+1), None in the last layer.
    update: p(j-1) times s(j).
    """

    face: float
    r: PlainSum | None
    dr: PlainSum
    z: Squares
    product: PlainProduct
    g: Squares | None
    update: GatedSquares


class SoftmaxProgram(Header):
    """One block, written for the loss (1/(2n)) sum: eta is twice that of Theorem 2's problem."""

    layers: list[SoftmaxNetworkLayer]


def softmax_scratch(program: SoftmaxProgram) -> Iterator[tuple[str, int]]:
    """Scratch slots in order, each with the layer of the network that it belongs to."""
    N = program["N"]
    for j, layer in enumerate(program["layers"], start=1):
        yield from ((name, j) for name in ("z", "dr", *(["p"] if layer["r"] else [])))
    yield from (("u", N), ("s", N))
    yield from ((name, j) for j in range(N - 1, 0, -1) for name in "gs")
    yield from (("q", j) for j in range(1, N + 1))


def softmax_layout(program: SoftmaxProgram) -> dict[str, range]:
    """The coordinates of every slot of the stream: x, y, V1..VN, scratch, one, t; q_j is as large as V_j."""
    dims = layer_sizes(program)
    matrices = {j: rows * columns for j, (columns, rows) in enumerate(pairwise(dims), start=1)}
    lengths = {"x": dims[0], "y": dims[-1]} | {f"V{j}": size for j, size in matrices.items()}
    for name, j in softmax_scratch(program):
        lengths[f"{name}{j}"] = matrices[j] if name == "q" else dims[j]
    lengths |= {"one": 1, "t": 1}
    ends = accumulate(lengths.values())
    return {name: range(end - size, end) for (name, size), end in zip(lengths.items(), ends, strict=True)}
