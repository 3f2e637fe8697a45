"""The lemmas measured: bounds hold on the block and under the worst signs, and a smaller bound fails."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from icgd.bounds.activation import ACTIVATIONS
from icgd.bounds.loss import LOSSES
from icgd.bounds.problem import Problem
from icgd.bounds.published import Local, published
from icgd.bounds.published_claims import LEMMAS
from icgd.bounds.step_error.plan import plan
from icgd.construct.block.assembly import assemble
from icgd.construct.block.heads import Gate
from icgd.verify import published as measured
from icgd.verify.descent import gradient
from icgd.verify.ledger.entries import find_entry
from icgd.verify.published import (
    Tokens,
    as_tokens,
    backpropagated,
    inside,
    lemma_verdicts,
    local_errors,
    ratios,
    wide_tokens,
    worst_signs,
)
from icgd.verify.published_convergence import ENTRIES_OF_DESCENT
from icgd.verify.search.prompts import random_prompts, seeded

PROBLEM = Problem(N=2, K=3, d=2, d_out=1, n=3, eps=0.2)


def judged(problem, **changed):
    planned = plan(problem, "paper")
    block = assemble(planned)
    return {v.claim.partition("/")[2]: v for v in lemma_verdicts("relu-icgd", planned, block, seeded(0))}


@pytest.mark.parametrize("activation, loss, B_v", [("tanh", "squared", 1.0), ("softplus", "logistic", 0.5)])
def test_every_lemma_holds(activation, loss, B_v):
    found = judged(replace(PROBLEM, activation=ACTIVATIONS[activation], loss=LOSSES[loss], B_v=B_v))
    assert tuple(found) == LEMMAS and {v.status for v in found.values()} == {"held"}


def test_the_first_layer_of_lemma_2_is_attained_and_printed_intervals_are_left():
    found = judged(Problem(K=4, N=2, eps=0.2))
    assert "at most 1 of the bound" in found["lemma-2"].evidence
    for name in ("lemma-2", "lemma-3"):
        assert "beyond it" in found[name].evidence


def test_a_smaller_bound_fails(monkeypatch):
    """Were the constants of Lemma 2 and of the whole step a hundredth, the same search would refute them."""

    def smaller(problem, **given):
        made = published(problem, **given)
        shrunk = {
            symbol: (value / 100, text) if str(symbol) in ("L_r", "C_r", "C_{r'}", "C_l") else (value, text)
            for symbol, (value, text) in made.constants.items()
        }
        return replace(made, constants=shrunk, local=made.local)

    monkeypatch.setattr(measured, "published", smaller)
    found = judged(Problem(N=2, K=4, eps=0.2))
    assert {"lemma-2", "tolerances"} <= {name for name, v in found.items() if v.status == "failed"}


def test_a_damaged_product_is_seen_in_the_block():
    planned = plan(PROBLEM, "paper")
    block = assemble(planned)
    gates = [
        part for i in range(len(block.layers)) for part in block.layer(i).heads if isinstance(part, Gate)
    ]
    increment = gates[-1].increment
    gates[-1].increment = lambda state: increment(state) * 1.001
    found = {v.claim: v.status for v in lemma_verdicts("relu-icgd", planned, block, seeded(0))}
    assert found["relu-icgd/lemma-5"] == "failed"


def test_a_kink_makes_the_lemmas_inapplicable():
    problem = replace(PROBLEM, activation=ACTIVATIONS["relu"])
    planned = replace(plan(PROBLEM, "paper"), problem=problem)
    found = lemma_verdicts("relu-icgd", planned, assemble(plan(PROBLEM, "paper")), seeded(0))
    assert [v.status for v in found] == ["inapplicable"] * len(LEMMAS)


def test_the_passes_are_those_of_autograd():
    prompt = random_prompts(replace(PROBLEM, n=1), 20, seeded(1))
    ours = backpropagated(PROBLEM, as_tokens(PROBLEM, prompt)).gradient
    theirs = gradient(replace(PROBLEM, n=1), prompt)
    assert torch.allclose(ours, theirs, rtol=0, atol=2.0**-44)


def test_the_slots_of_the_block_are_near_the_exact_passes():
    planned = plan(PROBLEM, "paper")
    prompt = random_prompts(PROBLEM, 8, seeded(2))
    held, exact = inside(assemble(planned), prompt), backpropagated(PROBLEM, as_tokens(PROBLEM, prompt))
    e = local_errors(planned)
    assert e.u == 0 and e.r > 0 and e.dr > 0
    for a, b in zip(held.dr[:1], exact.dr[:1], strict=True):
        assert 0 < (a - b).abs().max() <= e.dr * (1 + 1e-9)
    made = published(PROBLEM, repaired=True, local=e)
    found = ratios(PROBLEM, made, exact, held, None).found
    assert all(0 <= value <= 1 for value in found.values()) and "tolerances" not in found


def test_tokens_lie_in_the_whole_domain_and_leave_our_box():
    tokens = wide_tokens(PROBLEM, 64, seeded(0))
    for v, before in zip(tokens.V, PROBLEM.dims, strict=False):
        rows = torch.linalg.vector_norm(v, dim=-1)
        assert rows.max() <= PROBLEM.B_v * (1 + 1e-12)
        assert before == 1 or v.abs().max() > PROBLEM.B_v / np.sqrt(before)
    assert torch.linalg.vector_norm(tokens.x, dim=-1).max() <= PROBLEM.B_x * (1 + 1e-12)
    assert torch.linalg.vector_norm(tokens.y, dim=-1).max() <= PROBLEM.B_y * (1 + 1e-12)


def test_signs_are_full_errors_and_enlarge_the_step_error():
    local, tokens = Local(1e-3, 2e-3, 3e-3), wide_tokens(PROBLEM, 256, seeded(0))

    def error(errors):
        off = backpropagated(PROBLEM, tokens, errors).gradient - backpropagated(PROBLEM, tokens).gradient
        return torch.linalg.vector_norm(off, dim=-1)

    found = worst_signs(PROBLEM, tokens, local, seeded(1))
    for kind, size in zip(found, local, strict=True):
        assert all(torch.equal(e.abs(), torch.full_like(e, size)) for e in kind)
    plus = [[torch.ones_like(e) * size for e in kind] for kind, size in zip(found, local, strict=True)]
    assert error(found).mean() > error(plus).mean() and error(found).max() >= error(plus).max()


def test_one_example_at_its_own_weights_is_a_token():
    prompt = random_prompts(PROBLEM, 4, seeded(3))
    tokens = as_tokens(PROBLEM, prompt)
    assert isinstance(tokens, Tokens) and len(tokens.x) == 12
    assert torch.equal(tokens.V[0][3], tokens.V[0][5]) and torch.equal(tokens.x[4], prompt.x[1, 1])


def test_the_entries_that_evidence_names_are_in_the_ledger():
    for key in (*measured.ENTRIES.values(), *ENTRIES_OF_DESCENT.values()):
        assert find_entry(key).bearing == "error"
