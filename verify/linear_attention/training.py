"""Training by L-BFGS on a loss that is known exactly, with the loss and a distance after every iteration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.optimize
import torch
from jaxtyping import Float
from torch import Tensor

Objective = Callable[[Float[Tensor, " size"]], Float[Tensor, ""]]


@dataclass(frozen=True, eq=False)
class Run:
    """One training run by L-BFGS.

    point: where it ended.  losses, distances: at the start and after every iteration.
    slope: the largest partial derivative at the end.
    """

    point: Float[Tensor, " size"]
    losses: tuple[float, ...]
    distances: tuple[float, ...]
    slope: float

    @property
    def converged(self) -> bool:
        """Whether the run ended at a stationary point, up to float64 accuracy."""
        return self.slope <= 1e-6 * max(1.0, self.loss)

    @property
    def loss(self) -> float:
        """The final loss."""
        return self.losses[-1]


def train(
    objective: Objective,
    start: Float[Tensor, " size"],
    distance: Callable[[Float[Tensor, " size"]], float],
    iterations: int = 400,
) -> Run:
    """Minimise from `start`; distance: of a point from the prediction.

    >>> run = train(
    ...     lambda z: (z - 1).square().sum(), torch.zeros(2).double(), lambda z: float((z - 1).norm())
    ... )
    >>> run.distances[-1] < 1e-6
    True
    """
    losses: list[float] = []
    distances: list[float] = []
    known: dict[bytes, float] = {}
    device = start.device

    def both(point: np.ndarray) -> tuple[float, np.ndarray]:
        z = torch.tensor(point, dtype=torch.float64, device=device, requires_grad=True)
        value = objective(z)
        (slope,) = torch.autograd.grad(value, z)
        known[point.tobytes()] = float(value.detach())
        return known[point.tobytes()], slope.cpu().numpy()

    def record(point: np.ndarray) -> None:
        losses.append(known[point.tobytes()] if point.tobytes() in known else both(point)[0])
        distances.append(distance(torch.tensor(point, dtype=torch.float64, device=device)))

    first = start.detach().cpu().numpy().astype(float)
    record(first)
    found = scipy.optimize.minimize(
        both,
        first,
        jac=True,
        method="L-BFGS-B",
        callback=record,
        options={"maxiter": iterations, "ftol": 1e-15, "gtol": 1e-10, "maxcor": 30},
    )
    end = torch.tensor(found.x, dtype=torch.float64, device=device)
    return Run(end, tuple(losses), tuple(distances), float(np.abs(found.jac).max()))
