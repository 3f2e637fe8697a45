"""What a layer of linear attention computes, without rounding, whatever its heads: one tensor a layer.

A layer adds S(G) z to every token z, S(G)[a, e] = <S_ae, G>, where G is the mean of z z^T over the
examples and S_ae = n s sum_h sym(P_h[a, :] Q_h[:, e]^T).  Two layers compute the same for every prompt if
and only if they have the same S; scaling P against Q or splitting heads does not change it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations_with_replacement, permutations

from icgd.bounds.algebra.ring_matrices import Matrix, scaled
from icgd.construct.given_linear import Exact, GivenLinear

LayerForm = tuple[tuple[tuple[tuple[Fraction, ...], ...], ...], ...]
"""S of a layer, [row a][column e][b][c]; symmetric in b and c."""


@dataclass(frozen=True)
class AttentionForm:
    """All that the predictions of linear attention depend on, for a given n.

    layers: S of each layer; in the last one only the row of the label is kept, and with one layer only the
    columns of x, since the query's label is 0 before it.  Rows that no later layer reads are 0.
    sign: of the prediction; -1 with one layer, whose S has it then.
    masked: also where the mask makes no difference.
    """

    layers: tuple[LayerForm, ...]
    masked: bool
    sign: int

    @property
    def d(self) -> int:
        """The size of an input x."""
        return len(self.layers[-1][0][0]) - 1


def linear_form(given: GivenLinear, n: int) -> AttentionForm:
    """The form of linear attention on n examples."""
    share = given.scale(n) * n
    one = given.L == 1
    layers = []
    for index, heads in enumerate(given.exact):
        last = index == given.L - 1
        rows = [given.d] if last else list(range(given.d + 1))
        columns = range(given.d) if one else range(given.d + 1)
        factor = share * (-given.sign if one else 1)
        layers.append(tuple(tuple(_form(heads, factor, a, e) for e in columns) for a in rows))
    form = AttentionForm(_only_read(layers, given.d), given.masked, -1 if one else given.sign)
    if not given.masked and one and all(value == 0 for value in _cubic(form)):
        return AttentionForm(form.layers, True, form.sign)
    return form


def _only_read(layers: Sequence[LayerForm], d: int) -> tuple[LayerForm, ...]:
    """The layers with 0 for the rows that move what nothing after them reads on the way to the label."""
    nothing = ((Fraction(0),) * (d + 1),) * (d + 1)
    read, found = {d}, []
    for layer in reversed(layers):
        rows = range(d + 1) if len(layer) > 1 else (d,)
        kept = []
        before = set(read)
        for a, columns in zip(rows, layer, strict=True):
            kept.append(columns if a in read else (nothing,) * len(columns))
            if a in read and len(before) <= d:
                for e, matrix in enumerate(columns):
                    at = {b for b, row in enumerate(matrix) if any(row)}  # the matrix is symmetric
                    before |= at | ({e} if at else set())
        read = before
        found.append(tuple(kept))
    return tuple(reversed(found))


def _form(
    heads: Sequence[tuple[Exact, Exact]], factor: Fraction, a: int, e: int
) -> tuple[tuple[Fraction, ...], ...]:
    width = len(heads[0][0])
    left = [[p[a][b] for b in range(width)] for p, _ in heads]
    right = [[q[c][e] for c in range(width)] for _, q in heads]
    half = factor / 2
    return tuple(
        tuple(
            half * sum((l[b] * r[c] + l[c] * r[b] for l, r in zip(left, right, strict=True)), Fraction(0))
            for c in range(width)
        )
        for b in range(width)
    )


def _cubic(form: AttentionForm) -> Iterator[Fraction]:
    """The coefficients of what the query adds to its own prediction in one layer, a cubic form in x."""
    columns = form.layers[0][0]
    for three in combinations_with_replacement(range(form.d), 3):
        yield sum((columns[e][b][c] for e, b, c in permutations(three)), Fraction(0))


def preconditioners(given: GivenLinear, n: int) -> list[Exact]:
    """A_l of each layer as its mean over (x, y) moves the weight: w <- w + A_l (1/n) sum y_i x_i.

    They are those of the descent where it is one, else those of the part of it that reads b alone.
    """
    form = linear_form(given, n)
    return [
        [[-2 * layer[-1][e][b][form.d] for b in range(form.d)] for e in range(form.d)]
        for layer in form.layers
    ]


def descent_form(A: Sequence[Matrix]) -> AttentionForm:
    """The form of descent with the preconditioners A_l."""
    d, nothing = len(A[0]), Fraction(0)
    layers = []
    for index, matrix in enumerate(A):
        zero = tuple((nothing,) * (d + 1) for _ in range(d + 1))
        columns = []
        for row in scaled(Fraction(-1, 2), matrix):
            inner = [(nothing,) * d + (row[b],) for b in range(d)]
            columns.append((*inner, (*row, nothing)))
        label = tuple(columns) if len(A) == 1 else (*columns, zero)
        above = () if index == len(A) - 1 else ((zero,) * (d + 1),) * d
        layers.append((*above, label))
    return AttentionForm(tuple(layers), True, -1)


def descent_of(given: GivenLinear, n: int) -> list[Exact] | None:
    """The A_l of the descent that the predictions are, for every prompt of n examples, or None.

    None means that this is not shown: S is another, or the query is an example and makes a difference.
    """
    A = preconditioners(given, n)
    return A if linear_form(given, n) == descent_form(A) else None
