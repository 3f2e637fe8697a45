"""Judges Lemma 1 and Theorems 1, 3 and 4 of arXiv 2306.00297 numerically, on the matrices of a model."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from icgd.bounds.algebra.best_steps import best_steps
from icgd.bounds.preconditioned import PreconditionedProblem, Statement, claims
from icgd.construct.preconditioned import LinearAttention, family, one_layer, rounded_tensor, sparse, tokens
from icgd.verify.linear_attention.cubature import Ensemble, ensemble
from icgd.verify.linear_attention.step_sizes import Depth
from icgd.verify.verdict import Verdict

PROMPTS = 200
"""Random prompts on which Lemma 1 is compared with descent."""


def judged_on_model(
    problem: PreconditionedProblem,
    judged: LinearAttention,
    statement: Statement,
    depths: Sequence[Depth],
    generator: torch.Generator,
    device: torch.device | str,
    rows: tuple[Tensor, Tensor] | None = None,
) -> list[Verdict]:
    """Judge Lemma 1 on random prompts, and the losses of Theorems 1, 3 and 4, or those on the sphere.

    judged: a model of L layers.  depths: 1..L, with the critical points of Theorem 4.  rows: inputs, the
    query last, and labels of prompts for Lemma 1 in place of random ones.
    """
    found = [
        _lemma_one(problem, judged, generator, device, rows),
        _theorem_one(problem, statement, generator, device),
        _theorem_three(problem, judged, generator, device),
    ]
    if problem.covariates == "sphere":
        return found
    return [*found, _theorem_four(problem, statement, depths, generator, device)]


def _lemma_one(
    problem: PreconditionedProblem,
    judged: LinearAttention,
    generator: torch.Generator,
    device: torch.device | str,
    rows: tuple[Tensor, Tensor] | None,
) -> Verdict:
    """Compare the model on prompts with descent in numpy, written from the text of the paper."""
    d, n = problem.d, problem.n
    root = torch.linalg.cholesky(rounded_tensor(problem.covariance))
    x = torch.randn(PROMPTS, n + 1, d, generator=generator, dtype=torch.float64)
    if problem.covariates == "sphere":
        x = math.sqrt(d) * x / x.norm(dim=-1, keepdim=True)
    x = x @ root.T
    y = torch.randn(PROMPTS, n, generator=generator, dtype=torch.float64)
    x, y = (x, y) if rows is None else rows
    states = judged.states(tokens(x[:, :n], y, x[:, n]).to(device))
    S_inverse = np.linalg.inv(np.array(problem.covariance, dtype=float))
    X, Y = x.numpy(), y.numpy()
    w = np.zeros((len(X), d))
    worst, scale = 0.0, 1.0
    steps = best_steps(n, d, problem.L, problem.covariates).a
    for l, state in enumerate(states):
        row = state[:, -1].detach().cpu().numpy()
        wanted = np.concatenate([Y, np.zeros((len(X), 1))], axis=1) - np.einsum("bid,bd->bi", X, w)
        scale = max(scale, float(np.abs(wanted).max()))
        worst = max(worst, float(np.abs(row - wanted).max()))
        if l < len(steps):
            error = np.einsum("bid,bd->bi", X[:, :n], w) - Y
            w = w - np.einsum("bid,bi->bd", X[:, :n], error) / n @ (steps[l] * S_inverse).T
    allowed = 1e-11 * scale
    what = "random prompts" if rows is None else "prompts of the data"
    evidence = (
        f"label rows after 0..{len(states) - 1} layers are at most {worst:.2g} (allowed {allowed:.2g}) from "
        f"y - X w(l) of descent in numpy, {len(X)} {what}"
    )
    return _held_if(worst <= allowed and len(states) == problem.L + 1, "lemma-1/model", evidence)


def _close(
    name: str, prompts: Ensemble, P: Tensor, Q: Tensor, masked: bool, wanted: float, what: Sequence[Tensor]
) -> Verdict:
    """Whether the loss of (P, Q) is the claimed one and, where it is exact, stationary in `what`.

    A sampled mean may be off by five standard errors.
    """
    errors = prompts.squared_errors(P, Q, masked)
    loss = prompts.weight @ errors
    slope = max(float(part.abs().max()) for part in torch.autograd.grad(loss, what))
    found = float(loss.detach())
    if prompts.exact:
        kept = abs(found - wanted) <= 1e-9 * wanted + 1e-14 and slope <= 1e-7
        how = f"{len(prompts.Z):,} cubature prompts; largest partial derivative {slope:.2g}"
    else:
        error = float(errors.detach().std()) / math.sqrt(len(errors))
        kept = abs(found - wanted) <= 5 * error
        how = f"{len(prompts.Z):,} sampled prompts, standard error {error:.2g}; partials not judged"
    return _held_if(kept, name, f"loss {found:.10g} of the model, {wanted:.10g} claimed ({how})")


def _theorem_one(
    problem: PreconditionedProblem,
    statement: Statement,
    generator: torch.Generator,
    device: torch.device | str,
) -> Verdict:
    prompts = ensemble(problem, 2, False, generator).to(device)
    model = one_layer(problem, statement).to(device)
    wanted = float(claims(problem)[0].value)
    P, Q = model.P, model.Q
    name = "sphere/one-layer" if problem.covariates == "sphere" else "theorem-1/loss"
    return _close(name, prompts, P, Q, model.masked, wanted, (P, Q))


def _theorem_three(
    problem: PreconditionedProblem,
    judged: LinearAttention,
    generator: torch.Generator,
    device: torch.device | str,
) -> Verdict:
    prompts = ensemble(problem, 2 * problem.L, True, generator).to(device)
    wanted = float(best_steps(problem.n, problem.d, problem.L, problem.covariates).loss)
    A = judged.Q.detach()[:, :-1, :-1].clone().requires_grad_()
    Q = torch.nn.functional.pad(A, (0, 1, 0, 1))  # Theorem 3 varies only A
    Q = Q + (judged.Q - torch.nn.functional.pad(judged.Q[:, :-1, :-1], (0, 1, 0, 1))).detach()
    name = "sphere/layers" if problem.covariates == "sphere" else "theorem-3/loss"
    return _close(name, prompts, judged.P, Q, judged.masked, wanted, (A,))


def _theorem_four(
    problem: PreconditionedProblem,
    statement: Statement,
    depths: Sequence[Depth],
    generator: torch.Generator,
    device: torch.device | str,
) -> Verdict:
    name, L = "theorem-4/loss", 2
    if problem.L < L or not depths[L - 1].criticals:
        return Verdict(f"preconditioned/{name}", "inapplicable", "needs L >= 2 and a critical point")
    point, value = depths[L - 1].criticals[0].centre, depths[L - 1].criticals[0].value
    prompts = ensemble(problem, 8, True, generator).to(device)
    made = family(problem, point[:L], point[L:], statement)
    A, B = (part.to(device).requires_grad_() for part in (made.A, made.B) if part is not None)
    P, Q = sparse(A, B, statement.sign)
    return _close(name, prompts, P, Q, statement.masked, value[0], (A, B))


def _held_if(kept: bool, name: str, evidence: str) -> Verdict:
    return Verdict(f"preconditioned/{name}", "held" if kept else "failed", evidence)
