"""Evidence for findings about Theorem 2 and Lemmas 16 to 18 of arXiv 2411.16549, and its counts of FLOPs."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import permutations, product

from icgd.bounds.functions.pieces import fit
from icgd.bounds.loss import parse_loss
from icgd.bounds.problem import Problem
from icgd.construct.block.census import census
from icgd.construct.relu_icgd import build
from icgd.verify.ledger.entries import Numbers
from icgd.verify.ledger.evidence.hypotheses import accepted_bound


def tolerance(eta: str = "1/10", eps: str = "1/20") -> Numbers:
    """Theorem 2's proof takes kappa = eps/sqrt(D_w), which gives an error of eps, not of eta eps."""
    root, step = 2, Fraction(eta)  # D_w = 4, whose root is rational
    allowed = step * Fraction(eps)
    kappa = Fraction(eps) / root
    reached = root * kappa  # max-norm kappa in D_w coordinates
    repaired = step * Fraction(eps)  # kappa = eta eps bounds the 2-norm itself
    return {
        "eta": eta,
        "eps": eps,
        "reached": str(reached),
        "allowed": str(allowed),
        "times": str(reached / allowed),
        "shows": reached > allowed >= repaired,
    }


def equal_tokens(cells: Sequence[int] = (4, 16, 64), tokens: int = 2) -> Numbers:
    """Lemma 17 asks for distinct tokens; quantising makes distinct ones equal, on a share 1/D of the square.

    Two tokens of one coordinate, all cells counted; every D leaves a set of positive volume out.
    """
    shares = []
    for D in cells:
        grids = product(range(D), repeat=tokens)
        shares.append(Fraction(sum(len(set(one)) < tokens for one in grids), D**tokens))
    return {
        "coarse": str(shares[0]),
        "cells": cells[-1],
        "fine": str(shares[-1]),
        "shows": all(share == Fraction(1, D) for share, D in zip(shares, cells, strict=True)),
    }


Column = tuple[Fraction, Fraction, Fraction, int]
"""x, y, w and t of a token."""


def equivariant(n: int = 3) -> Numbers:
    """The map of Theorem 2 commutes with exchanging columns, as t marks the query: in rationals.

    One weight, r(t) = t, (1/n) sum (w x - y)^2, columns (x, y, w, t).
    """
    w, eta = Fraction(2, 7), Fraction(1, 3)
    columns = [(Fraction(k, 5), Fraction(3 - k, 4), w, 1) for k in range(1, n + 1)]
    columns.append((Fraction(9, 4), Fraction(0), w, 0))

    def stepped(prompt: Sequence[Column]) -> list[Column]:
        gradient = sum((t * 2 * x * (v * x - y) for x, y, v, t in prompt), Fraction(0)) / n
        return [(x, y, v - eta * gradient, t) for x, y, v, t in prompt]

    after = stepped(columns)
    orders = list(permutations(range(n + 1)))
    same = all(stepped([columns[k] for k in order]) == [after[k] for k in order] for order in orders)
    return {"n": n, "orders": len(orders), "shows": same and after != columns}


def separation(eps: float = 0.05, d: int = 5, columns: int = 2, B: float = 2.0) -> Numbers:
    """log10 of 1/delta, the separation of contexts that Lemma 17 grants, for one weight (D_w = 1, n = 1).

    Tokens (x, y, w, 1, t), shifted into [0, 2]^5; f is 1-Lipschitz at the least, as it keeps four entries;
    D from the last line of Lemma 18; the vocabulary is the grid.  fewest: with a vocabulary of two tokens.
    """
    root = math.sqrt(d * columns)
    D = math.ceil(B * (8 * root + math.sqrt(columns)) / (2 * eps))

    def log10_inverse(vocabulary: int, apart: float, least: float, most: float) -> float:
        c = (2 * math.log(columns) + 3) * math.pi * d
        exponent = (vocabulary + 1) ** 4 * c * most**2 / (4 * apart * least)
        factor = 2 * math.log(columns) ** 2 * apart**2 * least / (most**2 * c)
        return exponent / math.log(10) + 4 * math.log10(vocabulary + 1) - math.log10(factor)

    cell = B / D
    whole = log10_inverse(D**d, cell, cell * math.sqrt(d), B * math.sqrt(d))
    # Two tokens of equal norm at right angles: the most apart that the cube allows for that norm.
    longest = B * math.sqrt(d)
    few = log10_inverse(2, math.sqrt(2) * longest, longest, longest)
    return {
        "D": D,
        "log10_vocabulary": d * math.log10(D),
        "digits_of_log10": math.log10(whole),
        "few": few,
        "float64": 308,
        "shows": whole > few > 308,
    }


