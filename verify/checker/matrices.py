"""Compares the literal matrices with a program, entry by entry: no entry missing, none extra, no sampling.

`expected` derives the matrices of a `icgd.verify.checker.program.Program` without any code of
`construct/`; `differences` compares them.  The order matters: slots as in `layout`, heads and hidden units
coordinate by coordinate.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from icgd.verify.checker.program import (
    LossSlope,
    NetworkLayer,
    PlainSum,
    Program,
    layer_sizes,
    layout,
    scratch,
)

if TYPE_CHECKING:
    from icgd.verify.checker.softmax_program import SoftmaxProgram

ENTRY_SLACK = Fraction(4, 2**53)
"""Four of the 16 roundings in the gamma(terms + 16) of `step_error.rounding`: at most 4 ulps per product."""


class SparseMatrix(Protocol):
    """The entries of a matrix that are not 0, each with its row and column, as sequences with `tolist`."""

    @property
    def shape(self) -> tuple[int, int]: ...
    @property
    def rows(self) -> Any: ...
    @property
    def columns(self) -> Any: ...
    @property
    def values(self) -> Any: ...
    @property
    def nonzeros(self) -> int: ...


class MatricesOfHead(Protocol):
    """The matrices of one head of attention."""

    @property
    def Q(self) -> SparseMatrix: ...
    @property
    def K(self) -> SparseMatrix: ...
    @property
    def V(self) -> SparseMatrix: ...


class MatricesOfLayer(Protocol):
    """The literal matrices of one layer, whoever wrote them.  diagonal: tokens attend to themselves only."""

    @property
    def heads(self) -> Sequence[MatricesOfHead]: ...
    @property
    def W1(self) -> SparseMatrix: ...
    @property
    def W2(self) -> SparseMatrix: ...
    @property
    def diagonal(self) -> bool: ...


class Computed(NamedTuple):
    """An entry that takes arithmetic: correct within `slack`, ENTRY_SLACK times the sizes of its terms."""

    value: Fraction
    slack: Fraction


EntryValue = float | Computed  # a float must agree bit for bit
EntryPlace = tuple[str, int, int, int]  # matrix, head (0 for W1, W2), row, column
Factors = tuple[float | Fraction, ...]  # of a product; a Fraction marks a computed factor
LinearForm = Mapping[str, Factors]  # a linear form of slots, entry k of each


@dataclass
class ExpectedLayer:
    """What one layer must be: its sizes, its mask, and every entry that is not 0."""

    D: int
    diagonal: bool = False
    heads: int = 0
    hidden: int = 0
    entries: dict[EntryPlace, EntryValue] = field(default_factory=dict)

    def head(self, *matrices: Iterable[tuple[int, int, EntryValue]]) -> None:
        """One more head: (row, column, value) of Q, K and V."""
        for name, entries in zip("QKV", matrices, strict=True):
            self.entries |= {(name, self.heads, row, column): value for row, column, value in entries}
        self.heads += 1

    def unit(self, reads: Mapping[int, EntryValue], adds: Mapping[int, EntryValue]) -> None:
        """One more hidden unit, by coordinates."""
        self.entries |= {("W1", 0, self.hidden, place): value for place, value in reads.items()}
        self.entries |= {("W2", 0, place, self.hidden): value for place, value in adds.items()}
        self.hidden += 1


class Difference(NamedTuple):
    """Where layer `layer` (from 0) is not as expected: in W1, "head 3 Q", or a size, which has no entry."""

    layer: int
    where: str
    entry: tuple[int, int] | None
    expected: float
    actual: float


def entry_value(*products: Factors) -> EntryValue:
    """A sum of products; a float where it takes nothing but copying and scaling by powers of 2."""
    kept = [factors for factors in products if all(factors)]
    rough = [x for factors in kept for x in factors if isinstance(x, Fraction) or math.frexp(x)[0] % 0.5]
    if len(kept) <= 1 and len(rough) <= 1 and not any(isinstance(x, Fraction) for x in rough):
        return float(math.prod(kept[0])) if kept else 0.0
    exact = [math.prod((Fraction(x) for x in factors), start=Fraction(1)) for factors in kept]
    return Computed(sum(exact, Fraction(0)), sum(map(abs, exact), Fraction(0)) * ENTRY_SLACK)


_RELU: PlainSum = {"a": [1.0], "b": [0.0], "c": [1.0], "constant": 0.0}


def pair(b: float, c: float) -> PlainSum:  # c relu(t + b) - c relu(-t + b); for b = 0 it is c t
    return {"a": [1.0, -1.0], "b": [b, b], "c": [c, -c], "constant": 0.0}


class ExpectedBlock:
    """The layers of one block; each method adds to the last of them."""

    def __init__(self, slots: Mapping[str, range], loss: LossSlope) -> None:
        self.slots, self.loss = {**slots, "p0": slots["x"]}, loss
        self.one, self.t = slots["one"][0], slots["t"][0]
        self.layers, self.constants = list[ExpectedLayer](), dict[int, list[Factors]]()

    def layer(self, *, diagonal: bool = False) -> None:
        self.close()
        self.layers.append(ExpectedLayer(self.t + 1, diagonal))

    def ridge(
        self, form: LinearForm, bias: Sequence[Factors], relus: PlainSum, target: str, scale: float = 1.0
    ) -> None:
        """target[k] += scale relus(form + bias), a hidden unit for each k and ReLU."""
        units = []
        for a, b, c in zip(relus["a"], relus["b"], relus["c"], strict=True):
            reads = {name: entry_value((a, *by)) for name, by in form.items()}
            units.append(
                (reads, entry_value(*((a, *factors) for factors in bias), (b,)), entry_value((scale, c)))
            )
        for k, place in enumerate(self.slots[target]):
            for reads, shift, value in units:
                at = {self.slots[name][k]: coefficient for name, coefficient in reads.items()}
                self.layers[-1].unit(at | {self.one: shift}, {place: value})
            self.constants.setdefault(place, []).append((scale, relus["constant"]))

    def close(self) -> None:
        """The constants of all ridges of a layer share its last unit, relu(1)."""
        if any(all(factors) for terms in self.constants.values() for factors in terms):
            adds = {place: entry_value(*terms) for place, terms in self.constants.items()}
            self.layers[-1].unit({self.one: 1.0}, adds)
        self.constants = {}

    def slope(self, source: str, bias: Sequence[Factors], target: str) -> None:  # target += u
        relus = self.loss["relus"] or pair(0.0, self.loss["linear"] or 0.0)
        self.ridge({source: (1.0,), "y": (-1.0, self.loss["rho"])}, bias, relus, target)
        if self.loss["sigma"]:
            self.ridge({"y": (1.0,)}, [], pair(0.0, -self.loss["sigma"]), target)

    def finished(self, faces: Sequence[float], scratch: Iterable[tuple[str, int]]) -> list[ExpectedLayer]:
        """All layers; adds the projection of w and the clearing (x - x) of scratch to the last one."""
        for j, face in enumerate(faces, start=1):
            self.ridge({f"V{j}": (1.0,)}, [], pair(-face, -1.0), f"V{j}")
        for name, j in scratch:
            self.ridge({f"{name}{j}": (1.0,)}, [], pair(0.0, -1.0), f"{name}{j}")
        self.close()
        return self.layers


class _Block(ExpectedBlock):
    def __init__(self, program: Program) -> None:
        super().__init__(layout(program), program["loss"])
        self.program, self.N = program, program["N"]
        self.of: dict[int, NetworkLayer] = dict(enumerate(program["layers"], start=1))

    def rows(self, j: int) -> list[range]:
        """The coordinates of V_j, row by row."""
        place, width = self.slots[f"V{j}"], layer_sizes(self.program)[j - 1]
        return [place[k : k + width] for k in range(0, len(place), width)]

    def attend(
        self, relus: PlainSum | None, form: LinearForm, keys: Sequence[Sequence[int]], target: str
    ) -> None:
        """target[k] += relus(<form, key k>), with entry i of a slot at key i; without keys, only entry k."""
        if relus is None:
            raise ValueError(f"the program has no ReLUs for {target}")
        add, one = self.layers[-1].head, [(0, self.one, 1.0)]
        for k, (place, key) in enumerate(zip(self.slots[target], keys, strict=True)):
            entries = slice(None) if key else slice(k, k + 1)
            reads = [
                (i, at, by) for name, by in form.items() for i, at in enumerate(self.slots[name][entries])
            ]
            K = [(i, at, 1.0) for i, at in enumerate([*key, self.one])]
            for a, b, c in zip(relus["a"], relus["b"], relus["c"], strict=True):
                Q = [(i, at, entry_value((a, *by))) for i, at, by in reads]
                add([*Q, (len(key), self.one, b)], K, [(place, self.one, c)])
        if constant := relus["constant"]:
            add(one, one, [(place, self.one, constant) for place in self.slots[target]])

    def gate(self, j: int) -> None:
        """s(j) = dr(j) times u, or times the columns of V_(j+1) on s(j+1); relu(a) - relu(-a) = a."""
        for k, (s, dr) in enumerate(zip(self.slots[f"s{j}"], self.slots[f"dr{j}"], strict=True)):
            query = self.slots[f"u{j}"][k : k + 1] if j == self.N else self.slots[f"s{j + 1}"]
            key = [self.one] if j == self.N else list(zip(*self.rows(j + 1), strict=True))[k]
            for sign in (1.0, -1.0):
                Q, K = ([(i, at, x) for i, at in enumerate(side)] for side, x in ((query, sign), (key, 1.0)))
                self.layers[-1].head(Q, K, [(s, dr, sign)])

    def update(self) -> None:
        """V_j -= eta (n+1)/(2n) times the mean over all tokens of t s(j) p(j-1)^T."""
        n, one = self.program["n"], (0, self.one, 1.0)
        scale = Fraction(self.program["eta"]) * Fraction(n + 1, -2 * n)
        for j, layer in self.of.items():
            offset, p = layer["above_s"], self.slots[f"p{j - 1}"]
            for s, row in zip(self.slots[f"s{j}"], self.rows(j), strict=True):
                K = [(0, s, 1.0), (0, self.t, 2 * offset), (0, self.one, -offset)]
                self.layers[-1].head(
                    [one], K, [(*at, entry_value((scale,))) for at in zip(row, p, strict=True)]
                )
            V = [
                (*at, entry_value((-scale, offset)))
                for row in self.rows(j)
                for at in zip(row, p, strict=True)
            ]
            self.layers[-1].head([one], [(0, self.t, 1.0)], V)

    def multiply(self, j: int, form: LinearForm, bias: Sequence[Factors]) -> None:
        """s(j) = r'(z(j)) times form + bias."""
        s, dr, reach, product = f"s{j}", f"dr{j}", self.of[j]["above_g"], self.of[j]["product"]
        if product and product["centre"]:  # centre relu(t + reach) - centre reach
            relus: PlainSum = {**_RELU, "constant": -reach}
            self.ridge(form, [*bias, (reach,)], relus, s, product["centre"])
        for sign in (1.0, -1.0):
            signed = {name: (sign, *by) for name, by in form.items()}
            shift = [(sign, *factors) for factors in bias]
            if product is None and self.program["construction"] == "exact":
                self.ridge({dr: (reach,)} | signed, [*shift, (-reach,)], _RELU, s, sign)
            elif product and product["square"]:  # the constants of the two squares cancel
                a, b = product["a"], product["b"]
                mixed = {dr: (a,)} | {name: (b, *by) for name, by in signed.items()}
                shift = [(b, *factors) for factors in shift] + [(-a, product["centre"])]
                self.ridge(mixed, shift, {**product["square"], "constant": 0.0}, s, sign / 4)

    def lean(self) -> None:
        for j, layer in self.of.items():
            shift = [(-1.0, layer["above_z"])]
            self.layer()
            self.attend({**_RELU, "b": [layer["above_z"]]}, {f"p{j - 1}": (1.0,)}, self.rows(j), f"z{j}")
            if j == self.N and self.loss["from_z"]:
                self.slope(f"z{j}", shift, f"s{j}" if self.program["output"] == "linear" else f"u{j}")
            for target, relus in ((f"p{j}", layer["r"]), (f"dr{j}", layer["dr"])):
                if relus:
                    self.ridge({f"z{j}": (1.0,)}, shift, relus, target)
        if self.program["output"] != "linear":
            u, p, rho, linear = f"u{self.N}", f"p{self.N}", self.loss["rho"], self.loss["linear"]
            form: LinearForm = {u: (1.0,)}
            self.layer()
            if linear is not None:
                form = {p: (linear,), "y": (linear, -rho)}
            elif self.loss["relus"] and not self.loss["from_z"]:
                self.attend(self.loss["relus"], {p: (1.0,), "y": (-rho,)}, [()] * len(self.slots[u]), u)
            self.multiply(self.N, form, [])
        for j in range(self.N - 1, 0, -1):
            reach, columns = self.of[j]["above_g"], list(zip(*self.rows(j + 1), strict=True))
            self.layer()
            self.attend({**_RELU, "b": [reach]}, {f"s{j + 1}": (1.0,)}, columns, f"g{j}")
            self.multiply(j, {f"g{j}": (1.0,)}, [(-1.0, reach)])
        self.layer()
        self.update()

    def paper(self) -> None:
        for j, layer in self.of.items():
            self.layer()
            self.attend(layer["r"], {f"p{j - 1}": (1.0,)}, self.rows(j), f"p{j}")
        self.layer()
        for j, layer in self.of.items():
            self.attend(layer["dr"], {f"p{j - 1}": (1.0,)}, self.rows(j), f"dr{j}")
        self.layer()
        self.slope(f"p{self.N}", [], f"u{self.N}")
        for j in range(self.N, 0, -1):
            self.layer(diagonal=True)
            self.gate(j)
        self.layer()
        self.update()
        self.layer()


