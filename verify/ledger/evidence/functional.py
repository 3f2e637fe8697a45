"""Evidence for findings about kernels in attention (arXiv 2312.06528)."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import comb, prod
from statistics import median

import flint
import numpy as np
import sympy
from flint import acb_mat, arb, fmpq_mat

from icgd.bounds.algebra.definiteness import (
    RELU_WITNESS,
    circle_quotient,
    fourier_coefficient,
    rayleigh,
)
from icgd.bounds.algebra.spectra import extreme_eigenvalues
from icgd.bounds.functional import descent_identity
from icgd.bounds.kernel import KERNELS
from icgd.verify.kernels.given_inputs import KERNEL_PRECISION
from icgd.verify.ledger.entries import Numbers


def relu_indefinite(kernel: str = "relu") -> Numbers:
    """A negative quadratic form in integers, on the circle in balls, as a Fourier coefficient; and d = 1."""
    quotient = rayleigh(kernel, RELU_WITNESS)
    points, weights = RELU_WITNESS.points, RELU_WITNESS.weights
    # The same form without a kernel function: half of <u, v> + |<u, v>|.
    again = Fraction(0)
    for u, a in zip(points, weights, strict=True):
        for v, b in zip(points, weights, strict=True):
            inner = u[0] * v[0] + u[1] * v[1]
            again += Fraction(a * b * (inner + abs(inner)), 2)
    again /= sum(weight**2 for weight in weights)
    x, y = sympy.symbols("x y", real=True)
    line = sympy.Max(x * y, 0) - sympy.Max(x, 0) * sympy.Max(y, 0) - sympy.Max(-x, 0) * sympy.Max(-y, 0)
    signs = [line.subs({x: a * sx, y: b * sy}) for a, b in [(3, 5)] for sx in (-1, 0, 1) for sy in (-1, 0, 1)]
    circle, coefficient = circle_quotient(), fourier_coefficient(4)
    return {
        "quotient": str(quotient),
        "circle": float(circle),
        "coefficient": str(coefficient / sympy.pi).replace("*pi", " π"),
        "shows": quotient < 0 and quotient == again and bool(circle < 0) and coefficient < 0
        and all(value == 0 for value in signs),
    }  # fmt: skip


def relu_diverges(layers: int = 40, r: float = 0.125) -> Numbers:
    """Descent with relu(<u, v>) on 8 points of the circle: the growth of its residual, in balls."""
    with flint.ctx.workprec(KERNEL_PRECISION):
        angle = arb.pi() / 4
        gram = [[((i - j) * angle).cos().max(arb(0)) for j in range(8)] for i in range(8)]
        low, high = extreme_eigenvalues(gram)
        growth = 1 - arb(r) * low
        # The vector of alternating signs is an eigenvector, so one row gives its eigenvalue.
        wave = [(-1) ** j for j in range(8)]
        eigenvalue = sum((value * sign for value, sign in zip(gram[0], wave, strict=True)), arb(0))
        after = growth**layers
        return {
            "r": r,
            "layers": layers,
            "lowest": float(low),
            "growth": float(growth),
            "after": float(after),
            "shows": bool(low < 0) and eigenvalue.overlaps(low) and bool(growth > 1) and r * float(high) < 2,
        }


def softmax_limit(
    points: Sequence[Sequence[float]] = ((1, 0), (0, 1), (2, 1)),
    labels: Sequence[float] = (1, 0),
    layers: int = 60,
) -> Numbers:
    """The limits of softmax and exp attention on two examples and a query: by hand, and as layers are run.

    By hand: the limit f interpolates the examples, and f = sum a_i exp(<x_i, .>)/s(.) satisfies E a = s y,
    with E the Gram matrix of exp and s the sum over the n examples, as in (3.8).
    """
    rows = [[float(value) for value in point] for point in points]
    y = [float(value) for value in labels]
    if len(y) != 2:
        raise ValueError("two examples are solved by hand")
    with flint.ctx.workprec(KERNEL_PRECISION):
        E = [[arb(sum(a * b for a, b in zip(u, v, strict=True))).exp() for v in rows] for u in rows]
        s = [E[0][j] + E[1][j] for j in range(3)]
        limits = {
            "softmax": _two_examples(E, [s[0] * y[0], s[1] * y[1]]) / s[2],
            "exp": _two_examples(E, [arb(value) for value in y]),
        }
        runs = {
            "softmax": _descended([[E[i][j] / s[j] for j in range(3)] for i in range(2)], y, layers),
            "exp": _descended([row[:] for row in E[:2]], y, layers),
        }
        gap = abs(limits["softmax"] - limits["exp"])
        return {
            "softmax": float(limits["softmax"]),
            "exp": float(limits["exp"]),
            "gap": float(gap),
            "layers": layers,
            "shows": bool(gap > 0)
            and all(bool(abs(runs[name] - limits[name]) < arb(2) ** -20) for name in limits),
        }


def _two_examples(E: Sequence[Sequence[arb]], right: Sequence[arb]) -> arb:
    """sum_i alpha_i E_i2 with E alpha = right on the first two points."""
    det = E[0][0] * E[1][1] - E[0][1] * E[1][0]
    alpha = (right[0] * E[1][1] - E[0][1] * right[1], E[0][0] * right[1] - right[0] * E[1][0])
    return (alpha[0] * E[0][2] + alpha[1] * E[1][2]) / det


def _descended(h: Sequence[Sequence[arb]], labels: Sequence[float], layers: int) -> arb:
    """The prediction for the query, column 2 of h, after layers of step 1/(largest column sum)."""
    rate = 1 / max((h[0][j] + h[1][j] for j in range(2)), key=float)
    left, query = [arb(value) for value in labels], arb(0)
    for _ in range(layers):
        query += rate * (left[0] * h[0][2] + left[1] * h[1][2])
        left = [left[j] - rate * (left[0] * h[0][j] + left[1] * h[1][j]) for j in range(2)]
    return query


def step_condition(x: int = 2, step: str = "1", layers: int = 10) -> Numbers:
    """Descent with the linear kernel on one example, d = 1, for a step below the norm of K = [x^2].

    The residual y - f(x) is multiplied by 1 - step x^2 a layer.
    """
    norm, size = x * x, Fraction(step)
    factor = 1 - size * norm
    residual = Fraction(1)
    for _ in range(layers):
        residual -= size * norm * residual
    return {
        "x": x,
        "step": step,
        "layers": layers,
        "norm": norm,
        "factor": str(factor),
        "left": str(abs(residual)),
        "shows": 0 < size < norm and abs(factor) > 1 and abs(residual) == abs(factor) ** layers,
    }


def one_set_of_weights() -> Numbers:
    """Whether descent with the gradient of L needs the same steps for every prompt, in symbols.

    The gradient is -2 sum (y_i - f(x_i)) K(., x_i), so r' = 2 r.  The unit direction of steepest descent has
    the factor 1/norm(sum (y_i - f(x_i)) K(., x_i)) in place of 2: at n = 1, K = 1, f = 0 it is 1/|y|.
    """
    y, r, K, f = sympy.symbols("y r K f", positive=True)
    loss = (f - y) ** 2
    slope = sympy.diff(loss, f) * K  # of f(x) along K(., x), by the reproducing property
    factor = sympy.simplify(-slope / ((y - f) * K))
    direction = {label: 1 / sympy.sqrt(label * 1 * label) for label in (1, 2)}
    return {
        "factor": int(factor),
        "first": str(direction[1]),
        "second": str(direction[2]),
        "shows": factor == 2 and direction[1] != direction[2] and descent_identity() and not factor.has(y, r),
    }


def no_common_step(
    step: str = "1/10", layers: int = 40, eigenvalues: Sequence[float] = (0.5, 3.5, 20.5), many: int = 4000
) -> Numbers:
    """The in-context loss with a constant step for all prompts: linear kernel, d = n = 1, x and w ~ N(0, 1).

    It is E(1 - step x^2)^(2 L), a polynomial in the moments 1, 1, 3, 15, ...; whatever the step, it is at
    least 4^L P(x^2 > 3/step).  Steps 1/l leave prod |1 - lambda/l| of the residual along an eigenvector of K,
    which tends to 0 for every lambda > 0: one set of weights, and every prompt.
    """
    size, moments = Fraction(step), [Fraction(1)]
    for k in range(2 * layers):
        moments.append(moments[-1] * (2 * k + 1))
    losses = [
        sum((comb(2 * L, k) * (-size) ** k * moments[k] for k in range(2 * L + 1)), Fraction(0))
        for L in range(layers + 1)
    ]
    best = min(range(layers + 1), key=lambda L: losses[L])
    left = [prod(abs(1 - value / l) for l in range(1, many + 1)) for value in eigenvalues]
    return {
        "step": step,
        "layers": layers,
        "best": best,
        "least": float(losses[best]),
        "last": float(losses[layers]),
        "many": many,
        "left": max(left),
        "shows": 0 < best < layers and losses[layers] > 1 > losses[best] and max(left) < 0.01,
    }


def one_step_for_all(n: int = 12) -> Numbers:
    """The step size valid for every prompt on the unit sphere, against the largest that one prompt allows.

    lambda_max is at most n e, at equal points, and at least e + (n-1) exp(-1/(n-1)), at a regular simplex: it
    is at least the mean of K's row sums, which by Jensen's inequality is at least its value at the mean of
    <x_i, x_j>, i != j, and this mean is at least -1/(n-1), as norm2(sum x_i)^2 >= 0.  Orthonormal points have
    e - 1 + n.  All three are confirmed by eigenvalues in balls.
    """
    with flint.ctx.workprec(KERNEL_PRECISION):
        e = arb(1).exp()
        apart = (-arb(1) / (n - 1)).exp()
        by_hand = {"equal": n * e, "orthonormal": e - 1 + n, "simplex": e + (n - 1) * apart}
        others = {"equal": e, "orthonormal": arb(1), "simplex": apart}  # entries off the diagonal
        agree = all(
            extreme_eigenvalues([[e if i == j else others[name] for j in range(n)] for i in range(n)])[1]
            .overlaps(value)
            for name, value in by_hand.items()
        )  # fmt: skip
        equal, orthonormal, simplex = by_hand.values()
        return {
            "n": n,
            "all": float(2 / equal),
            "own": float(2 / simplex),
            "ratio": float(equal / simplex),
            "orthonormal": float(equal / orthonormal),
            "shows": agree and bool(equal > orthonormal) and bool(orthonormal > simplex),
        }


def _layers(low: arb, high: arb, share: float) -> float:
    return float(arb(share).log() / (1 - low / high).log())


def _random_depths(n: int, d: int, share: float, prompts: int) -> list[float]:
    """Layers that the rate requires for exp, on each of several prompts of n random points on the sphere."""
    found = []
    for seed in range(prompts):
        x = np.random.default_rng(seed).standard_normal((n, d))
        rows = [[arb(float(value)) for value in row / np.linalg.norm(row)] for row in x]
        gram = [[sum((a * b for a, b in zip(u, v, strict=True)), arb(0)).exp() for v in rows] for u in rows]
        found.append(_layers(*extreme_eigenvalues(gram), share))
    return found


def depth_on_circle(
    sizes: Sequence[int] = (4, 8, 16, 24),
    dimensions: Sequence[int] = (3, 5, 20),
    share: float = 0.01,
    prompts: int = 21,
) -> Numbers:
    """Layers that (1 - r lambda_min)^L <= share requires for exp on n equally spaced points of the circle.

    At the largest n also on random points of spheres in more dimensions, which require fewer: medians, and in
    the first dimension the ratio of the most to the fewest.
    """
    found: dict[str, int | float | str | bool] = {"share": share}
    previous = 0.0
    rising = True
    with flint.ctx.workprec(KERNEL_PRECISION):
        for n in sizes:
            angle = 2 * arb.pi() / n
            row = [(k * angle).cos().exp() for k in range(n)]
            low, high = extreme_eigenvalues([[row[(i - j) % n] for j in range(n)] for i in range(n)])
            # The vector of alternating signs is the eigenvector of the lowest eigenvalue.
            wave = sum((value * (-1) ** k for k, value in enumerate(row)), arb(0))
            layers = _layers(low, high, share)
            found[f"layers_n{n}"] = layers
            rising &= layers > previous and bool(low > 0) and low.overlaps(wave)
            previous = layers
        random = [_random_depths(sizes[-1], d, share, prompts) for d in dimensions]
    apart = [median(one) for one in random]
    found |= {f"layers_d{d}": value for d, value in zip(dimensions, apart, strict=True)}
    falling = apart == sorted(apart, reverse=True) and apart[0] < previous
    spread = max(random[0]) / min(random[0])
    return found | {"prompts": prompts, "spread": spread, "shows": rising and falling and previous > 1e9}


def linear_rank(d: int = 4, n: int = 12) -> Numbers:
    """The Gram matrix of the linear kernel on n > d integer points: its rank, in rationals."""
    points = fmpq_mat(
        [[(3 * i * i + 7 * j * i + j * j * j + 1) % 11 - 5 for j in range(d)] for i in range(n)]
    )
    gram = points * points.transpose()
    rank = gram.rank()
    return {"d": d, "n": n, "rank": rank, "left": n - rank, "shows": rank <= d < n and gram.det() == 0}


def not_a_process(kernel: str = "relu") -> Numbers:
    """K_+ = |K| of four points and of three of them: whether the law of three labels knows the fourth point.

    |K| = V |D| V^T with eigenvalues and vectors in balls; the points are those on which relu is not definite.
    """
    points = RELU_WITNESS.points
    with flint.ctx.workprec(KERNEL_PRECISION):
        table = [[KERNELS[kernel].k.ball(arb(u[0] * v[0] + u[1] * v[1])) for v in points] for u in points]
        whole, part = _absolute(table), _absolute([row[:3] for row in table[:3]])
        apart = [abs(whole[i][j] - part[i][j]) for i in range(3) for j in range(3)]
        largest = max(apart, key=float)
        square = [
            abs(sum((whole[i][k] * whole[k][j] for k in range(4)), arb(0))
                - sum((table[i][k] * table[k][j] for k in range(4)), arb(0)))
            for i in range(4) for j in range(4)
        ]  # fmt: skip
        return {
            "apart": float(largest),
            "variance": float(whole[0][0]),
            "alone": float(part[0][0]),
            "shows": bool(largest > 0) and all(value.contains(0) for value in square),
        }


def _absolute(table: Sequence[Sequence[arb]]) -> list[list[arb]]:
    """V |D| V^-1 of a symmetric matrix whose eigenvalues are simple, in balls."""
    size = len(table)
    values, right = acb_mat([list(row) for row in table]).eig(right=True)
    scaled = (
        acb_mat([[right[i, k] * abs(values[k].real) for k in range(size)] for i in range(size)]) * right.inv()
    )
    return [[scaled[i, j].real for j in range(size)] for i in range(size)]