def without_products(N: int = 2, K: int = 3) -> Numbers:
    """A transformer of attention and MLP layers alone keeps eta eps, by certificate: no EWML layer."""
    posed = Problem(N=N, K=K)
    found = accepted_bound(posed)
    self_only = sum(layer.diagonal for layer in build(posed, "lean").literal())
    with_products = sum(layer.diagonal for layer in build(posed, "paper").literal())
    return {
        "N": N,
        "layers": census(build(posed, "lean")).layers,
        "certified": found,
        "eps": posed.eps,
        "self_only": self_only,
        "paper_self_only": with_products,
        "shows": found <= posed.eps and self_only == 0 < with_products,
    }


def flops(
    blocks: int = 12,
    width: int = 256,
    examples: int = 75,
    depth: int = 6,
    hidden: int = 200,
    epochs: int = 100,
) -> Numbers:
    """The FLOPs of one forward pass and of training on the prompt, counted from the sizes that are stated.

    Two for each weight and token forward, six for each weight and example in training; scores and sums of
    attention 4 n^2 D a block; inputs of 20 numbers.
    """
    tokens = 2 * examples + 1

    def forward(mlp: int) -> float:
        weights = blocks * (4 * width**2 + 2 * width * mlp)
        return 2 * weights * tokens + blocks * 4 * tokens**2 * width

    weights = 20 * hidden + (depth - 2) * hidden**2 + hidden
    training = 6 * weights * examples * epochs
    stated, usual = forward(width), forward(4 * width)
    return {
        "examples": examples,
        "training": training / 1e9,
        "stated": stated / 1e9,
        "usual": usual / 1e9,
        "shows": stated < usual < training
        and abs(usual / 3.3e9 - 1) < 0.1
        and abs(training / 7.6e9 - 1) < 0.1,
    }


def asymptotic_flops(N: int = 3, K: int = 8, factor: int = 2) -> Numbers:
    """n L N^3 K^5 / eps^2 as layers times heads times width^2: width N K^2 and K/eps^2 heads a layer.

    Exponents of N, K and 1/eps, read off by doubling each; scores between tokens, n^2 each, are left out.
    """

    def count(N_: int, K_: int, inverse: int) -> Fraction:
        width = N_ * K_**2
        values = N_ * (K_ * inverse**2) * width**2  # N layers of p(j), K units each
        slopes = (N_ * K_ * inverse**2) * width**2  # one layer with r' of all units
        return Fraction(values + slopes)

    base = count(N, K, 1)
    powers = [
        math.log2(count(*one) / base) for one in ((factor * N, K, 1), (N, factor * K, 1), (N, K, factor))
    ]
    return {
        "N_power": int(powers[0]),
        "K_power": int(powers[1]),
        "eps_power": int(powers[2]),
        "shows": powers == [3.0, 5.0, 2.0],
    }


def loss_units(loss: str = "log-cosh", coarse: float = 1e-2, fine: float = 1e-8) -> Numbers:
    """The fewest ReLUs for the slope of a loss on [-2, 2] at two tolerances: Lemma 4's hidden units."""
    phi = parse_loss(loss).phi
    pieces = [fit(phi, -2.0, 2.0, tolerance).fewest for tolerance in (coarse, fine)]
    # A ReLU layer with a skip adds one piece a unit.
    units = [count - 1 for count in pieces]
    return {
        "loss": loss,
        "coarse": coarse,
        "fine": fine,
        "coarse_units": units[0],
        "fine_units": units[1],
        "shows": units[1] > 100 * units[0] > 0,
    }


