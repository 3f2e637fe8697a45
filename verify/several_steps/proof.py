"""Proves how far L steps of a transformer end from exact descent: two certificates, and their tube."""

from __future__ import annotations

from dataclasses import dataclass

from icgd.bounds.convergence import diameter
from icgd.bounds.letters import ProblemError
from icgd.bounds.problem import Problem
from icgd.bounds.progress import Progress, silent
from icgd.bounds.several_steps.spectrum import hessian_spectrum
from icgd.bounds.step_error.plan import Plan
from icgd.construct.block.transformer import Transformer
from icgd.verify.certificate.issue import posed_letters
from icgd.verify.certificate.proof import Proof, prove, unchecked
from icgd.verify.checker.lemmas import Refused
from icgd.verify.several_steps.spectrum_certificate import spectrum_certificate
from icgd.verify.several_steps.spectrum_check import check_spectrum
from icgd.verify.several_steps.tube import Tube, tube

SPECTRUM_TRUSTED = (
    "for several steps: verify/several_steps/spectrum_check.py, 220 lines of code, and tube.py, 36, with Arb"
)
"""What a proof about several steps relies on, beside what one about a step does."""


@dataclass(frozen=True, eq=False)
class SeveralStepsProof:
    """What was proved of several steps, and why not more.

    below, above: every eigenvalue of the Hessian is proved to be in [-below, above]; infinite without a
    proof.  cells: how many cover W.  refusal: why there is no such proof.  step: the proof of one step's
    error; None where none was tried.  tube: where both are proved.
    """

    below: float
    above: float
    cells: int
    refusal: str | None
    step: Proof | None
    tube: Tube | None

    @property
    def lam(self) -> float:
        """A proved Lipschitz constant of the gradient on W; infinite without a proof."""
        return max(self.below, self.above)

    @property
    def trusted(self) -> tuple[str, ...]:
        """What the tube relies on; empty without one."""
        return (*self.step.trusted, SPECTRUM_TRUSTED) if self.tube and self.step else ()

    @property
    def why(self) -> str:
        """Why there is no tube, or "" if there is one."""
        if self.tube:
            return ""
        if self.refusal:
            return self.refusal
        return (self.step.why if self.step else None) or "no certificate of the step error was asked for"


def prove_several_steps(
    problem: Problem, planned: Plan, transformer: Transformer, progress: Progress = silent
) -> SeveralStepsProof:
    """Proves the spectrum, then the error of a step, then how far L steps of `lean` end from descent."""
    below = above = float("inf")
    refusal, cells = None, 0
    with progress("spectrum", 2) as advance:
        try:
            found = hessian_spectrum(problem)
            advance(1)
            below, above = check_spectrum(spectrum_certificate(found), posed_letters(problem))
            cells = found.above.splits.count(0) + found.below.splits.count(0)
        except ProblemError as error:
            refusal = f"no bounds on the Hessian: {error}"
        except Refused as claim:
            refusal = f"the checker of the spectrum does not accept that {claim}"
        advance(1)
    if (
        not isinstance(transformer, Transformer)
        or planned.construction != "lean"
        or unchecked(planned.layers)
    ):
        return SeveralStepsProof(below, above, cells, refusal, None, None)
    step, made = prove(planned, transformer, progress), None
    if step.refusal is None and refusal is None:
        made = tube(step.certificate, below, above, problem.eta, problem.L, diameter(problem))
    return SeveralStepsProof(below, above, cells, refusal, step, made)
