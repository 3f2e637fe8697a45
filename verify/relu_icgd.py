"""The theorem `relu-icgd` (arXiv 2411.16549, Theorem 1), judged on the transformer that was built for it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import TypeVar, get_args

import torch

from icgd.bounds.claims import Claim
from icgd.bounds.hypotheses import hypotheses
from icgd.bounds.problem import Problem
from icgd.bounds.progress import Progress, silent
from icgd.bounds.published_claims import LEMMAS, lemma_claims
from icgd.bounds.relu_icgd import EXPLICIT, SOURCE, built, claims
from icgd.bounds.step_error.budget import Construction
from icgd.bounds.step_error.plan import Plan, plan
from icgd.bounds.step_error.recurrence import ranges
from icgd.construct.block.assembly import assemble
from icgd.construct.block.census import Census, census
from icgd.construct.block.transformer import Transformer
from icgd.construct.machine.device import check_arithmetic
from icgd.construct.machine.memory import refuse_if_too_large
from icgd.construct.prompt import Prompt
from icgd.construct.relu_icgd import MODEL, check_construction
from icgd.verify import workload
from icgd.verify.block.looping import LOOPED, check_looped
from icgd.verify.block.one_prompt import Enclosure, enclosable, enclose
from icgd.verify.block.properties import PROPERTIES, step_properties
from icgd.verify.block.two_readings import STRUCTURED, structured_verdict
from icgd.verify.certificate.proof import Proof, prove, unchecked
from icgd.verify.data.columns import Names
from icgd.verify.data.descent_rows import descent_reader, descent_rows
from icgd.verify.data.on_rows import ROW_OPTIONS
from icgd.verify.data.table import DataTable
from icgd.verify.published import lemma_verdicts
from icgd.verify.published_ladder import constants_of_lemmas, ladder
from icgd.verify.results import Grid, Results, Sandwich, StepError
from icgd.verify.search.attack import ROUNDS, Attack, attack
from icgd.verify.search.counterexample import Counterexample, shrink
from icgd.verify.search.covered import Coverage, coverage
from icgd.verify.search.excerpt import excerpt, part_of, repeated
from icgd.verify.search.prompts import random_prompts, seeded
from icgd.verify.search.sweep import Sweep, one_step_errors, sweep
from icgd.verify.search.trajectory import follow, to_follow
from icgd.verify.survey.background import surveying
from icgd.verify.theorem import Theorem
from icgd.verify.verdict import Status, Verdict

NAME = "relu-icgd"
TITLE = "A ReLU transformer simulates gradient descent on an N-layer network"


def verify(
    problem: Problem,
    construction: Construction = "lean",
    *,
    samples: int = 100_000,
    seed: int = 0,
    effort: float = 1.0,
    start: str = "random",
    data: str | DataTable | None = None,
    table: str = "",
    inputs: Names = None,
    targets: Names = None,
    prompts: int = 64,
    transformer: Transformer | None = None,
    device: torch.device | str = "cpu",
    certify: bool = False,
    swept: Sweep | None = None,
    progress: Progress = silent,
) -> Results:
    """Sweep, attack, follow L steps, check every property and claim; `effort` scales the attack (0: none).

    certify: also prove the step error, and enclose it on the worst prompt found and on a followed one.
    data: a table whose prompts are followed instead of random ones; table: how its text is laid out, in the
    words of `Layout`.  transformer: one to judge in place of our own.  swept: the result of a sweep of that
    many samples that was made elsewhere.  Raises ProblemError where the construction does not apply, and
    DataError for a bad table.
    """
    check_construction(problem, construction)
    check_arithmetic(device)
    real = descent_rows(problem, data, table, (inputs, targets), count=prompts, seed=seed)
    source = real.use.source if real else "random prompts"
    planned = plan(problem, construction, progress=progress)
    judged = (transformer or assemble(planned)).to(device)
    short = planned if transformer else excerpt(planned)
    searched = judged if short is planned else assemble(short).to(device)
    generator = seeded(seed)
    covers = coverage(planned)
    if swept is None:
        with progress("sweep", samples) as advance:
            swept = sweep(searched, samples, generator, device=device, covers=covers, advance=advance)
    prompt = to_follow(problem, real, start, generator).to(device)
    trajectory, on_path = follow(judged, prompt, covers, source, start if real is None else f"{start} w(0)")
    attacked = _attack(short, generator, transformer, swept, covers, effort, device, progress)
    swept = _measured(judged, swept, covers)
    attacked = attacked and _measured(judged, attacked, covers)
    candidates = [
        (swept.largest, swept.worst),
        on_path,
        *([(attacked.largest, attacked.worst)] if attacked else []),
    ]
    largest, worst = max(candidates, key=lambda pair: pair[0])
    bound = problem.eta * planned.bound
    sandwich = Sandwich(
        sampled=max(swept.largest, on_path[0]),
        attacked=largest,
        bound=None if construction == "exact" else bound,
        allowed=problem.eta * problem.eps,
        bound_off_margin=bound if construction == "exact" else None,
    )
    counted = census(judged)
    asserted = _claims(problem, construction)
    counterexample = None
    if largest > sandwich.limit + resolution(problem):
        counterexample = _smallest(judged, worst, construction, sandwich.limit, covers)
    small_batch = random_prompts(searched.problem, 4, generator, device)

    def rebuild(longer: Problem) -> Transformer:
        return assemble(plan(replace(longer, n=problem.n), construction, progress=progress), longer.n)

    with progress("properties", len(PROPERTIES) + len(LOOPED)) as advance:
        properties = []
        part = f"{NAME}/{construction}"
        for verdict in step_properties(part, searched, small_batch):
            properties.append(verdict)
            advance(1)
        properties += check_looped(part, searched, small_batch, rebuild=None if transformer else rebuild)
        properties.append(structured_verdict(part, judged, planned.layers, counted.parameters))
        advance(len(LOOPED))
    proof: Proof | None = None
    enclosures: tuple[tuple[str, Enclosure], ...] = ()
    beyond = unchecked(planned.layers) if certify else None
    if certify and construction != "exact" and beyond is None:
        proof = prove(planned, judged.cpu(), progress)
        named = (("the worst prompt found", worst.to("cpu")), (source, prompt.to("cpu")))
        enclosures = tuple((name, enclose(judged.cpu(), one)) for name, one in named if enclosable(one))
    step = _with_parts(
        _step_error_verdict(planned, sandwich, swept, attacked, counterexample, proof, beyond),
        trajectory.steps,
        searched.problem,
        problem,
    )
    verdicts = (
        *_sizes(_judged(problem, construction), counted, problem.L),
        *([_of_the_theorem(step, sandwich, resolution(problem))] if construction == "paper" else []),
        step,
        *properties,
        *_start_verdicts(problem, construction),
    )
    grids = [*_tables(problem, construction)]
    if construction == "paper":
        with progress("lemmas", 2) as advance:
            own = excerpt(planned)
            verdicts += tuple(lemma_verdicts(NAME, own, assemble(own), seeded(seed)))
            advance(1)
            accepted = proof is not None and proof.refusal is None
            grids += [made] if (made := ladder(planned, sandwich, accepted, seeded(seed))) else []
            advance(1)
    return Results(
        problem=problem,
        seed=seed,
        verdicts=verdicts,
        construction=construction,
        claims=asserted,
        hypotheses=hypotheses(problem),
        census=counted.as_dict(),
        grids=grids,
        certificate=proof.certificate if proof else None,
        data=real.use if real else None,
        step=StepError(
            plan=planned,
            sandwich=sandwich,
            sweep=swept,
            attack=attacked,
            trajectory=trajectory,
            proof=proof,
            enclosures=enclosures,
            counterexample=counterexample,
        ),
    )


Searched = TypeVar("Searched", Sweep, Attack)


def _measured(judged: Transformer, found: Searched, covers: Coverage) -> Searched:
    """The result of a search, its worst prompt repeated to all n examples and its error measured there."""
    n = judged.problem.n
    if found.worst.n == n:
        return found
    worst = repeated(found.worst, n)
    error = torch.where(covers(worst), one_step_errors(judged, worst), 0.0)
    return replace(found, largest=float(error[0]), worst=worst)


def _with_parts(verdict: Verdict, followed: int, searched: Problem, problem: Problem) -> Verdict:
    """The verdict, with a note on what was only sampled: examples of a prompt, steps of a run."""
    evidence = verdict.evidence
    if searched.n < problem.n:
        evidence += (
            f"; searched prompts have {searched.n} examples, on the same plan assembled for that number; the "
            f"worst ones are measured again, repeated to {problem.n:,}, which followed prompts already have"
        )
    if followed < problem.L:
        evidence += f"; {part_of(followed, problem.L)} steps followed"
    return replace(verdict, evidence=evidence)


def _attack(
    planned: Plan,
    generator: torch.Generator,
    transformer: Transformer | None,
    swept: Sweep,
    covers: Coverage,
    effort: float,
    device: torch.device | str,
    progress: Progress,
) -> Attack | None:
    if effort <= 0:
        return None
    rounds = tuple(replace(r, iterations=max(1, round(r.iterations * effort))) for r in ROUNDS)
    return attack(
        planned,
        generator,
        transformer=transformer,
        rounds=rounds,
        seeds=swept.worst,
        covers=covers,
        device=device,
        progress=progress,
    )


def resolution(problem: Problem) -> float:
    """The accuracy of a measured step error, given that the reference is computed in float64."""
    sides = [
        problem.half_width(j) ** 2 * problem.dims[j] * problem.dims[j - 1] for j in range(1, problem.N + 1)
    ]
    reach = sum(layer.s * layer.p_in for layer in ranges(problem, {}))
    return 2.0**-46 * (math.sqrt(sum(sides)) + problem.eta * reach)


def _smallest(
    transformer: Transformer, worst: Prompt, construction: str, allowed: float, covers: Coverage
) -> Counterexample:
    def error(prompt: Prompt) -> float:
        return float(torch.where(covers(prompt), one_step_errors(transformer, prompt), 0.0)[0])

    prompt = shrink(worst, lambda candidate: error(candidate) > allowed)
    claim = f"{NAME}/{construction}/step-error"
    return Counterexample(transformer.problem, construction, claim, prompt, error(prompt), allowed)


def replay(counterexample: Counterexample, transformer: Transformer | None = None) -> Verdict:
    """Judge the claim again on the saved prompt alone, for the given transformer or our own."""
    problem = counterexample.problem
    construction: Construction = counterexample.construction  # type: ignore[assignment]
    check_construction(problem, construction)
    planned = plan(problem, construction)
    allowed = problem.eta * min(planned.bound, problem.eps)  # what the file says may be wrong
    judged = transformer or assemble(planned)
    prompt = counterexample.prompt
    error = float(torch.where(coverage(planned)(prompt), one_step_errors(judged, prompt), 0.0)[0])
    status: Status = "held" if error <= allowed else "failed"
    evidence = f"norm2(err) = {error:.6g} on the saved prompt, {allowed:.6g} allowed"
    evidence += counterexample.recorded(error, allowed)
    return Verdict(counterexample.claim, status, evidence, numbers={"largest": error, "allowed": allowed})


def _judged(problem: Problem, construction: Construction) -> tuple[Claim, ...]:
    """The theorem's sizes are claims about its own construction; each construction has claims of its own."""
    return (*(claims(problem) if construction == "paper" else ()), *built(problem, construction))


