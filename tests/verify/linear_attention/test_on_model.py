"""Inputs on the sphere: what is built has the claimed loss and no slope; no theorem is judged there."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch

from icgd.bounds.preconditioned import AS_PUBLISHED, PreconditionedProblem, claims
from icgd.construct.preconditioned import build
from icgd.verify.preconditioned import THEOREM, verify
from tests.rounding import gamma


def prompts_in_the_plane(problem):
    """Weighted prompts of two examples, angles from 16, labels w.x: exact up to degree 15 in each."""
    S = np.array(problem.covariance, dtype=float)
    values, vectors = np.linalg.eigh(S)
    root = vectors @ np.diag(np.sqrt(values)) @ vectors.T
    angles = 2 * np.pi * np.arange(16) / 16
    x = np.sqrt(2) * np.stack([np.cos(angles), np.sin(angles)], axis=1) @ root
    normal, weight = np.polynomial.hermite_e.hermegauss(3)
    weight = weight / weight.sum()
    whiten = np.eye(2) if problem.prior == "identity" else np.linalg.inv(root)
    w = np.array(list(product(normal, repeat=2))) @ whiten
    of_w = np.array([a * b for a, b in product(weight, repeat=2)])
    grid = np.array(list(product(range(16), range(16), range(4), range(9))))  # 4 queries do for degree 2
    first, second, query, task = x[grid[:, 0]], x[grid[:, 1]], x[4 * grid[:, 2]], w[grid[:, 3]]
    shown = torch.from_numpy(np.stack([first, second], axis=1))
    labels = torch.einsum("bid,bd->bi", shown, torch.from_numpy(task))
    target = torch.from_numpy((query * task).sum(axis=1))
    return shown, labels, torch.from_numpy(query), target, torch.from_numpy(of_w[grid[:, 3]] / 1024)


@pytest.mark.parametrize(("L", "prior"), [(1, "identity"), (1, "inverse"), (2, "inverse")])
def test_what_is_built_has_the_claimed_loss_and_no_slope(L, prior):
    problem = PreconditionedProblem(d=2, n=2, L=L, S="2,1/2", prior=prior, covariates="sphere")
    x, y, query, target, weight = prompts_in_the_plane(problem)
    model = build(problem)
    loss = weight @ (model(x, y, query) - target).square()
    of_P, of_Q = torch.autograd.grad(loss, (model.P, model.Q))
    varied = (of_P, of_Q) if prior == "identity" else (of_Q[:, :2, :2],)  # all of (P, Q), or A alone
    rounding = gamma(len(weight) + 200) * 100  # entries of Z, P and Q are below 10
    assert abs(float(loss.detach()) - claims(problem)[prior == "inverse"].value) <= rounding
    assert max(float(slope.abs().max()) for slope in varied) <= rounding


def test_on_the_sphere_only_icgd_claims_something():
    problem = PreconditionedProblem(d=2, n=4, L=2, covariates="sphere")
    results = verify(problem)
    assert [grid.title for grid in results.grids] == ["Expected loss by depth"]  # nothing was trained
    found = {v.claim.partition("/")[2]: v for v in results.verdicts}
    of_theorems = [key.partition("/")[2] for key in THEOREM.claim_keys() if "theorem-" in key]
    assert len(of_theorems) == 14
    for name in of_theorems:
        assert found[name].status == "inapplicable" and "x ~ N(0, S)" in found[name].evidence
    ours = {name: v.status for name, v in found.items() if name.startswith("sphere/")}
    exact = ("global", "gradient", "stationary", "one-step", "critical-point")
    assert ours == {f"sphere/{name}": "proved" for name in exact} | {
        "sphere/one-layer": "held",
        "sphere/layers": "held",
    }
    published = replace(AS_PUBLISHED, preconditioner=lambda e, trace, m: (1 + m) * e + m * trace)
    wrong = {v.claim.partition("/")[2]: v.status for v in verify(problem, statement=published).verdicts}
    assert {name for name in wrong if wrong[name] == "failed"} == {
        "sphere/global", "sphere/gradient", "sphere/one-layer",
    }  # fmt: skip
