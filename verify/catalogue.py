"""The theorems that are verified by one function each: to add one, add its modules and an entry here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cache

from icgd.bounds.functional import FunctionalProblem
from icgd.bounds.letters import Letters
from icgd.bounds.looped import LoopedProblem
from icgd.bounds.preconditioned import PreconditionedProblem
from icgd.bounds.problem import Problem
from icgd.verify import convergence, functional, looped, preconditioned, softmax_icgd
from icgd.verify.results import Findings

_MEANINGS = {
    "N": "depth of the simulated network",
    "K": "width of its hidden layers",
    "d": "input size",
    "d_out": "output size (0: the same as d)",
    "n": "examples in context",
    "L": "gradient steps",
    "eta": "step size",
    "eps": "tolerance: a step may be off by eta*eps",
    "B_x": "bound on the 2-norm of inputs",
    "B_y": "bound on the 2-norm of targets",
    "B_v": "bound on the 2-norm of weight rows",
    "activation": "tanh sigmoid softplus gelu sin relu identity, or a formula in t",
    "loss": "squared, logistic or huber",
    "output": "activated or linear",
}


@dataclass(frozen=True)
class Theorem:
    """How a theorem is posed and verified.  verify takes (problem, seed=, device=, progress=).

    claims: the names of the claims that it judges at its default problem, in the order of the table, so
    that they can be listed and chosen without verifying anything; `pytest verify/` fails where they differ.
    """

    letters: type[Letters] | type[Problem]
    verify: Callable[..., Findings]
    claims: tuple[str, ...]


THEOREMS: Mapping[str, Theorem] = {
    softmax_icgd.THEOREM: Theorem(
        Problem,
        softmax_icgd.verify,
        (
            "layers",
            "heads",
            "width",
            "mlp_width",
            "step-error",
            "loop",
            "uniform-attention",
            "query-masked",
            "matrices",
            "polynomial-width",
            "four-layers",
        ),
    ),
    convergence.THEOREM: Theorem(Problem, convergence.verify, convergence.KEYS),
    preconditioned.THEOREM: Theorem(
        PreconditionedProblem,
        preconditioned.verify,
        (
            "lemma-1",
            "theorem-1/global",
            "theorem-1/gradient",
            "theorem-1/other-minimum",
            "theorem-3/stationary",
            "theorem-4/stationary",
            "theorem-3/one-step",
            "theorem-3/critical-point",
            "theorem-4/critical-point",
            "lemma-1/model",
            "theorem-1/loss",
            "theorem-3/loss",
            "theorem-4/loss",
            "parameters",
            "training/theorem-1",
            "training/theorem-3",
            "training/theorem-4",
        ),
    ),
    functional.THEOREM: Theorem(
        FunctionalProblem,
        functional.verify,
        (
            "descent",
            "rounding",
            "heads",
            "parameters",
            "largest-eigenvalue",
            "rate",
            "linear-semidefinite",
            "exp-definite",
            "softmax-similar",
            "relu-indefinite",
            "softmax-limit",
            "matching",
            "theorem-1/linear",
            "theorem-1/symmetry",
            "theorem-1/off-family",
            "theorem-1/critical-point",
            "theorem-1/hypotheses",
            "theorem-1/infimum",
        ),
    ),
    looped.THEOREM: Theorem(
        LoopedProblem,
        looped.verify,
        (
            "steps",
            "rounding",
            "parameters",
            "contraction",
            "condition",
            "failure",
            "examples",
            "examples-before",
        ),
    ),
}


@cache
def meanings() -> Mapping[str, tuple[type, str]]:
    """Type (int, float or str) and meaning of every letter of any theorem, for command lines.

    A letter that theorems share has the meaning that it has in Theorem 1 of arXiv 2411.16549, or else in the
    first theorem of the catalogue that has it.

    >>> meanings()["T"]
    (<class 'int'>, 'looped: loops of the block [default: 10]')
    """
    kinds: dict[str, type] = {"int": int, "float": float}
    found: dict[str, tuple[type, str]] = {}
    for field in fields(Problem):
        default = getattr(field.default, "name", field.default)
        found[field.name] = kinds.get(str(field.type), str), f"{_MEANINGS[field.name]} [default: {default}]"
    for theorem, letters in ((name, entry.letters) for name, entry in THEOREMS.items()):
        if issubclass(letters, Problem):
            continue
        for field in fields(letters):  # type: ignore[arg-type]
            text = f"{theorem}: {letters.meanings[field.name]} [default: {field.default}]"
            found.setdefault(field.name, (kinds.get(str(field.type), str), text))
    return found
