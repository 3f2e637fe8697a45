"""How tight the distances of linear attention from descent are: a table, printed by `make linear`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import torch
from torch import Tensor

from icgd.construct.given_linear import GivenLinear, descent
from icgd.verify.given_linear.judge import judge_linear
from icgd.verify.given_linear.nearest_descent import DescentKind
from icgd.verify.results import Cell, Grid
from icgd.verify.tightness import print_grid

_EXAMPLES = 6
"""Of every prompt; the radii are 1."""


def near_descent(L: int, d: int, *, dense: bool, heads: int = 1, seed: int = 0) -> GivenLinear:
    """Descent with A_l = I/2 and normal noise: 0.05 in every A_l; if dense, 0.01 in all of P and Q.

    heads: if dense, that share each P before the noise.
    """
    generator = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    A = torch.eye(d, dtype=torch.float64).expand(L, d, d) / 2
    if not dense:
        return descent(A + 0.05 * noise(L, d, d))
    made = descent(A)
    shared = (made.P / heads, made.Q)
    P, Q = (part + 0.01 * noise(*part.shape) for part in (one.repeat(1, heads, 1, 1) for one in shared))
    return GivenLinear.of(P, Q)


def linear_tightness(
    depths: tuple[int, ...] = (1, 2, 3, 4), sizes: tuple[int, ...] = (1, 2, 3, 4, 5)
) -> Grid:
    """certified / attacked: noise in the steps against plain descent, elsewhere against preconditioned."""

    def rows() -> Iterator[tuple[Cell, ...]]:
        for masked, dense, L in product((True, False), (False, True), depths):
            kind: DescentKind = "preconditioned" if dense else "plain"
            models = (replace(near_descent(L, d, dense=dense), masked=masked) for d in sizes)
            found = (judge_linear(model, _EXAMPLES).nearest[kind].factor for model in models)
            said = "yes" if masked else "no", "dense" if dense else "steps"
            yield *said, L, *(f"{factor:.3g}" for factor in found)

    columns = ("mask", "noise", "L", *(f"d = {d}" for d in sizes))
    note = f"{_EXAMPLES} examples, radii 1; one model a cell"
    return Grid("certified / attacked of linear attention", columns, tuple(rows()), note)


if __name__ == "__main__":
    print_grid(linear_tightness())
