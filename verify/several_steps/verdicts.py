"""The verdicts of `convergence` on several steps: the spectrum, the tube, and single prompts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from jaxtyping import Float
from torch import Tensor

from icgd.bounds.convergence import diameter
from icgd.bounds.letters import ProblemError
from icgd.bounds.printable import rounded
from icgd.bounds.problem import Problem
from icgd.bounds.several_steps.claims import allowed_after
from icgd.bounds.several_steps.spectrum import hessian_spectrum
from icgd.construct.block.transformer import Transformer
from icgd.construct.prompt import Prompt
from icgd.verify.block.one_prompt import enclosable
from icgd.verify.descent import MEASUREMENT_ERROR
from icgd.verify.search.excerpt import part_of
from icgd.verify.several_steps.on_prompt import AIMED_WIDTH, StepsOnPrompt, enclose_steps, steps_to_enclose
from icgd.verify.several_steps.proof import SeveralStepsProof
from icgd.verify.several_steps.tube import Tube
from icgd.verify.verdict import Verdict

ON_PROMPTS = "on-prompts"
"""The name of the claim about given prompts, without the theorem's."""


def rounded_up(value: float, digits: int = 4) -> str:
    """An upper bound in a sentence.

    >>> rounded_up(11.992768), rounded_up(15.350216, 6), rounded_up(0.05)
    ('12', '15.3503', '0.05')
    """
    return rounded(value, digits, up=True)


def rounded_outwards(below: float, above: float, digits: int = 4) -> str:
    """The interval from -below to above in a sentence, below >= 0.

    >>> rounded_outwards(11.992768, 15.350216), rounded_outwards(0.0, 1.0)
    ('-12 to 15.36', '0 to 1')
    """
    return f"{'-' if below else ''}{rounded_up(below, digits)} to {rounded_up(above, digits)}"


def spectrum_verdict(
    problem: Problem, proof: SeveralStepsProof | None, ascended: float, sampled: tuple[float, float] | None
) -> Verdict:
    """Whether the eigenvalues of the Hessian are within the bounds on cells.

    ascended: the largest norm of a Hessian that a search found.  sampled: its least and largest eigenvalue.
    """
    key = "convergence/spectrum"
    try:
        found = hessian_spectrum(problem)
    except ProblemError as error:
        return Verdict(key, "inapplicable", f"no cells: {error}")
    low, high = sampled or (0.0, 0.0)
    evidence = (
        f"eigenvalues from {rounded_outwards(found.below.bound, found.above.bound, 6)} on all of W; "
        f"the largest norm found is {ascended:.6g}"
    )
    if sampled:
        evidence += f", eigenvalues of sampled Hessians from {low:.4g} to {high:.4g}"
    room, numbers = MEASUREMENT_ERROR * (1 + found.lam), {"largest": ascended, "allowed": found.lam}
    if ascended > found.lam + room or low < -found.below.bound - room or high > found.above.bound + room:
        return Verdict(key, "failed", evidence, numbers=numbers)
    if proof is None:
        return Verdict(key, "held", f"{evidence}; --certify proves it", numbers=numbers)
    if proof.refusal:
        return Verdict(key, "held", f"{evidence}; {proof.refusal}", numbers=numbers)
    evidence += f"; an independent check accepts its {proof.cells:,} cells"
    return Verdict(key, "proved", evidence, means="balls", numbers=numbers | {"cells": proof.cells})


def several_steps_verdict(
    problem: Problem,
    proof: SeveralStepsProof | None,
    apart: Sequence[tuple[str, Float[Tensor, "iterates _"]]],
    hindered: Float[Tensor, "iterates _"],
) -> Verdict:
    """The bound after every l <= L: proved by the tube, or compared with followed paths.

    apart: where prompts come from, and their distances norm2(w(l) - w_GD(l)).  hindered: distances under
    errors of norm eta eps, which the bound with eps covers and the tube does not.
    """
    key, widest = "convergence/several-steps", diameter(problem)
    try:
        at_end = allowed_after(problem, problem.L)
    except ProblemError as error:
        return Verdict(key, "inapplicable", f"no cells: {error}")
    inner = proof.tube if proof else None
    seen, worst = [], _share(problem, hindered, None)
    for source, distances in apart:
        worst = max(worst, _share(problem, distances, inner))
        seen.append(f"{float(distances[-1].max()):.4g} on {distances.shape[1]} {source}")
    followed, largest = len(apart[0][1]) - 1, max(float(found[-1].max()) for _, found in apart)
    numbers = {"largest": largest, "allowed": at_end, "steps": followed, "L": problem.L}
    evidence = f"at most {rounded_up(at_end)} after {problem.L:,} steps; largest distance after "
    evidence += f"{part_of(followed, problem.L)} steps: {', '.join(seen)}"
    if worst > 1:
        return Verdict(key, "failed", evidence, numbers=numbers)
    if proof and proof.tube and proof.step:
        inside = numbers["bound"] = proof.tube.at(problem.L)
        weights = proof.step.certificate["weights"][:12]
        evidence = (
            f"norm2(w(l) - w_GD(l)) <= {rounded_up(inside, 6)} for every l <= {problem.L:,}, every prompt in "
            f"the radii, every w(0) in W and every token, by certificate of the weights {weights} (a step is "
            f"off by at most {rounded_up(problem.eta * proof.step.bound)}) and of the spectrum (a step "
            f"stretches distances at most {rounded_up(proof.tube.stretch, 6)} times), rounding and faces "
            f"included; {evidence}"
        )
        if inside >= widest:
            evidence += f"; no less than the diameter {rounded_up(widest)} of W"
            return Verdict(key, "vacuous", evidence, numbers=numbers)
        if _is_inside(proof.tube, partial(allowed_after, problem)):
            return Verdict(key, "proved", evidence, means="certificate", numbers=numbers)
        return Verdict(key, "held", f"{evidence}; this is above what the claim allows", numbers=numbers)
    evidence += f"; {proof.why if proof else '--certify proves it'}"
    return Verdict(key, "vacuous" if at_end >= widest else "held", evidence, numbers=numbers)


