"""Evidence for findings about Lemmas 1 to 7 of arXiv 2411.16549 and the last steps of Theorem 1's proof.

Networks here have polynomial activations and rational weights, so every witness is exact.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import sympy

from icgd.verify.ledger.entries import Numbers


def decomposition(K: int = 2) -> Numbers:
    """Lemma 1 for N = 3 and any r and loss: its blocks A(j) against derivatives of the composed loss.

    d = 1 input, K hidden units a layer, one output; r, its derivative and the loss stay symbols.
    """
    r, ell = sympy.Function("r"), sympy.Function("ell")
    x, P = sympy.symbols("x P")
    V1 = sympy.Matrix(K, 1, lambda k, _: sympy.Symbol(f"a{k}"))
    V2 = sympy.Matrix(K, K, lambda k, m: sympy.Symbol(f"b{k}{m}"))
    V3 = sympy.Matrix(1, K, lambda _, m: sympy.Symbol(f"c{m}"))
    z1 = V1 * x
    p1 = z1.applyfunc(r)
    z2 = V2 * p1
    p2 = z2.applyfunc(r)
    z3 = (V3 * p2)[0]
    loss = ell(r(z3))

    def slope(z: sympy.Expr) -> sympy.Expr:
        t = sympy.Dummy()
        return sympy.diff(r(t), t).subs(t, z)

    u = sympy.diff(ell(P), P).subs(P, r(z3))
    s3 = sympy.Matrix([[slope(z3) * u]])
    s2 = (V3.T * s3).multiply_elementwise(z2.applyfunc(slope))
    s1 = (V2.T * s2).multiply_elementwise(z1.applyfunc(slope))
    claimed = [(V1, s1 * x), (V2, s2 * p1.T), (V3, s3 * p2.T)]
    weights = [w for V, _ in claimed for w in V]
    blocks = [value for _, block in claimed for value in block]
    same = [
        sympy.expand(sympy.diff(loss, w).doit() - value.doit()) == 0
        for w, value in zip(weights, blocks, strict=True)
    ]
    return {"N": 3, "K": K, "partials": len(same), "shows": all(same)}


def first_interval(extra: str = "1") -> Numbers:
    """Lemma 2, R_1 = max(B_v B_r, 1): with two units in a layer an argument of r leaves [-R_1, R_1].

    r(t) = t, N = K = 2, d = 1, B_v = B_x = x = 1, rows (1), (1) and (3/5, 4/5): all exact, and smallest, as
    with N = 1 or K = 1 no argument leaves.  The sum of ReLUs t + extra (relu(t - 1) - relu(-t - 1)) equals
    r on [-1, 1], so eps_r = 0 there.
    """
    B_v, B_x = Fraction(1), Fraction(1)
    V1, V2, x = [[Fraction(1)]] * 2, [[Fraction(3, 5), Fraction(4, 5)]], [Fraction(1)]
    B = [B_x]
    for _ in range(2):
        B.append(B_v * B[-1])  # max |r(t)| over |t| <= B_v B^(j-1), r(t) = t
    B_r = max(B[1:])
    R_1 = max(B_v * B_r, Fraction(1))

    def legal(t: Fraction) -> Fraction:
        return t + Fraction(extra) * (max(Fraction(0), t - R_1) - max(Fraction(0), -t - R_1))

    grid = [Fraction(k, 64) * R_1 for k in range(-64, 65)]
    agrees = all(legal(t) == t for t in grid)
    p1 = [sum((a * b for a, b in zip(row, x, strict=True)), Fraction(0)) for row in V1]
    kept = all(abs(a) <= R_1 for a in p1)
    arguments = [sum((a * b for a, b in zip(row, p1, strict=True)), Fraction(0)) for row in V2]
    errors = [legal(z) - z for z in arguments]
    largest = max(arguments)
    return {
        "R_1": str(R_1),
        "argument": str(largest),
        "error": str(max(errors)),
        "shows": agrees and kept and largest > R_1 and max(errors) > 0
        and all(sum(v * v for v in row) <= B_v**2 for row in (*V1, *V2)),
    }  # fmt: skip


def step_error_beyond(slopes: Sequence[int] = (1, 10, 100)) -> Numbers:
    """The step error of approximations that are legal by Lemma 2 and have growing mass beyond R_1.

    As in `first_interval`, with y = 0 and the squared loss; u = 2(p - y) and r' = 1 are exact.
    """
    p1 = [Fraction(1), Fraction(1)]
    row = [Fraction(3, 5), Fraction(4, 5)]
    z = sum(a * b for a, b in zip(row, p1, strict=True))
    found = []
    for slope in slopes:
        error = slope * max(Fraction(0), z - 1)  # r-bar(z) - z
        # u is too large by 2 error; the gradient in V_2 is u p(1)/2, in V_1 it is V_2^T u x/2 with x = 1.
        second = [error * p for p in p1]
        first = [v * error for v in row]
        found.append(math.sqrt(sum(float(v) ** 2 for v in (*second, *first))))
    return {
        "argument": str(z),
        "first": found[0],
        "last": found[-1],
        "slope": slopes[-1],
        "shows": found[0] > 0.05 and math.isclose(found[-1] / found[0], slopes[-1] / slopes[0]),
    }


def slope_interval(B_v: str = "2") -> Numbers:
    """Lemma 3, R_2 = max(B_v B_r', 1): its interval is computed from r', but the argument of r' is v.p.

    r(t) = t/4 + 3 (values large, slope small), one unit a layer, so no factor sqrt(K) is at play; N = 2.
    """
    radius = Fraction(B_v)

    def r(t: Fraction) -> Fraction:
        return t / 4 + 3

    slope, B_x = Fraction(1, 4), Fraction(1)
    R_2 = max(radius * max(slope, B_x), Fraction(1))  # with B^0 = B_x taken in, which makes R_2 larger
    p1 = r(radius * B_x)
    argument = radius * p1
    return {
        "R_2": str(R_2),
        "argument": str(argument),
        "B_v": B_v,
        "shows": argument > R_2,
    }


def slope_units(N: int = 3, K: int = 4, d: int = 2) -> Numbers:
    """Lemma 3's layer holds r' of every unit of every layer: (N-1)K + d of them, not (N-1)K."""
    dims = [d, *[K] * (N - 1), d]
    units = sum(dims[1:])
    return {
        "N": N,
        "K": K,
        "d": d,
        "units": units,
        "counted": K * (N - 1),
        "at_one": sum([d]),
        "shows": units == (N - 1) * K + d > K * (N - 1),
    }


def slope_arguments(d: int = 4) -> Numbers:
    """Lemma 4 sums ReLUs over [t; y; 1], 2d variables: the derivatives that Lemma 7 then asks for.

    s = ceil((k-1)/2) + 1 as printed; ceil((k-1)/2) + 2 is what Lemmas 2 to 4 use at k = 1 and k = 2.
    """

    def printed(k: int) -> int:
        return -((1 - k) // 2) + 1

    used = [(k, printed(k) + 1) for k in (1, 2)]
    needed = {size: printed(2 * size) for size in range(1, d + 1)}
    enough = [size for size, s in needed.items() if s <= 4]
    consistent = [size for size, s in needed.items() if s + 1 <= 4]
    return {
        "variables": 2 * d,
        "d": d,
        "needed": needed[d],
        "largest_d": enough[-1],
        "largest_d_source": consistent[-1],
        "shows": used == [(1, 2), (2, 3)] and needed[d] > 4 and enough[-1] < d,
    }


def loss_interval(B_v: str = "1/2") -> Numbers:
    """Lemma 4, R_3 = max(B_v B_r, B_y, 1): p(N) is bounded by B_r, which is larger where B_v < 1.

    N = 2, one unit a layer, r(t) = t + 2, x = 1, y = 0, all exact.
    """
    radius, B_x, B_y = Fraction(B_v), Fraction(1), Fraction(1)
    first = radius * B_x + 2
    B_r = max(first, radius * first + 2)
    R_3 = max(radius * B_r, B_y, Fraction(1))
    p = radius * (radius * 1 + 2) + 2
    return {"B_v": B_v, "R_3": str(R_3), "p": str(p), "B_r": str(B_r), "shows": p > R_3 and p <= B_r}


def mask(R_3: int = 1) -> Numbers:
    """Lemma 4's mask: -R_3 (1 - t) silences the query if norm1(a) <= 1 but not if norm2(a) <= 1."""
    R = Fraction(R_3)
    one_norm = [Fraction(1, 2), Fraction(1, 2)]
    two_norm = [Fraction(3, 5), Fraction(4, 5)]
    reach = [sum(a * R for a in row) - R for row in (one_norm, two_norm)]  # p = R_3, the constant 1 = R_3
    return {
        "R_3": R_3,
        "left_over": str(reach[1]),
        "shows": sum(one_norm) <= 1 and reach[0] <= 0
        and sum(a * a for a in two_norm) <= 1 and sum(two_norm) > 1 and reach[1] > 0,
    }  # fmt: skip


def loss_layer_norm(hidden: Sequence[int] = (10, 1000), R_3: int = 2) -> Numbers:
    """Lemma 4: the operator 1-norm of W_1 in (C.14) is a column sum over all hidden units, not R_3 + 1.

    Rows a_1 p + a_2 y + a_3 - R_3 (1 - t), with |a_1| + |a_2| + |a_3| <= 1; columns p, y, 1, t.
    """
    found = []
    for count in hidden:
        rows = []
        for m in range(count):
            share = Fraction(m + 1, count + 1)
            a = [share / 2, (1 - share) / 2, Fraction(-1, 2)]
            rows.append([a[0], a[1], a[2] - R_3, Fraction(R_3)])
        columns = [sum(abs(row[c]) for row in rows) for c in range(4)]
        found.append(max(columns))
        assert all(sum(abs(v) for v in (row[0], row[1], row[2] + R_3)) <= 1 for row in rows)
    return {
        "hidden": hidden[-1],
        "claimed": R_3 + 1,
        "found": float(found[-1]),
        "per_unit": float(found[-1] / hidden[-1]),
        "shows": found[-1] == Fraction(hidden[-1], hidden[0]) * found[0] and found[-1] > R_3 + 1,
    }


def product_layer(K: int = 3, outputs: int = 2) -> Numbers:
    """Lemma 5 with the matrices of (C.15), in rationals: EWML heads form s(j) from V, s(j+1) and r'(z).

    One head a unit without a ReLU, as in Definition 6; with a ReLU one is not enough and two of opposite sign
    are.  Two tokens, so that each must attend to itself; the norm by (3.19) and by (B.1).
    """
    at = {"V": 0, "s": outputs * K, "dr": outputs * (K + 1), "out": outputs * (K + 1) + K}
    D = at["out"] + K

    def matrix(entries: dict[tuple[int, int], int]) -> list[list[Fraction]]:
        return [[Fraction(entries.get((i, j), 0)) for j in range(D)] for i in range(D)]

    def applied(M: list[list[Fraction]], h: list[Fraction]) -> list[Fraction]:
        return [sum((m * v for m, v in zip(row, h, strict=True)), Fraction(0)) for row in M]

    def heads(sign: int) -> list[tuple[list[list[Fraction]], ...]]:
        return [
            (
                matrix({(i, at["V"] + i * K + k): sign for i in range(outputs)}),
                matrix({(i, at["s"] + i): 1 for i in range(outputs)}),
                matrix({(at["out"] + k, at["dr"] + k): sign}),
            )
            for k in range(K)
        ]

    def layer(h: list[Fraction], every: list[tuple[list[list[Fraction]], ...]], relu: bool) -> list[Fraction]:
        made = [Fraction(0)] * D
        for Q, key, V in every:
            score = sum((q * k for q, k in zip(applied(Q, h), applied(key, h), strict=True)), Fraction(0))
            score = max(score, Fraction(0)) if relu else score
            made = [a + score * v for a, v in zip(made, applied(V, h), strict=True)]
        return made[at["out"] :]

    tokens = [[Fraction((7 * i + 3 * t) % 11 - 5, 4) for i in range(D)] for t in range(2)]
    wanted = [
        [
            h[at["dr"] + k] * sum((h[i * K + k] * h[at["s"] + i] for i in range(outputs)), Fraction(0))
            for k in range(K)
        ]
        for h in tokens
    ]
    plus, both = heads(1), [*heads(1), *heads(-1)]
    one, alone, two = (
        [layer(h, every, relu) for h in tokens] for every, relu in ((plus, False), (plus, True), (both, True))
    )

    def norm1(M: list[list[Fraction]]) -> Fraction:
        return max(sum((abs(row[j]) for row in M), Fraction(0)) for j in range(D))

    largest = max(norm1(M) for head in plus for M in head)
    added = max(norm1(M) for head in plus for M in head[:2]) + sum(norm1(head[2]) for head in plus)
    return {
        "heads": len(plus) // K,
        "with_relu": len(both) // K,
        "K": K,
        "norm": int(added),
        "shows": one == wanted == two and alone != wanted and largest == 1 < added,
    }


def columns(B_y: str = "1/10") -> Numbers:
    """Lemma 6 bounds row k of V^T by B_v; that is a column of V, whose entries come from all rows.

    N = 2, K = 1, d = 2, r(t) = t (so r' = 1 and both are exact), squared loss, V_1 = (1, 0), V_2 = (1; 1),
    x = (1, 0), y = 0: s(1) = 4 against the published B_s.
    """
    B_v, B_x, radius = Fraction(1), Fraction(1), Fraction(B_y)
    slope_bound = max(Fraction(1), B_x)  # B_r' at its largest reading
    p1 = Fraction(1)
    p2 = [p1, p1]
    u = [2 * p for p in p2]
    s1 = sum(B_v * value for value in u)
    loss_bound = 2 * (B_v * B_v * B_x + radius)  # sup |u[k]|: |p| <= 1, |y| <= B_y
    # B_s^2 = P^2 B_r'^4 B_v^2 B_l^2 with P^2 = max(K, d) = 2, at j = 1; at j = 2 it is smaller.
    published = 2 * slope_bound**4 * B_v**2 * loss_bound**2
    repaired = 4 * slope_bound**4 * B_v**2 * loss_bound**2
    # The same for an error e of both g: it reaches s(1) as 2e, while E_s^l = sqrt(2) B_r'^2 B_v.
    return {
        "s": str(s1),
        "B_l": float(loss_bound),
        "published": math.sqrt(published),
        "repaired": math.sqrt(repaired),
        "passed_on": 2,
        "claimed": math.sqrt(2),
        "shows": s1**2 > published and s1**2 <= repaired,
    }


def last_steps(K: int = 2) -> Numbers:
    """The proof of Theorem 1 bounds norm2(p) by sqrt(P) B_r, P = max(sqrt K, sqrt d); it is up to P B_r.

    p = (1, ..., 1) with B_r = 1: norm2(p)^4 = K^2 against P^2 = K, in integers.
    """
    square = sum(v * v for v in [1] * K)
    fourth, allowed = square**2, K  # norm2(p)^4, and (sqrt P)^4 = P^2 = K with d <= K
    return {
        "K": K,
        "norm": math.sqrt(K),
        "claimed": float(K) ** 0.25,
        "power": "3/2",
        "repaired_power": "2",
        "shows": fourth > allowed,
    }


def smoothness_order(speeds: Sequence[int] = (100, 1000)) -> Numbers:
    """Lemma 7 at k = 1 with s = 1: sin(m z)/m has C_l = 1 for every m, but needs mass that grows with m.

    A sum of ReLUs within 1/(2m) alternates at least between +-1/(2m) at the extremes, so its slope changes
    sign and size by 2/pi between neighbouring pairs; the total variation of its slope is at most its mass C.
    """
    least = []
    for m in speeds:
        extremes = math.floor(2 * m / math.pi - 1)  # of them lie in [-1, 1], at the least
        least.append((extremes - 2) * 2 / math.pi)
    return {
        "slow": speeds[0],
        "fast": speeds[-1],
        "slow_mass": least[0],
        "fast_mass": least[-1],
        "constant": 1,
        "shows": least[-1] > 9 * least[0] > 9,
    }


def worked_example(R: int = 10, promised: str = "0.625", units: int = 80) -> Numbers:
    """A.2: 80 ReLUs for the sigmoid on [-10, 10] within 0.625; the constant 1/2 does better."""
    farthest = 1 / (1 + math.exp(-R)) - 0.5
    return {
        "R": R,
        "promised": promised,
        "units": units,
        "constant_error": farthest,
        "fewer": 1,
        "shows": farthest < 0.5 < float(Fraction(promised)),
    }


def output_error(N: int = 3, eps_r: str = "1/100", L_r: str = "3/2", B_v: str = "4/5") -> Numbers:
    """Lemma 2, (3.9): its bound on norm2 of the error of p(j) is attained in every layer, in rationals.

    K = d = 4, so that sqrt(K) = 2; r(t) = L_r t, every row B_v (1, 1, 1, 1)/2, every value of r off by eps_r.
    """
    K, root = 4, 2
    error, slope, radius = Fraction(eps_r), Fraction(L_r), Fraction(B_v)
    row = [radius / 2] * K
    exact = [Fraction(1, 3)] * K
    seen = list(exact)
    reached = []
    for _ in range(N):
        exact = [slope * sum(v * p for v, p in zip(row, exact, strict=True))] * K
        seen = [slope * sum(v * p for v, p in zip(row, seen, strict=True)) + error] * K
        reached.append(sum((a - b) ** 2 for a, b in zip(seen, exact, strict=True)))
    allowed = [
        (sum((root * slope * radius) ** l for l in range(j)) * root * error) ** 2 for j in range(1, N + 1)
    ]
    return {
        "N": N,
        "K": K,
        "last": math.sqrt(reached[-1]),
        "shows": reached == allowed and sum(v * v for v in row) == radius**2,
    }


def query() -> Numbers:
    """Lemma 6 at i = n + 1: the mask makes g = 0, the exact s(N) is r'(z) u(p, 0), in rationals.

    N = 1, K = d = 1, r(t) = t, v = x = 1, squared loss; the query's y is 0.
    """
    p, slope = Fraction(1), Fraction(1)
    exact = slope * 2 * (p - 0)
    R_3, t = Fraction(1), 0
    features = [(Fraction(1, 2), Fraction(-1, 2)), (Fraction(-1, 2), Fraction(1, 2))]  # u = 4 (relu - relu)
    seen = sum(
        c * max(Fraction(0), a * p + b * 0 - R_3 * (1 - t))
        for c, (a, b) in zip((Fraction(4), Fraction(-4)), features, strict=True)
    )
    unmasked = sum(
        c * max(Fraction(0), a * p + b * 0)
        for c, (a, b) in zip((Fraction(4), Fraction(-4)), features, strict=True)
    )
    return {"exact": str(exact), "seen": str(slope * seen), "shows": seen == 0 != exact == slope * unmasked}


def slope_bound(B_x: float = 0.1, B_v: float = 1.0) -> Numbers:
    """Lemma 3's recursion for B_r' on softplus, N = 2, one unit a layer, and a slope that exceeds it."""

    def r(t: float) -> float:
        return math.log1p(math.exp(t))

    def slope(t: float) -> float:
        return 1 / (1 + math.exp(-t))

    bounds = [B_x]
    for _ in range(2):
        bounds.append(slope(B_v * bounds[-1]))  # r' increases, so this is its largest value
    met = slope(B_v * r(B_v * B_x))
    return {"B_x": B_x, "slope": met, "bound": max(bounds), "shows": met > max(bounds) + 1e-9}
