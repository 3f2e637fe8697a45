"""Attention heads, declared over named slots and read in two ways.

A declaration computes its `increment` of a state (the structured reading, which is fast) and lists its
`literal` heads (the matrices of the theorem, which can be audited); the two agree up to rounding.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor, nn

from icgd.bounds.functions.relu_sum import ReluSum
from icgd.construct.block.literal import Head, MatrixEntry
from icgd.construct.block.stream import State, Stream
from icgd.construct.block.table import LookupTable


def _constant_head(stream: Stream, target: str, constant: float) -> Iterator[Head]:
    """A head that adds `constant` to every entry of a slot: relu(1 * 1) = 1 in every token."""
    if constant:
        one, slot = stream["one"].start, stream[target]
        values = [(slot[k], one, constant) for k in range(slot.size)]
        yield Head.of(stream.D, [(0, one, 1.0)], [(0, one, 1.0)], values)


class Read(nn.Module):
    """target[k] += relus(<query, row k of a weight matrix>), the same function for every k.

    As w is the same in every token, all keys of a query are equal and the mean over keys is the
    summand itself.  One head per ReLU and k: the query holds (a q, b), the key (row, 1), the value c.
    columns: read columns of the matrix instead of rows.
    """

    def __init__(
        self, query: str, matrix: str, relus: ReluSum, target: str, *, columns: bool = False
    ) -> None:
        super().__init__()
        self.query, self.matrix, self.target, self.columns = query, matrix, target, columns
        self.relus, self.table = relus, LookupTable(relus)

    @property
    def reads(self) -> tuple[str, ...]:
        return self.query, self.matrix

    def increment(self, state: State) -> Float[Tensor, "B T k"]:
        matrix = state.shared[self.matrix]
        scores = torch.matmul(state.tokens[self.query], matrix if self.columns else matrix.transpose(-1, -2))
        return self.table(scores)

    def literal(self, stream: Stream) -> Iterator[Head]:
        query, matrix, target, one = (
            stream[self.query],
            stream[self.matrix],
            stream[self.target],
            stream["one"].start,
        )
        assert matrix.shared is not None
        rows, width = matrix.shared[::-1] if self.columns else matrix.shared
        for k in range(rows):
            places = [matrix.at(i, k) if self.columns else matrix.at(k, i) for i in range(width)]
            key: list[MatrixEntry] = [*((i, place, 1.0) for i, place in enumerate(places)), (width, one, 1.0)]
            for a, b, c in zip(
                self.relus.a.tolist(), self.relus.b.tolist(), self.relus.c.tolist(), strict=True
            ):
                query_entries: list[MatrixEntry] = [
                    *((i, query[i], a) for i in range(width)),
                    (width, one, b),
                ]
                yield Head.of(stream.D, query_entries, key, [(target[k], one, c)])
        yield from _constant_head(stream, self.target, self.relus.constant)


class Clip(nn.Module):
    """target[k] += relus(sum of slots with coefficients, entry k), computed by attention.

    The key is the constant 1, so the ReLU of attention acts on the token itself.
    """

    def __init__(self, form: dict[str, float], relus: ReluSum, target: str) -> None:
        super().__init__()
        self.form, self.target = form, target
        self.relus, self.table = relus, LookupTable(relus)

    @property
    def reads(self) -> tuple[str, ...]:
        return tuple(self.form)

    def increment(self, state: State) -> Float[Tensor, "B T k"]:
        return self.table(sum(c * state.tokens[name] for name, c in self.form.items()))

    def literal(self, stream: Stream) -> Iterator[Head]:
        target, one = stream[self.target], stream["one"].start
        for k in range(target.size):
            for a, b, c in zip(
                self.relus.a.tolist(), self.relus.b.tolist(), self.relus.c.tolist(), strict=True
            ):
                query_entries: list[MatrixEntry] = [
                    (0, stream[name][k], a * scale) for name, scale in self.form.items()
                ]
                yield Head.of(stream.D, [*query_entries, (0, one, b)], [(0, one, 1.0)], [(target[k], one, c)])
        yield from _constant_head(stream, self.target, self.relus.constant)


class Gate(nn.Module):
    """target[k] += value[k] * <query, column k of a weight matrix>, each token attending to itself.

    The paper's EWML; exact with two heads per k, since relu(a) - relu(-a) = a.  Without a matrix
    the second factor is query[k].
    """

    def __init__(self, query: str, matrix: str | None, value: str, target: str) -> None:
        super().__init__()
        self.query, self.matrix, self.value, self.target = query, matrix, value, target

    @property
    def reads(self) -> tuple[str, ...]:
        return tuple(name for name in (self.query, self.matrix, self.value) if name)

    def increment(self, state: State) -> Float[Tensor, "B T k"]:
        factor = state.tokens[self.query]
        if self.matrix is not None:
            factor = torch.matmul(factor, state.shared[self.matrix])
        return state.tokens[self.value] * factor

    def literal(self, stream: Stream) -> Iterator[Head]:
        query, value, target, one = (
            stream[self.query],
            stream[self.value],
            stream[self.target],
            stream["one"].start,
        )
        for k in range(target.size):
            if self.matrix is None:
                query_entries: list[MatrixEntry] = [(0, query[k], 1.0)]
                key: list[MatrixEntry] = [(0, one, 1.0)]
            else:
                query_entries = [(i, query[i], 1.0) for i in range(query.size)]
                key = [(i, stream[self.matrix].at(i, k), 1.0) for i in range(query.size)]
            for sign in (1.0, -1.0):
                signed = [(row, column, sign * value) for row, column, value in query_entries]
                yield Head.of(stream.D, signed, key, [(target[k], value[k], sign)])


class Aggregate(nn.Module):
    """matrix[k, i] += scale * mean over all tokens of t * key[k] * value[i]: the only sum over examples.

    offset: a bound on |key|.  The key of head k is key[k] + (2t - 1) offset, which is non-negative
    in an example and non-positive in the query token, so one ReLU is enough and the query is masked;
    one further head removes offset * value from all rows at once.
    """

    def __init__(self, key: str, value: str, matrix: str, scale: float, offset: float) -> None:
        super().__init__()
        self.key, self.value, self.matrix, self.scale, self.offset = key, value, matrix, scale, offset

    @property
    def reads(self) -> tuple[str, ...]:
        return self.key, self.value, "t"

    @property
    def target(self) -> str:
        return self.matrix

    def partial(self, state: State) -> Float[Tensor, "B rows columns"]:
        """The sum over the tokens of `state`; sums over parts of a prompt add up."""
        mask, value = state.tokens["t"], state.tokens[self.value]
        weights = (
            torch.add(state.tokens[self.key], mask, alpha=2 * self.offset).sub_(self.offset).clamp_(min=0)
        )
        total = torch.matmul(weights.transpose(-1, -2), value)
        return total - self.offset * torch.matmul(mask.transpose(-1, -2), value)

    def finish(self, total: Float[Tensor, "B rows columns"], tokens: int) -> Float[Tensor, "B rows columns"]:
        """The increment of the matrix from the sum over all tokens."""
        return total * (self.scale / tokens)

    def literal(self, stream: Stream) -> Iterator[Head]:
        key, value, matrix = stream[self.key], stream[self.value], stream[self.matrix]
        one, mask = stream["one"].start, stream["t"].start
        query_entries: list[MatrixEntry] = [(0, one, 1.0)]
        for k in range(key.size):
            weight = [(0, key[k], 1.0), (0, mask, 2 * self.offset), (0, one, -self.offset)]
            yield Head.of(
                stream.D,
                query_entries,
                weight,
                [(matrix.at(k, i), value[i], self.scale) for i in range(value.size)],
            )
        removed = -self.scale * self.offset
        values = [(matrix.at(k, i), value[i], removed) for k in range(key.size) for i in range(value.size)]
        yield Head.of(stream.D, query_entries, [(0, mask, 1.0)], values)


AttentionPart = Read | Clip | Gate | Aggregate