def _share(problem: Problem, distances: Float[Tensor, "iterates B"], inner: Tube | None) -> float:
    """The largest distance as a share of what is allowed after as many steps, by the bound and by a tube."""
    widest, worst = diameter(problem), 0.0
    for step, found in enumerate(distances.amax(dim=1).tolist()[1:], start=1):
        grown = allowed_after(problem, step)
        room = MEASUREMENT_ERROR * (1 + widest) * min(max(1.0, grown / (problem.eta * problem.eps)), 2.0**40)
        worst = max(worst, found / ((grown if inner is None else min(grown, inner.at(step))) + room))
    return worst


def _is_inside(inner: Tube, allowed: Callable[[int], float]) -> bool:
    return all(x <= allowed(step) for step, x in enumerate(inner.distances) if step)


def proved_by_tube(
    verdict: Verdict, proof: SeveralStepsProof | None, allowed: Callable[[int], float]
) -> Verdict:
    """The verdict of a weaker bound on this distance, proved where the tube is inside it at every step."""
    if verdict.status != "held" or proof is None or proof.tube is None:
        return verdict
    if not _is_inside(proof.tube, allowed):
        return verdict
    evidence = f"{verdict.evidence}; the tube of convergence/several-steps is inside this bound at every l"
    return replace(verdict, status="proved", evidence=evidence, means="certificate")


def proved_by_spectrum(verdict: Verdict, proof: SeveralStepsProof | None, lam: float) -> Verdict:
    """The verdict on a Lipschitz constant, proved where the certified spectrum is within it."""
    if verdict.status != "held" or proof is None or not proof.lam <= lam:
        return verdict
    evidence = (
        f"{verdict.evidence}; proved with {rounded_up(proof.lam, 6)} in its place (convergence/spectrum)"
    )
    return replace(verdict, status="proved", evidence=evidence, means="balls")


def on_prompts_verdict(
    problem: Problem,
    judged: Transformer,
    paths: Sequence[tuple[str, Prompt, Float[Tensor, "iterates _"]]],
    allowed: Callable[[int], float],
    inner: Tube | None,
) -> Verdict:
    """On the prompt of every batch that ends furthest away, the distance after every step as an interval.

    paths: where the prompts come from, the prompts, and their distances.  allowed: the bound after l steps.
    inner: a tube in which every run on any machine was proved to stay.
    """
    key, parts = f"convergence/{ON_PROMPTS}", []
    broken = unsettled = False
    for source, prompt, apart in paths:
        index, one = int(apart[-1].argmax()), prompt.to("cpu")
        if not isinstance(judged, Transformer) or not enclosable(one, index):
            continue
        found = enclose_steps(judged.cpu(), one, steps_to_enclose(problem, one, index), index)
        limits = [*map(allowed, range(1, found.steps + 1))]
        here = list(zip(found.here[1:], limits, strict=True))
        broken |= any(low > most for (low, _), most in here)
        unsettled |= any(high > most for (_, high), most in here)
        parts.append(f"{_in_words(source, found, problem.L, inner)}, {rounded_up(limits[-1])} allowed")
        anywhere = zip(found.anywhere[1:], limits, strict=True)
        if inner is None and any(high > most for (_, high), most in anywhere):
            parts[-1] += ", which is proved only for what was computed here"
    if not parts:
        why = "prompts with so many distinct examples are not enclosed"
        if not isinstance(judged, Transformer):
            why = "only a transformer that is made of our parts is enclosed"
        return Verdict(key, "inapplicable", why)
    if broken or unsettled:
        return Verdict(key, "failed" if broken else "held", "; ".join(parts))
    return Verdict(key, "proved on given prompts", "; ".join(parts), means="balls")


def _in_words(source: str, one: StepsOnPrompt, L: int, inner: Tube | None) -> str:
    low, high = one.here[-1]
    text = f"of the {source}, number {one.prompt} ends furthest away: after {part_of(one.steps, L)} steps "
    text += f"norm2(w(l) - w_GD(l)) is in [{low:.17g}, {high:.17g}] as computed here"
    (low, high), reach = one.anywhere[-1], inner.at(one.steps) if inner else math.inf
    text += f", in [{low:.17g}, {min(high, reach):.17g}] on any machine"
    return text if one.width() <= AIMED_WIDTH else f"{text} (wide, as what rounding may do adds up)"
