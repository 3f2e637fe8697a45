"""Rigorous lower and upper bounds on the step error at one given prompt, by ball arithmetic.

Exact descent and the transformer are both evaluated on balls (Arb), with the floats of prompt and weights
taken as exact rationals; for the transformer in float64, every rounding widens a ball by Higham's bound.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from typing import NamedTuple

import flint
import numpy as np
import torch
from jaxtyping import Float

from icgd.bounds.functions.relu_sum import ReluSum
from icgd.bounds.functions.scalar import PRECISION, lower_float, upper_float
from icgd.bounds.problem import Problem
from icgd.bounds.step_error.domain import UNIT_ROUNDOFF, face
from icgd.bounds.step_error.rounding import gamma
from icgd.construct.block.heads import Aggregate, AttentionPart, Clip, Gate, Read
from icgd.construct.block.hidden import Ridge
from icgd.construct.block.transformer import Transformer
from icgd.construct.prompt import Prompt, split_weights

BallVector = list[flint.arb]
Slots = dict[str, BallVector]
Interval = tuple[float, float]
_Part = AttentionPart | Ridge

_UPWARD = 1 + 2.0**-20  # covers the rounding of sums of far fewer than 2**30 non-negative floats
_UNDERFLOW = 2.0**-900  # more than underflow, gradual or flushed to zero, can change one number here
_TABLE = 48  # roundings of a table look-up: its lines, their values, the choice of a line next to a kink


DISTINCT = 256
"""A prompt with more distinct examples than this is not enclosed: each takes a few milliseconds."""


@dataclass(frozen=True)
class Enclosure:
    """Intervals that contain norm2(err) of one step, as `icgd.verify.descent.step_error` defines it.

    prompt: its row in the batch.  real: for the transformer over the reals, with its declared weights exact.
    deployed: for the transformer in floats, with sums in any order, fused or not, computed by tables or on
    the literal matrices (whose entries are rounded products of declared weights); contains `real`.
    Assumptions: IEEE-754 binary arithmetic, round to nearest, no overflow.
    """

    prompt: int
    real: Interval
    deployed: Interval


def enclose(
    transformer: Transformer, prompt: Prompt, index: int = 0, *, unit: float = UNIT_ROUNDOFF
) -> Enclosure:
    """The step error of row `index` of the prompts, for any transformer made of our parts, even damaged.

    unit: roundoff of the deployed arithmetic.
    """
    problem = transformer.problem
    with flint.ctx.workprec(PRECISION):
        matrices, tokens, times = on_balls(problem, prompt, index)
        target = projected_on_balls(problem, descent_on_balls(problem, tokens[:-1], times, matrices))
        steps = (BlockOnBalls(transformer, matrices, [*times, 1], roundoff) for roundoff in (0.0, unit))
        real, deployed = (distance_on_balls(target, step(tokens)) for step in steps)
    return Enclosure(index, real, (min(real[0], deployed[0]), max(real[1], deployed[1])))


def on_balls(
    problem: Problem, prompt: Prompt, index: int
) -> tuple[list[list[BallVector]], list[Slots], list[int]]:
    """Row `index` of the prompts, exactly: the matrices of w, the distinct tokens, how often each occurs."""
    stacked = split_weights(problem, prompt.w[index : index + 1])
    matrices = [[_exact(row) for row in v[0].tolist()] for v in stacked]
    examples, times = _distinct(prompt, index)
    x, y = examples[:, : problem.d].tolist(), examples[:, problem.d :].tolist()
    rows = [(*pair, 1.0) for pair in zip(x, y, strict=True)]
    rows.append((prompt.query[index].tolist(), [0.0] * problem.d_out, 0.0))
    tokens = [{"x": _exact(x), "y": _exact(y), "t": [flint.arb(t)]} for x, y, t in rows]
    return matrices, tokens, times


def _distinct(prompt: Prompt, index: int) -> tuple[Float[np.ndarray, "m columns"], list[int]]:
    """The distinct examples of a row of the prompts, in their order, and how often each occurs."""
    examples = torch.cat([prompt.x[index], prompt.y[index]], dim=-1).numpy()
    distinct, first, times = np.unique(examples, axis=0, return_index=True, return_counts=True)
    order = np.argsort(first)
    return distinct[order], times[order].tolist()


def enclosable(prompt: Prompt, index: int = 0) -> bool:
    """Whether a row of the prompts has few enough distinct examples to be enclosed within seconds."""
    return len(_distinct(prompt, index)[1]) <= DISTINCT


def _exact(values: Sequence[float]) -> BallVector:
    return [flint.arb(value) for value in values]


def _dot(u: BallVector, v: BallVector) -> flint.arb:
    return sum((a * b for a, b in zip(u, v, strict=True)), start=flint.arb(0))


def _flat(matrix: list[BallVector]) -> BallVector:
    return [entry for row in matrix for entry in row]


def descent_on_balls(
    problem: Problem, examples: list[Slots], times: list[int], matrices: list[list[BallVector]]
) -> list[BallVector]:
    """w - eta grad L_n(w), each layer's matrix flattened: the recursion for s_i(j) of arXiv 2411.16549."""
    loss, functions = problem.loss, [problem.activation_at(j).r for j in range(1, problem.N + 1)]
    gradient = [[flint.arb(0) for _ in _flat(v)] for v in matrices]
    for example, count in zip(examples, times, strict=True):
        p, z = [example["x"]], []
        for v, r in zip(matrices, functions, strict=True):
            z.append([_dot(row, p[-1]) for row in v])
            p.append([r.ball(entry) for entry in z[-1]])
        g = [
            loss.phi.ball(a - loss.rho * b) - loss.sigma * b for a, b in zip(p[-1], example["y"], strict=True)
        ]
        for j in reversed(range(problem.N)):
            s = [functions[j].derivative.ball(entry) * upper for entry, upper in zip(z[j], g, strict=True)]
            products = [count * a * b for a in s for b in p[j]]
            gradient[j] = [total + product for total, product in zip(gradient[j], products, strict=True)]
            g = [_dot(list(column), s) for column in zip(*matrices[j], strict=True)]
    rate = flint.arb(problem.eta) / (2 * sum(times))
    pairs = [zip(_flat(v), slope, strict=True) for v, slope in zip(matrices, gradient, strict=True)]
    return [[w - rate * slope for w, slope in pair] for pair in pairs]