_EXISTS = "this transformer spends eps differently; that does not refute that one of this size exists"


def _sizes(judged: tuple[Claim, ...], counted: Census, L: int) -> Iterator[Verdict]:
    """Judge the claims about sizes against the census of the tensors."""
    counts = counted.as_dict() | {"depth": counted.sublayers * L}
    for claim in judged:
        if claim.quantity == "step_error":
            continue
        value, found = claim.value, counts[claim.quantity]
        # Counts are integers; a norm comes from an eigenvalue routine, and a bound on it can be attained.
        slack = 0.0 if isinstance(found, int) else 1e-9 * found
        kept = found == value if claim.relation == "==" else found <= value + slack
        evidence, sizes = (
            f"census {found:.6g}, claim {claim.relation} {value:.6g}",
            {"counted": found, "claimed": value},
        )
        if kept or claim.source == "icgd":
            exact: Status = "counted" if isinstance(found, int) else "held"
            yield Verdict(claim.key, exact if kept else "failed", evidence, numbers=sizes)
        else:
            yield Verdict(claim.key, "inapplicable", f"{evidence}: {_EXISTS}", numbers=sizes)


def _step_error_verdict(
    planned: Plan,
    sandwich: Sandwich,
    swept: Sweep,
    attacked: Attack | None,
    counterexample: Counterexample | None,
    proof: Proof | None,
    beyond: str | None,
) -> Verdict:
    searched = f"{swept.covered:,} random prompts" + " in float64" * (planned.problem.precision == "float32")
    if swept.covered < swept.count:
        searched += f" (of {swept.count:,}; the others have a pre-activation in the gate's margin)"
    if attacked:
        searched += f" and {attacked.evaluations:,} attacked tokens"
    ratio = f"largest {sandwich.attacked:.3g} of {sandwich.allowed:.3g} allowed"
    is_proved = proof is not None and proof.refusal is None and counterexample is None
    status: Status = "failed" if counterexample else "proved" if is_proved else "held"
    smallest = f"; smallest counterexample: {counterexample.describe()}" if counterexample else ""
    return Verdict(
        f"{NAME}/{planned.construction}/step-error",
        status,
        f"{ratio} over {searched}; the bound is {planned.problem.eta * planned.bound:.3g}"
        + (" outside the margin" if sandwich.bound is None else "")
        + (_proof_in_words(proof) if proof else "")
        + (f"; {beyond}" if beyond else "")
        + smallest,
        means="certificate" if is_proved else None,
        numbers={
            "largest": sandwich.attacked,
            "allowed": sandwich.allowed,
            "bound": planned.problem.eta * planned.bound,
            "samples": swept.covered,
            "attacked_tokens": attacked.evaluations if attacked else 0,
        },
    )


