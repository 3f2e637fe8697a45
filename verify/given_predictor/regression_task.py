"""Random prompts of linear regression on which predictors are judged, and prompts unlike those."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from icgd.bounds.letters import Letters
from icgd.bounds.printable import Brief
from icgd.construct.gpt2 import refuse_bytes


@dataclass(frozen=True, kw_only=True)
class RegressionTask(Letters):
    """Prompts (x_i, y_i = <w, x_i> + noise), with x and w standard normal, and a query of the same law.

    Source: arXiv 2208.01066, the task "linear functions".  Raises ProblemError.
    """

    d: Annotated[int, "input size"] = 2
    n: Annotated[int, "examples in the longest prompt (0: twice d, at least 8)"] = 0
    noise: Annotated[float, "standard deviation of the noise on labels"] = 0.0
    prompts: Annotated[int, "random prompts of each length, half of them to fit on"] = 512

    def __post_init__(self) -> None:
        self.check_count("d", most=10**4)
        self.check_count("n", least=0, most=10**4)
        if self.n == 0:
            object.__setattr__(self, "n", max(8, 2 * self.d))
        self.check_count("prompts", least=32)
        self.check_number("noise", 0.0, 1e6)

    @property
    def lengths(self) -> tuple[int, ...]:
        """The lengths of prompts that are judged: a quarter of n, a half, and n."""
        return tuple(sorted({max(1, -(-self.n // 4)), max(1, -(-self.n // 2)), self.n}))


@dataclass(frozen=True)
class Shift:
    """How prompts differ from those of the task: factors of x, w and n, and a condition number."""

    words: str
    x: float = 1.0
    w: float = 1.0
    condition: float = 1.0
    length: int = 1


SHIFTS: Mapping[str, Shift] = {
    "inputs": Shift("inputs twice as long", x=2.0),
    "weights": Shift("weights twice as large", w=2.0),
    "skewed": Shift("inputs of a covariance with condition number 100, its axes random", condition=100.0),
    "longer": Shift("twice as many examples", length=2),
}
"""The ways out of the task's distribution, by name."""


@dataclass(frozen=True, eq=False, repr=False)
class RegressionPrompts(Brief):
    """A batch of B prompts: n examples and a query each.  truth: <w, query>."""

    x: Float[Tensor, "B n d"]
    y: Float[Tensor, "B n"]
    query: Float[Tensor, "B d"]
    truth: Float[Tensor, "B"]

    @property
    def n(self) -> int:
        return self.x.shape[1]

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows: slice) -> RegressionPrompts:
        """The prompts of the given batch rows."""
        return RegressionPrompts(self.x[rows], self.y[rows], self.query[rows], self.truth[rows])

    @cached_property
    def spectrum(self) -> tuple[Float[Tensor, "B r"], Float[Tensor, "B r"]]:
        """Eigenvalues s_j > 0 of X^T X, with r = min(n, d), and <query, v_j> <v_j, X^T y> for their v_j."""
        left, values, right = torch.linalg.svd(self.x, full_matrices=False)
        labels = torch.einsum("bnr,bn->br", left, self.y)
        query = torch.einsum("brd,bd->br", right, self.query)
        return values**2, query * values * labels


def draw(
    task: RegressionTask, n: int, generator: torch.Generator, shift: Shift | None = None
) -> RegressionPrompts:
    """`task.prompts` random prompts of n examples in float64; shift: out of the distribution."""
    shift, count, d = shift or Shift(""), task.prompts, task.d
    refuse_bytes(64.0 * count * (n + 1) * d, "the prompts")

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    points = shift.x * normal(count, n + 1, d)
    if shift.condition != 1 and d > 1:
        variances = shift.condition ** -torch.linspace(0, 1, d, dtype=torch.float64)
        axes = torch.linalg.qr(normal(count, d, d)).Q
        points = (points * torch.sqrt(variances * d / variances.sum())) @ axes
    w = shift.w * normal(count, d)
    labels = torch.einsum("bnd,bd->bn", points, w)
    noisy = labels[:, :-1] + task.noise * normal(count, n)
    return RegressionPrompts(points[:, :-1], noisy, points[:, -1], labels[:, -1])
