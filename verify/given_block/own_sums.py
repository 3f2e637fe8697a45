"""Reads a program from the matrices of others: the network of the paper's Lemmas 2 to 5, with their own sums.

What is read here is a guess that no proof relies on: the program is compared with all matrices afterwards.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from icgd.bounds.functions.relu_sum import ReluSum
from icgd.bounds.problem import Problem
from icgd.construct.block.given_block import GivenBlock
from icgd.verify.given_block.dataflow import Part


class Unreadable(ValueError):
    """What could not be read, in one sentence."""


@dataclass(frozen=True)
class OwnSums:
    """The parts of a program that its author chose.

    r, dr: the sums of ReLUs for each layer.  u: that of the loss slope where it is nonlinear.
    above: the offset above |s| of each layer.  faces: half the side of the box of each layer.
    places: coordinates of every scratch slot, by its name in `paper`'s programs.
    """

    r: list[ReluSum]
    dr: list[ReluSum]
    u: ReluSum | None
    above: list[float]
    faces: list[float]
    places: dict[str, list[int]]


def read_sums(block: GivenBlock, parts: Sequence[Part], z: Sequence[float]) -> OwnSums:
    """The sums in the parts of a block.  z: about how large the pre-activations of each layer are.

    Raises Unreadable for the first neuron, product or offset that is not found.
    """
    reader = _Reader(block, parts)
    places: dict[str, list[int]] = {}
    r, dr = [], []
    inputs = block.stream.x
    for j in range(1, block.problem.N + 1):
        here = [reader.neuron(j, k, inputs) for k in range(block.problem.dims[j])]
        first, second = _told_apart(block.problem, j, here, z[j - 1])
        places[f"p{j}"], places[f"dr{j}"] = [one for one, _ in first], [one for one, _ in second]
        r.append(first[0][1])
        dr.append(second[0][1])
        inputs = places[f"p{j}"]
    places[f"u{block.problem.N}"], u = reader.slope(inputs)
    for j in range(1, block.problem.N + 1):
        places[f"s{j}"] = [reader.product(j, k, at) for k, at in enumerate(places[f"dr{j}"], start=1)]
    above = [reader.offset(j, places[f"s{j}"][0]) for j in range(1, block.problem.N + 1)]
    faces = [reader.face(j) for j in range(1, block.problem.N + 1)]
    return OwnSums(r, dr, u, above, faces, places)


Neuron = tuple[int, ReluSum]
"""A coordinate, and the sum of ReLUs that is added to it."""


def _told_apart(
    problem: Problem, j: int, found: list[list[Neuron]], z: float
) -> tuple[list[Neuron], list[Neuron]]:
    """The two sums of every neuron of a layer: the one nearer to r, and the one nearer to r'."""
    r, t = problem.activation_at(j).r, np.linspace(-z, z, 201)
    both: tuple[list[Neuron], list[Neuron]] = ([], [])
    for k, sums in enumerate(found, start=1):
        if len(sums) != 2:
            raise Unreadable(f"neuron {k} of layer {j} is computed {len(sums)} times, not as r and as r'")
        far = [max(abs(one(t) - g(t))) for _, one in sums for g in (r, r.derivative)]
        order = sums if far[0] + far[3] <= far[1] + far[2] else sums[::-1]
        for one, target in zip(order, both, strict=True):
            target.append(one)
    return both


def _sum(units: Sequence[tuple[float, float, float]], constant: float) -> ReluSum:
    a, b, c = np.array(units, dtype=np.float64).reshape(-1, 3).T
    return ReluSum(a, b, c, constant)


