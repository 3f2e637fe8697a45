"""The independent checker of certificates for softmax attention (arXiv 2411.16549, Theorem 2).

It adds to `icgd.verify.checker.relu` what is new in that block: matrix products and outer products are sums
of approximate products, a gate shuts the query token out, and the loss is (1/n) sum, twice that of the cells.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flint import arb

from icgd.verify.checker import relu as checker
from icgd.verify.checker.lemmas import need
from icgd.verify.checker.relu import Check, square_of

STATEMENT = (
    "norm2(err) <= eta * certified, where err = w' - Proj(w - eta grad (1/n) sum_i loss_i(w)), for every "
    "prompt of n examples and a query in the radii and every w in W; eta grad (1/n) sum is (2 eta) grad "
    "(1/(2n)) sum, and the program is written for 1/(2n): eta is 2 eta there, eps is eps / 2, certified half"
)


class SoftmaxCheck(Check):
    """The check of one certificate for softmax attention, in Theorem 2's own letters.

    Two slots are multiplied as P(l, r) = (S(a l + b r) - S(a l - b r)) / 4 with a sum of ReLUs S near t^2,
    so |P(l, r) - l r| <= sup|S - t^2| / 2 + |a b - 1| |l r|; a matrix product adds several in one sum.

    The head has Q = K = 0: all scores are 0, a weight is exp(0) over the sum of n + 1 of them, 1/(n+1) up
    to gamma(n + 3), and the mean of n + 1 products is off by gamma(2n + 10) of their mean size, or by
    gamma(2n + 80) should exp(0) miss 1 by 16 ulps.  What Theorem 1 sets aside for its own mean,
    gamma(2 (dims + n + 17)) of four times that size, is more.
    """

    statement, scale = STATEMENT, 2
    constructions = ("softmax",)

    def __init__(self, certificate: Mapping[str, Any], letters: Mapping[str, Any], construction: str) -> None:
        super().__init__(certificate, letters, construction)
        self.letters = {**letters, "eta": 2 * letters["eta"], "eps": letters["eps"] / 2}
        self.bare, self.direct = False, self.from_z

    def check_offsets(self, j: int) -> None:
        """Check that the gate shuts every unit of the outer product in the query token, despite rounding.

        A unit is relu(v + beta - offset (1 - t)) with v = +-(a p +- b s).  At t = 0 its argument is at most
        -offset / 2^11, and rounding moves it by gamma(16) * 3 offset: ReLUs are 0 exactly, and their sum is.
        """
        gated, (a, b, left, right) = self.program["layers"][j - 1]["update"], self.factors("update", j)
        need(
            all(abs(x) == 1 for x in gated["square"]["a"]),
            f"the gate of update[{j}] is as steep as its units",
        )
        most = a * left + b * right + max((abs(x) for x in gated["square"]["b"]), default=0)
        shut = most * (1 + arb(2) ** -10) <= gated["offset"]
        need(shut, f"the gate of update[{j}] shuts the query token out")

    def offset(self, key: str, j: int) -> arb:
        """No slot of this block is read with an offset: what Theorem 1 sets aside for one is spare."""
        return arb(self.layers[j - 1][key])

    def factors(self, kind: str, j: int) -> tuple[arb, arb, arb, arb]:
        """a and b of the products called `kind`, and bounds on their two factors."""
        product, p = self.program["layers"][j - 1][kind], self.layers[j - 2]["r"] if j > 1 else self.B_x
        need(bool(product and product["square"]), f"{kind}[{j}] is computed where it is read")
        need(product["a"] > 0 and product["b"] > 0, f"the factors of {kind}[{j}] are positive")
        if kind == "g":
            left, right = self.box[j], self.layers[j]["s"]
        else:
            left, right = (self.box[j - 1], p) if kind == "z" else (p, self.layers[j - 1]["s"])
        return arb(product["a"]), arb(product["b"]), arb(left), arb(right)

    def times(self, kind: str, j: int, count: int = 1, offset: float = 0.0) -> arb:
        """A bound on the error of one of `count` products in a sum, with its share of the rounding."""
        a, b, left, right = self.factors(kind, j)
        reach, square = a * left + b * right, self.program["layers"][j - 1][kind]["square"]
        squares = self.fitted(kind, j, square_of, square, reach, arb(offset), 2 * count)
        return squares / 2 + abs(a * b - 1) * left * right

    def least(self, j: int) -> dict[str, arb]:
        """The least value of every local error: as in Theorem 1's block, plus the new products."""
        found, program, size = super().least(j), self.program, self.dims
        found["z"] += size[j - 1] * self.times("z", j, size[j - 1])
        if j < self.N:
            found["g"] += size[j + 1] * self.times("g", j, size[j + 1])
        one = self.times("update", j, offset=program["layers"][j - 1]["update"]["offset"])
        attended = 1 + self.gamma(2 * (size[j - 1] + self.letters["n"] + 17))
        found["update"] += self.roots[j] * self.roots[j - 1] * one / 2 * attended
        product = program["layers"][j - 1]["product"]
        if product["square"]:  # the linear part is one more term of the sum
            terms = self.gamma(2 * len(product["square"]["a"]) + 24)
            found["product"] += terms * abs(arb(product["centre"])) * self.layers[j - 1]["g"]
        if j == self.N and program["loss"]["relus"]:  # the rounding of p - rho y and sigma y scales with them
            reads = 1 + self.rho * (self.layers[-1]["r"] + self.B_y) + self.sigma * self.B_y
            found["u"] += self.gamma(len(program["loss"]["relus"]["a"]) + 24) * 4 * reads
        return found


def check(certificate: Mapping[str, Any], letters: Mapping[str, Any], construction: str = "softmax") -> float:
    """The bound on norm2(err)/eta that a certificate proves for Theorem 2's problem; raises Refused.

    letters: every letter of the problem, eta and eps those of the loss (1/n) sum.
    """
    return checker.check(certificate, letters, construction, SoftmaxCheck)
