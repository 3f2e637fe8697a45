"""Evidence for findings about looped linear transformers on least squares (arXiv 2410.11268)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import mpmath
import sympy
from flint import fmpq, fmpq_mat

from icgd.bounds.algebra.rationals import exact_matrix
from icgd.bounds.algebra.spectra import eigenvalues, exact_gram
from icgd.bounds.looped import (
    LoopedProblem,
    condition_bound,
    examples_needed,
    is_conditioned,
)
from icgd.verify.ledger.entries import Numbers
from icgd.verify.linear_attention.contraction import exact_descent, least_squares


def needed(d: int, T: int, eps: float, t: float) -> int:
    """The fewest examples, by bisection on the condition-number bound rather than by its inverse."""
    allowed = 1 / (1 - mpmath.mpf(eps) ** (mpmath.mpf(1) / T))

    def enough(n: int) -> bool:
        low = mpmath.sqrt(n) - mpmath.sqrt(d) - t
        return bool(low > 0 and ((mpmath.sqrt(n) + mpmath.sqrt(d) + t) / low) ** 2 <= allowed)

    high = 1
    while not enough(high):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _examples_limit(T: int, eps: float, t: float) -> float:
    """The limit of (fewest examples)/d as d grows, in symbols; rounding up does not change it."""
    size = sympy.Symbol("d", positive=True)
    root = 1 / sympy.sqrt(1 - sympy.Rational(str(eps)) ** sympy.Rational(1, T))
    growth = sympy.expand((sympy.sqrt(size) + sympy.Rational(str(t))) ** 2 / size)
    return float(sympy.limit(growth, size, sympy.oo) * ((root + 1) / (root - 1)) ** 2)


def examples_constant(
    d: int = 4, T: int = 10, eps: float = 0.01, t: float = 2.0, large: int = 10**6
) -> Numbers:
    """The constant of n = O(d): at one size, and its limits as d grows, for T loops and for one loop.

    With kappa = 1/(1 - eps^(1/T)), (sqrt d + t)^2 ((sqrt kappa + 1)/(sqrt kappa - 1))^2 examples are needed,
    rounded up.  The limits are taken in symbols and compared with the count at a large d, by bisection.
    """
    found = examples_needed(d, T, eps, t)
    limit, one_loop = _examples_limit(T, eps, t), _examples_limit(1, eps, t)
    growth = (1 + t / math.sqrt(large)) ** 2  # what t adds to the limit at this d
    near = all(
        value < needed(large, loops, eps, t) / large <= value * growth * (1 + 1e-9) + 1 / large
        for value, loops in ((limit, T), (one_loop, 1))
    )
    return {
        "d": d,
        "T": T,
        "eps": eps,
        "examples": found,
        "per_dimension": found / d,
        "limit": limit,
        "one_loop": one_loop,
        "shows": found == needed(d, T, eps, t)
        and near
        and examples_needed(d, 1, eps, t) > 1000 * found
        and examples_needed(large, 10 * T, eps, t) < examples_needed(large, T, eps, t),
    }


def omega_constant(d: int = 4, T: int = 10, eps: float = 0.01, t: float = 2.0) -> Numbers:
    """The c at which exp(c T) equals the number that n = O(d) needs; for smaller c, exp(c T) is less."""
    ours = examples_needed(d, T, eps, t)
    c = math.log(ours) / T
    low, high = math.exp(0.1 * T), math.exp(T)
    return {
        "d": d,
        "T": T,
        "slow": 0.1,
        "ours": ours,
        "c": c,
        "at_tenth": math.ceil(low),
        "at_one": math.ceil(high),
        "shows": low < ours < high,
    }


def no_condition(d: int = 4, t: float = 2.0, T: int = 10, eps: float = 0.01) -> Numbers:
    """The largest n at which the condition-number bound is infinite, and the least t for its probability.

    Also the bound at the n that T loops need for the target eps.
    """
    enough = examples_needed(d, T, eps, t)
    last = max(n for n in range(1, 4096) if not is_conditioned(LoopedProblem(d=d, n=n, t=t)))
    first = condition_bound(d, last + 1, t)
    tall = fmpq_mat([[(i * i + 3 * i * j + 2 * j + 1) % 7 - 3 for j in range(d)] for i in range(d - 1)])
    least_t = math.sqrt(2 * math.log(2))
    return {
        "d": d,
        "t": t,
        "last": last,
        "first_kappa": first,
        "enough": enough,
        "enough_kappa": condition_bound(d, enough, t),
        "least_t": least_t,
        "rank": exact_gram(tall).rank(),
        "shows": last == math.floor((math.sqrt(d) + t) ** 2)
        and math.isinf(condition_bound(d, last, t))
        and exact_gram(tall).rank() < d
        and least_squares(tall, fmpq_mat(d - 1, 1)) is None
        and abs(2 * math.exp(-(least_t**2) / 2) - 1) < 1e-12
        and condition_bound(d, enough, t) <= 1 / (1 - eps ** (1 / T)) < condition_bound(d, enough - 1, t),
    }


def square_data(d: int = 8, loops: int = 10) -> Numbers:
    """n = d with invertible data, x_i with i ones: condition number in balls, descent in rationals.

    The step size is the float64 next to 1/lambda_max as a rational; the labels are those of w_k = (-1)^k.
    """
    x = fmpq_mat([[int(j <= i) for j in range(d)] for i in range(d)])
    w = fmpq_mat([[(-1) ** k] for k in range(d)])
    spectrum = eigenvalues(exact_gram(x))
    rate = fmpq(*float(1 / spectrum[-1].upper()).as_integer_ratio())
    left = exact_descent(x, x * w, rate, loops)[-1] - w
    share = (left.transpose() * left)[0, 0] / (w.transpose() * w)[0, 0]
    # The singular values of this matrix are 1 / (2 sin((2k-1) pi / (4d+2))).
    largest, least = (1 / (2 * math.sin(k * math.pi / (4 * d + 2))) for k in (1, 2 * d - 1))
    kappa = float(spectrum[-1] / spectrum[0])
    return {
        "d": d,
        "loops": loops,
        "kappa": kappa,
        "left": math.sqrt(float(Fraction(int(share.p), int(share.q)))),
        "shows": bool(spectrum[0] > 0) and abs(kappa / (largest / least) ** 2 - 1) < 1e-9
        and share > fmpq(1, 4) and math.isinf(condition_bound(d, d, 0.1)),
    }  # fmt: skip


def step_from_data(scale: str = "2", loops: int = 10) -> Numbers:
    """One step size for two prompts, the second scaled: 1/lambda_max of the first diverges on the second.

    d = 1, x = 1 and x = scale, y = x w*: each step multiplies the error by 1 - eta x^2, in rationals.
    """
    eta, factor = Fraction(1), Fraction(scale)
    first, second = 1 - eta, 1 - eta * factor**2
    x = exact_matrix([[float(factor)]])
    path = exact_descent(x, x * fmpq_mat([[1]]), fmpq(1), loops)
    left = path[-1][0, 0] - 1
    exact = Fraction(int(left.p), int(left.q))
    return {
        "scale": scale,
        "loops": loops,
        "first": str(first),
        "second": str(second),
        "left": str(abs(exact)),
        "shows": abs(exact) == abs(second) ** loops and abs(second) > 1 > abs(first),
    }


def fixed_step(d: int = 4, sizes: Sequence[int] = (20, 64, 1024), t: float = 2.0) -> Numbers:
    """The step size valid for Gaussian prompts with probability 1 - 2 exp(-t^2/2), where E X^T X / n = I."""
    found = {n: LoopedProblem(d=d, n=n, t=t).rate for n in sizes}
    by_hand = {n: 1 / (1 + (math.sqrt(d) + t) / math.sqrt(n)) ** 2 for n in sizes}
    return {
        "d": d,
        "t": t,
        "failure": 2 * math.exp(-(t**2) / 2),
        **{f"eta_n{n}": value for n, value in found.items()},
        "shows": all(abs(found[n] - by_hand[n]) < 1e-12 for n in sizes)
        and sorted(found.values()) == list(found.values()) and max(found.values()) < 1,
    }  # fmt: skip
