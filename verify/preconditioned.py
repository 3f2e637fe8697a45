"""The theorem `preconditioned` (arXiv 2306.00297), judged: by exact identities, then on the model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction

import sympy
import torch

from icgd.bounds.algebra.best_steps import best_steps, spectrum, stationarity_defects
from icgd.bounds.algebra.expected_loss import family_gradient, global_minimum, one_layer_loss, other_minimum
from icgd.bounds.claims import Claim
from icgd.bounds.preconditioned import (
    AS_PUBLISHED,
    MOST_TRANSFORMED,
    ONE_STEP,
    ONE_STEP_ON_SPHERE,
    SOURCE,
    PreconditionedProblem,
    Statement,
    claims,
    lemma_one,
    minimiser,
    statement_for,
)
from icgd.bounds.progress import Progress, silent
from icgd.construct.preconditioned import (
    MODEL,
    LinearAttention,
    best_layers,
    tokens,
)
from icgd.verify import workload
from icgd.verify.data.columns import Names
from icgd.verify.data.on_rows import ROW_OPTIONS, followed_on_rows, regression_reader, regression_rows
from icgd.verify.data.table import DataTable
from icgd.verify.linear_attention.on_model import PROMPTS, judged_on_model
from icgd.verify.linear_attention.step_sizes import Depth, best_at, depth_grid, depth_plot, least_said
from icgd.verify.linear_attention.trained import Training, training_grid, training_plots, trainings
from icgd.verify.results import Results
from icgd.verify.search.prompts import seeded
from icgd.verify.theorem import Theorem
from icgd.verify.verdict import Means, Status, Verdict

NAME = "preconditioned"
TITLE = "Linear attention learns preconditioned gradient descent"
_BEATEN = 1e-5
"""By what part of a loss a run must be lower to beat it: more than training and cubature are off."""

_MOST_EXAMPLES = 30
"""The largest n of a problem for which Lemma 1 is expanded."""


def verify(
    problem: PreconditionedProblem,
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    data: str | DataTable | None = None,
    table: str = "",
    inputs: Names = None,
    targets: Names = None,
    prompts: int = PROMPTS,
    progress: Progress = silent,
    statement: Statement = AS_PUBLISHED,
    transformer: LinearAttention | None = None,
) -> Results:
    """Judge Lemma 1 and Theorems 1, 3 and 4; for inputs on the sphere, what icgd shows in their place.

    data: a table from whose rows prompts are cut for Lemma 1, with columns of mean 0 and variance 1.
    statement: to judge in place of the theorems as published.  transformer: L layers to judge in place of
    those built from the statement.
    """
    generator = seeded(seed)
    sphere = problem.covariates == "sphere"
    judged = (transformer or best_layers(problem, statement)).to(device)
    sizes = {"d": problem.d, "n": problem.n, "count": prompts, "seed": seed}
    real = regression_rows(data, table, (inputs, targets), **sizes)
    rows = None if real is None else (torch.cat([real.x, real.query[:, None]], dim=1), real.y)
    identities = []
    with progress("identities", 6) as advance:
        for verdict in _identities(problem, statement):
            identities.append(verdict)
            advance(1)
    with progress("depths", problem.L) as advance:
        depths = []
        for L in range(1, problem.L + 1):
            depths.append(best_at(problem, L, generator))
            advance(1)
    on_model = judged_on_model(problem, judged, statement, depths, generator, device, rows)
    trained: list[Training] = []
    with progress("training", 3) as advance:
        for done in () if sphere else trainings(problem, statement, depths, generator, device):
            trained.append(done)
            advance(1)
    asserted = claims(problem)
    one_step = next(claim for claim in asserted if claim.key in (ONE_STEP, ONE_STEP_ON_SPHERE))
    parameters = judged.census()["parameters"]
    expected = next(claim for claim in asserted if claim.quantity == "parameters").value
    size = _verdict(
        "parameters", parameters == expected, f"{parameters} entries counted, {expected:g} claimed", "counted"
    )
    grids, plots = (
        [depth_grid(problem, depths), *([training_grid(trained)] if trained else [])],
        [depth_plot(depths, problem.covariates)],
    )
    if real is not None:
        states = judged.states(tokens(real.x, real.y, real.query).to(device))
        labels = torch.stack([state[:, -1].detach() for state in states])
        shown, drawing = followed_on_rows(labels, real, "layer")
        grids, plots = [shown, *grids], [drawing, *plots]
    return Results(
        problem=problem,
        seed=seed,
        verdicts=(
            *identities,
            judge_one_step(problem, one_step),
            *_critical_verdicts(problem, depths),
            *on_model,
            size,
            *(_not_claimed() if sphere else _training_verdicts(problem, depths, trained)),
        ),
        claims=asserted,
        census=judged.census(),
        grids=grids,
        plots=(*plots, *training_plots(trained)),
        data=real.use if real else None,
    )


def _not_claimed() -> Iterator[Verdict]:
    """For inputs on the sphere: a verdict for each claim of the theorems, which assume normal ones."""
    for key in THEOREM.claim_keys():
        if "theorem-" in key:
            number = key.partition("theorem-")[2][0]
            why = f"Theorem {number} is about x ~ N(0, S), not about inputs on a sphere"
            yield Verdict(key, "inapplicable", f"{why}; icgd's claims there are {NAME}/sphere/...")


def _verdict(name: str, kept: bool, evidence: str, status: Status) -> Verdict:
    return Verdict(f"{NAME}/{name}", status if kept else "failed", evidence)


def _exact(name: str, kept: bool, evidence: str) -> Verdict:
    return Verdict.proved_if(kept, f"{NAME}/{name}", evidence, by="exact")


def _shown(
    name: str,
    kept: bool,
    evidence: str,
    shown: str,
    posed: str,
    is_shown: bool,
    means: Means = "exact",
) -> Verdict:
    """Proved where the identities were shown for the sizes of the problem, else held."""
    if kept and not is_shown:
        return _verdict(
            name, kept, f"{evidence}; shown for {shown}: the posed {posed} is not among them", "held"
        )
    return Verdict.proved_if(kept, f"{NAME}/{name}", evidence, by=means)


def _identities(problem: PreconditionedProblem, statement: Statement) -> Iterator[Verdict]:
    """Judge what exact algebra decides, for symbolic n and S."""
    d, n = problem.d, problem.n
    sizes = [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3), (3, 1), (3, 2), (3, 3)]
    posed = (d, min(n, _MOST_EXAMPLES))
    sizes += [posed] if posed not in sizes else []
    lemmas = [lemma_one(*size, statement) for size in sizes]
    kept = all(found.transposed and found.symmetric for found in lemmas)
    literal = all(found.literal for found in lemmas)
    yield _shown(
        "lemma-1",
        kept,
        "w' = w - A^T grad R(w), query entry -w'.x, as an identity in all entries for d, n = 1..3 and "
        f"d = {posed[0]}, n = {posed[1]}: "
        f"{'holds' if kept else 'broken'}; with A for A^T it holds for symmetric A"
        f"{', and for every A' if literal else ' and not for every A'}",
        f"n up to {_MOST_EXAMPLES}",
        f"n = {n}",
        (d, n) in sizes,
    )
    law, sphere = problem.covariates, problem.covariates == "sphere"
    minima = {
        k: global_minimum(k, statement_for(replace(problem, d=k, S="1"), statement), law)
        for k in range(2 if sphere else 1, max(3, min(d, 4)) + 1)
    }
    kept = all(found.proved for found in minima.values())
    broken = [k for k, found in minima.items() if not found.proved]
    terms = ", ".join(f"{found.terms} for d = {k}" for k, found in minima.items())
    yield _shown(
        "sphere/global" if sphere else "theorem-1/global",
        kept,
        f"loss over all (P, Q), every n and S (terms: {terms}) "
        + (
            "is a sum of squares plus the claimed minimum, which the claimed matrices attain"
            if kept
            else f"is not the claimed minimum plus squares for d = {broken}"
        ),
        f"d = {min(minima)}..{max(minima)}",
        f"d = {d}",
        d in minima,
    )
    yield _exact_gradient(problem, statement)
    if not sphere:
        yield _landscape(problem)
    families = (("sphere", False, 3),) if sphere else (("theorem-3", False, 3), ("theorem-4", True, 2))
    for name, transformed, most in families:
        depths = range(1, min(max(problem.L, 2), most) + 1)
        found = {L: family_gradient(L, transformed, statement, law).stationary for L in depths}
        yield _shown(
            f"{name}/stationary",
            all(found.values()),
            f"d = 2, L = 1..{depths[-1]}, every n, S, a{' and b' if transformed else ''}: "
            + (
                "the gradient off the family is the zero polynomial"
                if all(found.values())
                else f"the gradient leaves the family at L = {[L for L, kept in found.items() if not kept]}"
            ),
            f"d = 2, L = 1..{depths[-1]}",
            f"d = {d}, L = {problem.L}",
            d == 2 and problem.L in depths,
        )


def _exact_gradient(problem: PreconditionedProblem, statement: Statement) -> Verdict:
    name = "sphere/gradient" if problem.covariates == "sphere" else "theorem-1/gradient"
    if problem.d > 4:
        return Verdict(f"{NAME}/{name}", "inapplicable", "the exact loss is expanded up to d = 4")
    covariance = tuple(tuple(row) for row in problem.covariance)
    d = problem.d
    A = minimiser(problem, statement)
    q = [[statement.sign * value for value in row] for row in A] + [[Fraction(0)] * d]
    loss = one_layer_loss(d, covariance, problem.n, problem.covariates)
    partials = loss.gradient([*[Fraction(0)] * d, Fraction(1)], q)
    left = sum(value != 0 for value in partials)
    evidence = (
        f"{left} of {len(partials)} partial derivatives are not 0, in rationals, at S with n = {problem.n}"
    )
    return _exact(name, left == 0, evidence)


def _landscape(problem: PreconditionedProblem) -> Verdict:
    """Judge a question that Theorem 1 leaves open: whether there is another local minimum."""
    name = f"{NAME}/theorem-1/other-minimum"
    if problem.d > 3:
        return Verdict(name, "inapplicable", "the exact Hessian is expanded up to d = 3")
    found = other_minimum(problem.eigenvalues, problem.n)
    where = "P = e_(d+1) e_1^T, Q = -e_(d+1) e_1^T / N_1 in the eigenbasis: "
    where += f"loss {_brief(found.loss)}, least {_brief(found.least)}"
    if not found.critical or not found.strict:
        return Verdict(name, "inapplicable", f"no second minimum at {where}; it is a saddle at this S and n")
    kind = "another global minimum" if found.loss == found.least else "a local minimum that is not global"
    return Verdict(
        name,
        "proved",
        f"{kind} at {where}; rational gradient 0, Hessian positive definite up to scaling",
        means="exact",
    )


def _brief(value: Fraction) -> str:
    """A rational, or its first digits if it has very many."""
    return shown if len(shown := str(value)) <= 30 else f"{float(value):.10g} (a rational)"


def _trained(one: Training) -> Verdict:
    """Judge whether a start ended at the predicted matrices; none may end below the lowest predicted loss."""
    runs = one.runs
    lowest, reached = min(run.loss for run in runs), [run for run in runs if one.reached(run)]
    nearest = min(runs, key=lambda run: run.distances[-1])
    beaten = lowest < one.predicted * (1 - _BEATEN) - 1e-10
    ends = ", ".join(f"{run.loss:.8g}" for run in runs)
    best = sum(run.loss <= one.predicted * (1 + _BEATEN) + 1e-10 for run in reached)
    evidence = (
        f"{one.what}: {len(reached)} of {len(runs)} random starts end at predicted matrices, {best} of them "
        f"at those of lowest loss (nearest: "
        f"relative distance {nearest.distances[-1]:.2g}, {len(nearest.losses) - 1} iterations); "
        f"losses {ends}, lowest predicted {one.predicted:.8g}"
    )
    if not reached and not any(run.converged for run in runs):
        return Verdict(f"{NAME}/training/{one.name}", "inapplicable", f"no run converged; {evidence}")
    if beaten:
        evidence = f"a run ended below every predicted loss; {evidence}"
        if not one.least:  # a search may have missed the lowest of the family
            return Verdict(f"{NAME}/training/{one.name}", "inapplicable", f"not decided: {evidence}")
    return _verdict(f"training/{one.name}", bool(reached) and not beaten, evidence, "held")


def _training_verdicts(
    problem: PreconditionedProblem, depths: Sequence[Depth], trained: Sequence[Training]
) -> Iterator[Verdict]:
    """One verdict per training; omitted trainings get one with the reason."""
    found = {one.name: one for one in trained}
    for name in ("theorem-1", "theorem-3", "theorem-4"):
        if name in found:
            yield _trained(found[name])
            continue
        why = f"too many cubature prompts at d = {problem.d}, n = {problem.n}, and no training on samples"
        if name == "theorem-4" and problem.L < 2:
            why = "needs L >= 2"
        elif name == "theorem-4" and not depths[1].criticals:
            why = "the search found no critical point at L = 2"
        yield Verdict(f"{NAME}/training/{name}", "inapplicable", why)


def judge_one_step(problem: PreconditionedProblem, claim: Claim) -> Verdict:
    """Compare the claimed loss at L = 1 with E tr(I - a C)^2 at the claimed a and with the least, exactly.

    a: n/(n+d+1), and n/(n+d-1) for inputs on the sphere.
    """
    n, d, law = problem.n, problem.d, problem.covariates
    value = claim.bound.xreplace({name: sympy.Integer(size) for name, (size, _) in claim.constants.items()})
    claimed = Fraction(int(value.p), int(value.q))
    a, moments = Fraction(n, n + d + (-1 if law == "sphere" else 1)), spectrum(n, d, 2, law)
    there = moments[0] - 2 * a * moments[1] + a**2 * moments[2]
    least = best_steps(n, d, 1, law).loss
    evidence = (
        f"loss {there} at a = {a}, least {least} over a, {claimed} claimed, in rationals, d = {d}, n = {n}"
    )
    return _exact(claim.key.removeprefix(f"{NAME}/"), there == least == claimed, evidence)


def _critical_verdicts(problem: PreconditionedProblem, depths: Sequence[Depth]) -> Iterator[Verdict]:
    n, d, law = problem.n, problem.d, problem.covariates
    name = "sphere/critical-point" if law == "sphere" else "theorem-3/critical-point"
    found = {depth.L: best_steps(n, d, depth.L, law) for depth in depths}
    stationary = not any(any(stationarity_defects(n, d, steps.q, law)) for steps in found.values())
    uncertain = [L for L, steps in found.items() if not steps.certified]
    deepest = found[problem.L]
    if stationary and uncertain:
        listed = ", ".join(map(str, uncertain))
        why = f"the roots of q at L = {listed} were not separated: not decided"
        yield Verdict(f"{NAME}/{name}", "inapplicable", why)
    else:
        yield _exact(
            name,
            stationary,
            f"L = 1..{problem.L}: the best q is orthogonal to all lower ones and changes its sign L times on "
            f"positive points, in rationals; loss {deepest.loss} at L = {problem.L}",
        )
    if law == "sphere":
        return
    transformed = [depth for depth in depths if 2 <= depth.L <= MOST_TRANSFORMED]
    name = "theorem-4/critical-point"
    if not transformed:
        yield Verdict(f"{NAME}/{name}", "inapplicable", "at L = 1 the transformation has no effect")
        return
    missed = [depth.L for depth in transformed if not depth.criticals]
    shown = "; ".join(
        f"L = {depth.L}: loss {box.value[0]:.6g}, {'a' if box.minimum else 'no certified'} minimum in (a, b)"
        for depth in transformed
        for box in depth.criticals
    )
    evidence = f"Krawczyk boxes of radius 1e-30 hold critical points: {shown}; {least_said(transformed)}"
    if missed:  # a search without result is not a counterexample
        listed = ", ".join(map(str, missed))
        why = f"the search found no box at L = {listed}: not decided" + (f"; {shown}" if shown else "")
        yield Verdict(f"{NAME}/{name}", "inapplicable", why)
        return
    done = f"L = 2..{MOST_TRANSFORMED}"
    yield _shown(name, True, evidence, done, f"L = {problem.L}", problem.L <= MOST_TRANSFORMED, "balls")


_OF_SPHERE = (
    "sphere/global",
    "sphere/gradient",
    "sphere/stationary",
    "sphere/one-step",
    "sphere/critical-point",
    "sphere/one-layer",
    "sphere/layers",
)


def _also(problem: PreconditionedProblem) -> tuple[str, ...]:
    return _OF_SPHERE if problem.covariates == "sphere" else ()


THEOREM = Theorem(
    name=NAME,
    title=TITLE,
    source=f"{SOURCE}, Lemma 1 and Theorems 1, 3, 4",
    letters=PreconditionedProblem,
    claims=claims,
    judge=verify,
    judged=(
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
    also=_also,
    own=frozenset(
        {"theorem-1/other-minimum", "theorem-3/one-step", "lemma-1/model", "parameters", *_OF_SPHERE}
    ),
    repaired=frozenset({"lemma-1", "theorem-1/loss", "theorem-3/loss"}),
    model=MODEL,
    options=ROW_OPTIONS,
    read=regression_reader(PreconditionedProblem, S="1"),
    estimate=workload.preconditioned,
)