class _Scalars:
    """A random block on two tokens of one number, up to its last MLP: first MLP h, then one softmax head."""

    def __init__(self, drawn: random.Random) -> None:
        self.units = [(drawn.gauss(0, 2), drawn.gauss(0, 1), drawn.gauss(0, 1)) for _ in range(6)]
        self.skip, self.value = drawn.gauss(0, 1), drawn.gauss(0, 1)
        self.score = drawn.gauss(0, 2)

    def first(self, z: float) -> float:
        return self.skip * z + sum(c * max(0.0, a * z + b) for a, b, c in self.units)

    def seen(self, z1: float, z2: float) -> float:
        """What the last MLP sees of the first token."""
        h1, h2 = self.first(z1), self.first(z2)
        gap = max(-700.0, min(700.0, self.score * h1 * (h2 - h1)))
        p = 1 / (1 + math.exp(gap))  # the softmax weight of the first token
        return h1 + self.value * (p * h1 + (1 - p) * h2)


def _zero(g: Callable[[float], float], low: float, high: float) -> float:
    """A zero of a continuous g that changes sign between low and high, by bisection."""
    sign = math.copysign(1.0, g(low))
    for _ in range(200):
        middle = (low + high) / 2
        if math.copysign(1.0, g(middle)) == sign:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _collision(block: _Scalars) -> tuple[tuple[float, float], tuple[float, float]]:
    """Two prompts whose first tokens look alike to the last MLP, their targets 1/2 apart or more.

    First along equal tokens: D(z) = seen(z, z).  If D(z + 1/2) - D(z) has no zero, D(1/2) lies between D(0)
    and D(1), and the path from (1/2, 1/2) on which seen moves towards D(0) ends at a value of D on [0, 1/2],
    or it has passed D(0) before.
    """

    def equal(z: float) -> float:
        return block.seen(z, z)

    def folded(z: float) -> float:
        return equal(z + 0.5) - equal(z)

    if folded(0.0) * folded(0.5) <= 0:
        z = _zero(folded, 0.0, 0.5)
        return (z, z), (z + 0.5, z + 0.5)
    side = math.copysign(1.0, equal(1.0) - equal(0.0))
    end = min((0.0, 1.0), key=lambda z2: side * block.seen(0.5, z2))
    last = block.seen(0.5, end)
    if side * last >= side * equal(0.0):
        z = _zero(lambda z: equal(z) - last, 0.0, 0.5)
        return (z, z), (0.5, end)
    z2 = _zero(lambda z2: block.seen(0.5, z2) - equal(0.0), 0.5, end)
    return (0.0, 0.0), (0.5, z2)


def one_block(blocks: int = 60, seed: int = 0) -> Numbers:
    """Lemma 16 for f(z)_1 = z_1 + |z_1 - z_2|, d = 1, n = 2: prompts that no last MLP can tell apart.

    f is permutation equivariant and Lipschitz.  Where the last MLP sees one number twice and the targets are
    1/2 apart, it errs by 1/4 at one of the two prompts, whatever it is.
    """
    drawn = random.Random(seed)
    apart, alike = [], []
    for _ in range(blocks):
        block = _Scalars(drawn)
        one, other = _collision(block)
        apart.append(abs((one[0] + abs(one[0] - one[1])) - (other[0] + abs(other[0] - other[1]))))
        scale = 1 + max(abs(block.first(k / 8)) for k in range(9)) * (1 + abs(block.value))
        alike.append(abs(block.seen(*one) - block.seen(*other)) / scale)
    return {
        "blocks": blocks,
        "least": min(apart),
        "shows": min(apart) >= 0.5 - 1e-9 and max(alike) < 1e-9,
    }


def copies(kappa: str = "1/10") -> Numbers:
    """Outputs within kappa of the wanted ones whose copies of w differ, for two tokens, in rationals.

    Each copy off by 7/10 kappa, in opposite directions: 2-norm below kappa, 7/5 kappa apart.
    """
    bound = Fraction(kappa)
    off = [Fraction(7, 10) * bound, -Fraction(7, 10) * bound]
    return {
        "kappa": kappa,
        "apart": str(off[0] - off[1]),
        "shows": sum(v * v for v in off) <= bound**2 and off[0] != off[1],
    }


def signs(x: str = "-1/2", B: str = "1") -> Numbers:
    """Lemma 18's quantiser on an input of negative sign: the penalty of (E.11) makes the output 0."""
    z, bound = Fraction(x), Fraction(B)
    penalty = Fraction(0) if 0 < z <= bound else -bound
    quantised = Fraction(math.ceil(z)) if 0 < z <= bound else Fraction(0)
    return {"x": x, "shows": penalty == -bound and quantised + penalty < bound / 4 and abs(z) <= bound}
