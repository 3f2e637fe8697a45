"""The theorem `convergence`, judged: how step errors accumulate and when the loss decreases (2411.16549)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from icgd.bounds.claims import Claim
from icgd.bounds.convergence import (
    SOURCE,
    Curvature,
    accumulated,
    claims,
    contracting_step,
    curvature,
    diameter,
    distance,
    least_move,
    steepest,
    trivial_gradient,
)
from icgd.bounds.letters import ProblemError
from icgd.bounds.problem import Problem
from icgd.bounds.progress import Advance, Progress, silent
from icgd.bounds.published_convergence import DESCENT_LEMMAS, corollary, descent_claims
from icgd.bounds.several_steps.claims import SEVERAL_STEPS, several_steps_claims
from icgd.bounds.step_error.plan import plan
from icgd.construct.block.assembly import assemble
from icgd.construct.block.transformer import Transformer
from icgd.construct.machine.memory import refuse_if_too_large
from icgd.construct.prompt import Prompt, box
from icgd.verify import workload
from icgd.verify.data.columns import Names
from icgd.verify.data.descent_rows import descent_reader, descent_rows, random_and_real
from icgd.verify.data.on_rows import ROW_OPTIONS
from icgd.verify.data.table import DataTable
from icgd.verify.descent import MEASUREMENT_ERROR, descend, gradient, project
from icgd.verify.hessian import SAMPLED, certified_single_layer, eigenvalue_range, hessian_search
from icgd.verify.published_convergence import corollary_verdict, lemma_14_verdict
from icgd.verify.results import Results
from icgd.verify.search.excerpt import part_of
from icgd.verify.search.excerpt import steps as steps_followed
from icgd.verify.search.prompts import seeded
from icgd.verify.several_steps.descent_counts import measure_descent
from icgd.verify.several_steps.paths import Path, distance_table, least_bound, rates
from icgd.verify.several_steps.proof import prove_several_steps
from icgd.verify.several_steps.verdicts import (
    ON_PROMPTS,
    on_prompts_verdict,
    proved_by_spectrum,
    proved_by_tube,
    rounded_outwards,
    rounded_up,
    several_steps_verdict,
    spectrum_verdict,
)
from icgd.verify.theorem import Theorem
from icgd.verify.verdict import Status, Verdict, with_replay

NAME = "convergence"
TITLE = "Error accumulation and convergence of simulated gradient descent"
KEYS = (
    *(
        "lipschitz",
        "accumulation",
        "accumulation-split",
        *SEVERAL_STEPS,
        ON_PROMPTS,
        "decrease",
        "stationary",
    ),
    *DESCENT_LEMMAS,
)
_LONG = 60  # least number of steps followed for decrease and stationarity


def verify(
    problem: Problem,
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    data: str | DataTable | None = None,
    table: str = "",
    inputs: Names = None,
    targets: Names = None,
    prompts: int = 64,
    progress: Progress = silent,
    transformer: Transformer | None = None,
    bounds: Curvature | None = None,
    certify: bool = False,
) -> Results:
    """Judge every claim on prompts drawn from the seed.

    certify: also prove how far L steps end from exact descent, for every prompt.
    data: a table whose prompts are followed instead of those of the diabetes data.
    transformer, bounds: a transformer and Hessian bounds to judge in place of our own.
    Raises ProblemError where no transformer can be built.
    """
    problem.refuse_float32("several steps are proved")
    replay = f"icgd verify {NAME} {problem.options} --seed {seed}"
    try:
        found, asserted = bounds or curvature(problem), _claims(problem)
    except ProblemError as error:
        verdicts = [Verdict(f"{NAME}/{key}", "inapplicable", f"no constant: {error}") for key in KEYS]
        return _results(problem, seed, verdicts)
    if transformer is None:
        refuse_if_too_large(problem, "lean")
    planned = plan(problem, progress=progress)
    judged = transformer or assemble(planned)
    proof = prove_several_steps(problem, planned, judged, progress) if certify else None
    judged, generator = judged.to(device), seeded(seed)
    real = descent_rows(problem, data, table, (inputs, targets), count=prompts, seed=seed, weights="random")
    with progress("Hessian", 3) as advance:
        sampled, ascended = hessian_search(problem, generator, device)
        advance(2)
        spectrum = eigenvalue_range(problem, generator, device)
        verdicts = [proved_by_spectrum(_lipschitz(problem, found, sampled, ascended), proof, found.lam)]
        advance(1)
    paths = []
    with progress("descent", 2) as advance:
        both, missing = random_and_real(problem, generator, device, real)
        count = _count(problem, both, problem.L)
        for source, prompt in both:
            paths.append(_follow(judged, prompt, source, count))
            advance(1)
    paths.append(_with_largest_errors(problem, both[0][1], len(paths[0].exact) - 1))
    for rate, verdict in zip(
        rates(problem, found), _accumulation(problem, found, paths, missing, spectrum), strict=True
    ):
        verdicts.append(proved_by_tube(verdict, proof, partial(distance, problem, rate)))
    shipped = [(path.source, path.prompt, path.apart) for path in paths[:-1]]
    apart = [(source, far) for source, _, far in shipped]
    verdicts += [
        spectrum_verdict(problem, proof, ascended, spectrum),
        several_steps_verdict(problem, proof, apart, paths[-1].apart),
        on_prompts_verdict(
            problem,
            judged,
            shipped,
            partial(least_bound, problem, found, proof),
            proof.tube if proof else None,
        ),
    ]
    judged.to(device)
    judged_by_descent = _convergence(problem, found, judged, transformer is None, both, progress)
    verdicts += _empty(problem, asserted, judged_by_descent)
    printed = corollary_verdict(problem, found.lam, (path.apart for path in paths))
    verdicts.append(proved_by_tube(printed, proof, partial(corollary, found.lam, problem.eta, problem.eps)))
    verdicts.append(lemma_14_verdict(problem, asserted[-1], found.lam, both[0][1]))
    grid, plot = distance_table(problem, found, paths, proof)
    census = {
        "Lipschitz constant": found.lam,
        "Gauss-Newton part": found.gauss_newton,
        "rest": found.rest,
        "largest sampled Hessian norm": sampled,
        "largest Hessian norm by ascent": ascended,
    }
    if proof and proof.tube:
        census |= {
            "least eigenvalue, proved": -proof.below,
            "largest eigenvalue, proved": proof.above,
            "distance after L steps, proved": proof.tube.at(problem.L),
        }
    told = _results(problem, seed, verdicts if real else with_replay(verdicts, replay))
    told = replace(told, claims=asserted, census=census, grids=(grid,), plots=(plot,))
    return replace(told, data=real.use if real else None, also_trusted=proof.trusted if proof else ())


def _results(problem: Problem, seed: int, verdicts: Sequence[Verdict]) -> Results:
    return Results(problem=problem, seed=seed, verdicts=tuple(verdicts))


# The constant.


def _lipschitz(problem: Problem, found: Curvature, sampled: float, ascended: float) -> Verdict:
    evidence = (
        f"Lambda = {rounded_up(found.lam, 6)}; largest Hessian norm {sampled:.6g} on {SAMPLED} random "
        f"examples, {ascended:.6g} after ascent: Lambda is {found.lam / max(ascended, 1e-300):.3g} times that"
    )
    key, numbers = f"{NAME}/lipschitz", {"largest": ascended, "allowed": found.lam, "samples": SAMPLED}
    if not ascended <= found.lam + MEASUREMENT_ERROR * (1 + found.lam):
        return Verdict(key, "failed", evidence, numbers=numbers)
    boxes = certified_single_layer(problem, found.lam) if problem.N == 1 else None
    if boxes is None:
        unsettled = "; ball arithmetic did not decide the bound for one layer" if problem.N == 1 else ""
        return Verdict(key, "held", evidence + unsettled, numbers=numbers)
    evidence += f"; ball arithmetic bounds the Hessian itself, on {boxes} boxes of (z, y)"
    return Verdict(key, "proved", evidence, means="balls", numbers=numbers)


# The distance from exact descent.


def _count(problem: Problem, prompts: list[tuple[str, Prompt]], wanted: int) -> int:
    """How many steps are followed on every one of these batches."""
    return min(steps_followed(problem, prompt.batch, wanted) for _, prompt in prompts)


def _follow(judged: Transformer, prompt: Prompt, source: str, count: int) -> Path:
    exact = descend(judged.problem, prompt, count)
    return Path(f"{source} prompts", prompt, judged.simulate(prompt, count), exact)


def _with_largest_errors(problem: Problem, prompt: Prompt, steps: int) -> Path:
    """Descent with an error of norm eta eps in every step, pointing away from the iterate of exact descent.

    No transformer is involved.  Coordinates that Proj puts on a face are left out, as an error there may be
    lost; the first error points to the middle of W.  A greedy choice: other errors may lead further.
    """
    exact, faces = descend(problem, prompt, steps), box(problem, prompt.w)
    path = [prompt.w]
    for at in exact[1:]:
        target = path[-1] - problem.eta * gradient(problem, prompt.with_weights(path[-1]))
        free = target.abs() < faces
        apart, inward = free * (target - at), free * torch.where(target > 0, -1.0, 1.0)
        far = torch.linalg.vector_norm(apart, dim=-1, keepdim=True) > 1e-9 * problem.eta * problem.eps
        away = torch.nn.functional.normalize(torch.where(far, apart, inward), dim=-1, eps=1e-300)
        path.append(project(problem, target + problem.eta * problem.eps * away))
    return Path("prompts with errors of norm eta eps", prompt, torch.stack(path), exact)


def _accumulation(
    problem: Problem,
    found: Curvature,
    paths: Sequence[Path],
    missing: str,
    spectrum: tuple[float, float] | None,
) -> list[Verdict]:
    """Judge both bounds at every l = 1..L on every prompt; the split one also against eigenvalues."""
    verdicts, widest = [], diameter(problem)
    for key, rate, text in (
        ("accumulation", found.lam, "Lambda"),
        ("accumulation-split", found.rate(problem.eta), "mu"),
    ):
        worst, descriptions = 0.0, []
        for path in paths:
            largest = path.apart.amax(dim=1).tolist()
            ratios = []
            for step in range(1, len(largest)):
                # Rounding errors grow as step errors do; those of one step are far below 2^-44 eta.
                grown = accumulated(rate, problem.eta, problem.eps, step) / (problem.eta * problem.eps)
                allowed = distance(problem, rate, step) + MEASUREMENT_ERROR * (1 + widest) * min(grown, 2**40)
                ratios.append((largest[step] / allowed, step))
            ratio, at = max(ratios)
            worst = max(worst, ratio)
            descriptions.append(
                f"{path.prompt.batch} {path.source}: {largest[-1]:.3g} at the end, at most {ratio:.3g} of "
                f"the bound (at l = {at})"
            )
        steps = len(paths[0].exact) - 1
        at_end = distance(problem, rate, problem.L)
        status: Status = "held" if worst <= 1 else "failed"
        evidence = f"{text} = {rounded_up(rate)}: at most {rounded_up(at_end)} after {problem.L:,} steps; "
        evidence += "; ".join(descriptions)
        if steps < problem.L:
            evidence += f"; {part_of(steps, problem.L)} steps followed"
        if at_end >= widest:
            useful = _useful(problem, rate, widest)
            evidence += f"; no less than the diameter {rounded_up(widest)} of W, "
            evidence += f"so it says nothing at l = {problem.L:,}"
            evidence += f", and less only up to l = {useful:,}" if useful else ", nor at any other l"
            status = "vacuous" if status == "held" else status
        if missing:
            evidence += f"; no real prompts: {missing}"
        if key == "accumulation-split" and spectrum is not None:
            low, high = -found.rest, found.gauss_newton + found.rest
            evidence += (
                f"; eigenvalues of sampled Hessians from {spectrum[0]:.4g} to {spectrum[1]:.4g}, "
                f"{rounded_outwards(found.rest, high)} allowed"
            )
            spare = MEASUREMENT_ERROR * (1 + found.lam)
            if not low - spare <= spectrum[0] <= spectrum[1] <= high + spare:
                status = "failed"
        told = {
            "largest": max(float(path.apart[-1].max()) for path in paths),
            "allowed": at_end,
            "steps": steps,
        }
        verdicts.append(Verdict(f"{NAME}/{key}", status, evidence, numbers=told))
    return verdicts


def _useful(problem: Problem, rate: float, widest: float) -> int:
    """The largest l up to L at which the bound on the distance is less than the diameter of W; 0: none."""
    low, high = 0, problem.L  # the bound grows with l
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if distance(problem, rate, middle) < widest else (low, middle - 1)
    return low


# Decrease and stationarity.


def _convergence(
    problem: Problem,
    found: Curvature,
    judged: Transformer,
    ours: bool,
    prompts: list[tuple[str, Prompt]],
    progress: Progress,
) -> list[Verdict]:
    """Judge inexact descent at eta; where eta is too large, at 1/Lambda with a transformer built for it."""
    keys = [f"{NAME}/{name}" for name in ("decrease", "stationary")]
    step, where = problem.eta, f"at eta = {problem.eta:g}"
    if not step * found.lam < 2:
        step = 1 / found.lam
        why = f"eta = {problem.eta:g} is not below 2/Lambda = {2 * step:.4g}"
        if not ours or step < 1e-12:
            return [Verdict(key, "inapplicable", why) for key in keys]
        judged = assemble(plan(replace(problem, eta=step), progress=progress)).to(prompts[0][1].x.device)
        where = f"at 1/Lambda = {step:.4g}, as {why}"
    posed = replace(judged.problem, eta=step)
    wanted = max(problem.L, _LONG)
    steps = _count(problem, prompts, wanted)
    totals = []
    with progress("decrease", len(prompts) * 2 * steps) as advance:
        for _, prompt in prompts:
            iterates = _simulated(judged, prompt, steps, advance)
            totals.append(measure_descent(posed, found.lam, iterates, prompt))
            advance(steps)
    names = " and ".join(name for name, _ in prompts)
    count = sum(prompt.batch for _, prompt in prompts)
    sample = f"{part_of(steps, wanted)} steps on {count} prompts ({names})"
    threshold = least_move(found.lam, step, problem.eps)
    broken, long, fell, all_fell, moves = (sum(total[k] for total in totals) for k in range(5))
    least, ratio = max(total[5] for total in totals), max(total[6] for total in totals)
    some = "" if long else "; no move was that long: random w(0) is already near-stationary at this eps"
    decrease = (
        f"{where}: L_n must fall where the length of a move over the step size exceeds "
        f"{rounded_up(threshold)}: it fell in {int(fell):,} of {int(long):,} such moves and in "
        f"{int(all_fell):,} of all {int(moves):,}; "
        f"moves that break the descent inequality: {int(broken):,} ({sample}){some}"
    )
    stationary = (
        f"{where}: the least projected gradient of a run is at most {least:.4g}, and at most {ratio:.3g} of "
        f"its bound ({sample})"
    )
    return [
        Verdict(
            keys[0],
            "failed" if broken or fell < long else "held",
            decrease,
            numbers={
                "long_moves": int(long),
                "long_moves_that_fell": int(fell),
                "steps": steps,
                "prompts": count,
            },
        ),
        Verdict(
            keys[1],
            "held" if ratio <= 1 else "failed",
            stationary,
            numbers={"largest": least, "of_bound": ratio, "steps": steps, "prompts": count},
        ),
    ]


def _empty(problem: Problem, asserted: Sequence[Claim], judged: Sequence[Verdict]) -> Iterator[Verdict]:
    """The verdicts; a claim that was kept is vacuous where its bound is no less than a trivial one."""
    values = {claim.key: claim.value for claim in asserted}
    longest = steepest(problem) + problem.eps
    trivial = {
        f"{NAME}/decrease": (longest, "no step is longer"),
        f"{NAME}/stationary": (
            trivial_gradient(problem, contracting_step(problem)),
            "no projected gradient on W exceeds this, so it says nothing",
        ),
    }
    for verdict in judged:
        most, why = trivial[verdict.claim]
        if verdict.status == "held" and values[verdict.claim] >= most:
            evidence = (
                f"{verdict.evidence}; the bound over W is {rounded_up(values[verdict.claim])}, and {why}"
            )
            verdict = replace(verdict, status="vacuous", evidence=evidence)
        yield verdict


def _simulated(
    judged: Transformer, prompt: Prompt, steps: int, advance: Advance
) -> Float[Tensor, "{steps}+1 B D_w"]:
    """The iterates of a long run, a few steps at a time."""
    path = [prompt.w[None]]
    for done in range(0, steps, 10):
        some = min(10, steps - done)
        path.append(judged.simulate(prompt.with_weights(path[-1][-1]), some)[1:])
        advance(some)
    return torch.cat(path)


def _claims(problem: Problem) -> tuple[Claim, ...]:
    of_one_step = claims(problem)
    at = 1 + [claim.key for claim in of_one_step].index(f"{NAME}/accumulation-split")
    return (*of_one_step[:at], *several_steps_claims(problem), *of_one_step[at:], *descent_claims(problem))


THEOREM = Theorem(
    name=NAME,
    title=TITLE,
    source=SOURCE,
    letters=Problem,
    claims=_claims,
    judge=verify,
    judged=KEYS,
    own=frozenset(KEYS) - {*DESCENT_LEMMAS},
    repaired=frozenset(DESCENT_LEMMAS),
    options=ROW_OPTIONS | {"certify"},
    read=descent_reader(),
    estimate=workload.convergence,
)