class _Reader:
    def __init__(self, block: GivenBlock, parts: Sequence[Part]) -> None:
        self.problem, self.one, self.t, self.y = (
            block.problem,
            block.stream.one,
            block.stream.t,
            block.stream.y,
        )
        self.parts, w, self.rows = parts, list(block.stream.w), dict[int, list[list[int]]]()
        for j in range(1, block.problem.N + 1):
            rows, columns = block.problem.dims[j], block.problem.dims[j - 1]
            self.rows[j] = [w[k * columns : (k + 1) * columns] for k in range(rows)]
            w = w[rows * columns :]

    def neuron(self, j: int, k: int, inputs: Sequence[int]) -> list[Neuron]:
        """Every sum of ReLUs of v_jk . p(j-1), by the coordinate that it is added to."""
        keys = dict(zip(self.rows[j][k], inputs, strict=True))
        units: dict[int, list[tuple[float, float, float]]] = defaultdict(list)
        for part in self.parts:
            if part.kind == "head" and len(part.adds) == 1 and part.adds[0][0] == self.one:
                unit = self._unit(part, keys)
                if unit is not None:
                    units[part.target].append((*unit, float(part.adds[0][1])))  # type: ignore[arg-type]
        return [(target, _sum(found, self._constant(target))) for target, found in units.items()]

    def _unit(self, part: Part, keys: dict[int, int]) -> tuple[float, float] | None:
        """The a and b of relu(a v.p + b), or None for another score."""
        slopes, b = {}, 0.0
        for query, key in part.scores:
            if len(query) != 1 or len(key) != 1 or key[0][1] != 1.0:
                return None
            (reads, value), at = query[0], key[0][0]
            if at == reads == self.one:
                b = float(value)  # type: ignore[arg-type]
            elif keys.get(at) == reads:
                slopes[at] = float(value)  # type: ignore[arg-type]
            else:
                return None
        return (next(iter(slopes.values())), b) if slopes.keys() == keys.keys() else None

    def _constant(self, target: int) -> float:
        ones = (((self.one, 1.0),), ((self.one, 1.0),))
        alone = [
            part
            for part in self.parts
            if part.kind == "head"
            and part.target == target
            and part.scores == (ones,)
            and len(part.adds) == 1
        ]
        return float(sum(part.adds[0][1] for part in alone if part.adds[0][0] == self.one))  # type: ignore[misc]

    def slope(self, outputs: Sequence[int]) -> tuple[list[int], ReluSum | None]:
        """The coordinates of the loss slope, and its sum of ReLUs, or None where it is linear."""
        phi, places, sums = self.problem.loss.phi, [], []
        for k, p in enumerate(outputs):
            of = {
                part.target
                for part in self.parts
                if part.kind == "unit" and part.place != -1 and p in part.reads and part.target != p
            }
            if len(of) != 1:
                raise Unreadable(f"the loss slope of output {k + 1} is in {len(of)} coordinates, not in one")
            places.append(of.pop())
            units, constant = [], 0.0
            for part in self.parts:
                if part.kind == "unit" and part.place != -1 and part.target == places[-1]:
                    reads, c = dict(part.scores[0][0]), float(part.adds[0][1])  # type: ignore[arg-type]
                    if p in reads:
                        units.append((float(reads[p]), float(reads.get(self.one, 0.0)), c))  # type: ignore[arg-type]
                    elif set(reads) == {self.one}:
                        constant += c
            sums.append(_sum(units, constant))
        return places, None if phi.derivative.is_constant else sums[0]

    def product(self, j: int, k: int, dr: int) -> int:
        """The coordinate of r'(z) times g."""
        of = {
            part.target
            for part in self.parts
            if part.kind == "masked" and [at for at, _ in part.adds] == [dr]
        }
        if len(of) != 1:
            raise Unreadable(
                f"the product of r' and g in neuron {k} of layer {j} is in {len(of)} coordinates"
            )
        return of.pop()

    def offset(self, j: int, s: int) -> float:
        """The constant that keeps s at or above 0 in the update."""
        for part in self._updates(j):
            for _, key in part.scores:
                found = dict(key)
                if s in found and self.one in found:
                    return -float(found[self.one])  # type: ignore[arg-type]
        raise Unreadable(f"no head of the update of V{j} keeps s above 0 by a constant")

    def _updates(self, j: int) -> Iterator[Part]:
        first = self.rows[j][0][0]
        return (part for part in self.parts if part.kind == "head" and part.target == first)

    def face(self, j: int) -> float:
        """Half the side of the box onto which V_j is projected."""
        v = self.rows[j][0][0]
        for part in self.parts:
            reads = dict(part.scores[0][0]) if part.place == -1 and part.target == v else {}
            if reads.get(v) == 1.0 and self.one in reads:
                return -float(reads[self.one])  # type: ignore[arg-type]
        raise Unreadable(f"the last hidden units do not project V{j}")
