"""The table of constructions whose step error can be certified: how each is planned, built and checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import icgd.bounds.softmax_icgd
import icgd.bounds.step_error.plan
import icgd.verify.checker.relu
import icgd.verify.checker.softmax
from icgd.bounds.problem import Problem
from icgd.bounds.progress import Progress, silent
from icgd.bounds.softmax_icgd import SoftmaxPlan, halved, stated
from icgd.bounds.step_error.budget import Construction
from icgd.bounds.step_error.plan import Plan
from icgd.construct import relu_icgd, softmax_icgd
from icgd.construct.block.assembly import assemble
from icgd.construct.block.literal import Block
from icgd.construct.machine.memory import refuse_if_too_large, refuse_softmax_if_too_large
from icgd.verify.certificate import softmax_program
from icgd.verify.certificate.issue import certificate
from icgd.verify.certificate.shape import RELU_LAYER, SOFTMAX_LAYER, Shape
from icgd.verify.checker import matrices, softmax_matrices
from icgd.verify.checker.matrices import ExpectedLayer

_RELU_TRUSTED = (
    "IEEE-754 binary arithmetic, round to nearest, no overflow; sums in any order, fused or not",
    "verify/checker/ without its files for softmax, 1,422 lines of code, with FLINT, Arb and numpy's floats",
)
"""What a proof about ReLU attention relies on."""

_SOFTMAX_TRUSTED = (
    *_RELU_TRUSTED[:1],
    "softmax of equal scores: exp(0) is within 16 ulps of 1, then a sum and a division",
    "verify/checker/, 1,617 lines of code, with FLINT, Arb and numpy's floats",
)
"""What a proof about softmax attention relies on."""


@dataclass(frozen=True)
class Certifiable:
    """How the step error of one construction is planned, built, certified and judged.

    refuse: raises ProblemError for a problem whose transformer does not exist, or would not fit in memory.
    plan: makes the plan of a problem in the letters of its theorem, as `plan(problem, progress=...)`.
    posed: the problem of a plan, in these letters.  assemble: the block that a plan describes.
    issue: the certificate of a plan.  layer: the fields of one layer of a certificate's program.
    matrices: what the matrices of a program's block must be.  check: the bound that a certificate proves for
    the letters of a problem; raises Refused.  trusted: what a proof relies on.
    coq: whether `icgd.verify.coq` can export its certificates.
    """

    refuse: Callable[[Problem], None]
    plan: Callable[..., Any]
    posed: Callable[[Any], Problem]
    assemble: Callable[[Any], Block]
    issue: Callable[[Any], dict[str, Any]]
    layer: Mapping[str, Shape]
    check: Callable[[Mapping[str, Any], Mapping[str, Any]], float]
    matrices: Callable[[Any], list[ExpectedLayer]]
    trusted: tuple[str, ...]
    coq: bool


def _relu(construction: Construction) -> Certifiable:
    def refuse(problem: Problem) -> None:
        relu_icgd.check_construction(problem, construction)
        refuse_if_too_large(problem, construction)

    def plan(problem: Problem, *, progress: Progress = silent) -> Plan:
        return icgd.bounds.step_error.plan.plan(problem, construction, progress=progress)

    return Certifiable(
        refuse,
        plan,
        lambda planned: planned.problem,
        assemble,
        certificate,
        RELU_LAYER,
        partial(icgd.verify.checker.relu.check, construction=construction),
        matrices.expected,
        _RELU_TRUSTED,
        coq=True,
    )


def _plan_softmax(problem: Problem, *, progress: Progress = silent) -> SoftmaxPlan:
    return icgd.bounds.softmax_icgd.plan_softmax(halved(problem), progress=progress)


CONSTRUCTIONS: Mapping[str, Certifiable] = MappingProxyType(
    {
        "lean": _relu("lean"),
        "paper": _relu("paper"),
        "softmax": Certifiable(
            refuse_softmax_if_too_large,
            _plan_softmax,
            lambda planned: stated(planned.problem),
            softmax_icgd.assemble_softmax,
            softmax_program.softmax_certificate,
            SOFTMAX_LAYER,
            icgd.verify.checker.softmax.check,
            softmax_matrices.expected_softmax,
            _SOFTMAX_TRUSTED,
            coq=False,
        ),
    }
)
"""The certifiable constructions by name, without `exact`, whose bound holds only outside a margin."""
