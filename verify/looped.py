"""The theorem `looped` (arXiv 2410.11268), judged: a looped linear transformer takes T descent steps."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import scipy.special
import torch
from flint import arb, fmpq, fmpq_mat
from jaxtyping import Float
from torch import Tensor

from icgd.bounds.algebra.rationals import exact_matrix, to_flint
from icgd.bounds.looped import (
    FAILURE,
    SOURCE,
    LoopedProblem,
    claims,
    condition_bound,
    eigenvalue_bounds,
    examples_needed,
    is_conditioned,
)
from icgd.bounds.progress import Advance, Progress, silent
from icgd.construct.looped import MODEL, LoopedTransformer, build
from icgd.construct.regression_tokens import stream
from icgd.verify import workload
from icgd.verify.data.columns import Names
from icgd.verify.data.on_rows import ROW_OPTIONS, followed_on_rows, regression_reader, regression_rows
from icgd.verify.data.table import DataTable
from icgd.verify.linear_attention.condition import condition_numbers, judge_condition, judge_failure
from icgd.verify.linear_attention.contraction import (
    Contraction,
    certified_powers,
    contraction,
    contraction_grid,
    distances,
    exact_descent,
    least_squares,
)
from icgd.verify.results import Curve, Grid, Plot, Results
from icgd.verify.search.prompts import seeded
from icgd.verify.theorem import Theorem
from icgd.verify.verdict import Status, Verdict, VerdictNumber, with_replay

NAME = "looped"
TITLE = "Looped linear transformers learn in context by multi-step gradient descent"
_ROUNDING = 1e-12
"""How far float64 loops may be from descent, relative to the labels."""

_CERTIFIED = 3  # prompts that are computed over the rationals
_SAMPLED = 64
_SIMULATED = 4000  # Gaussian matrices whose condition number is computed
_EXACT_LIMIT = 500_000  # most n (d+1)^2 loops^2 over the rationals; larger problems run fewer loops


@dataclass(frozen=True, eq=False)
class Regressions:
    """Prompts: x (B, n, d), y (B, n) and the query (B, d); source: where they are from.

    Drawn ones are standard normal, with y = x . w up to rounding.
    """

    x: Float[Tensor, "B n d"]
    y: Float[Tensor, "B n"]
    query: Float[Tensor, "B d"]
    source: str = "given prompts"


def draw_regressions(problem: LoopedProblem, count: int, generator: torch.Generator) -> Regressions:
    """Gaussian inputs and weights; labels have no noise but rounding."""

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    x, query, w = normal(count, problem.n, problem.d), normal(count, problem.d), normal(count, problem.d, 1)
    return Regressions(x, (x @ w)[..., 0], query)


def least_squares_referee(
    prompts: Regressions, rate: float, steps: int
) -> Float[np.ndarray, "{steps}+1 B _"]:
    """y_i - x_i . w_l and -x_q . w_l for gradient descent on the weights, in numpy."""
    x, y, query = (part.numpy() for part in (prompts.x, prompts.y, prompts.query))
    w, path = np.zeros_like(query), []
    for _ in range(steps + 1):
        values = np.einsum("bnd,bd->bn", x, w)
        path.append(np.concatenate([y - values, -np.einsum("bd,bd->b", query, w)[:, None]], axis=1))
        w = w - rate * np.einsum("bnd,bn->bd", x, values - y) / x.shape[1]
    return np.stack(path)


def verify(
    problem: LoopedProblem,
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    data: str | DataTable | None = None,
    table: str = "",
    inputs: Names = None,
    targets: Names = None,
    prompts: int = _SAMPLED,
    progress: Progress = silent,
    transformer: LoopedTransformer | None = None,
) -> Results:
    """Judge every claim on prompts drawn from the seed; transformer: one to judge in place of our own.

    data: a table from whose rows the prompts are cut, all but those of the claims about Gaussian matrices.
    """
    judged = (transformer or build(problem)).to(device)
    generator, sizes = seeded(seed), {"d": problem.d, "n": problem.n, "count": prompts, "seed": seed}
    real = regression_rows(data, table, (inputs, targets), **sizes)
    drawn = (
        draw_regressions(problem, prompts, generator)
        if real is None
        else Regressions(real.x, real.y, real.query, f"prompts of {real.use.source}")
    )
    asserted = {claim.key: claim for claim in claims(problem)}
    replay = f"icgd verify {NAME} {problem.options} --seed {seed}"
    replay += f" --prompts {prompts}" if prompts != _SAMPLED else ""
    with progress("loops", _CERTIFIED) as advance:
        exact, contractions, apart = _steps(judged, problem, drawn, advance)
        verdicts = [exact, _rounding(judged, problem, drawn, device)]
    count, entries = judged.parameters_count, asserted["looped/parameters"].value
    status: Status = "counted" if count == entries else "failed"
    told = f"{count} entries for any T, claim {entries}"
    numbers: dict[str, VerdictNumber] = {"counted": count, "claimed": entries}
    verdicts.append(Verdict("looped/parameters", status, told, numbers=numbers))
    with progress("condition", _SIMULATED) as advance:
        claimed = float(asserted["looped/contraction"].value)
        verdicts += [_contraction(problem, contractions, claimed), *_condition(problem, generator, advance)]
        grid, plot, needed = _examples(problem, judged, generator)
        verdicts += [needed, _earlier_requirement(problem)]
    grids, plots = [contraction_grid(contractions, drawn.source), grid], [plot]
    if real is not None:
        labels = judged.labels(real.x.to(device), real.y.to(device), real.query.to(device), problem.T)
        certified = {
            f"distance from least squares, largest of {len(contractions)}": apart,
            "certified factor^l": certified_powers(contractions, problem.T),
        }
        shown, drawing = followed_on_rows(labels, real, "loop", certified)
        grids, plots = [shown, *grids], [drawing, *plots]
    return Results(
        problem=problem,
        seed=seed,
        verdicts=tuple(verdicts) if real else with_replay(verdicts, replay),
        claims=tuple(asserted.values()),
        census=judged.census() | {"loops": problem.T},
        grids=grids,
        plots=plots,
        data=real.use if real else None,
    )


def _steps(
    judged: LoopedTransformer, problem: LoopedProblem, prompts: Regressions, advance: Advance
) -> tuple[Verdict, list[Contraction], list[float]]:
    """T loops with the actual weights equal T steps, over the rationals; and the contraction they achieve.

    Last, the largest distance from least squares after every loop.
    """
    affordable = math.isqrt(_EXACT_LIMIT // (problem.n * (problem.d + 1) ** 2))
    loops = min(problem.T, max(2, affordable))
    P, Q = exact_matrix(judged.P.tolist()), exact_matrix(judged.Q.tolist())
    rate, found, worst = to_flint(problem.rate), [], ""
    count, apart = min(_CERTIFIED, len(prompts.x)), []
    device = judged.P.device
    px, py, pq = (part[:count].to(device) for part in (prompts.x, prompts.y, prompts.query))
    answers = judged.predict(px, py, pq, problem.T)[-1].tolist()
    for k in range(count):
        x, query = exact_matrix(prompts.x[k].tolist()), exact_matrix([prompts.query[k].tolist()])
        y = exact_matrix([[value] for value in prompts.y[k].tolist()])
        path = exact_descent(x, y, rate, problem.T)
        tokens = fmpq_mat([*(row + label for row, label in zip(x.tolist(), y.tolist(), strict=True)),
                           [*query.tolist()[0], fmpq(0)]])  # fmt: skip
        for step, w in enumerate(path[1 : loops + 1], start=1):
            tokens = _literal_block(tokens, P, Q)
            expected = [*(value for (value,) in (y - x * w).tolist()), -(query * w)[0, 0]]
            if [row[-1] for row in tokens.tolist()] != expected and not worst:
                worst = f"prompt {k}, loop {step}: the label row is not y - X w_{step}"
        answer = to_flint(answers[k])
        best = least_squares(x, y)
        found.append(contraction(x, path[-1], best, rate, problem.T, query, answer))
        apart.append(distances(path, best))
        advance(1)
    evidence = (
        f"{loops} loops with the actual P and Q equal {loops} steps over the rationals on {count} of the "
        f"{prompts.source} (n = {problem.n}, d = {problem.d}), query included"
    )
    if worst:
        return Verdict("looped/steps", "failed", worst), found, []
    status: Status = "proved on given prompts"
    if _is_descent(P, Q, rate):
        status = "proved"
        evidence += "; on every prompt, as the block adds -(eta/n) sum_i y_i x_i^T x_j to y_j"
    largest = [max(step) for step in zip(*apart, strict=True)]
    numbers = {"steps": loops, "T": problem.T, "prompts": count}
    return Verdict("looped/steps", status, evidence, means="exact", numbers=numbers), found, largest


def _is_descent(P: fmpq_mat, Q: fmpq_mat, rate: fmpq) -> bool:
    """Whether P Z M Z^T Q Z is -rate times the sum over examples of label_i <x_i, x_j>, for every Z.

    This holds if only the corner of P is nonzero and corner * Q is -rate times the identity on inputs.
    """
    last = P.nrows() - 1
    corner, inputs = P[last, last], range(last)
    only = all(P[i, j] == 0 for i in range(last + 1) for j in range(last + 1) if (i, j) != (last, last))
    wanted = (
        (i, j, -rate if i == j and i in inputs else 0) for i in range(last + 1) for j in range(last + 1)
    )
    return only and all(corner * Q[i, j] == value for i, j, value in wanted)


def _literal_block(tokens: fmpq_mat, P: fmpq_mat, Q: fmpq_mat) -> fmpq_mat:
    """Z + (1/n) P (Z M Z^T) Q Z without rounding; rows of `tokens` are the columns of Z, the query last."""
    examples = fmpq_mat(tokens.tolist()[:-1])
    moment = P * (examples.transpose() * examples) * Q * fmpq(1, examples.nrows())
    return tokens + tokens * moment.transpose()


def _rounding(
    judged: LoopedTransformer, problem: LoopedProblem, prompts: Regressions, device: torch.device | str
) -> Verdict:
    """Compare both readings in floats with the referee."""
    x, y, query = (part.to(device) for part in (prompts.x, prompts.y, prompts.query))
    expected = least_squares_referee(prompts, problem.rate, problem.T)
    scale = max(1.0, float(np.abs(expected).max()))
    fast = float(np.abs(judged.labels(x, y, query, problem.T).cpu().numpy() - expected).max()) / scale
    H = first = stream(x[:4], y[:4], query[:4])
    for _ in range(problem.T):
        H = judged.literal(H)
    literal = float(np.abs(H[..., -1].cpu().numpy() - expected[-1, :4]).max()) / scale
    whole = float((judged(first, problem.T) - H).abs().max()) / scale
    kept = bool(torch.equal(H[..., :-1], first[..., :-1]))
    worst = max(fast, literal, whole)
    status: Status = "held" if worst <= _ROUNDING and kept else "failed"
    evidence = f"structured {fast:.2g} over {len(prompts.x)} prompts, literal {literal:.2g} over {len(H)}"
    evidence += f", difference {whole:.2g}"
    return Verdict(
        "looped/rounding",
        status,
        f"{evidence}, {_ROUNDING:g} allowed; inputs {'kept' if kept else 'CHANGED'}",
        numbers={"largest": worst, "allowed": _ROUNDING, "prompts": len(prompts.x)},
    )


def _contraction(problem: LoopedProblem, found: list[Contraction], claimed: float) -> Verdict:
    """Compare norm2(w_T - w*), in balls, with factor^T of each prompt and with the claimed bound."""
    key = "looped/contraction"
    if any(item.measured is None for item in found):
        return Verdict(key, "inapplicable", "X^T X is singular or w* = 0: no unique least-squares solution")
    factor, kappa = (
        max(float(getattr(item, name).upper()) for item in found) for name in ("factor", "kappa")
    )
    largest = max(math.sqrt(float(arb(item.measured))) for item in found)
    low, high = eigenvalue_bounds(problem)
    inside = [item.spans(low, high) for item in found]
    shown = (
        f"given prompts: norm2(w_T - w*) is at most {largest:.4g} norm2(w*), factor max |1 - eta lambda| at "
        f"most {factor:.6g}, condition number at most {kappa:.6g} on {len(found)} prompts; eigenvalues "
        f"within the Gaussian bound on {sum(inside)}"
    )
    if not all(item.holds for item in found if item.factor < 1):
        return Verdict(key, "failed", f"an error exceeds factor^{problem.T}; {shown}")
    if claimed >= 1:
        why = "eta is too large" if is_conditioned(problem) else "sqrt n is not above sqrt d + t"
        return Verdict(key, "inapplicable", f"{why}: the bound {claimed:.4g} is not below 1; {shown}")
    beyond = [not item.within(arb(claimed)) for item in found]
    if any(over and spans for over, spans in zip(beyond, inside, strict=True)):
        return Verdict(
            key, "failed", f"an error exceeds the bound {claimed:.6g} although its hypothesis holds; {shown}"
        )
    if any(beyond):
        why = f"{sum(beyond)} of them exceed the bound {claimed:.6g}, where its hypothesis fails"
        return Verdict(key, "inapplicable", f"{shown}; {why}")
    return Verdict(
        key,
        "proved on given prompts",
        f"on {shown}; each error, that of the float64 output against x_q . w* included, is at most its "
        f"factor^{problem.T} and at most the bound {claimed:.6g}: exact descent, eigenvalues in balls",
        means="balls",
        numbers={"largest": largest, "allowed": claimed, "prompts": len(found)},
    )


def _condition(problem: LoopedProblem, generator: torch.Generator, advance: Advance) -> list[Verdict]:
    """Judge the condition-number bound and its failure probability on simulated Gaussian matrices."""
    keys = ("looped/condition", "looped/failure")
    bound = condition_bound(problem.d, problem.n, problem.t)
    if not is_conditioned(problem):
        why = f"sqrt n = {math.sqrt(problem.n):.4g} is not above sqrt d + t: the bound is infinite"
        return [Verdict(key, "vacuous", why) for key in keys]
    probability = float(FAILURE.subs(dict.fromkeys(FAILURE.free_symbols, problem.t)))
    if probability >= 1:
        why = f"the bound on the probability of failure, {probability:.3g}, is not below 1"
        return [Verdict(key, "vacuous", why) for key in keys]
    kappas = condition_numbers(problem.n, problem.d, _SIMULATED, generator, advance)
    return [judge_condition(kappas, bound, probability), judge_failure(kappas, bound, probability)]


def _examples(
    problem: LoopedProblem, judged: LoopedTransformer, generator: torch.Generator
) -> tuple[Grid, Plot, Verdict]:
    """Examples needed over T, by this bound and by exp(c T), and the error simulated at that number."""
    d, t, eps = problem.d, problem.t, problem.eps
    depths = sorted({1, 2, 4, 8, 12, 16, 24, 32, problem.T})
    per_loop = math.exp(-0.5)
    rows = []
    for T in depths:
        fixed, shrinking = examples_needed(d, T, eps, t), examples_needed(d, T, per_loop**T, t)
        before = math.exp(problem.c * T)
        rows.append((T, fixed, fixed / d, shrinking, shrinking / d, before))
    grown = "T" if problem.c == 1 else f"{problem.c:g} T"
    columns = ("T", f"n for {eps:g}", "n/d", "n for exp(-T/2)", "n/d", f"exp({grown}), assumed")
    grid = Grid(
        "Examples needed for a target error",
        columns,
        tuple(rows),
        f"errors are fractions of norm2(w*), d = {d}, probability at least 1 - 2 exp(-{t:g}^2/2); the source "
        f"gives exp(Omega(T)) for earlier analyses, without a constant: c = {problem.c:g} is assumed",
    )  # fmt: skip
    x = tuple(float(T) for T in depths)
    curves = (
        Curve(f"looped, error {eps:g}", x, tuple(float(row[1]) for row in rows)),
        Curve("looped, error exp(-T/2)", x, tuple(float(row[3]) for row in rows)),
        Curve(f"earlier analyses, exp({grown}) assumed", x, tuple(row[5] for row in rows)),
    )
    plot = Plot("Examples needed for a target error", "loops T", "examples n", curves, "y")
    return grid, plot, _reached(problem, judged, generator)


def _reached(problem: LoopedProblem, judged: LoopedTransformer, generator: torch.Generator) -> Verdict:
    """Judge how often T loops on the required number of examples miss the target error."""
    key, count = "looped/examples", 256
    n = examples_needed(problem.d, problem.T, problem.eps, problem.t)
    probability = 2 * math.exp(-(problem.t**2) / 2)
    if n * problem.d * count > 1 << 25:
        return Verdict(key, "inapplicable", f"n = {n:,} is too large to simulate {count} prompts")
    if problem.eta:
        return Verdict(key, "inapplicable", "the number is for the step n/(sqrt n + sqrt d + t)^2, eta = 0")
    posed = replace(problem, n=min(n, 4096))
    if n > 4096 or probability >= 1:
        return Verdict(key, "vacuous", f"n = {n:,}, probability of failure {probability:.3g}")
    prompts = draw_regressions(posed, count, generator)
    # The step size is part of the weights, so the judged block is rescaled to the step size for n examples.
    block = build(posed)
    block.P, block.Q = judged.P.cpu(), judged.Q.cpu() * (posed.rate / problem.rate)
    d = problem.d
    units = torch.eye(d, dtype=torch.float64).expand(count, d, d)
    reached = torch.stack(
        [block.predict(prompts.x, prompts.y, units[:, k], problem.T)[-1] for k in range(d)], dim=-1
    )
    target = torch.linalg.lstsq(prompts.x, prompts.y[..., None]).solution[..., 0]
    error = torch.linalg.vector_norm(reached - target, dim=-1) / torch.linalg.vector_norm(target, dim=-1)
    missed = int((error > problem.eps).sum())
    chance = float(scipy.special.bdtrc(missed - 1, count, probability))
    return Verdict(
        key,
        "held" if chance > 1e-6 else "failed",
        f"n = {n:,} = {n / d:.4g} d for error {problem.eps:g} at T = {problem.T}: {missed} of {count} "
        f"prompts missed it, a fraction {probability:.3g} is allowed; largest error {float(error.max()):.3g}",
        numbers={"missed": missed, "prompts": count, "allowed_share": probability, "n": n},
    )


def _earlier_requirement(problem: LoopedProblem) -> Verdict:
    """The source gives no constant for the earlier requirement, so it is compared, not judged."""
    now, before = (
        examples_needed(problem.d, problem.T, problem.eps, problem.t),
        math.ceil(math.exp(problem.c * problem.T)),
    )
    fewer = "fewer" if now < before else "NOT fewer"
    return Verdict(
        "looped/examples-before",
        "inapplicable",
        f"exp(Omega(T)) has no constant in the source; with the assumed c = {problem.c:g} it needs "
        f"{before:,} examples at T = {problem.T}, and this bound needs {now:,}: {fewer}",
    )


THEOREM = Theorem(
    name=NAME,
    title=TITLE,
    source=SOURCE,
    letters=LoopedProblem,
    claims=claims,
    judge=verify,
    judged=(
        "steps",
        "rounding",
        "parameters",
        "contraction",
        "condition",
        "failure",
        "examples",
        "examples-before",
    ),
    own=frozenset({"rounding", "parameters"}),
    repaired=frozenset({"contraction", "examples", "examples-before"}),
    model=MODEL,
    options=ROW_OPTIONS,
    draws_prompts=True,
    read=regression_reader(LoopedProblem),
    estimate=workload.looped,
)
