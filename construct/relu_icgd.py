"""The transformer of arXiv 2411.16549, Theorem 1: ReLU attention that descends on an N-layer network."""

from __future__ import annotations

from dataclasses import replace

from icgd.bounds.letters import ProblemError
from icgd.bounds.loss import LOSSES
from icgd.bounds.problem import Problem
from icgd.bounds.progress import Progress, silent
from icgd.bounds.relu_icgd import violated
from icgd.bounds.step_error.budget import Construction
from icgd.bounds.step_error.plan import Plan, plan
from icgd.construct.block.assembly import assemble
from icgd.construct.block.census import census
from icgd.construct.block.transformer import Transformer
from icgd.construct.block.weights import save_weights
from icgd.construct.model import Model


def build(
    problem: Problem | Plan, construction: Construction | None = None, *, progress: Progress = silent
) -> Transformer:
    """The transformer for this problem, lean by default, or the one of a plan that is made already.

    Raises ProblemError where the construction does not apply, or is not that of the plan.
    """
    if isinstance(problem, Plan):
        if construction not in (None, problem.construction):
            raise ProblemError("construction", construction, f"the plan is for {problem.construction}")
        return assemble(problem)
    problem = Problem.taken(problem)
    check_construction(problem, construction or "lean")
    return assemble(plan(problem, construction or "lean", progress=progress))


def check_construction(problem: Problem, construction: Construction) -> None:
    """Raises ProblemError, with what still holds, where a construction's hypotheses fail."""
    if construction == "exact":
        if problem.activation.name != "relu":
            raise ProblemError("construction", "exact", "it is for --activation relu; use lean or paper")
        if not problem.loss.phi.is_piecewise_linear:
            bent = [name for name, loss in LOSSES.items() if loss.phi.is_piecewise_linear]
            allowed = f"--construction exact needs a piecewise-linear slope, as of {' and '.join(bent)}"
            raise ProblemError("loss", problem.loss.name, allowed)
        return
    reason = violated(problem)
    if reason and violated(replace(problem, loss=LOSSES["squared"])) is None:
        raise ProblemError("loss", problem.loss.name, f"Theorem 1 does not apply: {reason}")
    if reason:
        holds = (
            "--construction exact reproduces descent on a ReLU network without approximation"
            if problem.activation.name == "relu"
            else "choose an activation that is smooth where it is used, or smaller radii"
        )
        raise ProblemError(
            "activation", problem.activation.name, f"Theorem 1 does not apply: {reason}; {holds}"
        )


MODEL = Model(build, lambda made: census(made).as_dict(), save_weights)
"""How the transformer is built, counted and saved."""
