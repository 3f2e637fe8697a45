"""Which descent a step comes near to: for every weight matrix, how many times eta grad it moves."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from icgd.construct.block.given_block import GivenBlock
from icgd.construct.prompt import Prompt, box, split_weights
from icgd.verify.descent import gradient
from icgd.verify.results import Grid

_NEAR, _EXPLAINED = 0.05, 0.1
"""How near a factor must be to a known one, and how little unexplained, to be read as that one."""


@dataclass(frozen=True)
class Factor:
    """V_j moves by -factor eta times its gradient.  unexplained: the rest, as a share of the move."""

    layer: int
    factor: float
    unexplained: float


def factors_of(block: GivenBlock, prompt: Prompt) -> tuple[Factor, ...]:
    """The factor of each layer, by least squares over prompts whose step does not reach a face of W."""
    problem = block.problem
    with torch.no_grad():
        reached = block.step(prompt)
    exact = -problem.eta * gradient(problem, prompt)
    sides = box(problem, exact)
    inner = ((prompt.w + exact).abs() < sides).all(1) & (reached.abs() < sides * (1 - 1e-12)).all(1)
    inner &= torch.isfinite(reached).all(1)
    moved = (reached - prompt.w)[inner]
    if not len(moved):
        return ()
    pairs = zip(split_weights(problem, moved), split_weights(problem, exact[inner]), strict=True)
    return tuple(_factor(j, *pair) for j, pair in enumerate(pairs, start=1))


def _factor(layer: int, moved: Float[Tensor, "B r c"], exact: Float[Tensor, "B r c"]) -> Factor:
    along = float((moved * exact).sum() / (exact**2).sum().clamp(min=1e-300))
    rest = float(torch.linalg.vector_norm(moved - along * exact))
    size = float(torch.linalg.vector_norm(moved))
    return Factor(layer, along, rest / size if size else 0.0)


def factors_in_words(n: int, factors: tuple[Factor, ...]) -> str:
    """What the factors say, in one sentence."""
    if not factors:
        return "no prompt stays inside W, so the direction of a step was not compared"
    said = []
    for one in factors:
        matrix = f"V{one.layer}"
        if stays(one):
            said.append(f"{matrix} does not move")
        elif one.unexplained > 0.5:
            said.append(
                f"{matrix} moves elsewhere than along its gradient ({one.unexplained:.0%} of the move)"
            )
        else:
            known = _known(n, one)
            said.append(
                f"{matrix} moves {one.factor:.6g} times -eta grad"
                + (f" ({known})" if known else "")
                + f", {one.unexplained:.1e} of the move unexplained"
            )
    return "; ".join(said)


def factor_grid(block: GivenBlock, factors: tuple[Factor, ...]) -> Grid:
    """The factors as a table."""
    rows = tuple(
        (f"V{one.layer}", one.factor, f"{one.unexplained:.2e}", _known(block.problem.n, one) or "")
        for one in factors
    )
    note = "by least squares over prompts whose step stays inside W; a step of descent has factor 1"
    return Grid(
        "Which descent", ("matrix", "moves, in -eta grad", "unexplained share", "reading"), rows, note
    )


def stays(one: Factor) -> bool:
    """Whether a matrix does not move at all."""
    return one.factor == 0.0 and one.unexplained == 0.0


def _known(n: int, one: Factor) -> str | None:
    """What a factor comes from, where it is near a well-known one and little is unexplained."""
    if stays(one):
        return "it does not move"
    table = {
        "a step of descent": 1.0,
        "the sign of the step is wrong": -1.0,
        "the factor (n+1)/n of the mean over n+1 tokens is missing": n / (n + 1),
        "the factor (n+1)/n of the mean over n+1 tokens stands twice": (n + 1) / n,
        "as for a loss with 1/n instead of 1/(2n)": 2.0,
        "half a step": 0.5,
    }
    apart = {words: value for words, value in table.items() if value == 1.0 or abs(value - 1) > 2 * _NEAR}
    words = min(apart, key=lambda key: abs(one.factor - apart[key]))
    near = abs(one.factor - apart[words]) <= _NEAR * abs(apart[words])
    # An approximate step of descent has a factor near 1, too, and is no mistake.
    told = one.unexplained < min(_EXPLAINED, abs(one.factor - 1.0) / 3 if apart[words] != 1.0 else 1.0)
    return words if near and told else None
