"""Derives the matrices of a block with softmax attention from its program, without code of `construct/`.

`icgd.verify.checker.matrices.differences` compares them.  The order matters: slots as in
`softmax_layout`, hidden units part by part and coordinate by coordinate.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from icgd.verify.checker.matrices import (
    EntryValue,
    ExpectedBlock,
    ExpectedLayer,
    check_shape,
    entry_value,
    pair,
)
from icgd.verify.checker.program import PlainProduct, PlainSum, layer_sizes
from icgd.verify.checker.softmax_program import SoftmaxProgram, Squares, softmax_layout, softmax_scratch


class _Block(ExpectedBlock):
    def __init__(self, program: SoftmaxProgram) -> None:
        super().__init__(softmax_layout(program), program["loss"])
        self.program, self.dims, self.N = program, layer_sizes(program), program["N"]
        self.of = dict(enumerate(program["layers"], start=1))

    def entries(self, j: int) -> list[tuple[int, int]]:
        """(row, column) of every weight of V_j, in the order of its slot."""
        return [(k, c) for k in range(self.dims[j]) for c in range(self.dims[j - 1])]

    def times(self, part: Squares, factors: Sequence[tuple[int, int, int]], offset: float | None) -> None:
        """Coordinate target += left right for every (left, right, target), the squares of sums first."""
        square = part["square"]
        for sign in (1.0, -1.0):
            units: list[tuple[EntryValue, EntryValue, dict[int, EntryValue], EntryValue]] = []
            for a, b, c in zip(square["a"], square["b"], square["c"], strict=True):
                shift = {self.one: entry_value((b,))}
                if offset is not None:
                    shift = {self.one: entry_value((b,), (-1.0, offset)), self.t: entry_value((offset,))}
                units.append(
                    (
                        entry_value((part["a"], a)),
                        entry_value((sign, part["b"], a)),
                        shift,
                        entry_value((sign / 4, c)),
                    )
                )
            for left, right, target in factors:
                for by_left, by_right, shift, adds in units:
                    self.layers[-1].unit({left: by_left, right: by_right, **shift}, {target: adds})

    def scaled(self, j: int, source: str, product: PlainProduct) -> None:
        """s(j) = r'(z(j)) times the slot `source`."""
        if product["centre"]:
            self.ridge({source: (1.0,)}, [], pair(0.0, product["centre"]), f"s{j}")
        if product["square"]:
            a, b = product["a"], product["b"]
            for sign in (1.0, -1.0):
                form = {f"dr{j}": (a,), source: (sign, b)}
                bare: PlainSum = {**product["square"], "constant": 0.0}
                self.ridge(form, [(-a, product["centre"])], bare, f"s{j}", sign / 4)

    def forward(self, j: int) -> None:
        layer, V, p, z = self.of[j], self.slots[f"V{j}"], self.slots[f"p{j - 1}"], self.slots[f"z{j}"]
        places = zip(V, self.entries(j), strict=True)
        self.layer()
        self.times(layer["z"], [(at, p[c], z[k]) for at, (k, c) in places], None)
        self.layer()
        self.ridge({f"z{j}": (1.0,)}, [], layer["dr"], f"dr{j}")
        if layer["r"]:
            self.ridge({f"z{j}": (1.0,)}, [], layer["r"], f"p{j}")
        if j == self.N and self.loss["from_z"]:
            self.slope(f"z{j}", [], f"u{j}")
        elif j == self.N:
            self.layer()
            self.slope(f"p{j}", [], f"u{j}")

    def backward(self, j: int) -> None:
        if j < self.N:
            part, V, s, g = self.of[j]["g"], *(self.slots[x] for x in (f"V{j + 1}", f"s{j + 1}", f"g{j}"))
            if part is None:
                raise ValueError(f"the program has no products for g{j}")
            places = zip(V, self.entries(j + 1), strict=True)
            self.layer()
            self.times(part, [(at, s[k], g[c]) for at, (k, c) in places], None)
        self.layer()
        self.scaled(j, f"g{j}" if j < self.N else f"u{j}", self.of[j]["product"])

    def update(self) -> None:
        """q_j = p(j-1) s(j) in the examples and 0 in the query; then V_j -= eta (n+1)/(2n) times its mean."""
        n = self.program["n"]
        scale = Fraction(self.program["eta"]) * Fraction(n + 1, -2 * n)
        self.layer()
        for j, layer in self.of.items():
            p, s, q = (self.slots[name] for name in (f"p{j - 1}", f"s{j}", f"q{j}"))
            places = zip(q, self.entries(j), strict=True)
            self.times(
                layer["update"], [(p[c], s[k], at) for at, (k, c) in places], layer["update"]["offset"]
            )
        self.layer()
        moves = [
            place for j in self.of for place in zip(self.slots[f"V{j}"], self.slots[f"q{j}"], strict=True)
        ]
        self.layers[-1].head([], [], [(*place, entry_value((scale,))) for place in moves])


def expected_softmax(program: SoftmaxProgram) -> list[ExpectedLayer]:
    """Every layer of one block; raises ValueError or KeyError where parts of the program are missing."""
    check_shape(program)
    block = _Block(program)
    for j in block.of:
        block.forward(j)
    for j in reversed(block.of):
        block.backward(j)
    block.update()
    return block.finished([layer["face"] for layer in program["layers"]], softmax_scratch(program))
