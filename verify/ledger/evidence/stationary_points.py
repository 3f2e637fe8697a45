"""Evidence about stationary points of the in-context loss of kernel attention (arXiv 2312.06528)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import flint
import sympy
from flint import arb

from icgd.bounds.algebra.best_steps import WORKING_BITS, best_steps, transformed_loss
from icgd.verify.ledger.entries import Numbers

SIMILARITIES: dict[str, Callable[[sympy.Matrix], sympy.Matrix]] = {
    "linear": lambda scores: scores,
    "exp": lambda scores: scores.applyfunc(sympy.exp),
    "softmax": lambda scores: _normalised(scores.applyfunc(sympy.exp)),
}


def _normalised(table: sympy.Matrix) -> sympy.Matrix:
    """The last row, of the query as a key, set to 0 and every column divided by its sum."""
    masked = table.copy()
    masked[masked.rows - 1, :] = sympy.zeros(1, masked.cols)
    return sympy.Matrix(
        masked.rows, masked.cols, lambda i, j: masked[i, j] / sum(masked[k, j] for k in range(masked.rows))
    )


def _at_zero(similarity: str, d: int, n: int) -> list[sympy.Expr]:
    """Partial derivatives of two layers' prediction in every entry of B_l and C_l, at B_l = C_l = 0.

    V_l = diag(A_l, r_l) with entries of A_l, r_l, x and y symbols.
    """
    X = sympy.Matrix(d, n + 1, sympy.symbols(f"x:{d * (n + 1)}"))
    Y = sympy.Matrix(1, n + 1, [*sympy.symbols(f"y:{n}"), 0])
    M = sympy.diag(*[1] * n, 0)
    unknowns: list[sympy.Symbol] = []
    for l in range(2):
        names = sympy.symbols(f"b{l}_:{d * d} c{l}_:{d * d}")
        B, C = sympy.Matrix(d, d, names[: d * d]), sympy.Matrix(d, d, names[d * d :])
        A = sympy.Matrix(d, d, sympy.symbols(f"a{l}_:{d * d}"))
        h = M * SIMILARITIES[similarity]((B * X).T * (C * X))
        X, Y = X + A * X * h, Y + sympy.Symbol(f"r{l}") * Y * h
        unknowns += names
    zero = dict.fromkeys(unknowns, 0)
    return [sympy.simplify(sympy.diff(Y[0, n], name).subs(zero)) for name in unknowns]


def zero_network(similarities: Sequence[str] = ("linear", "exp", "softmax"), n: int = 10) -> Numbers:
    """Whether B_l = C_l = 0 makes every partial derivative in B and C vanish, on every prompt (d = 1, n = 1).

    The prediction depends on B_l and C_l through B_l^T C_l alone, whose derivative vanishes there.  Linear
    similarity then predicts 0 for any r, so the derivatives in r and A vanish, too; one step does better.
    """
    slopes = {name: _at_zero(name, 1, 1) for name in similarities}
    taken = [value for found in slopes.values() for value in found]
    step = best_steps(n, 2, 1).loss
    return {
        "n": n,
        "partials": len(taken),
        "nonzero": sum(value != 0 for value in taken),
        "step": str(step / 2),
        "shows": all(value == 0 for value in taken) and step < 2,
    }


def no_plain_descent(n: int = 10, d: int = 2) -> Numbers:
    """Whether two layers of linear attention have a stationary point with A_0 = 0 and b_l c_l not 0 (S = I).

    The conditions on (a_0, a_1), a_l the steps, and on A_0 have no common solution, complex ones included
    (a Groebner basis); at the best steps the derivative in A_0 is given in balls.
    """
    loss = transformed_loss(n, d, 2)
    a0, a1, b0 = symbols = sympy.symbols("a0 a1 b0")
    whole = sum(
        sympy.Rational(int(c.p), int(c.q))
        * sympy.prod(s ** int(e) for s, e in zip(symbols, powers, strict=True))
        for powers, c in loss.to_dict().items()
    )
    plain = whole.subs(b0, 0)
    transform = sympy.cancel(sympy.diff(whole, b0).subs(b0, 0) / (a0 * a1))
    conditions = [sympy.diff(plain, a0), sympy.diff(plain, a1), transform]
    steps = best_steps(n, d, 2).a
    with flint.ctx.workprec(WORKING_BITS):
        point = [arb(value) for value in (*steps, 0.0)]
        slope = _value(loss.derivative(2), point)
    return {
        "n": n,
        "d": d,
        "slope": float(slope),
        "shows": sympy.groebner(conditions, a0, a1).exprs == [1] and abs(float(slope)) > 1e-3,
    }


def _value(polynomial: Any, point: Sequence[arb]) -> arb:
    total = arb(0)
    for powers, coefficient in polynomial.to_dict().items():
        term = arb(coefficient)
        for value, power in zip(point, powers, strict=True):
            term *= value ** int(power)
        total += term
    return total


def relu_kink() -> Numbers:
    """The slopes of the loss of one ReLU layer at b = 0, from the right and from the left.

    n = 1, x_1 and x_2 uniform on the unit circle, labels of covariance K_+ = [[1, relu(s)], [relu(s), 1]],
    s = <x_1, x_2>: the loss at b c = t is 1 + 2 r E relu(s) relu(t s) + r^2 E relu(t s)^2; r = 1.
    """
    angle, t = sympy.symbols("phi t", positive=True)
    quarter = sympy.integrate(sympy.cos(angle) ** 2, (angle, -sympy.pi / 2, sympy.pi / 2)) / (2 * sympy.pi)
    losses = {"right": 1 + 2 * t * quarter + t**2 * quarter, "left": 1 + t**2 * quarter}
    right = sympy.diff(losses["right"], t).subs(t, 0)
    left = -sympy.diff(losses["left"], t).subs(t, 0)
    return {"right": str(right), "left": str(left), "shows": right != left}