def projected_on_balls(problem: Problem, w: list[BallVector]) -> list[BallVector]:
    """Proj(w) onto the box W, each layer's matrix flattened."""
    halves = (flint.arb(face(problem, j)) for j in range(1, problem.N + 1))
    return [[a.min(half).max(-half) for a in flat] for flat, half in zip(w, halves, strict=True)]


def distance_on_balls(target: list[BallVector], reached: list[BallVector]) -> Interval:
    """The norm2 distance of two w, each layer's matrix flattened."""
    total = flint.arb(0)
    for wanted, got in zip(target, reached, strict=True):
        errors = [b - a for a, b in zip(wanted, got, strict=True)]
        total += _dot(errors, errors)
    low, high = (end.max(flint.arb(0)).sqrt() for end in (total.lower(), total.upper()))
    return (0.0, math.inf) if total.is_nan() else (max(0.0, lower_float(low)), upper_float(high))


class _Summand(NamedTuple):
    """A ball, the sum of the absolute values of its terms, and the number of roundings."""

    value: flint.arb
    size: float
    operations: int


@lru_cache(maxsize=1024)
def _pieces(
    relus: ReluSum, precision: int
) -> tuple[BallVector, list[tuple[flint.arb, flint.arb]], float, float]:
    """Kinks, the lines (slope, level) between them, rise and fixed: rise |t| + fixed is what rounds at t."""
    parts = ([flint.fmpq(q.numerator, q.denominator) for q in part] for part in relus.segments())
    kinks, slopes, levels = ([flint.arb(q) for q in part] for part in parts)
    bends, knots = np.abs(relus.a * relus.c), np.abs(relus.b / relus.a)
    # Near a kink, within roundings of the largest knot, a table may take the line next to the right one.
    missed = float(bends.max(initial=0.0) * knots.max(initial=0.0))
    fixed = float(bends @ knots) + abs(relus.constant) + missed
    return kinks, list(zip(slopes, levels, strict=True)), float(bends.sum()), fixed


