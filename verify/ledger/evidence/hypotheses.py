"""Evidence for findings about the hypotheses of arXiv 2411.16549, Theorem 1: missing or unnecessary ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mpmath
import numpy as np
import sympy
import torch

from icgd.bounds.activation import ACTIVATIONS, parse_activation
from icgd.bounds.convergence import steepest
from icgd.bounds.functions.pieces import fit
from icgd.bounds.functions.scalar import t
from icgd.bounds.loss import parse_loss
from icgd.bounds.problem import Problem
from icgd.bounds.published import published
from icgd.bounds.relu_icgd import violated
from icgd.bounds.step_error.plan import plan
from icgd.construct.prompt import split_weights
from icgd.verify.certificate.issue import posed_letters
from icgd.verify.certificate.proof import certified, refusal
from icgd.verify.descent import descend, gradient
from icgd.verify.ledger.entries import Numbers
from icgd.verify.ledger.settled import RAISED
from icgd.verify.search.prompts import random_prompts, seeded, start


def jump(activation: str, at: float = 0.0) -> sympy.Expr:
    """r'(at+) - r'(at-), by one-sided limits of the formula."""
    slope = parse_activation(activation).r.derivative.expr
    place = sympy.Rational(at)
    return sympy.limit(slope, t, place, "+") - sympy.limit(slope, t, place, "-")


def smoothness(activation: str = "relu", doublings: int = 20) -> Numbers:
    """Whether r' jumps at 0: by limits of its formula, and by second differences of r in rationals."""
    r = parse_activation(activation).r.expr
    h = sympy.Rational(1, 2**doublings)
    # (r(h) - 2 r(0) + r(-h)) / h^2 would stay bounded if r' were Lipschitz.
    bend = (r.subs(t, h) - 2 * r.subs(t, 0) + r.subs(t, -h)) / h**2
    step = jump(activation)
    posed = Problem(activation=parse_activation(activation))
    reason = violated(posed)
    return {
        "jump": float(step),
        "h": "2" + f"-{doublings}".translate(RAISED),
        "quotient": float(bend),
        "nearest": float(step) / 2,
        "certified": plan(posed, "exact").bound if activation == "relu" else 0.0,
        "shows": bool(step != 0) and bool(bend == step / h) and reason is not None,
    }


def _backward(V: Sequence[sympy.Matrix], x: sympy.Matrix, r: Any, slope: Any, u: Any) -> list[sympy.Matrix]:
    """The gradient in every V_j for one example, up to the factor 1/2, by the chain rule as published."""
    p, z = [x], []
    for matrix in V:
        z.append(matrix * p[-1])
        p.append(z[-1].applyfunc(r))
    s = sympy.Matrix([slope(a) * u(k, b) for k, (a, b) in enumerate(zip(z[-1], p[-1], strict=True))])
    blocks = [s * p[-2].T]
    for j in range(len(V) - 2, -1, -1):
        s = (V[j + 1].T * s).multiply_elementwise(z[j].applyfunc(slope))
        blocks.append(s * p[j].T)
    return blocks[::-1]


def _blocks_at_zero(N: int, K: int, d: int, c: Any) -> list[sympy.Matrix]:
    """The gradient at w = 0, where only r(0) = c, r'(0) = a and the slope u of the loss matter."""
    a, x = sympy.Symbol("a"), sympy.Matrix(sympy.symbols(f"x:{d}"))
    u = sympy.symbols(f"u:{d}")
    dims = [d, *[K] * (N - 1), d]
    V = [sympy.zeros(dims[j + 1], dims[j]) for j in range(N)]
    return _backward(V, x, lambda z: c + a * z, lambda z: a, lambda k, p: u[k])


def zero_start(
    N: int = 3,
    K: int = 2,
    d: int = 2,
    steps: int = 5,
    names: Sequence[str] = ("gelu", "relu", "sigmoid", "softplus", "tanh"),
) -> Numbers:
    """Descent from w(0) = 0: in symbols, and by automatic differentiation for the named activations."""
    c = sympy.Symbol("c")
    still = all(block.is_zero_matrix for block in _blocks_at_zero(N, K, d, sympy.Integer(0)))
    moving = [not block.is_zero_matrix for block in _blocks_at_zero(N, K, d, c)]
    stuck: list[str] = []
    free: list[str] = []
    for name in names:
        posed = Problem(N=N, activation=parse_activation(name))
        prompt = random_prompts(posed, 16, seeded(0))
        prompt = prompt.with_weights(start(posed, "zero", prompt.batch, seeded(0)))
        (free if bool(descend(posed, prompt, steps).abs().max() > 0) else stuck).append(name)
    zero_there = {name for name in names if parse_activation(name).r.expr.subs(t, 0) == 0}
    return {
        "N": N,
        "stuck": ", ".join(stuck),
        "free": ", ".join(free),
        "blocks_that_move": sum(moving),
        "shows": still and moving == [False] * (N - 1) + [True] and set(stuck) == zero_there,
    }


