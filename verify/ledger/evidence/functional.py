"""Evidence for findings about kernels in attention (arXiv 2312.06528)."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from statistics import median

import flint
import numpy as np
import sympy
from flint import arb, fmpq_mat

from icgd.bounds.algebra.definiteness import (
    RELU_WITNESS,
    circle_quotient,
    fourier_coefficient,
    rayleigh,
)
from icgd.bounds.algebra.spectra import extreme_eigenvalues
from icgd.verify.kernels.given_inputs import KERNEL_PRECISION, convergence_on
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
    points: Sequence[Sequence[float]] = ((1, 0), (0, 1), (1, 1)), labels: Sequence[float] = (1, 0)
) -> Numbers:
    """The limits of softmax and exp attention on two examples and a query; softmax also by hand.

    By hand: the fixed point f interpolates the examples, and f = sum a_i exp(<x_i, .>)/s(.) satisfies
    E a = s y, with E the Gram matrix of exp and s the sum over all keys.
    """
    rows = [[float(value) for value in point] for point in points]
    y = [float(value) for value in labels]
    softmax, exponential = convergence_on(("softmax",), rows, y, 0.1), convergence_on(("exp",), rows, y, 0.1)
    if softmax is None or exponential is None:
        raise ArithmeticError("no certificate on these points")
    with flint.ctx.workprec(KERNEL_PRECISION):
        E = [[arb(sum(a * b for a, b in zip(u, v, strict=True))).exp() for v in rows] for u in rows]
        s = [sum(row, arb(0)) for row in E]
        if len(y) != 2:
            raise ValueError("two examples are solved by hand")
        (a, b), (c, d) = E[0][:2], E[1][:2]
        right = [s[0] * y[0], s[1] * y[1]]
        det = a * d - b * c
        alpha = [(right[0] * d - b * right[1]) / det, (a * right[1] - c * right[0]) / det]
        by_hand = (alpha[0] * E[0][2] + alpha[1] * E[1][2]) / s[2]
        gap = abs(softmax.limit - exponential.limit)
        return {
            "softmax": float(softmax.limit),
            "exp": float(exponential.limit),
            "gap": float(gap),
            "shows": bool(gap > 0) and by_hand.overlaps(softmax.limit)
            and bool(softmax.smallest > 0) and bool(exponential.smallest > 0),
        }  # fmt: skip


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
