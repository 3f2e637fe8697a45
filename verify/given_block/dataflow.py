"""Compares a block with a program by what each coordinate is a sum of, whatever the order of its parts.

Two blocks compute the same if every coordinate gets the same terms and no coordinate is read before its last
term is added.  So the order of slots, heads and hidden units does not matter, nor the layer of a part.
A proof about recovered matrices relies on this file.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from icgd.construct.block.literal import LiteralLayer, Sparse
from icgd.verify.checker.matrices import EntryValue, ExpectedLayer, agrees

SparseRow = tuple[tuple[int, EntryValue], ...]
"""A linear form: coordinates in increasing order, each with its factor."""


@dataclass(frozen=True)
class Part:
    """One term of one coordinate: a row of a head's value, or one output of a hidden unit.

    place: the sublayer, from 0 (heads of the first layer), or -1 for the hidden units of the last layer.
    kind: head, masked (each token attends to itself alone) or unit.  target: the coordinate it is added to.
    scores: pairs of linear forms whose products sum up to the score; of a unit: the one form that it reads.
    adds: the linear form that a head adds; of a unit: its factor, at coordinate -1.
    """

    place: int
    kind: str
    target: int
    scores: tuple[tuple[SparseRow, SparseRow], ...]
    adds: SparseRow

    @property
    def support(self) -> tuple[object, ...]:
        """What two parts must have in common to be compared: everything but values and the sublayer."""
        read = tuple((_places(query), _places(key)) for query, key in self.scores)
        return self.place == -1, self.kind, self.target, read, _places(self.adds)

    @property
    def values(self) -> tuple[EntryValue, ...]:
        rows = [row for pair in self.scores for row in pair]
        return tuple(value for row in (*rows, self.adds) for _, value in row)

    @property
    def reads(self) -> set[int]:
        rows = [row for pair in self.scores for row in pair]
        rows += [self.adds] if self.kind != "unit" else []
        return {place for row in rows for place, _ in row}


def _places(row: SparseRow) -> tuple[int, ...]:
    return tuple(place for place, _ in row)


def _float(value: EntryValue) -> float:
    return value if isinstance(value, float) else float(value.value)


SparseRows = Mapping[int, Mapping[int, EntryValue]]
"""Row -> column -> entry, without zeros."""


def parts_of(layers: Sequence[ExpectedLayer]) -> list[Part]:
    """The parts of a program's matrices."""
    found: list[Part] = []
    for index, layer in enumerate(layers):
        matrices: dict[tuple[str, int], dict[int, dict[int, EntryValue]]] = defaultdict(
            lambda: defaultdict(dict)
        )
        for (name, m, row, column), value in layer.entries.items():
            if _float(value) != 0.0:
                matrices[name, m][row][column] = value
        heads = [(matrices["Q", m], matrices["K", m], matrices["V", m]) for m in range(layer.heads)]
        found += _parts(
            index, index == len(layers) - 1, layer.diagonal, heads, matrices["W1", 0], matrices["W2", 0]
        )
    return found


def parts_of_literal(layers: Sequence[LiteralLayer]) -> list[Part]:
    """The parts of literal matrices."""
    found: list[Part] = []
    for index, layer in enumerate(layers):
        heads = [(_entries(h.Q), _entries(h.K), _entries(h.V)) for h in layer.heads]
        last = index == len(layers) - 1
        found += _parts(index, last, layer.diagonal, heads, _entries(layer.W1), _entries(layer.W2))
    return found


def _entries(matrix: Sparse) -> SparseRows:
    rows: dict[int, dict[int, EntryValue]] = defaultdict(dict)
    listed = zip(matrix.rows.tolist(), matrix.columns.tolist(), matrix.values.tolist(), strict=True)
    for row, column, value in listed:
        rows[row][column] = value
    return rows


def _row(entries: Mapping[int, EntryValue]) -> SparseRow:
    return tuple(sorted(entries.items()))


def _parts(
    index: int,
    last: bool,
    masked: bool,
    heads: Iterable[tuple[SparseRows, SparseRows, SparseRows]],
    W1: SparseRows,
    W2: SparseRows,
) -> Iterator[Part]:
    for Q, K, V in heads:
        pairs = [(_row(Q[row]), _row(K[row])) for row in Q if row in K and Q[row] and K[row]]
        scores = tuple(sorted(pairs, key=_order))
        for target, row in V.items():
            if row:
                yield Part(2 * index, "masked" if masked else "head", target, scores, _row(row))
    for target, row in W2.items():
        for unit, factor in row.items():
            reads = _row(W1.get(unit, {}))
            if reads:
                yield Part(-1 if last else 2 * index + 1, "unit", target, ((reads, ()),), ((-1, factor),))


def _order(pair: tuple[SparseRow, SparseRow]) -> tuple[object, ...]:
    return tuple((_places(row), tuple(_float(value) for _, value in row)) for row in pair)


def renumbered(parts: Iterable[Part], to: Mapping[int, int]) -> list[Part]:
    """The same parts with other coordinates; raises KeyError for a coordinate that has no other one."""
    table = {**to, -1: -1}

    def form(row: SparseRow) -> SparseRow:
        return tuple(sorted((table[place], value) for place, value in row))

    return [
        Part(
            one.place,
            one.kind,
            table[one.target],
            tuple(sorted(((form(a), form(b)) for a, b in one.scores), key=_order)),
            form(one.adds),
        )
        for one in parts
    ]


def disorder(parts: Sequence[Part], weights: set[int], given: set[int]) -> str | None:
    """The first coordinate whose value depends on the order of its terms, in one sentence, or None.

    weights: coordinates of w, which are read before they are changed, and changed once before the last hidden
    units.  given: x, y, 1 and t, which nothing changes.  All others are scratch: zero at first, read only
    after their last term, and cleared by the last hidden units.
    """
    written, read = defaultdict[int, list[int]](list), defaultdict[int, list[int]](list)
    for one in parts:
        if one.place != -1:
            written[one.target].append(one.place)
            for place in one.reads:
                read[place].append(one.place)
    for place in sorted({one.target for one in parts} & given):
        return f"coordinate {place} holds data and is changed"
    for place, when in sorted(written.items()):
        if place in weights and len(set(when)) > 1:
            return f"coordinate {place} of w is changed in several layers"
        if place in weights and read[place] and max(read[place]) > min(when):
            return f"coordinate {place} of w is read after it was changed"
        if place not in weights and read[place] and min(read[place]) <= max(when):
            return f"coordinate {place} is read before its last term is added"
    return None


def unlike(wanted: Sequence[Part], actual: Sequence[Part]) -> str | None:
    """The first part of a block that is not that of the program, in one sentence, or None.

    Parts with equal support are paired in the order of their values; each pair must agree entry by entry.
    """
    grouped: tuple[dict[object, list[Part]], ...] = (defaultdict(list), defaultdict(list))
    for parts, groups in zip((wanted, actual), grouped, strict=True):
        for one in parts:
            groups[one.support].append(one)
    for support in {**grouped[0], **grouped[1]}:
        pair = [sorted(groups[support], key=lambda one: tuple(map(_float, one.values))) for groups in grouped]
        some = (pair[0] or pair[1])[0]
        where = f"a {some.kind} that adds to coordinate {some.target}"
        if len(pair[0]) != len(pair[1]):
            return f"there are {len(pair[1])} parts like {where}, not {len(pair[0])}"
        for want, got in zip(*pair, strict=True):
            for expected, value in zip(want.values, got.values, strict=True):
                if not agrees(expected, _float(value)):
                    return f"{where} has the entry {_float(value)}, not {_float(expected)}"
    return None
