"""icgd: bounds, constructions and verdicts for theorems on gradient descent in context.

A public name is imported when it is first used, so `import icgd` itself loads no library.
"""

from __future__ import annotations

import os
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from icgd.bounds.activation import Activation
    from icgd.bounds.claims import Claim
    from icgd.bounds.functional import FunctionalProblem
    from icgd.bounds.letters import Letters, ProblemError
    from icgd.bounds.looped import LoopedProblem
    from icgd.bounds.loss import Loss
    from icgd.bounds.preconditioned import PreconditionedProblem
    from icgd.bounds.problem import Problem
    from icgd.bounds.relu_icgd import claims
    from icgd.bounds.step_error.plan import plan
    from icgd.construct.block.transformer import Transformer
    from icgd.construct.model import Model
    from icgd.construct.prompt import Prompt
    from icgd.construct.relu_icgd import build
    from icgd.kinds import judge_given as judge
    from icgd.reports.audit import Audit, audit
    from icgd.verify.catalogue import find_theorem as theorem
    from icgd.verify.catalogue import theorems
    from icgd.verify.results import Results
    from icgd.verify.sweeps.posed_sweep import sweep_grid as sweep
    from icgd.verify.theorem import Theorem
    from icgd.verify.verdict import Verdict

# Idle OpenMP threads spin by default, and stall each other as soon as another process needs a core: one sweep
# took forty times as long.  OpenMP reads this once, when torch is first imported; a user's own setting wins.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = version("icgd")

_HOMES = {
    "bounds.activation": ("Activation",),
    "bounds.claims": ("Claim",),
    "bounds.functional": ("FunctionalProblem",),
    "bounds.letters": ("Letters", "ProblemError"),
    "bounds.looped": ("LoopedProblem",),
    "bounds.loss": ("Loss",),
    "bounds.preconditioned": ("PreconditionedProblem",),
    "bounds.problem": ("Problem",),
    "bounds.relu_icgd": ("claims",),
    "bounds.step_error.plan": ("plan",),
    "construct.block.transformer": ("Transformer",),
    "construct.model": ("Model",),
    "construct.prompt": ("Prompt",),
    "construct.relu_icgd": ("build",),
    "reports.audit": ("Audit", "audit"),
    "verify.catalogue": ("theorems",),
    "verify.results": ("Results",),
    "verify.theorem": ("Theorem",),
    "verify.verdict": ("Verdict",),
}

_RENAMED = {
    "judge": "kinds.judge_given",
    "sweep": "verify.sweeps.posed_sweep.sweep_grid",
    "theorem": "verify.catalogue.find_theorem",
}

__all__ = [
    "Activation",
    "Audit",
    "Claim",
    "FunctionalProblem",
    "Letters",
    "LoopedProblem",
    "Loss",
    "Model",
    "PreconditionedProblem",
    "Problem",
    "ProblemError",
    "Prompt",
    "Results",
    "Theorem",
    "Transformer",
    "Verdict",
    "__version__",
    "audit",
    "build",
    "claims",
    "judge",
    "plan",
    "sweep",
    "theorem",
    "theorems",
]


def __getattr__(name: str) -> Any:
    if name in _RENAMED:
        home, _, own = _RENAMED[name].rpartition(".")
        return getattr(import_module(f"icgd.{home}"), own)
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"icgd.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
