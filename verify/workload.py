"""Time and memory of the commands, estimated from the letters alone; `make sizes` compares it with a clock.

Every formula counts operations (tokens, cells, units, entries) and multiplies the count by the seconds that
one of them takes on one core of a common machine.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache

from icgd.bounds.estimate import Estimate, Stage
from icgd.bounds.functional import FunctionalProblem
from icgd.bounds.looped import LoopedProblem
from icgd.bounds.preconditioned import PreconditionedProblem
from icgd.bounds.problem import Problem
from icgd.bounds.step_error.budget import Construction, closed_form, expected_rounding
from icgd.verify.search.attack import POOL, ROUNDS
from icgd.verify.search.climbs import CORNER_ASCENTS, CORNER_TOKENS
from icgd.verify.search.excerpt import MOST_EXAMPLES, TOKENS, followed, steps
from icgd.verify.search.options import Search

START = Stage("start", 3.5)
"""Loading the libraries that a command needs."""

MOST_NODES = 43_000
"""The largest number of entries in the tree of cells."""

_DEEPEST = 120
"""Beyond this depth covering the cells alone takes more than a day, and no units are counted."""

_TOKEN, _NEURON, _WEIGHT = 0.5e-6, 0.2e-6, 0.06e-6
"""Seconds of one step of one token, with its error: a constant, per neuron and per weight."""


@cache
def units(problem: Problem, construction: Construction) -> tuple[float, float]:
    """Approximately how many ReLUs are fitted, each function once, and how many are built; 0 if none."""
    if construction == "exact" or problem.N > _DEEPEST:
        return 0.0, 0.0
    try:
        tolerances, price = closed_form(problem, construction)
        if expected_rounding(problem, construction, tolerances) > problem.eps:
            return 0.0, 0.0  # the plan refuses before it fits anything
    except (ValueError, ArithmeticError):  # the plan refuses, with its reason
        return 0.0, 0.0
    built = {term: cost / math.sqrt(tolerances[term]) for term, cost in price.items()}
    return sum(count / problem.dims[term.layer] for term, count in built.items()), sum(built.values())


def nodes(problem: Problem) -> float:
    """Approximately how many entries the tree of cells has."""
    return min(MOST_NODES, 900 * 2.5 ** min(problem.N - 3, 20))


def planning(problem: Problem, construction: Construction = "lean", times: float = 1.0) -> Estimate:
    """Estimate of a plan: divide the tolerance on the cells, then fit every function once or twice."""
    if construction == "exact":
        return Estimate((Stage("plan", 0.2 * times),))
    fitted, _ = units(problem, construction)
    cells = 0.35 * problem.N + 1.2e-6 * nodes(problem) * float(problem.N) ** 3
    fits = 0.3 + 2.2e-4 * fitted
    times *= 1 + max(0, problem.activation.r.expr.count_ops() - 4)  # nested formulas have loose enclosures
    by = ("eps", problem.eps) if fits > cells else ("N", problem.N)
    return Estimate((Stage("plan", times * (cells + fits), 1e3 * fitted, *by),))


def transformer(problem: Problem, construction: Construction) -> Estimate:
    """Estimate of writing out the entries of all matrices once."""
    _, built = units(problem, construction)
    entries = 6.0 * problem.D_w + 20.0 * problem.units + 6 * built
    if construction == "paper":
        entries += 3 * max(problem.dims) * built
    deep = ("N", problem.N) if problem.N > problem.K else ("K", problem.K)
    letter = ("eps", problem.eps) if built > problem.D_w else deep
    return Estimate((Stage("matrices", 2e-6 * entries, 400 * entries, *letter),))


def _token(problem: Problem) -> float:
    """Seconds of one step of one token with its own weights."""
    return _TOKEN + _NEURON * problem.units + _WEIGHT * problem.D_w


def _prompt(problem: Problem, examples: int) -> float:
    """Seconds to draw one prompt and to take one step on it."""
    each = 0.1e-6 + 0.1e-6 * problem.units + 0.02e-6 * (problem.d + problem.d_out)
    return 1e-6 + _WEIGHT * problem.D_w + each * (examples + 1)


def relu_icgd(problem: Problem, search: Search) -> Estimate:
    """Estimate of verifying Theorem 1."""
    construction: Construction = search.construction or "lean"  # type: ignore[assignment]
    samples, effort, certify = search.samples, search.effort, search.certify
    prompts = search.prompts if search.data is not None else None
    N, short = problem.N, min(problem.n, MOST_EXAMPLES)
    fitted, _ = units(problem, construction)
    batch = followed(problem, 64) if prompts is None else prompts
    count = steps(problem, batch)
    held = 8.0 * batch * (8 * (problem.n + 1) * (problem.d + problem.d_out) + 4 * count * problem.D_w)
    by = ("prompts", prompts) if prompts is not None else ("n", problem.n)
    run = count * (0.004 + 0.001 * N + 3 * batch * _prompt(problem, problem.n))
    parts = [
        Stage("sweep", samples * _prompt(problem, short), 0.0, "samples", samples),
        Stage("steps", 0.3 + run + 6 * _prompt(problem, problem.n), held, *by),
    ]
    whole = planning(problem, construction, 1.4) + transformer(problem, construction)
    if effort > 0:
        parts += _attack(problem, effort, free=construction != "exact")
    literal = 1e-3 * fitted if construction == "paper" else 1e-4 * fitted
    parts.append(Stage("properties", 0.3 + 0.02 * N + literal, 8.0 * 24 * problem.D_w, "K", problem.K))
    if construction == "paper":
        parts.append(Stage("lemmas", 1.0 + 0.5 * 1.6 ** min(N, 5), 0.0, "N", N))
    if certify and construction != "exact":
        parts += _certificate(problem, construction)
        tokens = min(2 * (problem.n + 1), 2 * 257)
        parts.append(Stage("enclosures", 0.1 + 5e-4 * tokens * problem.D_w, 0.0, "K", problem.K))
    return Estimate((START, *whole.stages, *parts))


def _attack(problem: Problem, effort: float, *, free: bool) -> list[Stage]:
    token, by = _token(problem), ("effort", effort)
    iteration = 0.003 + 0.0015 * problem.N
    climbed = 1.25 * sum(one.points * one.iterations for one in ROUNDS)  # what hops try included
    climb = effort * (300 * iteration + 3 * climbed * token) + POOL * token
    if free:
        climb += (
            effort * (120 * iteration + 0.8 * CORNER_ASCENTS * climbed * token) + CORNER_TOKENS * POOL * token
        )
    found = [Stage("attack", climb, 0.0, *by)]
    if free:
        pool = 1024 * max(1, problem.N - 2)
        found.insert(0, Stage("free signs", 0.2 + effort * pool * 360 * token, 0.0, *by))
        moves = 3 * math.ceil(2 * effort) * problem.units
        coordinates, phases = problem.D_w + problem.d + problem.d_out, 2 * problem.units
        basis = 3 * math.ceil(2 * effort) * 80 * 4e-10 * coordinates * phases * min(coordinates, phases)
        lined = moves * 10_240 * token + basis + effort * 180 * (iteration + 80 * token)
        found.append(Stage("alignment", lined, 0.0, *by))
        found.append(Stage("alignment", 0.0, 10_240 * 8.0 * 4 * coordinates, "K", problem.K))
    return found


def _certificate(problem: Problem, construction: Construction) -> list[Stage]:
    fitted, built = units(problem, construction)
    recurrence = 0.3 + 2e-4 * fitted
    return [Stage("certificate", recurrence + check_seconds(problem.N, nodes(problem), fitted, built), 0.0)]


def check_seconds(N: int, cells: float, fitted: float, built: float) -> float:
    """Seconds to check a certificate whose tree has `cells` entries, and to compare the matrices with it."""
    return 0.4 + 2e-6 * cells * N + 5e-6 * fitted + 7e-5 * built


def survey(problem: Problem, construction: Construction) -> Estimate:
    """Estimate of the survey that runs with a verification, and of its figures."""
    at_other_eps = 4 * planning(problem, construction).seconds if construction != "exact" else 0.0
    return Estimate((Stage("survey", 3 + at_other_eps), Stage("pages", 4.0)))


PAGES = Estimate((Stage("pages", 8.0),))
"""Writing the pages of one theorem."""


def softmax_icgd(problem: Problem, search: Search) -> Estimate:
    """Estimate of verifying Theorem 2."""
    N, entries = problem.N, problem.D_w
    token = 1e-6 + 0.15e-6 * problem.units + 0.1e-6 * entries
    short = min(problem.n, MOST_EXAMPLES)
    width = problem.d + problem.d_out + 5 * problem.units + 2 * entries
    whole = problem if (problem.n + 1) * width <= TOKENS else replace(problem, n=short)
    batch = followed(whole, 32)
    count = steps(whole, batch, each=width)
    fitted, _ = units(problem, "lean")
    plan_seconds = 2 * planning(problem).seconds + 6e-4 * fitted * (1 + N / 3)
    searched = 13_840 * (short + 1) * token
    run = (count + 3) * (0.01 + 0.004 * N + batch * (whole.n + 1) * token)
    held = 8.0 * 6 * (whole.n + 1) * width
    return Estimate(
        (
            START,
            Stage("plan", plan_seconds, 0.0, *(("eps", problem.eps) if N < 5 else ("N", N))),
            Stage("search", searched, 0.0, "K", problem.K),
            Stage("steps", run, held, "n", problem.n),
            Stage("certificate", check_seconds(N, nodes(problem), 3 * fitted, 6 * fitted * entries)),
            Stage("four layers", 2.0 + 4 * planning(problem).seconds, 0.0, "N", N),
        )
    )


def convergence(problem: Problem, search: Search) -> Estimate:
    """Estimate of verifying `convergence`."""
    batch = followed(problem, 32)
    count, long = steps(problem, batch), steps(problem, batch, max(problem.L, 60))
    real = 2 if problem.n < 442 else 1
    step = 0.001 + 0.0005 * problem.N + 0.4 * batch * _prompt(problem, problem.n)
    held = 8.0 * batch * (8 * (problem.n + 1) * (problem.d + problem.d_out) + 6 * long * problem.D_w)
    hessian = 1.0 + 130 * 2 * 512 * 1.5 * _token(problem) + 0.01 * problem.N
    boxes = Stage("boxes", 1.0) if problem.N == 1 else Stage("boxes", 0.0)
    proofs = (
        [Stage("spectrum", 1.5 + 0.3 * problem.N), *_certificate(problem, "lean")] if search.certify else []
    )
    return Estimate(
        (
            START,
            *planning(problem, "lean", 1.5).stages,
            *transformer(problem, "lean").stages,
            Stage("Hessian", hessian, 0.0, "K", problem.K),
            Stage("steps", (2 + real) * (count + 2 * long) * step, held, "n", problem.n),
            boxes,
            Stage("enclosures", 0.2 + min(7.0, 5e-5 * (problem.n + 1) * problem.D_w * count), 0.0),
            *proofs,
        )
    )


def _rows(n: int, d: int, steps: int, search: Search, is_drawn: bool = False) -> tuple[Stage, ...]:
    """Following prompts for so many steps: those cut from a table, or drawn where `is_drawn` says so."""
    if search.data is None and not is_drawn:
        return ()
    tokens = search.prompts * (n + 1)
    seconds = 2e-5 * search.prompts + 1e-8 * tokens * (d + 1) * (steps + 1)
    held = 8.0 * tokens * (4 * (d + 1) + 3 * (steps + 1))
    return (Stage("rows", seconds, held, "prompts", search.prompts),)


def preconditioned(problem: PreconditionedProblem, search: Search) -> Estimate:
    """Estimate of verifying `preconditioned`."""
    seconds = 4.5 + 3e-4 * problem.n + 0.3 * problem.L + 0.02 * problem.d**3
    followed_rows = _rows(problem.n, problem.d, problem.L, search)
    return Estimate((START, Stage("minima and training", seconds, 0.0, "n", problem.n), *followed_rows))


def functional(problem: FunctionalProblem, search: Search) -> Estimate:
    """Estimate of verifying `functional`."""
    n, d, L = problem.n, problem.d, problem.L
    exact = 1.7e-5 * n**3
    by = ("d", d) if d > n else ("n", n)
    inputs = 1e-4 * n**2 * d / 4 + 0.1 * (d / 64) ** 3
    return Estimate(
        (
            START,
            Stage("descent", 1.0 + 1e-3 * L + 1.1e-6 * L * n**2, 0.0, "L", L),
            Stage("kernels", 5.0 + exact + inputs, 8.0 * 2**10 * 80 * (n + 1) * d, *by),
            *_rows(n, n, L, search, is_drawn=True),
        )
    )


def looped(problem: LoopedProblem, search: Search) -> Estimate:
    """Estimate of verifying `looped`."""
    n, d, T = problem.n, problem.d, problem.T
    exact = 3e-9 * T**2 * d**3 + 2e-7 * n * d**2 * math.sqrt(T) + 1e-6 * n * d * T
    simulated = 4000 * (1.2e-8 * n * d + 1e-9 * n * d**2 + 1e-5 * d**1.5)
    by = ("d", d) if d > 16 else ("T", T)
    return Estimate(
        (
            START,
            Stage("loops", 2.0 + exact, 0.0, *by),
            Stage("condition numbers", simulated, 0.0, "n", n),
            *_rows(n, d, T, search, is_drawn=True),
        )
    )


_FINDING = 0.4
"""Seconds that one finding takes on average."""


def findings(count: int) -> Estimate:
    """Estimate of recomputing `count` findings."""
    return Estimate((START, Stage("findings", _FINDING * count)))
