"""The difference of two linear attentions as a chain of fixed matrices and one unknown, the tokens.

A layer is R <- (I + sum_h P_h R G R^T Q_h) R, so that R_L^T e, e of the label, is made from e by fixed
matrices and by G = (1/n) sum z z^T alone, again and again.  With Z the (d+1, n) matrix of scaled tokens over
n^(1/2), X its rows of inputs and Y that of labels, each G u is two steps: s = X^T u_x + Y^T u_y, one vector
for a prompt, and then (X s, Y s).  What is known of X and Y is that their norms are at most 1.

Without a mask the query q of norm at most 1, whose label is 0, is a token, too: its layers see G + q q^T / n
where descent sees G.  Then q is a third operator, from numbers to inputs: t = q^T u_x, and then q t.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from flint import fmpq, fmpq_mat

from icgd.bounds.algebra.rationals import to_flint

ScaledHeads = Sequence[tuple[fmpq_mat, fmpq_mat]]
"""(P_h, Q_h) of a layer, scaled so that it sees G."""

MOST_SIGNALS = 80
"""How many times G may be applied: enough for four layers of one head and three of two."""


@dataclass(frozen=True, eq=False)
class OperatorPairs:
    """An operator of norm at most 1, with what it is applied to: `forward` pairs first, then adjoint ones.

    outer: (pairs, rows, W), what is on the side of inputs or labels, in the W coordinates that are known.
    hidden: (pairs, H), what is on the side of the examples, for a query of numbers.  A forward pair says
    outer = X hidden, an adjoint one hidden = X^T outer.
    """

    outer: tuple[fmpq_mat, ...]
    hidden: tuple[tuple[fmpq, ...], ...]
    forward: int


@dataclass(frozen=True, eq=False)
class SignalChain:
    """difference: (d, W), in coordinates of which the first is 1.  norm2 of it is bounded, |q^T it| with q.

    families: X, Y and without a mask q, each perhaps with no pairs.  hidden: how many vectors there are for
    a prompt.  numbers: how many t there are.
    """

    difference: fmpq_mat
    families: tuple[OperatorPairs, ...]
    hidden: int
    numbers: int = 0


class _Signals:
    """Matrices u of (d+1, W): each G u is d+1 new coordinates, and each q q^T u_x is d more."""

    def __init__(self, d: int) -> None:
        self.d, self.width = d, 1 + (2 * d + 1) * MOST_SIGNALS
        self.applied: list[fmpq_mat] = []
        self._known: dict[str, int] = {}

    def of_examples(self, at: int) -> range:
        """The coordinates of G u."""
        return range(1 + at * (2 * self.d + 1), 1 + at * (2 * self.d + 1) + self.d + 1)

    def of_query(self, at: int) -> range:
        """The coordinates of q q^T u_x."""
        return range(self.of_examples(at).stop, self.of_examples(at + 1).start)

    def seen(self, u: fmpq_mat, share: Fraction = Fraction(0)) -> fmpq_mat | None:
        """(G + share q q^T) u, or None where there are too many."""
        at = self._known.setdefault(str(u), len(self.applied))
        if at == len(self.applied):
            if at == MOST_SIGNALS:
                return None
            self.applied.append(u)
        found = _placed(self.d + 1, self.width, list(enumerate(self.of_examples(at))))
        if any(_rows(u, range(self.d)).entries()):
            for row, column in enumerate(self.of_query(at)):
                found[row, column] = to_flint(share)
        return found


class _TooManyError(Exception):
    pass


def signal_chain(
    given: Sequence[ScaledHeads],
    other: Sequence[ScaledHeads],
    d: int,
    sign: int = 1,
    share: Fraction = Fraction(0),
) -> SignalChain | None:
    """The chain of the difference of the regression weights of two attentions, the second with a mask.

    share: 1/n where the first has no mask, else 0.  sign: -1 where predictions are read with opposite signs,
    so that the weights are added.  None where G is applied more than `MOST_SIGNALS` times.
    """
    signals = _Signals(d)
    start = _placed(d + 1, signals.width, [(d, 0)])
    try:
        difference = _turned(signals, given, start, share) * sign - _turned(signals, other, start)
    except _TooManyError:
        return None
    return _pruned(signals, _rows(difference, range(d)), bool(share))


def _turned(
    signals: _Signals, layers: Sequence[ScaledHeads], start: fmpq_mat, share: Fraction = Fraction(0)
) -> fmpq_mat:
    """R_L^T applied to the columns of `start`."""
    everything = range(signals.d + 1)
    known: dict[tuple[int, str], fmpq_mat] = {}

    def back(l: int, v: fmpq_mat) -> fmpq_mat:  # R_l^T v
        if l == 0 or not any(v.entries()):
            return v
        key = l, str(v)
        if key not in known:
            constant = _constant(v)
            rest = v - constant
            heads = layers[l - 1]
            if any(constant.entries()) and any(rest.entries()) and not any(_reads(P, rest) for P, _ in heads):
                known[key] = back(l, constant) + back(l - 1, rest)
            else:
                moved = v
                for P, Q in heads:
                    rows = [row for row in everything if any(Q[row, e] for e in everything)]
                    moved = moved + Q.transpose() * seen(l - 1, P.transpose() * v, rows)
                known[key] = back(l - 1, moved)
        return known[key]

    def seen(l: int, v: fmpq_mat, rows: Sequence[int]) -> fmpq_mat:  # these rows of R_l G R_l^T v
        if not any(v.entries()):
            return v
        found = signals.seen(back(l, v), share)
        if found is None:
            raise _TooManyError
        return forth(l, found, rows)

    def forth(l: int, v: fmpq_mat, rows: Sequence[int]) -> fmpq_mat:  # these rows of R_l v
        if l == 0:
            return v
        heads = [(P, Q) for P, Q in layers[l - 1] if any(P[row, e] for row in rows for e in everything)]
        if not heads:
            return forth(l - 1, v, rows)
        inner = forth(l - 1, v, everything)
        total = inner
        for P, Q in heads:
            read = [row for row in everything if any(P[a, row] for a in rows)]
            total = total + P * seen(l - 1, Q * inner, read)
        return total

    return back(len(layers), start)


def _pruned(signals: _Signals, difference: fmpq_mat, queried: bool) -> SignalChain:
    """Without the coordinates that nothing reads."""
    d, count = signals.d, len(signals.applied)
    needed = _columns(difference)
    live = []
    for i in reversed(range(count)):
        if needed & {*signals.of_examples(i), *signals.of_query(i)}:
            live.append(i)
            needed |= _columns(signals.applied[i])
    live.reverse()

    def kept_of(i: int) -> list[list[int]]:
        """The coordinates of inputs, of the label and of the query that are kept, each all or none."""
        examples = list(signals.of_examples(i))
        parts = [examples[:d], examples[d:], list(signals.of_query(i))]
        return [part if needed & set(part) else [] for part in parts]

    kept = [0] + [column for i in live for part in kept_of(i) for column in part]
    hidden = numbers = 0
    label = None  # of Y^T 1, which every multiple of the label's own direction shares
    rows: list[list[tuple[fmpq_mat, dict[int, fmpq]]]] = [[], [], []]
    ends: list[list[tuple[fmpq_mat, dict[int, fmpq]]]] = [[], [], []]
    for i in live:
        parts = [_picked(_rows(signals.applied[i], one), kept) for one in (range(d), range(d, d + 1))]
        *of_examples, of_query = kept_of(i)
        s: dict[int, fmpq] = {}
        for at, u in enumerate(parts):
            if not any(u.entries()) or not any(of_examples):
                continue
            if at and _columns(u) == {0}:
                if label is None:
                    label, hidden = hidden, hidden + 1
                    ends[1].append((_placed(1, len(kept), [(0, 0)]), {label: fmpq(1)}))
                s[label] = u[0, 0]
            else:
                ends[at].append((u, {hidden: fmpq(1)}))
                s[hidden] = fmpq(1)
                hidden += 1
        t = {}
        if of_query:
            ends[2].append((parts[0], {numbers: fmpq(1)}))
            t[numbers] = fmpq(1)
            numbers += 1
        for at, (wanted, made) in enumerate(((of_examples[0], s), (of_examples[1], s), (of_query, t))):
            if wanted:
                places = [(row, kept.index(column)) for row, column in enumerate(wanted)]
                rows[at].append((_placed(len(wanted), len(kept), places), made))
    difference = _picked(difference, kept)
    if queried:
        ends[2].append((difference, {numbers: fmpq(1)}))
        numbers += 1
    families = []
    for forward, adjoint, size in zip(rows, ends, (hidden, hidden, numbers), strict=True):
        pairs = forward + adjoint
        vectors = tuple(tuple(s.get(k, fmpq(0)) for k in range(size)) for _, s in pairs)
        families.append(OperatorPairs(tuple(outer for outer, _ in pairs), vectors, len(forward)))
    return SignalChain(difference, tuple(families), hidden, numbers)


def _placed(rows: int, columns: int, ones: Sequence[tuple[int, int]]) -> fmpq_mat:
    made = fmpq_mat(rows, columns)
    for row, column in ones:
        made[row, column] = fmpq(1)
    return made


def _constant(v: fmpq_mat) -> fmpq_mat:
    made = fmpq_mat(v.nrows(), v.ncols())
    for row in range(v.nrows()):
        made[row, 0] = v[row, 0]
    return made


def _reads(P: fmpq_mat, v: fmpq_mat) -> bool:
    return any((P.transpose() * v).entries())


def _rows(v: fmpq_mat, rows: Sequence[int]) -> fmpq_mat:
    return fmpq_mat([[v[row, column] for column in range(v.ncols())] for row in rows])


def _columns(v: fmpq_mat) -> set[int]:
    return {at % v.ncols() for at, value in enumerate(v.entries()) if value}


def _picked(v: fmpq_mat, columns: Sequence[int]) -> fmpq_mat:
    return fmpq_mat([[v[row, column] for column in columns] for row in range(v.nrows())])
