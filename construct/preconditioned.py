"""Linear attention in its (P, Q) form (arXiv 2306.00297), and the matrices for preconditioned descent."""

from __future__ import annotations

import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from icgd.bounds.algebra.best_steps import best_steps
from icgd.bounds.letters import ProblemError
from icgd.bounds.preconditioned import (
    AS_PUBLISHED,
    PreconditionedProblem,
    Statement,
    family_direction,
    minimiser,
)
from icgd.construct.block.weights import problem_metadata, write_tensors
from icgd.construct.model import Model
from icgd.construct.regression_tokens import check_prompt_shapes, check_token_shapes, stream


def tokens(
    x: Float[Tensor, "B n d"], y: Float[Tensor, "B n"], query: Float[Tensor, "B d"]
) -> Float[Tensor, "B d+1 n+1"]:
    """Z_0: examples as columns (x_i; y_i), the query as the last column (x_{n+1}; 0)."""
    return stream(x, y, query).transpose(1, 2)


def attend(
    Z: Float[Tensor, "B D T"],
    P: Float[Tensor, "D D"],
    Q: Float[Tensor, "D D"],
    examples: int,
    masked: bool = True,
) -> Float[Tensor, "B D T"]:
    """One layer, Z + (1/n) P Z M (Z^T Q Z), M = diag(1, .., 1, 0) or the identity.

    examples: n; it may exceed the columns of Z, as columns of zeros add nothing.
    Z M Z^T is computed first, so the cost is linear in n.
    """
    seen = Z[..., :-1] if masked else Z
    update: Tensor = P @ (seen @ seen.transpose(1, 2)) @ Q @ Z / examples
    return Z + update


class LinearAttention(nn.Module):
    """L layers of single-head linear attention.

    P, Q: (L, d+1, d+1).  masked: whether the query is excluded from the examples.  problem: the one it
    was built for, if any.

    >>> A = torch.eye(2, dtype=torch.float64)[None]
    >>> model = LinearAttention(*sparse(A))
    >>> x = torch.eye(2, dtype=torch.float64)[None]
    >>> model(x, torch.tensor([[1.0, 3.0]]), torch.tensor([[1.0, 1.0]]))  # w(1) = (1/n) sum y_i x_i
    tensor([2.], dtype=torch.float64, grad_fn=<NegBackward0>)
    """

    P: Tensor
    Q: Tensor

    def __init__(
        self,
        P: Float[Tensor, "L D D"],
        Q: Float[Tensor, "L D D"],
        masked: bool = True,
        problem: PreconditionedProblem | None = None,
    ) -> None:
        super().__init__()
        if P.ndim != 3 or P.shape != Q.shape or P.shape[1] != P.shape[2] or P.shape[1] < 2:
            raise ProblemError("P", tuple(P.shape), f"Q, of shape {tuple(Q.shape)}, and P are (L, d+1, d+1)")
        self.P, self.Q, self.masked, self.problem = nn.Parameter(P), nn.Parameter(Q), masked, problem

    def extra_repr(self) -> str:
        """What torch shows of it."""
        return f"{len(self.P)} layers, d={self.P.shape[1] - 1}"

    def states(self, Z: Float[Tensor, "B D T"], examples: int | None = None) -> list[Float[Tensor, "B D T"]]:
        """Z_0, ..., Z_L; raises ProblemError where Z is not tokens (x; y) in d, on the device of P."""
        check_token_shapes(self.P.shape[1] - 1, Z, columns=True)
        if Z.device != self.P.device:
            raise ProblemError("tokens", f"on {Z.device}", f"the model is on {self.P.device}")
        found = [Z]
        for P, Q in zip(self.P, self.Q, strict=True):
            dtype = torch.promote_types(Z.dtype, P.dtype)
            count = examples or Z.shape[-1] - 1
            found.append(attend(found[-1].to(dtype), P.to(dtype), Q.to(dtype), count, self.masked))
        return found

    def forward(
        self, x: Float[Tensor, "B n d"], y: Float[Tensor, "B n"], query: Float[Tensor, "B d"]
    ) -> Float[Tensor, " B"]:
        """The predicted label of the query: minus the entry (d+1, n+1) of Z_L.

        Raises ProblemError where the three are not prompts of one batch in d.
        """
        dtype = torch.promote_types(x.dtype, self.P.dtype)
        x, y, query = (part.to(dtype) for part in (x, y, query))
        check_prompt_shapes(self.P.shape[1] - 1, x, y, query)
        return -self.states(tokens(x, y, query))[-1][:, -1, -1]

    def census(self) -> dict[str, int]:
        """Layers, heads of a layer, and entries of P and Q."""
        return {"layers": len(self.P), "heads": 1, "parameters": self.P.numel() + self.Q.numel()}

    def save(self, path: Path) -> None:
        """Write P and Q, each (L, d+1, d+1), as safetensors; formula and letters in the metadata."""
        metadata = {
            "attention": "linear",
            "layer": "Z <- Z + (1/n) P Z M (Z^T Q Z)",
            "M": "diag(1, .., 1, 0)" if self.masked else "I",
            "Z": "columns (x_i; y_i), i = 1..n, then (x_{n+1}; 0)",
            "prediction": "-Z[d, n] after the last layer (counted from 0)",
            "n": "divide by the number of examples in the prompt; the matrices were chosen for problem's n",
        }
        if self.problem is not None:
            metadata |= _covariance_metadata(self.problem)
        matrices = {"P": self.P, "Q": self.Q}
        write_tensors(path, matrices, metadata | problem_metadata(self.problem))