def expected(program: Program) -> list[ExpectedLayer]:
    """Every layer of one block; raises ValueError or KeyError where parts of the program are missing."""
    block = _Block(program)
    check_shape(program)
    {"paper": block.paper, "lean": block.lean, "exact": block.lean}[program["construction"]]()
    return block.finished([layer["face"] for layer in program["layers"]], scratch(program))


def check_shape(program: Program | SoftmaxProgram) -> None:
    """Raises ValueError unless a program has N layers and one slope of the loss."""
    loss, layers = program["loss"], program["layers"]
    two = loss["sigma"] and loss["rho"]
    if len(layers) != program["N"] or two or not (loss["linear"] or loss["relus"]):
        raise ValueError("a program needs N layers and a loss slope with rho = 0 or sigma = 0")


def agrees(wanted: EntryValue, actual: float) -> bool:
    """Whether an entry is the wanted one: bit for bit, or within the slack of a computed one."""
    if isinstance(wanted, float):
        return wanted == actual
    return math.isfinite(actual) and abs(wanted.value - Fraction(actual)) <= wanted.slack


def differences(layers: Sequence[ExpectedLayer], actual: Iterable[MatricesOfLayer]) -> list[Difference]:
    """Every entry, size and mask that is not as expected; empty if the matrices are the program."""
    found = []
    for index, (wanted, layer) in enumerate(zip_longest(layers, actual)):
        if wanted is None or layer is None:
            found.append(Difference(index, "layer", None, wanted is not None, layer is not None))
            continue
        D, got, listed = wanted.D, dict[EntryPlace, float](), 0
        counts = [("heads", wanted.heads, len(layer.heads)), ("diagonal", wanted.diagonal, layer.diagonal)]
        matrices = [("W1", 0, layer.W1, (wanted.hidden, D)), ("W2", 0, layer.W2, (D, wanted.hidden))]
        for m, head in enumerate(layer.heads):
            matrices += [("Q", m, head.Q, (D, D)), ("K", m, head.K, (D, D)), ("V", m, head.V, (D, D))]
        for name, m, matrix, shape in matrices:
            counts += zip((f"{name} rows", f"{name} columns"), shape, matrix.shape, strict=True)
            parts = (part.tolist() for part in (matrix.rows, matrix.columns, matrix.values))
            got |= {(name, m, row, column): value for row, column, value in zip(*parts, strict=True)}
            listed += matrix.nonzeros
        counts.append(("entries listed", len(got), listed))  # no entry is listed twice
        found += [Difference(index, what, None, *pair) for what, *pair in counts if pair[0] != pair[1]]
        for place in wanted.entries | got:
            want, value, (name, m, *entry) = wanted.entries.get(place, 0.0), got.get(place, 0.0), place
            if not agrees(want, value):
                where = f"head {m} {name}" if name in "QKV" else name
                shown = want if isinstance(want, float) else float(want.value)
                found.append(Difference(index, where, (entry[0], entry[1]), shown, value))
    return found
