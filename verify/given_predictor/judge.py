"""Judges any predictor by its answers: what it is nearest to, by how much, and out of distribution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from icgd.bounds.letters import ProblemError
from icgd.bounds.progress import Progress, silent
from icgd.construct.gpt2 import GPT2
from icgd.verify.given_predictor.calling import Arrays, Called, Predictor
from icgd.verify.given_predictor.context_update import CONTEXT_PROMPTS, judge_context_update
from icgd.verify.given_predictor.dependence import Dependence, Sensitivity, compared_gradients, dependences
from icgd.verify.given_predictor.nearness import (
    LEVEL,
    BootstrapInterval,
    LengthFound,
    bootstrapped,
    near,
    nearest_of,
    squared_apart,
)
from icgd.verify.given_predictor.references import REFERENCES, Parameters
from icgd.verify.given_predictor.regression_task import SHIFTS, RegressionTask, draw
from icgd.verify.results import Curve, Grid, Plot, Results
from icgd.verify.search.prompts import seeded
from icgd.verify.verdict import Verdict

FAR = 0.1
"""A predictor is near no reference where the nearest leaves this share of the variance of its answers."""

_MOVES = 1e-3
"""A change that moves answers by a smaller share of their spread is one that they do not depend on."""

_AGAINST = 0.9
"""Cosines below minus this are those of a predictor with the wrong sign."""

_CURVES = 5
"""So many curves can be told apart in a figure."""

NO_PROOF = "Nothing is proved: a predictor that is only called can only be measured"


@dataclass(frozen=True)
class Shifted:
    """Answers out of distribution.  error, apart: mean squared, against the truth and to each reference.

    refused: why there are none, where the predictor cannot be called on such prompts.
    """

    words: str
    error: BootstrapInterval | None = None
    apart: Mapping[str, BootstrapInterval] = field(default_factory=dict)
    errors: Mapping[str, BootstrapInterval] = field(default_factory=dict)
    refused: str = ""


@dataclass(frozen=True, eq=False, kw_only=True)
class PredictorResults(Results):
    """Everything measured about a predictor; none of it is proved.

    name: what was judged.  arrays: what it was called with.  lengths: prompt by prompt length.
    apart: the mean squared distance to each reference over all lengths.  tied: the nearest reference, and
    those that cannot be told apart from it.  others: the rest, nearest first.
    left: the share of the variance of its answers that the nearest leaves.
    """

    task: RegressionTask
    name: str
    arrays: str
    lengths: tuple[LengthFound, ...]
    apart: Mapping[str, BootstrapInterval]
    tied: tuple[str, ...]
    others: tuple[str, ...]
    left: float
    sensitivities: tuple[Sensitivity, ...]
    gradients_by: str
    dependences: Mapping[str, Dependence]
    shifted: Mapping[str, Shifted]

    @property
    def nearest(self) -> str | None:
        """The one reference that it is nearest to; None where it is near none, or several are tied."""
        return self.tied[0] if len(self.tied) == 1 and self.left <= FAR else None

    def in_words(self, reference: str) -> str:
        """A reference with its fitted parameters."""
        return REFERENCES[reference].words([one.parameters[reference] for one in self.lengths])

    @property
    def conclusion(self) -> str:
        """Three sentences: what was measured, what it is nearest to, and how far the runner-up is."""
        best = self.tied[0]
        count = sum(len(one.answers) for one in self.lengths)
        *shorter, longest = (str(one.n) for one in self.lengths)
        sizes = f"{', '.join(shorter)} and {longest}" if shorter else longest
        first = f"{NO_PROOF}, here on {count:,} held-out prompts of {sizes} examples."
        share = f"{self.left:.2g} of the variance of its answers"
        apart = f"a mean squared distance of {self.apart[best]}, {share}"
        if self.left > FAR:
            second = f"It is near none of the references: {self.in_words(best)} is the nearest, at {apart}."
        else:
            second = f"It is nearest to {self.in_words(best)}, at {apart}."
        if len(self.tied) > 1:
            names = [self.in_words(name) for name in self.tied[1:3]]
            names += [f"{len(self.tied) - 3} more"] * (len(self.tied) > 3)
            third = f"It cannot be told apart from {' and '.join(names)}: the intervals overlap."
        else:
            second_best = self.others[0]
            ratio = self.apart[second_best].mean / max(self.apart[best].mean, 1e-300)
            times = f"{ratio:.3g} times as far" if ratio < 1e6 else "more than a million times as far"
            third = (
                f"The runner-up is {self.in_words(second_best)}, at {self.apart[second_best]}, {times}, "
                "and the intervals do not overlap."
            )
        return " ".join((first, second, third))

    @property
    def remarks(self) -> tuple[str, ...]:
        """What else a reader must know: the parts of a prompt that it ignores, or should not heed."""
        still = {name for name, one in self.dependences.items() if one.change <= _MOVES}
        if still == set(self.dependences):
            return ("its answers do not depend on the prompt",)
        found = []
        if "examples" in still:
            found.append("it ignores the examples")
        elif self.lengths[-1].n > 1:
            if "earlier" in still:
                found.append("it reads only the last example")
            elif "order" not in still:
                moved = f"{self.dependences['order'].change:.2g} of their spread"
                found.append(f"the order of the examples matters: another order moves answers by {moved}")
        if "query" in still:
            found.append("it ignores the query")
        if "labels" in still and "examples" not in still:
            found.append("it ignores the labels")
        for one in self.sensitivities:
            if one.by_query and one.by_labels and max(one.by_query.high, one.by_labels.high) < -_AGAINST:
                found.append(f"its sensitivities point against those of {one.reference}: a sign is wrong")
                break
        return tuple(found)

    def __repr__(self) -> str:
        said = self.nearest or ("near none" if self.left > FAR else f"{' or '.join(self.tied)}")
        return f"<{self.name}: {said}; {'; '.join(self.remarks) or 'no remarks'}>"


def judge_predictor(
    predictor: Predictor,
    task: RegressionTask | None = None,
    *,
    seed: int = 0,
    arrays: Arrays | None = None,
    progress: Progress = silent,
    **letters: Any,
) -> PredictorResults:
    """Measure a predictor f(x (B, n, d), y (B, n), query (B, d)) -> (B,) against `REFERENCES`.

    task: the prompts; or its letters, d, n, noise and prompts.  arrays: what it takes, one of `ARRAYS`;
    default: the first that works.  Raises ProblemError where its answers make no sense.
    """
    task = task or RegressionTask.parse(letters)
    generator, found, apart = seeded(seed), [], []
    called: Called | None = None
    with progress("compare", len(task.lengths)) as advance:
        for n in task.lengths:
            prompts = draw(task, n, generator)
            called = called or Called(predictor, prompts, arrays)
            one, squared = near(prompts, called(prompts), _precision(predictor, called.arrays), seed)
            found.append(one)
            apart.append(squared)
            advance(1)
    assert called is not None
    over_all = dict(zip(REFERENCES, bootstrapped(apart, seed), strict=True))
    rounding = sum(one.rounding for one in found) / len(found)
    tied, others = nearest_of(over_all, rounding)
    spread = sum(one.spread for one in found) / len(found)
    longest = found[-1]
    moved = dependences(called, longest.held_out, longest.answers, longest.rounding, generator)
    sensitive, how = compared_gradients(called, longest.held_out, longest.parameters, seed)
    shifted = _shifted(called, task, longest.parameters, generator, seed, progress)
    results = PredictorResults(
        problem=task,
        task=task,
        seed=seed,
        verdicts=(),
        name=repr(predictor) if isinstance(predictor, GPT2) else _called_name(predictor),
        arrays=called.arrays,
        lengths=tuple(found),
        apart=over_all,
        tied=tuple(tied),
        others=tuple(others),
        left=over_all[tied[0]].mean / spread if over_all[tied[0]].mean > rounding else 0.0,
        sensitivities=sensitive,
        gradients_by=how,
        dependences=moved,
        shifted=shifted,
    )
    verdicts: tuple[Verdict, ...] = ()
    if isinstance(predictor, GPT2):
        verdicts = (judge_context_update(predictor, longest.held_out[:CONTEXT_PROMPTS]),)
    return replace(results, verdicts=verdicts, grids=grids_of(results), plots=plots_of(results))


def _called_name(predictor: Predictor) -> str:
    return str(getattr(predictor, "__name__", type(predictor).__name__))


def _precision(predictor: Predictor, arrays: Arrays) -> float:
    """The relative rounding of answers: of what a model computes in, else of the arrays."""
    dtype = getattr(predictor, "dtype", None)
    if isinstance(predictor, nn.Module):
        dtype = next((one.dtype for one in predictor.parameters()), None)
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        dtype = torch.float32 if arrays == "torch float32" else torch.float64
    return torch.finfo(dtype).eps


def _shifted(
    called: Called,
    task: RegressionTask,
    parameters: Mapping[str, Parameters],
    generator: torch.Generator,
    seed: int,
    progress: Progress,
) -> dict[str, Shifted]:
    found = {}
    with progress("out of distribution", len(SHIFTS)) as advance:
        for name, shift in SHIFTS.items():
            if shift.condition != 1 and task.d == 1:
                continue  # one number has no covariance to skew
            fewer = replace(task, prompts=max(32, task.prompts // 2))
            prompts = draw(fewer, shift.length * task.n, generator, shift)
            try:
                answers = called(prompts)
            except ProblemError as error:
                found[name] = Shifted(shift.words, refused=str(error))
            else:
                apart, errors = squared_apart(prompts, answers, parameters)
                own, *others = bootstrapped([errors], seed)
                found[name] = Shifted(
                    shift.words,
                    own,
                    dict(zip(REFERENCES, bootstrapped([apart], seed), strict=True)),
                    dict(zip(REFERENCES, others, strict=True)),
                )
            advance(1)
    return found


def plots_of(found: PredictorResults) -> list[Plot]:
    """Distances to the nearest references over prompt lengths, less those below a millionth of the spread."""
    if len(found.lengths) < 2:
        return []
    sizes = tuple(float(one.n) for one in found.lengths)
    curves = []
    for name in (*found.tied, *found.others):
        rows = [row for one in found.lengths for row in one.rows if row.reference == name]
        means = tuple(row.apart.mean for row in rows)
        if all(1e-6 * one.spread < mean < 1e6 for one, mean in zip(found.lengths, means, strict=True)):
            curves.append(Curve(name, sizes, means))
    title = "Mean squared distance of the answers to the nearest references"
    return [Plot(title, "examples in the prompt", "distance", tuple(curves[:_CURVES]), "y")] if curves else []


def grids_of(found: PredictorResults) -> list[Grid]:
    """The tables of what was measured."""
    level = f"bootstrap intervals of level {LEVEL:.0%}"
    rows = [
        (str(one.n), REFERENCES[row.reference].words([row.parameters]), str(row.apart), str(row.error))
        for one in found.lengths
        for row in one.rows
    ]
    own = [(str(one.n), str(one.error)) for one in found.lengths]
    sensitive = [
        (one.reference, *("none" if part is None else str(part) for part in (one.by_query, one.by_labels)))
        for one in found.sensitivities
    ]
    moved = [(one.words, f"{one.change:.3g}") for one in found.dependences.values()]
    best = found.tied[0]
    shifted = [
        (
            one.words,
            *(
                (str(one.error), str(one.apart[best]), str(one.errors["ridge"]))
                if one.error
                else (f"not run: {one.refused}", "", "")
            ),
        )
        for one in found.shifted.values()
    ]
    return [
        Grid(
            "Mean squared distance of the answers to each reference, by prompt length",
            ("n", "reference", "distance", "its error against the truth"),
            tuple(rows),
            f"parameters fitted on one half of the prompts, distances on the other; {level}",
        ),
        Grid("Its own mean squared error against the truth", ("n", "error"), tuple(own), level),
        Grid(
            f"Cosine of its sensitivities and those of each reference, at n = {found.lengths[-1].n}",
            ("reference", "d f / d query", "d f / d y"),
            tuple(sensitive),
            f"its gradients by {found.gradients_by}; none: gradients that are zero; {level}",
        ),
        Grid(
            "What moves its answers",
            ("change", "root mean square move, over the spread of the answers"),
            tuple(moved),
            "; ".join(found.remarks),
        ),
        Grid(
            "Out of distribution, parameters as fitted in distribution",
            ("prompts", "its error", f"distance to {best}", "error of ridge"),
            tuple(shifted),
            level,
        ),
    ]