def _of_the_theorem(ours: Verdict, sandwich: Sandwich, resolution: float) -> Verdict:
    """The verdict on the theorem's eta*eps, shown by our block of its sizes, from the one on our bound."""
    key = f"{NAME}/step-error"
    if ours.status != "failed":
        return replace(ours, claim=key)
    if sandwich.attacked <= sandwich.allowed + resolution:
        return Verdict(key, "held", ours.evidence, numbers=ours.numbers)
    return Verdict(key, "inapplicable", f"{ours.evidence}: {_EXISTS}", numbers=ours.numbers)


def _proof_in_words(proof: Proof) -> str:
    if proof.why is not None:
        return f"; {proof.why}"
    weights = proof.certificate["weights"][:12]
    return f", by certificate of the weights {weights}{proof.where}, which an independent checker accepts"


def _start_verdicts(problem: Problem, construction: Construction) -> Iterator[Verdict]:
    """Judge the theorem's start w(0) = 0, where many networks have gradient 0."""
    r, last = problem.activation.r, problem.activation_at(problem.N).r
    key, at = f"{NAME}/{construction}/start", "the gradient at w(0) = 0 is 0, so exact descent stays there"
    if last.derivative(0.0) == 0.0:
        yield Verdict(key, "vacuous", f"r'(0) = 0 at the output: {at}")
    elif problem.N >= 2 and r(0.0) == 0.0:
        yield Verdict(key, "vacuous", f"r(0) = 0 and N >= 2: {at}")
    elif problem.N >= 2:
        yield Verdict(
            key, "held", "r(0) != 0: descent leaves w(0) = 0, but hidden units of a layer stay identical"
        )
    else:
        yield Verdict(key, "held", "N = 1: the gradient at w(0) = 0 need not vanish")


