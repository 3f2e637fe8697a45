"""The theorem `functional` (arXiv 2312.06528), judged: attention does gradient descent in function space."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import flint
import numpy as np
import sympy
import torch
from flint import arb, fmpq
from torch import Tensor

from icgd.bounds.algebra.definiteness import (
    RELU_WITNESS,
    Witness,
    circle_quotient,
    fourier_coefficient,
    linear_form_is_square,
    rayleigh,
)
from icgd.bounds.algebra.rationals import exact_matrix, to_flint
from icgd.bounds.algebra.stationary_family import stationarity_claim
from icgd.bounds.functional import (
    COMPARED,
    ROUNDING,
    SOURCE,
    FunctionalProblem,
    claims,
    descent_identity,
    peak,
)
from icgd.bounds.kernel import KERNELS
from icgd.bounds.progress import Progress, silent
from icgd.construct.functional import MODEL, Examples, FunctionalTransformer, build
from icgd.construct.regression_tokens import stream
from icgd.verify import workload
from icgd.verify.data.columns import Names
from icgd.verify.data.on_rows import ROW_OPTIONS, followed_on_rows, regression_reader, regression_rows
from icgd.verify.data.table import DataTable
from icgd.verify.kernels.given_inputs import (
    KERNEL_PRECISION,
    Convergence,
    distance_from_descent,
    distances_from_limit,
    exact_mismatch,
    kernel_balls,
    posed_convergence,
    rate_claim,
    rounding_in_balls,
)
from icgd.verify.kernels.matching import TRIALS, matched
from icgd.verify.kernels.prompts import draw_examples, kernel_referee, kernel_values
from icgd.verify.kernels.stationary_family import theorem_one
from icgd.verify.results import Cell, Curve, Grid, Plot, Results
from icgd.verify.search.prompts import seeded
from icgd.verify.theorem import Theorem
from icgd.verify.verdict import Status, Verdict, VerdictNumber, with_replay

NAME = "functional"
TITLE = "Transformers implement functional gradient descent"

Rows = Sequence[Sequence[float]]
"""A matrix as rows of floats, which are taken as exact rationals."""

_CERTIFIED = 3  # prompts on which balls are computed
_SAMPLED = 64
_EXACT_LAYERS = 12


def verify(
    problem: FunctionalProblem,
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    data: str | DataTable | None = None,
    table: str = "",
    inputs: Names = None,
    targets: Names = None,
    prompts: int = _SAMPLED,
    progress: Progress = silent,
    transformer: FunctionalTransformer | None = None,
    witness: Witness = RELU_WITNESS,
) -> Results:
    """Judge every claim on prompts drawn from the seed; transformer, witness: to judge in place of ours.

    data: a table from whose rows the prompts are cut, its inputs scaled into the ball of the radius.
    """
    judged = (transformer or build(problem)).to(device)
    generator, sizes = seeded(seed), {"d": problem.d, "n": problem.n, "count": prompts, "seed": seed}
    real = regression_rows(data, table, (inputs, targets), **sizes, radius=problem.radius)
    examples = (
        draw_examples(problem, prompts, generator)
        if real is None
        else Examples(real.x, real.y, real.query, real.answer)
    )
    asserted = list(claims(problem))
    replay = f"icgd verify {NAME} {problem.options} --seed {seed}"
    replay += f" --prompts {prompts}" if prompts != _SAMPLED else ""
    verdicts: list[Verdict] = []
    with progress("descent", 3) as advance:
        labels = judged.labels(*(part.to(device) for part in (examples.x, examples.y, examples.query))).cpu()
        verdicts += [_exact(judged, problem, examples), _rounding(judged, problem, examples, labels, device)]
        verdicts += [_heads(problem, examples)]
        parameters = next(claim for claim in asserted if claim.quantity == "parameters").value
        status: Status = "counted" if judged.parameters_count == parameters else "failed"
        evidence = f"{judged.parameters_count} entries, claim {parameters}"
        numbers: dict[str, VerdictNumber] = {"counted": judged.parameters_count, "claimed": parameters}
        verdicts.append(Verdict("functional/parameters", status, evidence, numbers=numbers))
        advance(3)
    with progress("certificates", _CERTIFIED) as advance:
        certificates = []
        for k in range(min(_CERTIFIED, len(examples.x))):
            certificates.append(posed_convergence(problem, problem.heads, *examples.plain(k), problem.rate))
            advance(1)
        verdicts += [_largest(problem, certificates), _rate(problem, labels, certificates)]
        if (first := certificates[0]) is not None and first.converges:
            asserted.append(rate_claim(problem, first, drawn=real is None))
        verdicts += [*_definite(problem, examples, witness), _softmax_limit(problem, examples)]
    with progress("matching", TRIALS) as advance:
        grid, plot, matching = matched(problem, generator, advance)
    stationary, left = theorem_one(generator, progress=progress)
    verdicts += [matching, *stationary]
    asserted.append(stationarity_claim())
    grids, plots = [_spectra(problem, examples), grid, left], [plot, _convergence(labels, certificates[0])]
    if real is not None:
        shown, drawing = followed_on_rows(
            labels, real, "layer", distances_from_limit(labels[..., -1].tolist(), certificates)
        )
        grids, plots = [shown, *grids], [drawing, *plots]
    return Results(
        problem=problem,
        seed=seed,
        verdicts=tuple(verdicts) if real else with_replay(verdicts, replay),
        claims=tuple(asserted),
        census=judged.census(),
        grids=grids,
        plots=plots,
        data=real.use if real else None,
    )


def _exact(judged: FunctionalTransformer, problem: FunctionalProblem, examples: Examples) -> Verdict:
    """Compare layers with the actual weights with descent over the rationals, for any kernel values."""
    points, y = examples.plain(0)
    # Numbers grow by some 120 bits per layer, so only the first layers are computed; they reveal any error.
    layers, key = min(problem.L, _EXACT_LAYERS, len(judged.V)), f"{NAME}/descent"
    how = problem.scale, problem.normaliser
    stand_in = [kernel_values(name, np.array([points]), *how)[0, :-1].tolist() for name in problem.heads]
    weights = [list(zip(*(part[k].tolist() for part in (judged.V, judged.B, judged.C)), strict=True))
               for k in range(layers)]  # fmt: skip
    mismatch = exact_mismatch(weights, points, y, stand_in, problem.rate, problem.scale)
    copies = len(judged.V) == problem.L and all(
        bool((part[layers:] == part[:1]).all()) for part in (judged.V, judged.B, judged.C)
    )
    if mismatch or not copies or not descent_identity():
        return Verdict(key, "failed", mismatch or "the later layers are not copies of the first")
    everywhere = all(_is_descent(heads, problem.rate, problem.scale) for heads in weights)
    return Verdict(
        key,
        "proved" if everywhere else "proved on given prompts",
        f"{layers} layers with the actual weights equal descent over the rationals on {problem.n} examples, "
        f"and the other {problem.L - layers} are copies; two layers with free symbols equal it identically"
        + ("; V, B and C are those of descent, so this holds on every prompt" if everywhere else ""),
        means="exact",
    )


def _is_descent(heads: Sequence[tuple[Rows, Rows, Rows]], rate: float, scale: float) -> bool:
    """Whether a layer subtracts rate times the labels weighted by k(scale <x_i, x_j>), for every input.

    This holds if in each head only the corner of V is nonzero, and is -rate, and B^T C is scale times I.
    """
    for V, B, C in heads:
        value, last = exact_matrix(V), len(V) - 1
        wanted = [[fmpq(0)] * len(V) for _ in V]
        product = exact_matrix(B).transpose() * exact_matrix(C)
        wide = [[to_flint(scale) * int(i == j) for j in range(len(B))] for i in range(len(B))]
        corner, wanted[last][last] = value[last, last], value[last, last]
        if corner != -to_flint(rate) or value.tolist() != wanted or product.tolist() != wide:
            return False
    return True


def _rounding(
    judged: FunctionalTransformer,
    problem: FunctionalProblem,
    examples: Examples,
    labels: Tensor,
    device: torch.device | str,
) -> Verdict:
    """Compare both readings in floats with the referee on all prompts, and with balls on a few."""
    key, how = f"{NAME}/rounding", (problem.scale, problem.normaliser)
    expected = kernel_referee(problem.heads, examples, problem.rate, problem.L, *how)
    if labels.shape != expected.shape:
        return Verdict(key, "failed", f"{len(labels) - 1} layers for {problem.L} steps")
    if not np.isfinite(expected).all():
        return Verdict(key, "inapplicable", "descent leaves float64: a smaller r or L is needed")
    scale = max(1.0, float(np.abs(expected).max()))
    structured = float(np.abs(labels.numpy() - expected).max()) / scale
    H = stream(examples.x, examples.y, examples.query).to(device)
    literal = float(np.abs(judged(H).cpu().numpy()[..., -1] - expected[-1]).max()) / scale
    ends = [distance_from_descent(problem, *examples.plain(k), labels[-1, k].tolist())
            for k in range(min(_CERTIFIED, len(examples.x)))]  # fmt: skip
    certified, in_balls = rounding_in_balls(ends, scale)
    largest = max(structured, literal, certified)
    status: Status = "held" if largest <= ROUNDING else "failed"
    return Verdict(
        key,
        status,
        f"relative to {scale:.3g}: structured {structured:.2g}, literal {literal:.2g} over {len(examples.x)} "
        f"prompts; {in_balls}; {ROUNDING:g} allowed",
        numbers={"largest": largest, "allowed": ROUNDING, "prompts": len(examples.x)},
    )


def _shown(problem: FunctionalProblem) -> tuple[str, ...]:
    """The kernels that the paper compares, and those of the problem."""
    return tuple(dict.fromkeys((*COMPARED, *problem.heads)))


def _heads(problem: FunctionalProblem, examples: Examples) -> Verdict:
    """Compare every kernel alone, and their sum with one head each, with the referee."""
    found = {}
    for name in (*_shown(problem), "+".join(COMPARED)):
        posed = replace(problem, kernel=name, r=0.0)
        labels = build(posed).labels(examples.x, examples.y, examples.query).numpy()
        expected = kernel_referee(posed.heads, examples, posed.rate, posed.L, posed.scale, posed.normaliser)
        found[name] = float(np.abs(labels - expected).max()) / max(1.0, float(np.abs(expected).max()))
    status: Status = "held" if max(found.values()) <= ROUNDING else "failed"
    shown = ", ".join(f"{name} {value:.2g}" for name, value in found.items())
    return Verdict(f"{NAME}/heads", status, f"largest relative difference over {len(examples.x)}: {shown}")


def _largest(problem: FunctionalProblem, certificates: Sequence[Convergence | None]) -> Verdict:
    key, known = f"{NAME}/largest-eigenvalue", [c for c in certificates if c is not None]
    if not known:
        return Verdict(key, "inapplicable", "softmax in a sum: the matrix has no symmetric form")
    largest = max(float(certificate.largest.upper()) for certificate in known)
    bound = problem.n * peak(problem.heads, problem.reach, problem.n)
    # The radii of drawn points are rounded, so their squares may exceed the bound slightly.
    status: Status = "held" if largest <= bound * (1 + 1e-12) else "failed"  # the claim is about all inputs
    evidence = f"at most {largest:.6g} by balls on {len(known)} prompts, claim {bound:.6g}"
    numbers = {"largest": largest, "allowed": bound, "prompts": len(known)}
    return Verdict(key, status, evidence, numbers=numbers)


def _rate(problem: FunctionalProblem, labels: Tensor, certificates: Sequence[Convergence | None]) -> Verdict:
    """Certify that f_l(x_q) is at most C rho^l from the limit of descent after every layer l."""
    key = f"{NAME}/rate"
    known = [found for found in certificates if found is not None]
    if not known:
        return Verdict(key, "inapplicable", "softmax in a sum: the step has no symmetric form")
    smallest = min((certificate.smallest for certificate in known), key=float)
    if smallest < 0:
        growth = float((1 - arb(problem.rate) * smallest).lower())
        why = f"the Gram matrix has the certified eigenvalue {_show(smallest)}: no kernel has it, and along "
        why += f"its eigenvector the residual grows by {growth:.6g} a layer"
        return Verdict(key, "inapplicable", why)
    if not all(certificate.smallest > 0 for certificate in known):
        why = f"lambda_min is enclosed by {_show(smallest)}, so the factor 1 - r lambda_min is 1"
        return Verdict(
            key,
            "vacuous",
            why
            + (" (rank at most d < n)" if problem.n > problem.d and set(problem.heads) == {"linear"} else ""),
        )
    if not all(certificate.converges for certificate in known):
        limit = 2 / max(float(certificate.largest.upper()) for certificate in known)
        why = f"r = {problem.rate:.4g} is not below 2/lambda_max = {limit:.4g}"
        return Verdict(key, "inapplicable", why)
    closest, decided, slack = 0.0, True, ROUNDING * max(1.0, float(labels.abs().max()))
    with flint.ctx.workprec(KERNEL_PRECISION):
        for k, certificate in enumerate(known):
            for layer, value in enumerate(labels[:, k, -1].tolist()):
                distance = abs(certificate.limit + arb(value))
                allowed = certificate.constant * certificate.rho**layer
                if distance > allowed + arb(slack):
                    what = f"prompt {k}, layer {layer}: distance {_show(distance)}, allowed {_show(allowed)}"
                    return Verdict(key, "failed", what)
                decided &= bool(distance <= allowed + arb(slack))
                closest = max(closest, float(distance.upper() / (allowed + arb(slack)).lower()))
    if not decided:
        return Verdict(key, "vacuous", f"balls of {KERNEL_PRECISION} bits are too wide to tell")
    rho = max(float(certificate.rho.upper()) for certificate in known)
    symmetric = any(KERNELS[name].normalised for name in problem.heads)
    limit_of = "s_q^T S^-1 z" if symmetric else "k_q^T K^-1 y"
    return Verdict(
        key,
        "proved on given prompts",
        f"|f_l(x_q) - {limit_of}| <= C rho^l + {slack:.3g} for l = 0..{len(labels) - 1} by balls on "
        f"{len(known)} prompts: rho <= {rho:.8g}, C <= {max(float(c.constant.upper()) for c in known):.4g}, "
        f"at most {closest:.3g} of what is allowed",
        means="balls",
    )  # fmt: skip


def _show(ball: arb) -> str:
    return str(ball.str(8, radius=False)) if not ball.contains(0) else f"0 +/- {float(ball.abs_upper()):.2g}"


def _definite(problem: FunctionalProblem, examples: Examples, witness: Witness) -> Iterator[Verdict]:
    """Judge which similarities are positive definite kernels, each with its proof."""
    yield Verdict.proved_if(
        linear_form_is_square(),
        f"{NAME}/linear-semidefinite",
        "c^T K c = norm2(sum c_i x_i)^2, expanded for free symbols (3 points of the plane); rank at most d",
        by="exact",
    )
    for kernel_name in ("exp", "softmax"):
        count = min(_CERTIFIED, len(examples.x))
        found = [posed_convergence(problem, (kernel_name,), *examples.plain(k), 1.0) for k in range(count)]
        smallest = min((certificate.smallest for certificate in found if certificate), key=float)
        positive = all(certificate is not None and certificate.smallest > 0 for certificate in found)
        evidence = f"lambda_min = {_show(smallest)} at least, by LDL^T in balls on {count} prompts"
        if kernel_name == "softmax":
            kernel = kernel_balls(("softmax",), examples.plain(0)[0], problem.scale, problem.normaliser)
            gap = abs(kernel[0][1] - kernel[1][0]) if problem.n > 1 else arb(0)
            evidence = f"no kernel: |h_12 - h_21| = {_show(gap)}; similar to a symmetric matrix, {evidence}"
            positive = positive and bool(gap > 0)
            name = "softmax-similar"
        else:
            evidence += "; for all inputs semidefinite, a power series with positive coefficients"
            name = "exp-definite"
        if positive:
            yield Verdict(f"{NAME}/{name}", "proved on given prompts", evidence, means="balls")
        else:
            yield Verdict(f"{NAME}/{name}", "vacuous", evidence)
    exact, circle, coefficient = rayleigh("relu", witness), circle_quotient(), fourier_coefficient(4)
    refuted = exact < 0 and bool(circle < 0) and coefficient < 0
    yield Verdict.proved_if(
        refuted,
        f"{NAME}/relu-indefinite",
        f"points {witness.points}, weights {witness.weights}: Rayleigh quotient {exact} in integers; "
        f"8 points of the circle: {_show(circle)}, 1 - √2; Fourier coefficient of degree 4: "
        f"{str(coefficient / sympy.pi).replace('*pi', ' π')}",
        by="exact",
    )


def _softmax_limit(problem: FunctionalProblem, examples: Examples) -> Verdict:
    """The fixed point of softmax is not the Bayes predictor of exp: a certified gap on one prompt."""
    softmax, exponential = (
        posed_convergence(problem, (name,), *examples.plain(0), 1.0) for name in ("softmax", "exp")
    )
    assert softmax is not None and exponential is not None
    gap = abs(softmax.limit - exponential.limit)
    return Verdict.proved_if(
        bool(gap > 0),
        f"{NAME}/softmax-limit",
        f"softmax tends to {_show(softmax.limit)} and exp to {_show(exponential.limit)} on one prompt: "
        "softmax regresses s(x) y(x), s the normaliser, and divides by s(x_q)",
        by="balls",
        otherwise="vacuous",
    )


def _spectra(problem: FunctionalProblem, examples: Examples) -> Grid:
    """The table of similarities on one prompt."""
    rows: list[tuple[Cell, ...]] = []
    for name in _shown(problem):
        posed = replace(problem, kernel=name, r=0.0)
        certificate = posed_convergence(problem, (name,), *examples.plain(0), posed.rate)
        assert certificate is not None
        low = certificate.smallest
        fate = "converges" if certificate.converges else "diverges" if low < 0 else "stalls off range K"
        rho = float(certificate.rho.upper())
        limit = _show(certificate.limit) if certificate.converges else None
        rows.append((name, _show(low), _show(certificate.largest), posed.rate, rho, fate, limit))
    columns = ("kernel", "lambda_min", "lambda_max", "r", "factor", "descent", "limit")
    note = "enclosed in balls on the first prompt; softmax: of its symmetric form"
    return Grid("Kernels on one prompt", columns, tuple(rows), note)


def _convergence(labels: Tensor, first: Convergence | None) -> Plot:
    curves: tuple[Curve, ...] = ()
    if first is not None and first.converges:
        layers = tuple(float(layer) for layer in range(len(labels)))
        limit, rho, constant = (float(part) for part in (first.limit, first.rho, first.constant))
        distance = tuple(abs(value + limit) for value in labels[:, 0, -1].tolist())
        bound = tuple(constant * rho**layer for layer in layers)
        curves = (Curve("measured", layers, distance), Curve("certified bound", layers, bound))
    return Plot("Distance to the limit of descent, one prompt", "layer", "distance", curves, "y")


THEOREM = Theorem(
    name=NAME,
    title=TITLE,
    source=f"{SOURCE}, Propositions 1 to 3 and Theorem 1",
    letters=FunctionalProblem,
    claims=claims,
    judge=verify,
    judged=(
        "descent",
        "rounding",
        "heads",
        "parameters",
        "largest-eigenvalue",
        "rate",
        "linear-semidefinite",
        "exp-definite",
        "softmax-similar",
        "relu-indefinite",
        "softmax-limit",
        "matching",
        "theorem-1/linear",
        "theorem-1/symmetry",
        "theorem-1/off-family",
        "theorem-1/critical-point",
        "theorem-1/hypotheses",
        "theorem-1/infimum",
    ),
    own=frozenset({"rounding", "heads", "parameters", "largest-eigenvalue", "theorem-1/symmetry"}),
    model=MODEL,
    options=ROW_OPTIONS,
    draws_prompts=True,
    read=regression_reader(FunctionalProblem),
    estimate=workload.functional,
)
