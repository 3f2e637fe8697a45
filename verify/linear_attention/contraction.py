"""The contraction of gradient descent on given data: iterates without rounding, eigenvalues in balls.

The given floats are taken as exact rationals.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import flint
from flint import arb, fmpq, fmpq_mat

from icgd.bounds.algebra.spectra import eigenvalues, exact_gram
from icgd.verify.results import Grid

CONTRACTION_PRECISION = 256


@dataclass(frozen=True)
class Contraction:
    """The contraction of T steps on one prompt, in balls (Arb) except for the exact squares.

    smallest, largest: extreme eigenvalues of (1/n) X^T X.  factor: max |1 - eta lambda|.
    measured: norm2(w_T - w*)^2 / norm2(w*)^2, exactly, w* the least-squares solution.
    missed: distance of the float64 output from x_q . w*, less 2^-40 (rounding), over norm2(x_q) norm2(w*).
    Both None where X^T X is singular or w* = 0.
    """

    smallest: arb
    largest: arb
    factor: arb
    measured: fmpq | None
    missed: arb | None
    steps: int

    @property
    def kappa(self) -> arb:
        """The condition number; infinite where the smallest eigenvalue may be 0."""
        return self.largest / self.smallest if self.smallest > 0 else arb("inf")

    @property
    def holds(self) -> bool:
        """Whether both errors are certified to be at most factor^T, up to the rounding of a ball."""
        with flint.ctx.workprec(CONTRACTION_PRECISION):
            return self.within(self.factor.upper() ** self.steps * (1 + arb(2) ** -200))

    def within(self, bound: arb) -> bool:
        """Whether both errors are certified to be at most the bound."""
        if self.measured is None or self.missed is None:
            return False
        with flint.ctx.workprec(CONTRACTION_PRECISION):
            return bool(arb(self.measured) <= bound**2) and bool(self.missed <= bound)

    def spans(self, low: arb, high: arb) -> bool:
        """Whether all eigenvalues are certified to lie between low and high."""
        return bool(self.smallest >= low) and bool(self.largest <= high)


def contraction(
    x: fmpq_mat,
    w: fmpq_mat,
    target: fmpq_mat | None,
    rate: fmpq,
    steps: int,
    query: fmpq_mat,
    answer: fmpq,
) -> Contraction:
    """The enclosures for w (d, 1), which descent reached, and for the float64 answer to the query."""
    with flint.ctx.workprec(CONTRACTION_PRECISION):
        spectrum = eigenvalues(exact_gram(x))
        smallest, largest = spectrum[0], spectrum[-1]
        step = arb(rate)
        factor = abs(1 - step * smallest).max(abs(1 - step * largest))
        measured, missed = None, None
        if target is not None and (size := _square(target)):
            measured = _square(w - target) / size
            miss = abs(arb(answer - (query * target)[0, 0])) - arb(2) ** -40
            missed = miss / (arb(size) * arb(_square(query.transpose()))).sqrt()
        return Contraction(smallest, largest, factor, measured, missed, steps)


def _square(vector: fmpq_mat) -> fmpq:
    return (vector.transpose() * vector)[0, 0]


def exact_descent(x: fmpq_mat, y: fmpq_mat, rate: fmpq, steps: int) -> list[fmpq_mat]:
    """w_0 = 0, ..., w_steps of w - rate (1/n) X^T (X w - y), without rounding; x (n, d), y (n, 1)."""
    w = fmpq_mat(x.ncols(), 1)
    path, gram, moment = [w], exact_gram(x), x.transpose() * y * fmpq(1, x.nrows())
    for _ in range(steps):
        w = w - (gram * w - moment) * rate
        path.append(w)
    return path


def least_squares(x: fmpq_mat, y: fmpq_mat) -> fmpq_mat | None:
    """The exact minimiser of norm2(X w - y), or None where it is not unique."""
    try:
        return (x.transpose() * x).solve(x.transpose() * y)
    except ZeroDivisionError:
        return None


def distances(path: Sequence[fmpq_mat], target: fmpq_mat | None) -> list[float]:
    """norm2(w_l - w*) / norm2(w*) for every iterate, from exact squares; nan where w* is 0 or not unique."""
    size = fmpq(0) if target is None else _square(target)
    if target is None or not size:
        return [math.nan] * len(path)
    return [math.sqrt(float(arb(_square(w - target) / size))) for w in path]


def certified_powers(found: Sequence[Contraction], steps: int) -> list[float]:
    """The largest factor^l over prompts, rounded up, for l = 0..steps."""
    with flint.ctx.workprec(CONTRACTION_PRECISION):
        worst = max((item.factor.upper() for item in found), key=float)
        return [float((worst**step).upper()) for step in range(steps + 1)]


def contraction_grid(found: Sequence[Contraction], prompts: str) -> Grid:
    """A row for each prompt; prompts: what they are, for the title."""

    def number(ball: arb) -> str:
        return str(ball.str(12, radius=False))

    rows = []
    for k, item in enumerate(found):
        measured = math.sqrt(float(arb(item.measured))) if item.measured is not None else None
        with flint.ctx.workprec(CONTRACTION_PRECISION):
            ideal, allowed = 1 - 1 / item.kappa, item.factor**item.steps
        rows.append(
            (k, number(item.kappa), number(item.factor), number(ideal), item.steps, measured, number(allowed))
        )
    columns = ("prompt", "kappa", "factor", "1 - 1/kappa", "loops", "error", "factor^loops")
    note = (
        "kappa and factors: balls around roots of the exact characteristic polynomial, shown to 12 digits; "
        "1 - 1/kappa is the factor of a step of 1/lambda_max of the same prompt; errors over norm2(w*)"
    )
    return Grid(f"Contraction on {prompts}", columns, tuple(rows), note)
