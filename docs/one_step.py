"""One layer of linear attention is one step of gradient descent (arXiv 2212.07677, Proposition 1)."""

from dataclasses import dataclass
from typing import Annotated

import sympy
import torch
from safetensors.torch import save_file

from icgd import Claim, Letters, Model, Results, Theorem, Verdict


@dataclass(frozen=True, kw_only=True)
class Regression(Letters):
    d: Annotated[int, "inputs"] = 3
    m: Annotated[int, "outputs"] = 2
    n: Annotated[int, "examples in context"] = 4
    eta: Annotated[float, "step size"] = 0.5

    def __post_init__(self):
        self.check_count("d", "m", "n", most=12)
        self.check_number("eta", 1e-6, 1e6)


def claims(problem):
    letters = {sympy.Symbol(name): (getattr(problem, name), problem.meanings()[name]) for name in "dm"}
    step = "step", r"$e_j + P V K^T q_j = (x_j, y_j - \Delta W x_j)$", "defect", sympy.Integer(0)
    size = "size", "$4(d+m)^2$ entries", "entries", 4 * sum(letters) ** 2
    made, source = (step, size), THEOREM.source
    return tuple(Claim(f"one-step/{k}", source, k, text, (), q, "==", b, letters) for k, text, q, b in made)


def build(problem):  # for W_0 = 0
    x, y = torch.eye(problem.d, dtype=torch.float64), torch.eye(problem.m, dtype=torch.float64)
    K, V = torch.block_diag(x, 0 * y), torch.block_diag(0 * x, -y)
    return {"W_K": K, "W_Q": K.clone(), "W_V": V, "P": (K - V) * (problem.eta / problem.n)}


def judge(problem, *, seed, device, progress):
    d, m, n, made = problem.d, problem.m, problem.n, build(problem)
    K, Q, V, P = (sympy.Matrix(one.tolist()).applyfunc(sympy.Rational) for one in made.values())
    x, y, W = (sympy.Matrix(sympy.MatrixSymbol(*s)) for s in (("x", n + 1, d), ("y", n + 1, m), ("W", m, d)))
    V[d:, :d], tokens, wrong = W, x.row_join(y).T, x[:n, :] * W.T - y[:n, :]
    examples, slope = tokens[:, :n], W.applyfunc((wrong.T * wrong).trace().diff) * P[0, 0] / 2
    layer = P * V * examples * (K * examples).T * Q * tokens
    step = sympy.zeros(n + 1, d).row_join(x * slope.T).T
    equal, entries = (layer - step).expand().is_zero_matrix, THEOREM.model.census(made)["entries"]
    polynomials = Verdict.proved_if(equal, "one-step/step", "as polynomials in x, y and W_0", by="exact")
    right = "counted" if entries == 4 * (d + m) ** 2 else "failed"
    size = Verdict("one-step/size", right, f"{entries} entries")
    return Results(problem=problem, seed=seed, claims=claims(problem), verdicts=(polynomials, size))


THEOREM = Theorem(
    name="one-step", title="A layer is a step", source="arXiv:2212.07677, Proposition 1", letters=Regression,
    claims=claims, judge=judge, judged=("step", "size"),
    model=Model(build, lambda made: {"entries": sum(map(torch.numel, made.values()))}, save_file),
)  # fmt: skip
