"""What one block computes, in plain numbers, and where the slots of its stream lie."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate, pairwise
from typing import TypedDict


class PlainSum(TypedDict):
    """t -> constant + sum_m c[m] relu(a[m] t + b[m])."""

    a: list[float]
    b: list[float]
    c: list[float]
    constant: float


class PlainProduct(TypedDict):
    """x g = centre g + (square(a (x - centre) + b g) - square(a (x - centre) - b g)) / 4.

    square: None where x may be replaced by its centre.
    """

    centre: float
    a: float
    b: float
    square: PlainSum | None


class NetworkLayer(TypedDict):
    """Layer j of the simulated network.

    face: half the side of the box of V_j.  above_z, above_g, above_s: offsets above |z|, |g| and |s|.
    r, dr: the sums for r and r', None where the block does not use them.
    product: r'(z) times g in `lean`; None in the others, and at a linear output.
    """

    face: float
    above_z: float
    above_g: float
    above_s: float
    r: PlainSum | None
    dr: PlainSum | None
    product: PlainProduct | None


class LossSlope(TypedDict):
    """u = phi(p - rho y) - sigma y, with phi(t) = linear t, or phi = relus (phi of r of z(N) from_z).

    from_z: whether the block computes u directly from z(N), without p(N).
    """

    rho: float
    sigma: float
    linear: float | None
    relus: PlainSum | None
    from_z: bool


class Header(TypedDict):
    """The fields that every program has.  output: activated or linear."""

    construction: str
    N: int
    K: int
    d: int
    d_out: int
    n: int
    eta: float
    output: str
    loss: LossSlope


class Program(Header):
    """One block.  construction: lean, paper or exact.  layers: j = 1..N."""

    layers: list[NetworkLayer]


def layer_sizes(program: Header) -> list[int]:
    """(d, K, ..., K, d_out)."""
    return [program["d"], *[program["K"]] * (program["N"] - 1), program["d_out"]]


def scratch(program: Program) -> Iterator[tuple[str, int]]:
    """Scratch slots in order, each with the layer of the network that it belongs to."""
    N, loss, linear = program["N"], program["loss"], program["output"] == "linear"
    if program["construction"] == "paper":
        yield from ((name, j) for name in ("p", "dr") for j in range(1, N + 1))
        yield from (("u", N), *(("s", j) for j in range(N, 0, -1)))
        return
    for j, layer in enumerate(program["layers"], start=1):
        yield "z", j
        if j == N and loss["from_z"]:
            yield "s" if linear else "u", N
        yield from ((name, j) for name, relus in (("p", layer["r"]), ("dr", layer["dr"])) if relus)
    if not linear:
        yield from ((name, N) for name in "us" if name == "s" or (loss["relus"] and not loss["from_z"]))
    yield from ((name, j) for j in range(N - 1, 0, -1) for name in "gs")


def layout(program: Program) -> dict[str, range]:
    """The coordinates of every slot of the stream: x, y, V1..VN (row by row), scratch, one, t."""
    dims = layer_sizes(program)
    lengths = {"x": dims[0], "y": dims[-1]}
    lengths |= {f"V{j}": rows * columns for j, (columns, rows) in enumerate(pairwise(dims), start=1)}
    lengths |= {f"{name}{j}": dims[j] for name, j in scratch(program)} | {"one": 1, "t": 1}
    ends = accumulate(lengths.values())
    return {name: range(end - size, end) for (name, size), end in zip(lengths.items(), ends, strict=True)}
