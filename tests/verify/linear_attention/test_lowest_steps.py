"""The search for the lowest steps: its derivatives, and the same lowest loss for every seed."""

import numpy as np
import pytest
import torch

from icgd.bounds.algebra.best_steps import best_steps, residual, spectral_rule
from icgd.bounds.preconditioned import PreconditionedProblem
from icgd.verify.linear_attention.lowest_steps import _residuals, lowest_steps
from icgd.verify.linear_attention.step_sizes import best_at
from icgd.verify.search.prompts import seeded

LOWEST = {(20, 2, 2): 0.006072482964, (20, 2, 3): 2.9673060636e-05, (10, 2, 3): 0.00170615021}


@pytest.mark.parametrize("L", [2, 3])
def test_derivatives_are_those_of_autograd(L):
    generator = np.random.default_rng(L)
    z, t, weight = generator.normal(size=(3, 2 * L - 1)), np.array([0.3, 1.0, 2.5]), np.array([1.0, 0.5, 2.0])
    r, J = _residuals(z, t, np.sqrt(weight))

    def literal(row):
        return torch.tensor(np.sqrt(weight)) * residual(L, torch.tensor(t), row[:L], row[L:] / row[: L - 1])

    for k, row in enumerate(torch.tensor(z)):
        assert r[k] == pytest.approx(literal(row).numpy(), rel=1e-12, abs=1e-12)
        expected = torch.autograd.functional.jacobian(literal, row)
        assert J[k] == pytest.approx(expected.numpy(), rel=1e-10, abs=1e-10)


def test_every_seed_finds_the_same_lowest_loss():
    for (n, d, L), lowest in LOWEST.items():
        t, weight = (np.array(part) for part in spectral_rule(n, d, (3**L - 1) // 2 + 1))
        for seed in range(4):
            found = lowest_steps(t, weight, best_steps(n, d, L).a, seed)
            assert found.losses[0] == pytest.approx(lowest, rel=1e-6) and found.is_stable
            assert list(found.losses) == sorted(found.losses)


def test_a_missed_minimum_is_pointed_out_and_searched_again(monkeypatch):
    """A search that stops in the second lowest minimum is contradicted by algebra, which names a start."""
    import icgd.verify.linear_attention.step_sizes as module

    tried = []

    def hasty(t, weight, first, seed, near=None):
        tried.append(near)
        found = lowest_steps(t, weight, first, seed, near)
        if near is not None:
            return found
        return type(found)(found.points[1:], found.losses[1:], found.starts, 1)

    monkeypatch.setattr(module, "lowest_steps", hasty)
    depth = best_at(PreconditionedProblem(d=2, n=20, L=2, S="1"), 2, seeded(0))
    assert len(tried) == 2 and tried[1] is not None and depth.is_least
    assert depth.criticals[0].value[0] == pytest.approx(0.006072482964, rel=1e-9)
