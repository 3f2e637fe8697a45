"""What one layer adds to its stream, read twice as exact data: from its literal matrices, and from its parts.

Either reading gives, for each coordinate that the layer writes, sums of ReLUs of linear forms (of bilinear
forms of two tokens, in attention), by rationals; forms are scaled to begin with 1, so equal ones are equal.
Tokens are assumed to carry the same w, and the constant 1 in the slot `one`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from flint import fmpq

from icgd.bounds.functions.relu_sum import relu, signed
from icgd.construct.block.heads import Aggregate, AttentionPart, Clip, Gate, Read
from icgd.construct.block.hidden import Ridge
from icgd.construct.block.literal import LiteralLayer, Sparse
from icgd.construct.block.stream import Stream
from icgd.construct.block.table import LookupTable
from icgd.construct.softmax_icgd import Products, SoftmaxLayer
from icgd.verify.block.exact_pieces import Unit
from icgd.verify.checker.power_series import exact

Coordinates = tuple[int, int]
"""Of a product of two numbers: of the attending token and of the attended one; -1 for a form of one token."""

ScaledForm = tuple[tuple[Coordinates, fmpq], ...]
"""A linear combination of such numbers, sorted, its first coefficient 1; the constant is left out."""

MLP = -1


class Target(NamedTuple):
    """What a function of a form is added to: coordinate `place`, times `factor` of the token read."""

    place: int
    factor: int
    form: ScaledForm


class GatedUnit(NamedTuple):
    """c relu(a F + b + gate t) of a form F, in an MLP; t is the mask, 1 in examples and 0 in the query."""

    a: fmpq
    b: fmpq
    c: fmpq
    gate: fmpq


@dataclass
class Written:
    """What the literal matrices of a layer add.  constants: by coordinate.  means: softmax, by (to, from)."""

    sums: dict[Target, list[GatedUnit]] = field(default_factory=lambda: defaultdict(list))
    constants: dict[int, fmpq] = field(default_factory=lambda: defaultdict(fmpq))
    means: dict[Coordinates, fmpq] = field(default_factory=lambda: defaultdict(fmpq))


class Addition(NamedTuple):
    """What a part of a layer says that it adds: scale times table(argument), argument = lead F + bias.

    name: of the part and of its entry.  reads: the slots of the argument with their coefficients, or the
    layer of the network whose z the argument is.  gated: whether the table is multiplied by the mask t.
    """

    name: str
    target: Target
    lead: fmpq
    bias: fmpq
    scale: fmpq
    table: LookupTable
    reads: Mapping[str, float] | int
    gated: bool = False


def monic(terms: Mapping[Coordinates, fmpq]) -> tuple[ScaledForm, fmpq]:
    """A form whose first coefficient is 1, and what it was."""
    kept = sorted((place, value) for place, value in terms.items() if value)
    if not kept:
        return (), fmpq(1)
    lead = kept[0][1]
    return tuple((place, value / lead) for place, value in kept), lead


def _rows(matrix: Sparse, by: Sequence[int], other: Sequence[int]) -> dict[int, list[tuple[int, fmpq]]]:
    """The entries of a matrix by row, or by column, as rationals."""
    found: dict[int, list[tuple[int, fmpq]]] = defaultdict(list)
    for row, column, value in zip(by, other, matrix.values.tolist(), strict=True):
        found[row].append((column, exact(value)))
    return found


def sums_of_matrices(layer: LiteralLayer, stream: Stream, attention: str) -> Written:
    """What the matrices of a layer add; attention: relu or softmax."""
    found = Written()
    one, mask = stream["one"].start, stream["t"].start
    for head in layer.heads:
        Q, K = (_rows(m, m.rows.tolist(), m.columns.tolist()) for m in (head.Q, head.K))
        score: dict[Coordinates, fmpq] = defaultdict(fmpq)
        for row in Q.keys() & K.keys():
            for i, q in Q[row]:
                for j, k in K[row]:
                    score[i, j] += q * k
        constant = score.pop((one, one), fmpq(0))
        form, lead = monic(score)
        V = zip(
            head.V.rows.tolist(), head.V.columns.tolist(), map(exact, head.V.values.tolist()), strict=True
        )
        for place, column, value in V:
            if attention == "softmax" and not form and not constant:
                found.means[place, column] += value
            elif attention != "relu":
                raise ValueError(f"a head of {attention} attention has queries and keys")
            elif form:
                unit = GatedUnit(lead, constant, value, fmpq(0))
                found.sums[Target(place, column, form)].append(unit)
            elif column == one:
                found.constants[place] += value * max(constant, fmpq(0))
            elif constant > 0:
                raise ValueError("a head adds a mean that no part declares")
    adds = _rows(layer.W2, layer.W2.columns.tolist(), layer.W2.rows.tolist())
    for row, entries in _rows(layer.W1, layer.W1.rows.tolist(), layer.W1.columns.tolist()).items():
        told = dict(entries)
        constant, gate = told.pop(one, fmpq(0)), told.pop(mask, fmpq(0))
        form, lead = monic({(i, MLP): value for i, value in told.items()})
        for place, value in adds.get(row, ()):
            if form:
                found.sums[Target(place, one, form)].append(GatedUnit(lead, constant, value, gate))
            elif gate:
                raise ValueError("a hidden unit reads the mask alone")
            else:
                found.constants[place] += value * max(constant, fmpq(0))
    return found


_IDENTITY, _RELU = LookupTable(signed(1.0)), LookupTable(relu())


def _of_head(part: AttentionPart, stream: Stream) -> Iterator[Addition]:
    """What a part of the attention adds, entry by entry."""
    one, mask = stream["one"].start, stream["t"].start
    name = f"{type(part).__name__} to {part.target}"

    def entry(k: int, place: int, factor: int, form: Mapping[Coordinates, fmpq], **more: object) -> Addition:
        told, lead = monic(form)
        given = {"bias": fmpq(0), "scale": fmpq(1), "table": _IDENTITY, "reads": {}, **more}
        return Addition(f"{name}[{k}]", Target(place, factor, told), lead, **given)  # type: ignore[arg-type]

    if isinstance(part, Read):
        query, matrix = stream[part.query], stream[part.matrix]
        assert matrix.shared is not None
        rows, width = matrix.shared[::-1] if part.columns else matrix.shared
        for k in range(rows):
            places = [matrix.at(i, k) if part.columns else matrix.at(k, i) for i in range(width)]
            form = {(query[i], place): fmpq(1) for i, place in enumerate(places)}
            reads: dict[str, float] | int = {} if part.columns else int(part.matrix.removeprefix("V"))
            yield entry(k, stream[part.target][k], one, form, table=part.table, reads=reads)
    elif isinstance(part, Clip):
        for k, place in enumerate(_places(stream, part.target)):
            form = {(stream[slot][k], one): exact(by) for slot, by in part.form.items()}
            yield entry(k, place, one, form, table=part.table, reads=part.form)
    elif isinstance(part, Gate):
        query, value = stream[part.query], stream[part.value]
        for k, place in enumerate(_places(stream, part.target)):
            if part.matrix is None:
                form = {(query[k], one): fmpq(1)}
            else:
                form = {(query[i], stream[part.matrix].at(i, k)): fmpq(1) for i in range(query.size)}
            yield entry(k, place, value[k], form)
    elif isinstance(part, Aggregate):
        key, value, matrix, offset = (
            stream[part.key],
            stream[part.value],
            stream[part.matrix],
            exact(part.offset),
        )
        for k in range(key.size):
            for i in range(value.size):
                at, form = matrix.at(k, i), {(one, key[k]): fmpq(1), (one, mask): 2 * offset}
                more = {"bias": -offset, "scale": exact(part.scale), "table": _RELU}
                yield entry(k, at, value[i], form, **more)
                # The mask is 0 or 1, so relu leaves it alone.
                more = {"scale": -offset * exact(part.scale), "table": _RELU, "reads": {"t": 1.0}}
                yield entry(k, at, value[i], {(one, mask): fmpq(1)}, **more)
    else:
        raise ValueError(f"{name} is of a kind whose reading is not known")


def _places(stream: Stream, name: str) -> range:
    return range(stream[name].start, stream[name].stop)


def _of_mlp(part: Ridge | Products, stream: Stream) -> Iterator[Addition]:
    """What a part of an MLP adds, entry by entry."""
    one = stream["one"].start
    if isinstance(part, Ridge):
        for k, place in enumerate(_places(stream, part.target)):
            terms = {(stream[name][k], MLP): exact(by) for name, by in part.form.items()}
            form, lead = monic(terms)
            name = f"the hidden units for {part.target}[{k}]"
            target, numbers = Target(place, one, form), (exact(part.bias), exact(part.scale))
            yield Addition(name, target, lead, *numbers, part.table, part.form)
        return
    rows, columns = part.shape
    for k in range(rows):
        for c in range(columns):
            flat, outer = k * columns + c, part.pattern == "outer"
            left = stream[part.left][c if outer else flat]
            right = stream[part.right][c if part.pattern == "rows" else k]
            place = stream[part.target][{"rows": k, "columns": c, "outer": flat}[part.pattern]]
            for sign in (1, -1):
                form, lead = monic({(left, MLP): exact(part.a), (right, MLP): sign * exact(part.b)})
                name = f"the products for {part.target}[{place - stream[part.target].start}]"
                reads = {part.left: part.a, part.right: sign * part.b}
                gated = part.offset is not None
                target = Target(place, one, form)
                yield Addition(name, target, lead, fmpq(0), fmpq(sign, 4), part.table, reads, gated)


def sums_of_parts(
    attention: Iterable[AttentionPart], hidden: Iterable[Ridge | Products], stream: Stream
) -> Iterator[Addition]:
    """What the parts of a layer say that they add."""
    for head in attention:
        yield from _of_head(head, stream)
    for part in hidden:
        yield from _of_mlp(part, stream)


def declared_means(layer: SoftmaxLayer, stream: Stream) -> dict[Coordinates, fmpq]:
    """What a softmax head moves: coordinate `to` += scale times the mean of coordinate `from`."""
    if layer.head is None:
        return {}
    return {
        (to, source): exact(layer.head.scale)
        for name, target in layer.moves
        for source, to in zip(_places(stream, name), _places(stream, target), strict=True)
    }


def units_of(found: Iterable[GatedUnit], lead: fmpq, bias: fmpq) -> list[Unit]:
    """The units as functions of the argument lead F + bias, in an example (t = 1)."""
    return [(a / lead, b + gate - a / lead * bias, c) for a, b, c, gate in found]