def identical_units(N: int = 3, K: int = 2, activation: str = "sigmoid", steps: int = 20) -> Numbers:
    """Descent keeps equal hidden units equal: for any r in symbols, and on followed prompts."""
    d = 2
    r, slope, u = (sympy.Function(name) for name in ("r", "q", "u"))
    x, columns = sympy.Matrix(sympy.symbols(f"x:{d}")), sympy.symbols(f"v:{d}")
    inner, outer = sympy.symbols(f"m:{N}"), sympy.symbols(f"o:{d}")
    V = [sympy.Matrix(K, d, lambda i, c: columns[c])]
    V += [sympy.Matrix(K, K, lambda i, c, j=j: inner[j]) for j in range(N - 2)]
    V += [sympy.Matrix(d, K, lambda i, c: outer[i])]
    blocks = _backward(V, x, r, slope, lambda k, p: u(k, p))
    rows = all(b.row(i) == b.row(0) for b in blocks[:-1] for i in range(K))
    cols = all(b.col(i) == b.col(0) for b in blocks[1:] for i in range(K))
    posed = Problem(N=N, K=4, L=steps, activation=parse_activation(activation))
    prompt = random_prompts(posed, 16, seeded(0))
    path = descend(posed, prompt.with_weights(start(posed, "zero", 16, seeded(0))), steps)
    first = split_weights(posed, path[-1])[1]  # from hidden units to hidden units
    spread = float((first - first[:, :1]).abs().max())
    moved = float(path[-1].abs().max())
    return {
        "N": N,
        "steps": steps,
        "moved": moved,
        "equal": spread <= 1e-12 * moved,
        "shows": rows and cols and moved > 0 and spread <= 1e-12 * moved,
    }


def amplified(
    sizes: Sequence[float] = (1.0, 1e3, 1e6), tolerance: float = 1e-3, eps: float = 0.05
) -> Numbers:
    """The step error caused by one fit of r' in the output layer, as its row grows.

    N = 2, d = K = 1, tanh, squared loss, x = 1: at p(1) = z/T the pre-activation of the output layer is z for
    every T, and an error of its slope is multiplied by u = 2 (tanh z - y) and by the row T.
    """
    slope = ACTIVATIONS["tanh"].r.derivative
    fitted = fit(slope, -2.0, 2.0, tolerance)
    grid = np.linspace(-1.0, 1.0, 2001)
    z = float(grid[np.argmax(np.abs(fitted.relus(grid) - slope(grid)))])
    e = float(fitted.relus(z)) - float(slope(z))

    def step_error(row: float) -> float:
        with mpmath.workdps(30):
            v = mpmath.atanh(mpmath.mpf(z) / row)  # tanh(v x) = z / row with x = 1
            u = 2 * (mpmath.tanh(z) + 1)  # y = -1
            exact = u * mpmath.sech(z) ** 2 * row * mpmath.sech(v) ** 2 / 2
            seen = u * (mpmath.sech(z) ** 2 + e) * row * mpmath.sech(v) ** 2 / 2
            return float(abs(seen - exact))

    errors = [step_error(size) for size in sizes]
    growth = errors[-1] / errors[1] / (sizes[-1] / sizes[1])
    return {
        "tolerance": tolerance,
        "first": errors[0],
        "last": errors[-1],
        "largest": sizes[-1],
        "growth": growth,
        "eps": eps,
        "breaks": eps * sizes[-1] / errors[-1],  # where a line through the last error passes eps
        "shows": 0 < abs(e) <= tolerance and abs(growth - 1) < 0.01 and errors[-1] > eps,
    }


def accepted_bound(problem: Problem) -> float:
    """The bound of a plan whose certificate the independent checker accepts; else raises ArithmeticError."""
    document = certified(problem, "lean")
    if (reason := refusal(document, posed_letters(problem), "lean")) is not None:
        raise ArithmeticError(f"the certificate is refused: {reason}")
    return float(document["certified"])


def fewer_derivatives(loss: str = "huber", activation: str = "tanh") -> Numbers:
    """A plan within eps whose loss slope is not C^4; the independent checker accepts its certificate."""
    posed = Problem(N=2, K=3, loss=parse_loss(loss), activation=parse_activation(activation))
    found = accepted_bound(posed)
    kinks = len(posed.loss.phi.kinks)
    return {
        "loss": loss,
        "kinks": kinks,
        "certified": found,
        "eps": posed.eps,
        "shows": kinks > 0 and found <= posed.eps,
    }


def other_sizes(d: int = 3, d_out: int = 1) -> Numbers:
    """A plan within eps with d_out different from d; the independent checker accepts its certificate."""
    posed = Problem(N=2, K=3, d=d, d_out=d_out)
    found = accepted_bound(posed)
    return {
        "d": d,
        "d_out": d_out,
        "certified": found,
        "eps": posed.eps,
        "shows": d != posed.d_out and found <= posed.eps,
    }


def nothing_done(
    eps: Sequence[float] = (0.0205, 0.05, 4.82), depths: Sequence[int] = (3, 3, 3), count: int = 20_000
) -> Numbers:
    """The share of random prompts on which the gradient is within eps, so that copying w counts as a step.

    Examples as `random_prompts` draws them (one prompt in four repeats an example n times), w uniform in the
    box W, with a seed.  certain: a bound on every gradient of the last problem, so that copying w is always a
    step at that eps; heads: what the paper's own constants then ask for.
    """
    shares, largest = [], 0.0
    for tolerance, depth in zip(eps, depths, strict=True):
        posed = Problem(N=depth)
        prompt = random_prompts(posed, count, seeded(0))
        prompt = prompt.with_weights(start(posed, "random", count, seeded(1)))
        norms = torch.linalg.vector_norm(gradient(posed, prompt), dim=-1)
        shares.append(float((norms <= tolerance).double().mean()))
        largest = max(largest, float(norms.max()))
    certain = steepest(Problem(N=depths[-1]))
    heads = float(published(Problem(N=depths[-1], eps=certain))["heads"])
    return {
        "count": count,
        "certain": certain,
        "heads": heads,
        **{f"percent_{k}": 100 * share for k, share in enumerate(shares, start=1)},
        **{f"eps_{k}": value for k, value in enumerate(eps, start=1)},
        "largest": largest,
        "shows": shares[-1] > 0.9 and shares == sorted(shares) and shares[0] > 0 and largest <= certain,
    }