def _covariance_metadata(problem: PreconditionedProblem) -> dict[str, str]:
    """For what prompts the matrices are: the law of x with S in full, and the prior of w."""
    S = [[float(value) for value in row] for row in problem.covariance]
    w, theorem = ("N(0, I)", 1) if problem.prior == "identity" else ("N(0, S^-1)", 3)
    if problem.covariates == "sphere":
        x = "S^(1/2) u, u uniform on the sphere of radius sqrt(d), S as in this entry"
        return {"S": json.dumps(S), "x": f"{x}: not diagonal in general", "w": w}
    x = "N(0, S), S as in this entry: not diagonal in general"
    return {"S": json.dumps(S), "x": x, "w": f"{w} (Theorem {theorem})"}


def sparse(
    A: Float[Tensor, "L d d"], B: Float[Tensor, "L d d"] | None = None, sign: int = -1
) -> tuple[Float[Tensor, "L d+1 d+1"], Float[Tensor, "L d+1 d+1"]]:
    """P_l = [[B_l, 0], [0, 1]] and Q_l = sign [[A_l, 0], [0, 0]]; differentiable in A and B."""
    L, d, _ = A.shape
    P = torch.zeros(L, d + 1, d + 1, dtype=A.dtype, device=A.device)
    P[:, d, d] = 1
    if B is not None:
        P[:, :d, :d] = B
    Q = torch.zeros_like(P)
    Q[:, :d, :d] = sign * A
    return P, Q


@dataclass(frozen=True, eq=False)
class Family:
    """Theorem 4's matrices A_l = a_l S^-1, B_l = b_l I; Theorem 3's without b.  Entries as floats."""

    A: Float[Tensor, "L d d"]
    B: Float[Tensor, "L d d"] | None


def family(
    problem: PreconditionedProblem,
    a: tuple[float, ...],
    b: tuple[float, ...] | None = None,
    statement: Statement = AS_PUBLISHED,
) -> Family:
    """The matrices of these steps; b may omit its last entry, which has no effect."""
    direction = rounded_tensor(family_direction(problem, statement))
    A = torch.tensor(a, dtype=torch.float64)[:, None, None] * direction
    if b is None:
        return Family(A, None)
    steps = torch.tensor([*b, *[0.0] * (len(a) - len(b))], dtype=torch.float64)
    return Family(A, steps[:, None, None] * torch.eye(problem.d, dtype=torch.float64))


def rounded_tensor(matrix: list[list[Fraction]]) -> Float[Tensor, "rows columns"]:
    """A matrix of rationals, each entry rounded once."""
    return torch.tensor([[float(v) for v in row] for row in matrix], dtype=torch.float64)


def one_layer(problem: PreconditionedProblem, statement: Statement = AS_PUBLISHED) -> LinearAttention:
    """The minimiser for one layer as a model."""
    A = rounded_tensor(minimiser(problem, statement))[None]
    return LinearAttention(*sparse(A, sign=statement.sign), masked=statement.masked, problem=problem)


def build(problem: PreconditionedProblem, statement: Statement = AS_PUBLISHED) -> LinearAttention:
    """The best steps for w ~ N(0, S^-1), or the best layer for w ~ N(0, I), as the prior says.

    For x ~ N(0, S) they are Theorem 3's and Theorem 1's.
    """
    problem = PreconditionedProblem.taken(problem)
    return one_layer(problem, statement) if problem.prior == "identity" else best_layers(problem, statement)


def best_layers(problem: PreconditionedProblem, statement: Statement = AS_PUBLISHED) -> LinearAttention:
    """L layers of Theorem 3's family at its best steps."""
    steps = best_steps(problem.n, problem.d, problem.L, problem.covariates)
    made = family(problem, steps.a, statement=statement)
    return LinearAttention(*sparse(made.A, made.B, statement.sign), masked=statement.masked, problem=problem)


MODEL = Model(build, LinearAttention.census, LinearAttention.save)
"""How the transformer is built, counted and saved."""
