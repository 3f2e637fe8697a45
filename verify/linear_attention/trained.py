"""Trains linear attention from random matrices and compares the ends with the theorems' predictions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations

import torch
from jaxtyping import Float
from torch import Tensor

from icgd.bounds.preconditioned import PreconditionedProblem, Statement, claims
from icgd.construct.preconditioned import family, one_layer, sparse
from icgd.verify.linear_attention.cubature import Ensemble, ensemble
from icgd.verify.linear_attention.step_sizes import Depth
from icgd.verify.linear_attention.training import Objective, Run, train
from icgd.verify.results import Curve, Grid, Plot

STARTS = 3
"""Random starts per training; if none ends at the prediction, more follow, up to MOST_STARTS."""
MOST_STARTS = 12
_MOST_TRAINED = 6_000
_REACHED = 1e-4

Normal = Callable[[int, float], Float[Tensor, " size"]]
"""(count, standard deviation) -> normal random numbers."""
StepSizes = tuple[tuple[float, ...], tuple[float, ...]]
"""Step sizes a and b."""


@dataclass(frozen=True, eq=False)
class Training:
    """Training runs on one loss from random starts.

    predicted: the lowest loss of the predicted matrices.  least: whether this is known to be the lowest that
    they have: the minimum over all matrices, or over the family that is trained from.
    """

    name: str
    what: str
    runs: tuple[Run, ...]
    predicted: float
    least: bool = False

    @property
    def theorem(self) -> str:
        """The theorem whose matrices are predicted, as a reader knows it."""
        return self.name.replace("theorem-", "Theorem ")

    def reached(self, run: Run) -> bool:
        """Whether a run ended at the predicted matrices."""
        return run.distances[-1] <= _REACHED


def trainings(
    problem: PreconditionedProblem,
    statement: Statement,
    depths: Sequence[Depth],
    generator: torch.Generator,
    device: torch.device | str,
) -> Iterator[Training]:
    """One layer over all (P, Q), Theorem 3's layers over all A_l, Theorem 4's two over all A_l and B_l.

    Omitted where the expected loss is not known exactly, as there is no training on samples.
    """

    def normal(size: int, scale: float) -> Float[Tensor, " size"]:
        return (scale * torch.randn(size, generator=generator, dtype=torch.float64)).to(device)

    prompts = ensemble(problem, 2, False, generator, most=20_000).to(device)
    if prompts.exact:
        yield _train_one_layer(problem, statement, prompts, normal)
    L = min(problem.L, 3)
    prompts = ensemble(problem, 2 * L, True, generator, _MOST_TRAINED).to(device)
    while not prompts.exact and L > 1:
        L -= 1
        prompts = ensemble(problem, 2 * L, True, generator, _MOST_TRAINED).to(device)
    if prompts.exact:
        orders: list[StepSizes] = [(order, ()) for order in permutations(depths[L - 1].a)]
        least = depths[L - 1].loss
        yield _train_family("theorem-3", problem, statement, prompts, orders, least, normal, least=True)
    if problem.L >= 2 and depths[1].criticals:
        prompts = ensemble(problem, 8, True, generator, _MOST_TRAINED).to(device)
        points = [(found.centre[:2], found.centre[2:]) for found in depths[1].criticals]
        if prompts.exact:
            lowest, least = depths[1].criticals[0].value[0], depths[1].is_least
            yield _train_family("theorem-4", problem, statement, prompts, points, lowest, normal, least=least)


def _train_one_layer(
    problem: PreconditionedProblem, statement: Statement, prompts: Ensemble, normal: Normal
) -> Training:
    """Train all entries of one (P, Q), w ~ N(0, I)."""
    side = problem.d + 1
    model = one_layer(problem, statement)
    wanted = _seen(model.P.detach()[0], model.Q.detach()[0]).to(prompts.Z.device)

    def matrices(z: Float[Tensor, " size"]) -> Float[Tensor, "2 1 side side"]:
        return z.reshape(2, 1, side, side)

    def loss(z: Float[Tensor, " size"]) -> Float[Tensor, ""]:
        P, Q = matrices(z)
        return prompts.loss(P, Q)

    def apart(z: Float[Tensor, " size"]) -> float:
        P, Q = matrices(z)
        return float((_seen(P[0], Q[0]) - wanted).norm() / wanted.norm())

    runs = _runs(loss, lambda: normal(2 * side**2, 0.5), apart)
    predicted = float(claims(problem)[0].value)
    return Training("theorem-1", "one layer, all entries of (P, Q)", tuple(runs), predicted, least=True)


def _runs(
    loss: Objective, start: Callable[[], Float[Tensor, " size"]], apart: Callable[[Tensor], float]
) -> list[Run]:
    runs = [train(loss, start(), apart) for _ in range(STARTS)]
    while len(runs) < MOST_STARTS and all(run.distances[-1] > _REACHED for run in runs):
        runs.append(train(loss, start(), apart))
    return runs


def _seen(P: Float[Tensor, "D D"], Q: Float[Tensor, "D D"]) -> Float[Tensor, "D-1 D D"]:
    """What the prediction depends on: sym(p q_j^T), p the last row of P and q_j column j of Q."""
    product = torch.einsum("a,bj->jab", P[-1], Q[:, :-1])
    return (product + product.transpose(1, 2)) / 2


def _train_family(
    name: str,
    problem: PreconditionedProblem,
    statement: Statement,
    prompts: Ensemble,
    points: Sequence[StepSizes],
    predicted: float,
    normal: Normal,
    *,
    least: bool,
) -> Training:
    """Train all entries of A_l, and of B_l where the points include steps b, w ~ N(0, S^-1)."""
    d, L, transformed = problem.d, len(points[0][0]), bool(points[0][1])
    device = prompts.Z.device

    def matrices(z: Float[Tensor, " size"]) -> tuple[Tensor, Tensor | None]:
        parts = z.reshape(-1, L, d, d)
        return parts[0], parts[1] if transformed else None

    def loss(z: Float[Tensor, " size"]) -> Float[Tensor, ""]:
        return prompts.loss(*sparse(*matrices(z), statement.sign))

    # The last B has no effect, so the distance omits it.
    made = [family(problem, a, b or None, statement) for a, b in points]
    targets = [torch.cat([one.A, *([] if one.B is None else [one.B[:-1]])]).to(device) for one in made]

    def apart(z: Float[Tensor, " size"]) -> float:
        A, B = matrices(z)
        found = torch.cat([A, *([] if B is None else [B[:-1]])])
        return min(float((found - target).norm() / target.norm()) for target in targets)

    runs = _runs(loss, lambda: normal(L * d * d * (1 + transformed), 0.3), apart)
    what = f"{L} layers, all entries of A_l" + (" and B_l" if transformed else "")
    return Training(name, what, tuple(runs), predicted, least)


def training_grid(trained: Sequence[Training]) -> Grid:
    """The table of where every run ended."""
    rows = tuple(
        (one.theorem, index, len(run.losses) - 1, run.loss, one.predicted, run.distances[-1])
        for one in trained
        for index, run in enumerate(one.runs)
    )
    columns = ("theorem", "start", "iterations", "loss", "predicted", "distance")
    return Grid(
        "Training from random matrices", columns, rows, "L-BFGS on the expected loss; relative distance"
    )


def training_plots(trained: Sequence[Training]) -> Iterator[Plot]:
    """Plots of the loss and of the distance to the prediction over iterations."""
    for title, y, values in (
        (
            "Training: loss",
            "loss less the predicted",
            lambda one, run: [v - one.predicted for v in run.losses],
        ),
        ("Training: distance", "relative distance to the prediction", lambda one, run: run.distances),
    ):
        curves = tuple(
            Curve(
                f"{one.theorem}, start {index}",
                tuple(float(i) for i in range(len(run.losses))),
                tuple(max(float(v), 1e-16) for v in values(one, run)),
            )
            for one in trained
            for index, run in enumerate(one.runs)
        )
        if curves:
            yield Plot(title, "iteration", y, curves, "y")
