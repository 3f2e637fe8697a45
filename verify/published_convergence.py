"""Corollary 1.1 and Lemma 14 of arXiv 2411.16549, judged: on followed paths, and under errors that hinder."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from icgd.bounds.claims import Claim
from icgd.bounds.convergence import diameter, least_gradient, trivial_gradient
from icgd.bounds.problem import Problem
from icgd.bounds.published_convergence import corollary, mean_square, short_step
from icgd.construct.prompt import Prompt
from icgd.verify.descent import MEASUREMENT_ERROR, empirical_loss, gradient, gradient_mapping, project
from icgd.verify.verdict import Status, Verdict

_STEPS = 40
ENTRIES_OF_DESCENT = {
    "corollary-1.1": "2411.16549/corollary-1-1-examples",
    "lemma-14": "2411.16549/lemma-14-step",
}
"""What is wrong with the printed form, by claim: entries of the ledger."""


def corollary_verdict(problem: Problem, lam: float, apart: Iterable[Float[Tensor, "iterates B"]]) -> Verdict:
    """Corollary 1.1 on distances norm2(w(l) - w_GD(l)) of followed paths; exact descent is projected."""
    widest, worst, steps = diameter(problem), 0.0, 0
    for distances in apart:
        largest = distances.amax(dim=1).tolist()
        steps = len(largest) - 1
        for step in range(1, len(largest)):
            allowed = corollary(lam, problem.eta, problem.eps, step)
            spare = MEASUREMENT_ERROR * (1 + widest) * max(1.0, allowed / (problem.eta * problem.eps))
            worst = max(worst, largest[step] / (allowed + spare))
    at_end, printed = (corollary(lam, size, problem.eps, problem.L) for size in (problem.eta, problem.n))
    status: Status = "failed" if worst > 1 else "vacuous" if at_end >= widest else "held"
    evidence = (
        f"as repaired, at most {worst:.3g} of the bound over {steps} steps; {at_end:.4g} at l = {problem.L:,}"
    )
    if at_end >= widest:
        evidence += f", no less than the diameter {widest:.4g} of W, so it says nothing there"
    evidence += (
        f"; with n = {problem.n:,} for eta, as printed, {printed:.3g} ({ENTRIES_OF_DESCENT['corollary-1.1']})"
    )
    return Verdict("convergence/corollary-1.1", status, evidence)


def hindered(problem: Problem, prompt: Prompt, steps: int) -> Float[Tensor, "{steps}+1 B D_w"]:
    """Projected steps with errors of norm eta eps along the gradient, against the descent."""
    path = [prompt.w]
    for _ in range(steps):
        slope = gradient(problem, prompt.with_weights(path[-1]))
        against = torch.nn.functional.normalize(slope, dim=-1) * problem.eta * problem.eps
        path.append(project(problem, path[-1] - problem.eta * slope + against))
    return torch.stack(path)


def convergence_ratios(
    problem: Problem, prompt: Prompt, path: Float[Tensor, "iterates B D_w"]
) -> tuple[float, float]:
    """Over all prefixes of a run: the largest mean square over Lemma 14's bound; the root of the last mean.

    The drop is that of the run itself, which is at most L_n(w(0)) - inf L_n.
    """
    losses = torch.stack([empirical_loss(problem, prompt.with_weights(w)) for w in path])
    squares = torch.stack([gradient_mapping(problem, prompt.with_weights(w)) ** 2 for w in path[:-1]])
    count = torch.arange(1, len(path), dtype=squares.dtype)[:, None]
    means = squares.cumsum(dim=0) / count
    spare = MEASUREMENT_ERROR * (1 + losses.abs().amax()) * 8 / (problem.eta * count)
    bound = 8 * (losses[0] - losses[1:]) / (problem.eta * count) + 10 * problem.eps**2 + spare
    return float((means / bound.clamp(min=1e-300)).max()), float(means[-1].max().sqrt())


def lemma_14_verdict(problem: Problem, claim: Claim, lam: float, prompt: Prompt) -> Verdict:
    """Lemma 14 at eta, or at 1/Lambda where eta is larger; beside the bound of convergence/stationary."""
    key, step = "convergence/lemma-14", short_step(problem)
    if step < 1e-12:
        return Verdict(key, "inapplicable", f"1/Lambda = {step:.3g} is too small a step to follow")
    posed = replace(problem, eta=step)
    ratio, mean = convergence_ratios(posed, prompt, hindered(posed, prompt, _STEPS))
    trivial = trivial_gradient(problem, step)
    status: Status = "failed" if ratio > 1 else "vacuous" if claim.value >= trivial**2 else "held"
    ours = float(least_gradient(lam, step, problem.eps, 1.0, problem.L))
    theirs = mean_square(step, problem.eps, 1.0, problem.L) ** 0.5
    where = f"eta = {step:g}"
    if step != problem.eta:
        where = f"1/Lambda = {step:.4g}, as eta = {problem.eta:g} is larger"
    evidence = (
        f"at {where}: mean squares use at most {ratio:.3g} of the bound, over {_STEPS} steps with errors "
        f"against the descent on {prompt.batch} prompts; root of the last mean {mean:.3g}; for a drop of 1 "
        f"in {problem.L:,} steps its root is {theirs:.4g}, and convergence/stationary has {ours:.4g}"
    )
    if status == "vacuous":
        evidence += f"; over W its root is {claim.value**0.5:.4g}, and no projected gradient exceeds "
        evidence += f"{trivial:.4g}, so it says nothing"
    evidence += f"; as printed it asks eta <= L_f ({ENTRIES_OF_DESCENT['lemma-14']})"
    return Verdict(key, status, evidence)
