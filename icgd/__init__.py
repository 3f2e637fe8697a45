"""icgd: bounds, constructions and verdicts for theorems on gradient descent in context.

The public names are loaded when they are first used: `import icgd` itself needs no library.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from icgd.bounds.letters import ProblemError
    from icgd.bounds.problem import Problem
    from icgd.bounds.relu_icgd import claims
    from icgd.bounds.step_error.plan import plan
    from icgd.construct.block.transformer import Transformer
    from icgd.construct.prompt import Prompt
    from icgd.construct.relu_icgd import build

__version__ = version("icgd")

_HOMES = {
    "Problem": "bounds.problem",
    "ProblemError": "bounds.letters",
    "claims": "bounds.relu_icgd",
    "plan": "bounds.step_error.plan",
    "Transformer": "construct.block.transformer",
    "Prompt": "construct.prompt",
    "build": "construct.relu_icgd",
}

__all__ = ["Problem", "ProblemError", "Prompt", "Transformer", "__version__", "build", "claims", "plan"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
