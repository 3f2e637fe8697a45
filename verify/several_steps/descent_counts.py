"""Counts over the moves of a run: which lower the loss as they must, and how near the run comes to rest."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from icgd.bounds.convergence import least_gradient, least_move
from icgd.bounds.problem import Problem
from icgd.construct.prompt import Prompt
from icgd.verify.descent import MEASUREMENT_ERROR, empirical_loss, gradient_mapping


def measure_descent(
    problem: Problem, lam: float, iterates: Float[Tensor, "iterates B D_w"], prompt: Prompt
) -> tuple[float, ...]:
    """Counts over all moves of a run, and the least projected gradient.

    Returns how many moves break L_n(w(l)) - L_n(w(l-1)) <= -h m ((1 - h lam/2) m - eps), m the length of the
    move over h; how many are longer than `least_move`; how many of these lowered L_n; how many of all moves
    did; the number of moves; the largest over prompts of the least projected gradient; this over its bound.
    """
    h, eps, steps = problem.eta, problem.eps, len(iterates) - 1
    losses = torch.stack([empirical_loss(problem, prompt.with_weights(w)) for w in iterates])
    spare = MEASUREMENT_ERROR * (1 + losses.abs().amax())
    moves = torch.linalg.vector_norm(iterates[1:] - iterates[:-1], dim=-1) / h
    change = losses[1:] - losses[:-1]
    allowed = -h * moves * ((1 - h * lam / 2) * moves - eps)
    broken = ~(change <= allowed + spare)
    # Where the guaranteed decrease is below rounding, the sign of a difference of losses means nothing.
    long = (moves > least_move(lam, h, eps)) & (allowed < -spare)
    projected = torch.stack([gradient_mapping(problem, prompt.with_weights(w)) for w in iterates[:-1]]).amin(
        dim=0
    )
    drop = (losses[0] - losses[-1]).cpu().numpy()
    bound = torch.from_numpy(least_gradient(lam, h, eps, drop, steps)).to(projected)
    ratio = torch.nan_to_num(projected / (bound + MEASUREMENT_ERROR), nan=torch.inf).amax()
    counts = (broken.sum(), long.sum(), (long & (change < 0)).sum(), (change < 0).sum())
    return (*map(float, counts), float(moves.numel()), float(projected.amax()), float(ratio))