@dataclass(frozen=True)
class BlockOnBalls:
    """One block of the transformer on balls, widened by every rounding of size `unit` (0: over the reals).

    times: how often each token occurs.
    """

    transformer: Transformer
    matrices: list[list[BallVector]]
    times: list[int]
    unit: float

    @property
    def tokens(self) -> int:
        """How many tokens the whole prompt has."""
        return sum(self.times)

    def __call__(self, tokens: list[Slots]) -> list[BallVector]:
        """The w after the step, each layer's matrix flattened."""
        tokens = [dict(token) for token in tokens]
        flat = {f"V{j}": _flat(v) for j, v in enumerate(self.matrices, start=1)}
        summed = False
        for layer in map(self.transformer.layer, range(len(self.transformer.layers))):
            for part in (head for head in layer.heads if isinstance(head, Aggregate)):
                flat[part.matrix] = self._aggregate(part, tokens, flat[part.matrix])
                summed = True  # from here on, no change of the tokens can affect w
            for token in [] if summed else tokens:
                self._apply(layer.heads, token)
                self._apply([ridge for ridge in layer.ridges if ridge.target not in flat], token)
            self._apply([ridge for ridge in layer.ridges if summed and ridge.target in flat], flat)
        return list(flat.values())

    def _size(self, x: flint.arb) -> float:
        return float(x.abs_upper()) if self.unit else 0.0

    def _rounded(self, value: flint.arb, size: float, operations: int) -> flint.arb:
        wider = gamma(operations, self.unit) * size * _UPWARD + _UNDERFLOW
        return value + flint.arb(0, wider) if self.unit else value

    def _apply(self, parts: Sequence[_Part], values: Slots) -> None:
        """Add the outputs of the parts, which all read the same input, to the slots."""
        after: Slots = {}
        for target in {part.target: None for part in parts}:
            adding = [part for part in parts if part.target == target]
            old = values.get(target, [flint.arb(0)] * self.transformer.stream[target].size)
            # A clip adds clip(t) - t to t: only in one sum over the same ball t do the two t cancel.
            one = adding[0] if len(adding) == 1 and target in values else None
            clip = isinstance(one, Ridge) and (one.form, one.bias, one.scale) == ({target: 1.0}, 0.0, 1.0)
            after[target] = []
            for k, before in enumerate(old):
                found = [self._summand(part, k, values, clip) for part in adding]
                value = sum((s.value for s in found), start=flint.arb(0) if clip else before)
                size = self._size(before) + sum(s.size for s in found)
                after[target].append(self._rounded(value, size, sum(s.operations for s in found)))
        values.update(after)

    def _summand(self, part: _Part, k: int, values: Slots, residual: bool) -> _Summand:
        """What one part adds to entry k of its target; residual: plus the argument itself.

        The number of operations is that of the literal sums (a mean over tokens counts as a sum over all of
        them in any order) or of the table, whichever is larger; 8 more cover weights that are products,
        constants, and the division of the mean.
        """
        assert not isinstance(part, Aggregate)
        t, size, operations = self._argument(part, k, values)
        if isinstance(part, Gate):
            value = values[part.value][k]
            return _Summand(value * t, self._size(value) * size, operations + 8)
        kinks, lines, rise, fixed = _pieces(part.relus, flint.ctx.prec)
        # Comparisons of balls are true only where certain: kinks[:first] lie below t, kinks[last:] above.
        first, last = bisect_left(kinks, t), bisect_right(kinks, t)
        ends = [t] if first == last else [t.lower(), *kinks[first:last], t.upper()]
        places = zip(lines[first : last + 1], ends, ends[1:] or ends, strict=False)
        found = [(slope + residual) * place + level for (slope, level), *both in places for place in both]
        union = reduce(flint.arb.union, found)
        scale, repeated = (part.scale, 1) if isinstance(part, Ridge) else (1.0, self.tokens)
        operations += (part.relus.units + 1) * repeated + 2 + (_TABLE if part.relus.units > 3 else 0)
        if not isinstance(part, Ridge) or part.bias or scale != 1 or part.relus.constant:
            operations += 8
        return _Summand(scale * union, abs(scale) * (rise * size + fixed), operations)

    def _argument(self, part: Read | Clip | Gate | Ridge, k: int, values: Slots) -> _Summand:
        """The linear or bilinear form that the part's ReLUs act on."""
        bias = 0.0
        if isinstance(part, Ridge | Clip):
            bias = part.bias if isinstance(part, Ridge) else 0.0
            form = {name: c for name, c in part.form.items() if name in values}  # other slots are still zero
            u, v = _exact(list(form.values())), [values[name][k] for name in form]
        elif part.matrix is None:
            u, v = [values[part.query][k]], [flint.arb(1)]
        else:
            matrix, columns = self.matrices[int(part.matrix[1:]) - 1], isinstance(part, Gate) or part.columns
            u, v = values[part.query], [row[k] for row in matrix] if columns else matrix[k]
        size = sum((self._size(a) * self._size(b) for a, b in zip(u, v, strict=True)), start=abs(bias))
        return _Summand(_dot(u, v) + bias, size, len(u))

    def _aggregate(self, part: Aggregate, tokens: list[Slots], old: BallVector) -> BallVector:
        """The flattened matrix after the sum over examples; the offset is subtracted from the key."""
        totals, offset = [(flint.arb(0), 0.0)] * len(old), flint.arb(part.offset)
        for values, count in zip(tokens, self.times, strict=True):
            found, mask = [], values["t"][0]
            for key in values[part.key]:
                weight = (key + (2 * mask - 1) * offset).max(flint.arb(0)) - mask * offset
                reach = self._size(key) + 4 * abs(part.offset)
                found += [(weight * value, reach * self._size(value)) for value in values[part.value]]
            totals = [(a + count * b, r + count * s) for (a, r), (b, s) in zip(totals, found, strict=True)]
        rate, operations = flint.arb(part.scale) / self.tokens, 2 * self.tokens + 10
        added = [(rate * total, self._size(rate) * size) for total, size in totals]
        pairs = zip(old, added, strict=True)
        return [self._rounded(w + a, self._size(w) + size, operations) for w, (a, size) in pairs]