def _claims(problem: Problem, construction: Construction) -> tuple[Claim, ...]:
    lemmas = lemma_claims(problem) if construction == "paper" else ()
    return (*claims(problem), *built(problem, construction), *lemmas)


def _tables(problem: Problem, construction: Construction) -> tuple[Grid, ...]:
    """The constants of the paper's lemmas, which are about `paper` alone."""
    made = constants_of_lemmas(problem) if construction == "paper" else None
    return (made,) if made else ()


_SIZES = ("layers", "sublayers", "heads", "mlp-width", "width", "least-norm-1", "least-norm")
_OWN = (*_SIZES, "step-error", *PROPERTIES, *LOOPED, STRUCTURED)
_SIZES_OF_THE_THEOREM = ("layers", "depth", "heads", "width", "least-norm-1", "least-norm")


def _names(construction: Construction) -> tuple[str, ...]:
    """The judged claims of a construction; `paper` is also judged by the sizes that the theorem states."""
    sizes = tuple(f"{construction}/{name}" for name in _SIZES)
    rest = tuple(f"{construction}/{name}" for name in (*_OWN[len(_SIZES) :], "start"))
    if construction != "paper":
        return sizes + rest
    return (*_SIZES_OF_THE_THEOREM, *sizes, "step-error", *rest, *LEMMAS)


THEOREM = Theorem(
    name=NAME,
    title=TITLE,
    source=SOURCE,
    letters=Problem,
    claims=_claims,
    judge=verify,
    judged={construction: _names(construction) for construction in get_args(Construction)},
    own=frozenset(f"{construction}/{name}" for construction in get_args(Construction) for name in _OWN),
    repaired=frozenset({*EXPLICIT, *LEMMAS}),
    tables=_tables,
    model=MODEL,
    options=ROW_OPTIONS | {"samples", "effort", "start", "certify"},
    fits=refuse_if_too_large,
    estimate=workload.relu_icgd,
    constructions=get_args(Construction),
    applies=check_construction,
    read=descent_reader(L=20),
    hypotheses=hypotheses,
    plan=plan,
    survey=surveying,
    replay=replay,
)
