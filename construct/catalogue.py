"""The theorems beside Theorem 1: how each is posed, what it claims, and how its transformer is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bounds.convergence
import bounds.functional
import bounds.looped
import bounds.preconditioned
import bounds.softmax_icgd
import construct.functional
import construct.looped
import construct.preconditioned
import construct.softmax_icgd
from bounds.claims import Claim
from bounds.functional import FunctionalProblem
from bounds.letters import Letters
from bounds.looped import LoopedProblem
from bounds.preconditioned import PreconditionedProblem
from bounds.problem import Problem
from construct.functional import FunctionalTransformer
from construct.looped import LoopedTransformer
from construct.memory import refuse_softmax_if_too_large
from construct.preconditioned import LinearAttention
from construct.weights import save_weights


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
        bounds.softmax_icgd.claims,
        Model(construct.softmax_icgd.build, construct.softmax_icgd.census, save_weights),
        refuse_softmax_if_too_large,
    ),
    "convergence": Recipe(Problem, bounds.convergence.claims, None),
    "preconditioned": Recipe(
        PreconditionedProblem,
        bounds.preconditioned.claims,
        Model(construct.preconditioned.build, LinearAttention.census, LinearAttention.save),
    ),
    "functional": Recipe(
        FunctionalProblem,
        bounds.functional.claims,
        Model(construct.functional.build, FunctionalTransformer.census, FunctionalTransformer.save),
    ),
    "looped": Recipe(
        LoopedProblem,
        bounds.looped.claims,
        Model(construct.looped.build, LoopedTransformer.census, LoopedTransformer.save),
    ),
}
