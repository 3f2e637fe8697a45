"""The theorem `softmax-icgd` (arXiv 2411.16549, Theorem 2), judged: softmax attention, polynomial width."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from icgd.bounds.claims import Claim
from icgd.bounds.letters import ProblemError
from icgd.bounds.problem import Problem
from icgd.bounds.progress import Advance, Progress, silent
from icgd.bounds.softmax_icgd import SOURCE, SoftmaxPlan, claims, four_layers, halved, plan_softmax
from icgd.construct.block.census import layer_counts
from icgd.construct.block.dense import dense_bytes
from icgd.construct.block.grid_interpolation import FourLayerTransformer
from icgd.construct.machine.device import check_arithmetic
from icgd.construct.machine.memory import refuse_softmax_if_too_large
from icgd.construct.prompt import Prompt
from icgd.construct.softmax_icgd import (
    MODEL,
    DenseSoftmaxTransformer,
    SoftmaxTransformer,
    assemble_softmax,
    build,
)
from icgd.verify import workload
from icgd.verify.block.two_readings import STRUCTURED, structured_verdict
from icgd.verify.certificate.issue import as_read, posed_letters
from icgd.verify.certificate.proof import mismatch, not_proved, refusal, unchecked
from icgd.verify.certificate.softmax_program import softmax_certificate
from icgd.verify.data.columns import Names
from icgd.verify.data.descent_rows import descent_reader, descent_rows
from icgd.verify.data.on_rows import ROW_OPTIONS
from icgd.verify.data.table import DataTable
from icgd.verify.descent import step_error
from icgd.verify.results import Curve, Grid, Plot, Results
from icgd.verify.search.excerpt import MOST_NUMBERS, TOKENS, excerpt, followed, part_of, steps
from icgd.verify.search.prompts import random_prompts, seeded
from icgd.verify.search.random_moves import MOVE_ROUNDS, WORST_KEPT, MovesFound, search
from icgd.verify.search.sweep import Stepper, one_step_errors
from icgd.verify.theorem import Theorem
from icgd.verify.verdict import Status, Verdict

NAME = "softmax-icgd"
TITLE = "Softmax transformers simulate gradient descent on an N-layer network"

_LITERAL_LIMIT = 1 << 28  # bytes of full matrices that the check of the literal reading may write out
_SAME = 1e-12  # the literal and the structured reading differ by rounding only
_CELLS, _WIDTHS, _TOLERANCES = (1, 2, 3, 4, 6, 8, 12), (2, 3, 4, 6), (1.0, 0.3, 0.1, 0.03, 0.01, 1e-3)


def verify(
    problem: Problem,
    *,
    samples: int = 10_000,
    seed: int = 0,
    transformer: SoftmaxTransformer | None = None,
    device: torch.device | str = "cpu",
    data: str | DataTable | None = None,
    table: str = "",
    inputs: Names = None,
    targets: Names = None,
    prompts: int = 64,
    progress: Progress = silent,
) -> Results:
    """Judge sizes, step error, loops, the uniform head, the masked query, growth with K, and four layers.

    data: a table whose prompts are followed instead of random ones.
    transformer: one to judge in place of our own; its problem is `halved(problem)`.
    Raises ProblemError where the construction does not apply.
    """
    check_arithmetic(device)
    planned = plan_softmax(halved(problem), progress=progress)
    judged = (transformer or assemble_softmax(planned)).to(device)
    short = planned if transformer else excerpt(planned)
    searched = judged if short is planned else assemble_softmax(short).to(device)
    generator, asserted = seeded(seed), claims(problem)
    counted: dict[str, int | float] = dict(layer_counts(judged))
    with progress("sweep", samples + MOVE_ROUNDS * WORST_KEPT) as advance:
        found = search(searched, samples, generator, device, advance)
    bound, allowed = 2 * planned.bound, problem.eps  # in the units of the gradient of Theorem 2's loss
    with progress("certificate", 3) as advance:
        certificate = as_read(softmax_certificate(planned))
        advance(1)
        reason = refusal(certificate, posed_letters(problem), "softmax")
        advance(1)
        if reason is not None:
            reason = unchecked(planned.layers) or not_proved(problem, reason)
        elif apart := mismatch(certificate, judged.literal()):
            reason = not_proved(problem, apart, matrices=True)
        advance(1)
    # Every token holds all of w: where a prompt takes too much memory, one of few examples is followed.
    whole = judged if (judged.problem.n + 1) * judged.stream.D <= TOKENS else searched
    cut = {"count": followed(whole.problem, prompts), "seed": seed}
    real = descent_rows(whole.problem, data, table, (inputs, targets), **cut, weights="random")
    prompt = random_prompts(whole.problem, followed(whole.problem, 32), generator, device)
    prompt = prompt if real is None else real.prompt.to(device)
    small_batch = prompt[:4] if whole is searched else random_prompts(searched.problem, 4, generator, device)
    on_path = float(one_step_errors(whole, prompt).max()) / judged.problem.eta
    with progress("four layers", len(_WIDTHS) + len(_TOLERANCES)) as advance:
        grids, plots, compared = _comparisons(problem, int(counted["total_units"]), generator, seed, advance)
    verdicts = (
        *_sizes(asserted, counted),
        _with_parts(
            _step_verdict(whole, planned, found, on_path, certificate, reason),
            searched,
            whole,
            judged.problem,
        ),
        _loop_verdict(whole, prompt, min(bound, allowed), real.use.source if real else ""),
        _uniform_verdict(judged, generator, device),
        _masked_verdict(whole, prompt),
        _literal_verdict(searched, small_batch),
        structured_verdict(NAME, judged, planned.layers, int(counted["parameters"])),
        *compared,
    )
    return Results(
        problem=problem,
        seed=seed,
        verdicts=verdicts,
        claims=asserted,
        census=counted,
        step_error=found.sandwich(on_path, planned.problem, planned.bound) if searched is judged else None,
        grids=grids,
        plots=plots,
        certificate=certificate,
        data=real.use if real else None,
    )


def _sizes(asserted: tuple[Claim, ...], counted: dict[str, int | float]) -> Iterator[Verdict]:
    for claim in asserted:
        if claim.quantity != "step_error":
            value, count = claim.value, counted[claim.quantity]
            kept = count == value if claim.relation == "==" else count <= value
            evidence, sizes = (
                f"census {count:,}, claim {claim.relation} {value:,}",
                {"counted": count, "claimed": value},
            )
            exact: Status = "counted" if isinstance(count, int) else "held"
            yield Verdict(claim.key, exact if kept else "failed", evidence, numbers=sizes)


def _step_verdict(
    judged: SoftmaxTransformer,
    planned: SoftmaxPlan,
    found: MovesFound,
    on_path: float,
    certificate: Mapping[str, Any],
    reason: str | None,
) -> Verdict:
    """Proved if the certificate of these matrices is accepted and no prompt shows a larger error.

    on_path: the largest norm2(err)/eta on the followed prompts.
    reason: why the certificate is refused, or where the matrices differ from its program.
    """
    # Theorem 2's gradient is twice that of the 1/(2n) convention, and so are errors over its eta.
    bound, allowed = 2 * planned.bound, 2 * planned.problem.eps
    largest = 2 * max(found.searched, on_path)
    kept = largest <= min(bound, allowed) + _resolution(judged)
    evidence = (
        f"largest norm2(err)/eta {largest:.3g} of eps = {allowed:.3g}: {2 * found.sampled:.3g} over "
        f"{found.samples:,} random prompts, then {found.steps:,} random moves from the worst; "
    )
    if reason is None:
        evidence += (
            f"the bound is {bound:.3g} for every prompt and w in W, by certificate of the weights "
            f"{certificate['weights'][:12]} with {certificate['splits'].count(0):,} cells, which an "
            "independent checker accepts (eta and eps of (1/n) sum are 2 eta and eps/2 of (1/(2n)) sum)"
        )
    else:
        evidence += reason
    key, told = f"{NAME}/step-error", {"largest": largest, "allowed": allowed, "samples": found.samples}
    if kept and reason is None:
        return Verdict(key, "proved", evidence, means="certificate", numbers=told | {"bound": bound})
    return Verdict(key, "held" if kept else "failed", evidence, numbers=told)


def _with_parts(
    verdict: Verdict, searched: SoftmaxTransformer, whole: SoftmaxTransformer, problem: Problem
) -> Verdict:
    """The verdict, with the numbers of examples searched and followed where these are not all."""
    if searched.problem.n == problem.n:
        return verdict
    evidence = (
        f"{verdict.evidence}; searched prompts have {searched.problem.n} examples, on the same plan "
        f"assembled for that number, and followed ones {part_of(whole.problem.n, problem.n)}"
    )
    return replace(verdict, evidence=evidence)


def _resolution(judged: SoftmaxTransformer) -> float:
    """The accuracy of norm2(err)/eta measured in float64: the rounding of the weights over eta."""
    problem = judged.problem
    return 2.0**-46 * (1 + math.sqrt(problem.D_w) * problem.B_v / problem.eta)


def _loop_verdict(judged: SoftmaxTransformer, prompt: Prompt, limit: float, source: str) -> Verdict:
    problem = judged.problem
    count = steps(problem, prompt.batch, each=judged.stream.D)
    path = judged.simulate(prompt, count)
    errors = [
        float(step_error(problem, prompt.with_weights(before), after).max()) * 2 / problem.eta
        for before, after in pairwise(path)
    ]
    largest = math.inf if any(math.isnan(e) for e in errors) else max(errors)
    kept = largest <= limit + _resolution(judged)
    evidence = (
        f"norm2(err)/eta at most {largest:.3g} in each of {part_of(count, problem.L)} steps on "
        f"{prompt.batch} prompts" + f" of {source}" * bool(source)
    )
    told = {"largest": largest, "allowed": limit, "steps": count, "prompts": prompt.batch}
    return Verdict(f"{NAME}/loop", "held" if kept else "failed", evidence, numbers=told)


def _uniform_verdict(
    judged: SoftmaxTransformer, generator: torch.Generator, device: torch.device | str
) -> Verdict:
    """Compare the head with an exactly rounded mean, which shares no code with it."""
    problem = judged.problem
    prompts = max(1, min(256, MOST_NUMBERS // (3 * (problem.n + 1))))
    # In Theorem 2's own letters -eta (n+1)/n: eta here is twice that, and the entries carry no 1/2.
    scale = -problem.eta / 2 * (problem.n + 1) / problem.n
    values = torch.randn(prompts, problem.n + 1, 3, generator=generator, dtype=torch.float64)
    attended = judged.head(values.to(device)).cpu().numpy()
    exact = np.array(
        [[scale * math.fsum(column) / (problem.n + 1) for column in one.T] for one in values.numpy()]
    )
    worst = float(np.abs(attended - exact).max() / (abs(scale) * float(values.abs().max())))
    kept = worst <= (problem.n + 8) * 2.0**-52
    evidence = (
        f"softmax attention with equal keys is -eta (n+1)/n times the mean of n+1 = {problem.n + 1} tokens, "
        f"to {worst:.2g} of the largest entry, on {prompts} prompts"
    )
    return Verdict(f"{NAME}/uniform-attention", "held" if kept else "failed", evidence)


def _masked_verdict(judged: SoftmaxTransformer, prompt: Prompt) -> Verdict:
    """Check that another query does not change the step."""
    moved = replace(prompt, query=-prompt.query.flip(0))
    apart = float((judged.step(prompt) - judged.step(moved)).abs().max()) / judged.problem.eta
    kept = apart <= 2.0**-40 + _resolution(judged)
    evidence = f"a step changes by {apart:.2g} eta when the query is replaced, on {prompt.batch} prompts"
    return Verdict(f"{NAME}/query-masked", "held" if kept else "failed", evidence)


def _literal_verdict(judged: SoftmaxTransformer, prompt: Prompt) -> Verdict:
    key, size = f"{NAME}/matrices", dense_bytes(judged)
    if size > _LITERAL_LIMIT:
        why = f"the full matrices would take {size / 2**20:,.0f} MiB, {_LITERAL_LIMIT >> 20} MiB are allowed"
        return Verdict(key, "inapplicable", why)
    stream, stepped = judged.stream, judged.step(prompt).cpu()
    after = DenseSoftmaxTransformer(judged)(stream.pack(stream.open(prompt.to("cpu"))))
    apart = float((after[..., stream.weights] - stepped[:, None]).abs().max())
    scratch = after[..., stream.weights.stop : stream["one"].start].abs().max()
    kept = apart <= _SAME and float(scratch) <= _SAME
    evidence = (
        f"the matrices under softmax attention and relu agree to {apart:.2g} in every token, "
        f"scratch is cleared to {float(scratch):.2g}, on {prompt.batch} prompts"
    )
    return Verdict(key, "held" if kept else "failed", evidence)


def _comparisons(
    problem: Problem, units: int, generator: torch.Generator, seed: int, advance: Advance
) -> tuple[tuple[Grid, ...], tuple[Plot, ...], tuple[Verdict, ...]]:
    """Growth with K, and four layers compared with ours; no comparison where a size cannot be built."""
    try:
        growth, polynomial = _growth(problem, advance)
        grids, plot, comparison = _four_layers(problem, units, generator, seed, advance)
    except ProblemError as error:
        names, why = ("polynomial-width", "four-layers"), f"not compared, as a size cannot be built: {error}"
        return (), (), tuple(Verdict(f"{NAME}/{name}", "inapplicable", why) for name in names)
    return (growth, *grids), (plot,), (polynomial, comparison)


def _growth(problem: Problem, advance: Advance) -> tuple[Grid, Verdict]:
    """Sizes against D_w as only K grows, with N >= 2, so that K matters, and eps at least 0.01."""
    eps = max(problem.eps, 1e-2)  # a smaller eps takes longer and does not change the exponents of D_w
    posed = [replace(problem, N=max(problem.N, 2), K=K, eps=eps) for K in _WIDTHS]
    rows = []
    for one in posed:
        built, grid = layer_counts(build(one)), four_layers(halved(one))
        rows.append(
            (one.K, one.D_w, built["width"], built["mlp_width"], built["parameters"], grid.log10_nodes)
        )
        advance(1)
    log = np.log(np.array([row[:5] for row in rows], dtype=float))
    width, mlp, parameters = ((log[-1, c] - log[0, c]) / (log[-1, 1] - log[0, 1]) for c in (2, 3, 4))
    kept = all(
        row[column] <= claim.value
        for one, row in zip(posed, rows, strict=True)
        for claim in claims(one)
        for column in [{"width": 2, "mlp_width": 3}.get(claim.quantity, 0)]
        if column
    )
    columns = ("K", "D_w", "width", "MLP width", "parameters", "log10 of grid nodes, four layers")
    note = f"N = {posed[0].N}, d = {problem.d}, eps = {eps:g}; grid by explicit constants"
    verdict = Verdict(
        f"{NAME}/polynomial-width",
        "held" if kept else "failed",
        f"width grows like D_w^{width:.2f}, MLP width like D_w^{mlp:.2f}, "
        f"parameters like D_w^{parameters:.2f} "
        f"from K = {_WIDTHS[0]} to {_WIDTHS[-1]}, within the claims at each of {len(rows)} sizes",
    )
    return Grid("Growth with K at the same eps", columns, tuple(rows), note), verdict


def smallest(problem: Problem, eps: float) -> Problem:
    """The smallest nontrivial problem of this kind: one weight, three variables (w, x, y)."""
    return replace(problem, N=1, K=1, d=1, d_out=1, n=1, eps=eps)


def _four_layers(
    problem: Problem, units: int, generator: torch.Generator, seed: int, advance: Advance
) -> tuple[tuple[Grid, Grid], Plot, Verdict]:
    """The size of four layers: counted for this problem, built and measured for the smallest one."""
    posed, tiny = four_layers(halved(problem)), smallest(problem, problem.eps)
    least, of_least = four_layers(halved(tiny)), layer_counts(build(tiny))["total_units"]
    counted = Grid(
        "Four layers by a grid: what suffices",
        ("problem", "variables", "log10 nodes", "factor when eps is halved", "hidden units of ours"),
        (
            ("this one", posed.variables, posed.log10_nodes, posed.per_halving, units),
            ("smallest", least.variables, least.log10_nodes, least.per_halving, of_least),
        ),
        "nodes prod_i (ceil(2 R_i m Lip_i / eps) + 1), m = D_w + d + d_out, Lip_i from the error recurrence",
    )
    prompt = random_prompts(halved(tiny), 400, generator)

    def measured(stepper: Stepper) -> float:
        return float(one_step_errors(stepper, prompt).max()) * 2 / stepper.problem.eta

    grid, ours = [], []
    for cells in _CELLS:
        four = FourLayerTransformer(halved(tiny), cells)
        grid.append((four.mlp_width, measured(four), cells))
    for eps in _TOLERANCES:
        deep = build(smallest(problem, eps))
        size = layer_counts(deep)
        ours.append((size["mlp_width"], measured(deep), size["layers"]))
        advance(1)
    rows = [
        *(("four layers", 4, f"cells a side: {cells}", width, error) for width, error, cells in grid),
        *(
            ("ours", layers, f"eps = {eps:g}", width, error)
            for (width, error, layers), eps in zip(ours, _TOLERANCES, strict=True)
        ),
    ]
    built = Grid(
        "The smallest problem, built both ways",
        ("construction", "layers", "made for", "MLP width", "largest norm2(err)/eta"),
        tuple(rows),
        f"N = d = d_out = n = 1, the same {prompt.batch} random prompts, seed {seed}",
    )
    curves = (
        Curve("four layers, grid", tuple(float(r[0]) for r in grid), tuple(r[1] for r in grid)),
        Curve("ours, 4N+2 layers", tuple(float(r[0]) for r in ours), tuple(r[1] for r in ours)),
    )
    plot = Plot("Error against width, smallest problem", "MLP width", "largest norm2(err)/eta", curves, "xy")
    return (counted, built), plot, _compared(problem, posed.log10_nodes, posed.variables, units, grid, ours)


def _compared(
    problem: Problem,
    log10_nodes: float,
    variables: int,
    units: int,
    grid: list[tuple[int, float, int]],
    ours: list[tuple[int, float, int]],
) -> Verdict:
    def slope(rows: list[tuple[int, float, int]]) -> str:
        (w0, e0, _), (w1, e1, _) = rows[max(0, len(rows) - 4)], rows[-1]
        seen = min(e0, e1) > 0 and w0 != w1
        return f"like W^{math.log(e1 / e0) / math.log(w1 / w0):.2f}" if seen else "rounding alone"

    best = grid[-1]
    same = next((row for row in ours if row[1] <= best[1]), None)
    reached = next((row for row in grid if row[1] <= problem.eps), None)
    evidence = (
        f"{variables} variables: a grid that suffices has 10^{log10_nodes:.1f} nodes, "
        f"ours {units:,} hidden units; "
        f"smallest problem: four layers of width {best[0]:,} reach {best[1]:.2g}"
    )
    if same:
        evidence += f", ours of width {same[0]:,} reaches {same[1]:.2g}"
    evidence += f"; its error in the width W: {slope(grid)}, ours {slope(ours)}"
    key = f"{NAME}/four-layers"
    if reached is None:
        why = f"; no grid up to {best[2]} cells a side is within eps = {problem.eps:g}"
        return Verdict(key, "inapplicable", evidence + why)
    falls = best[1] < grid[0][1]
    evidence += f"; of the grids tried the first within eps = {problem.eps:g} has width {reached[0]:,}"
    return Verdict(key, "held" if falls else "failed", evidence)


_SIZES, _READ = ("layers", "heads", "width", "mlp-width"), ("matrices", STRUCTURED)
_OWN = (*_SIZES, "step-error", "loop", "uniform-attention", "query-masked", *_READ, "four-layers")

THEOREM = Theorem(
    name=NAME,
    title=TITLE,
    source=SOURCE,
    letters=Problem,
    claims=claims,
    judge=verify,
    judged=(*_OWN, "polynomial-width"),
    own=frozenset(_OWN),
    model=MODEL,
    options=ROW_OPTIONS,
    read=descent_reader(),
    fits=refuse_softmax_if_too_large,
    estimate=workload.softmax_icgd,
)
