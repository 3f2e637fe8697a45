"""The theorems that are verified by one function each: to add one, add its modules and a line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bounds.functional import FunctionalProblem
from bounds.letters import Letters
from bounds.looped import LoopedProblem
from bounds.preconditioned import PreconditionedProblem
from bounds.problem import Problem
from verify import convergence, functional, looped, preconditioned, softmax_icgd
from verify.findings import Findings


@dataclass(frozen=True)
class Theorem:
    """How a theorem is posed and verified.  verify takes (problem, seed=, device=, progress=)."""

    letters: type[Letters] | type[Problem]
    verify: Callable[..., Findings]


THEOREMS: Mapping[str, Theorem] = {
    softmax_icgd.THEOREM: Theorem(Problem, softmax_icgd.verify),
    convergence.THEOREM: Theorem(Problem, convergence.verify),
    preconditioned.THEOREM: Theorem(PreconditionedProblem, preconditioned.verify),
    functional.THEOREM: Theorem(FunctionalProblem, functional.verify),
    looped.THEOREM: Theorem(LoopedProblem, looped.verify),
}
