"""Corollary 1.1 and Lemma 14 as verdicts: kept on followed paths, failed by paths that break them."""

from dataclasses import replace

import torch

from icgd.bounds.convergence import curvature
from icgd.bounds.problem import Problem
from icgd.bounds.published_convergence import corollary, descent_claims, short_step
from icgd.verify.descent import descend, gradient, gradient_mapping, project
from icgd.verify.published_convergence import (
    convergence_ratios,
    corollary_verdict,
    hindered,
    lemma_14_verdict,
)
from icgd.verify.search.prompts import random_prompts, seeded

PROBLEM = Problem(N=1, K=1, d=2, n=3, L=4, eta=0.05, eps=0.1)
LAM = curvature(PROBLEM).lam
PROMPT = random_prompts(PROBLEM, 8, seeded(0))


def test_hindered_steps_have_errors_of_the_full_size():
    path = hindered(PROBLEM, PROMPT, 1)
    slope = gradient(PROBLEM, PROMPT)
    length = torch.linalg.vector_norm(slope, dim=-1, keepdim=True)
    shorter = PROMPT.w - PROBLEM.eta * slope * (1 - PROBLEM.eps / length)
    assert torch.allclose(path[1], project(PROBLEM, shorter), rtol=0, atol=2.0**-44)


def test_lemma_14_holds_and_a_run_that_climbs_breaks_it():
    posed = replace(PROBLEM, eta=short_step(PROBLEM))
    ratio, root = convergence_ratios(posed, PROMPT, hindered(posed, PROMPT, 30))
    assert 0 < ratio <= 1 and root > 0
    climbing = descend(posed, PROMPT, 30).flip(0)
    assert convergence_ratios(posed, PROMPT, climbing)[0] > 1


def test_the_gradient_mapping_is_the_gradient_inside():
    inside = PROMPT.with_weights(PROMPT.w * 0.1)
    length = torch.linalg.vector_norm(gradient(PROBLEM, inside), dim=-1)
    assert torch.allclose(gradient_mapping(PROBLEM, inside), length, rtol=0, atol=2.0**-40)


def test_the_corollary_is_judged_on_every_step():
    allowed = [corollary(LAM, PROBLEM.eta, PROBLEM.eps, step) for step in range(5)]
    for factor, status in ((0.99, "held"), (1.01, "failed")):
        path = torch.tensor([[0.0], [0.0], [factor * allowed[2]], [0.0], [0.0]])
        assert corollary_verdict(PROBLEM, LAM, [path]).status == status
    assert corollary_verdict(replace(PROBLEM, L=10**6), LAM, []).status == "vacuous"


def test_the_verdict_on_lemma_14_names_the_step_and_what_is_printed():
    found = lemma_14_verdict(PROBLEM, descent_claims(PROBLEM)[1], LAM, PROMPT)
    assert found.status in ("held", "vacuous") and "eta <= L_f" in found.evidence
    long = replace(PROBLEM, L=10**5)
    assert lemma_14_verdict(long, descent_claims(long)[1], LAM, PROMPT).status == "held"
    large = replace(PROBLEM, eta=100.0)
    found = lemma_14_verdict(large, descent_claims(large)[1], LAM, PROMPT)
    assert found.status != "failed" and "1/Lambda" in found.evidence
