"""The theorems beside Theorem 1: how each is posed, what it claims, and how its transformer is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import icgd.bounds.convergence
import icgd.bounds.functional
import icgd.bounds.looped
import icgd.bounds.preconditioned
import icgd.bounds.softmax_icgd
import icgd.construct.functional
import icgd.construct.looped
import icgd.construct.preconditioned
import icgd.construct.softmax_icgd
from icgd.bounds.claims import Claim
from icgd.bounds.functional import FunctionalProblem
from icgd.bounds.letters import Letters
from icgd.bounds.looped import LoopedProblem
from icgd.bounds.preconditioned import PreconditionedProblem
from icgd.bounds.problem import Problem
from icgd.construct.block.weights import save_weights
from icgd.construct.functional import FunctionalTransformer
from icgd.construct.looped import LoopedTransformer
from icgd.construct.machine.memory import refuse_softmax_if_too_large
from icgd.construct.preconditioned import LinearAttention


@dataclass(frozen=True)
class Model:
    """How a transformer is made from a problem, counted off its tensors, and written to a file."""

    build: Callable[[Any], Any]
    census: Callable[[Any], Mapping[str, int | float]]
    save: Callable[[Any, Path], None]


@dataclass(frozen=True)
class Recipe:
    """From letters to claims and a transformer.

    model: None where the theorem is about the transformer of another one.
    refuse: raises ProblemError for a problem whose transformer would not fit in memory.
    """

    letters: type[Letters] | type[Problem]
    claims: Callable[[Any], tuple[Claim, ...]]
    model: Model | None
    refuse: Callable[[Any], None] = lambda problem: None

    def pose(self, letters: Mapping[str, Any]) -> Any:
        """The problem of these letters; raises ProblemError for one that is impossible or too large."""
        problem = self.letters.parse(letters)
        self.refuse(problem)
        return problem


RECIPES: Mapping[str, Recipe] = {
    "softmax-icgd": Recipe(
        Problem,
        icgd.bounds.softmax_icgd.claims,
        Model(icgd.construct.softmax_icgd.build, icgd.construct.softmax_icgd.census, save_weights),
        refuse_softmax_if_too_large,
    ),
    "convergence": Recipe(Problem, icgd.bounds.convergence.claims, None),
    "preconditioned": Recipe(
        PreconditionedProblem,
        icgd.bounds.preconditioned.claims,
        Model(icgd.construct.preconditioned.build, LinearAttention.census, LinearAttention.save),
    ),
    "functional": Recipe(
        FunctionalProblem,
        icgd.bounds.functional.claims,
        Model(icgd.construct.functional.build, FunctionalTransformer.census, FunctionalTransformer.save),
    ),
    "looped": Recipe(
        LoopedProblem,
        icgd.bounds.looped.claims,
        Model(icgd.construct.looped.build, LoopedTransformer.census, LoopedTransformer.save),
    ),
}
