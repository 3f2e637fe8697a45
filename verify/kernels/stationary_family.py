"""Judges Theorem 1 of arXiv 2312.06528: the gradient stays in the family of functional descent.

Labels are integrated out: a loss that is quadratic in them needs only their covariance.  Inputs are averaged
over whole orbits of the signed permutations: each orbit is an invariant distribution, and every invariant
distribution is a mixture of such orbits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor

from icgd.bounds.algebra.stationary_family import (
    AS_STATED,
    OFF_FAMILY,
    IntegerMatrix,
    LinearSetting,
    averages_to_trace,
    idle_rate,
    linear_gradient,
    quarter_turns,
    signed_permutations,
)
from icgd.bounds.functional import COMPARED
from icgd.bounds.progress import Progress, silent
from icgd.construct.functional import FunctionalTransformer, similarity
from icgd.verify.kernels.prompts import similar
from icgd.verify.linear_attention.training import train
from icgd.verify.results import Cell, Grid
from icgd.verify.verdict import Means, Status, Verdict

_ORBITS = 8
_LAYERS = 2
_EXAMPLES = 3
_EXACT_LAYERS = 3
_CLEAR = 1e-2
"""The least gradient, relative to that of one prompt, that shows that a hypothesis is needed."""

_IDLE = 1e-6
"""A critical point counts as the idle one, b = c = 0, if no entry of B or C is larger than this."""

BREAKS = ("another S", "no orbit", "no reflections", "labels", "activation")
"""The ways to break one hypothesis at a time; see `orbits`."""


@dataclass(frozen=True, eq=False)
class Orbits:
    """Equally likely prompts of n examples and a query, and the family that is judged on them.

    x: inputs, the query last.  covariance: of their labels.  family: D in B_l = b_l D and C_l = c_l D.
    skew: A in the activation h(U, A W); I is the theorem's.
    """

    x: Float[Tensor, "K T d"]
    covariance: Float[Tensor, "K T T"]
    family: Float[Tensor, "d d"]
    skew: Float[Tensor, "d d"]

    def only(self, index: int) -> Orbits:
        """The single prompt with this index."""
        rows = slice(index, index + 1)
        return Orbits(self.x[rows], self.covariance[rows], self.family, self.skew)


@dataclass(frozen=True, eq=False)
class Point:
    """Parameters of L layers, or a gradient in them: r (L), B and C (L, d, d)."""

    r: Float[Tensor, " L"]
    B: Float[Tensor, "L d d"]
    C: Float[Tensor, "L d d"]

    @property
    def norm(self) -> float:
        """The 2-norm of all entries."""
        return float(sum(part.square().sum() for part in (self.r, self.B, self.C)) ** 0.5)

    def within(self, family: Float[Tensor, "d d"]) -> float:
        """For a gradient: the norm of the gradient in (r, b, c)."""
        slopes = torch.cat([(part * family).sum((-2, -1)) for part in (self.B, self.C)])
        return float(torch.cat([self.r, slopes]).norm())

    def off(self, family: Float[Tensor, "d d"]) -> float:
        """For a gradient: the norm of its part in B D^-1 and C D^-1 that is not a multiple of I."""
        eye = torch.eye(len(family), dtype=family.dtype)
        total = 0.0
        for part in (self.B, self.C):
            inner = part @ family.mT
            trace = inner.diagonal(dim1=-2, dim2=-1).mean(-1)
            total += float((inner - trace[:, None, None] * eye).square().sum())
        return total**0.5


def orbits(d: int, count: int, generator: torch.Generator, broken: str = "") -> Orbits:
    """`count` random prompts with their orbits under the signed permutations, for a random S.

    The labels are a Gaussian process of exp(<z_i, z_j>), z = S^-1/2 x.  broken:
      another S: the family is built with S = I;  no orbit: each prompt as drawn;
      no reflections: the orbit of the quarter turns (d = 2);
      labels: exp(<z_i, A z_j>) for a diagonal A;  activation: h(U, A W).
    """
    draw = torch.randn(count, _EXAMPLES + 1, d, generator=generator, dtype=torch.float64)
    axes = torch.linalg.qr(torch.randn(d, d, generator=generator, dtype=torch.float64))[0]
    roots = torch.linspace(0.6, 1.5, d, dtype=torch.float64)
    root, inverse = axes * roots @ axes.mT, axes / roots @ axes.mT
    group: tuple[IntegerMatrix, ...] = signed_permutations(d)
    if broken == "no orbit":
        group = group[:1]
    elif broken == "no reflections":
        group = quarter_turns()
    turns = torch.tensor(group, dtype=torch.float64)
    z = torch.einsum("gij,ktj->kgti", turns, draw).reshape(-1, _EXAMPLES + 1, d)
    eye, stretched = torch.eye(d, dtype=torch.float64), torch.diag(torch.linspace(0.3, 1.7, d).double())
    similar = z @ (stretched if broken == "labels" else eye) @ z.mT
    return Orbits(
        z @ root,
        torch.exp(similar / d),
        eye if broken == "another S" else inverse,
        stretched if broken == "activation" else eye,
    )


def family_point(where: Orbits, parameters: Float[Tensor, " size"]) -> Point:
    """The member of the family with these (r, b, c)."""
    r, b, c = parameters.reshape(3, -1)
    return Point(r, b[:, None, None] * where.family, c[:, None, None] * where.family)


def expected_loss(kernel: str, where: Orbits, point: Point) -> Float[Tensor, ""]:
    """The mean over labels and prompts of (label of the query after L layers + y_q)^2, by the literal layers.

    The labellings are the columns of a square root of their covariance: squares sum to the expectation.
    """
    count, T, d = where.x.shape
    model = FunctionalTransformer((kernel,), [0.0] * len(point.r), d)
    corner = torch.zeros(d + 1, d + 1, dtype=torch.float64)
    corner[d, d] = 1.0
    model.V = point.r[:, None, None, None] * corner
    model.B, model.C = point.B[:, None], (where.skew @ point.C)[:, None]
    values, vectors = torch.linalg.eigh(where.covariance)
    labels = (vectors * values.clamp(min=0).sqrt()[:, None, :]).mT  # (K, T labellings, T tokens)
    shown = torch.cat([labels[..., :-1], torch.zeros_like(labels[..., :1])], dim=-1)
    tokens = where.x[:, None].expand(-1, T, -1, -1)
    H = torch.cat([tokens, shown[..., None]], dim=-1).flatten(0, 1)
    error = model(H)[:, -1, -1].reshape(count, T) + labels[..., -1]
    return error.square().sum() / count


def gradient_at(kernel: str, where: Orbits, point: Point) -> Point:
    """The gradient of `expected_loss` in all entries of r, B and C."""
    leaves = [part.detach().clone().requires_grad_() for part in (point.r, point.B, point.C)]
    return Point(*torch.autograd.grad(expected_loss(kernel, where, Point(*leaves)), leaves))


def numpy_loss(
    kernel: str,
    where: Orbits,
    r: Complex[np.ndarray, " L"],
    B: Complex[np.ndarray, "L d d"],
    C: Complex[np.ndarray, "L d d"],
) -> complex:
    """The same loss from the formulas, the label row as a linear map of y; analytic, for complex steps."""
    x, K, skew = where.x.numpy(), where.covariance.numpy(), where.skew.numpy()
    n = x.shape[1] - 1
    row = np.broadcast_to(np.eye(n, n + 1, dtype=complex), (len(x), n, n + 1))
    for rate, b, c in zip(r, B, C, strict=True):
        h = np.einsum("kia,ba,bd,dc,kjc->kij", x, b, skew, c, x)
        h = similar(kernel, h)
        row = row + rate * np.einsum("kmi,kij->kmj", row[:, :, :n], h[:, :n])
    error = np.concatenate([row[:, :, n], np.ones((len(x), 1))], axis=1)
    return complex(np.einsum("ki,kij,kj->k", error, K, error).mean())


def complex_step(kernel: str, where: Orbits, point: Point) -> Point:
    """The gradient by imaginary steps of 1e-30: exact up to rounding, without code of the autograd route."""
    parts = [part.numpy().astype(complex) for part in (point.r, point.B, point.C)]
    found = [np.zeros(part.shape) for part in parts]
    for part, slope in zip(parts, found, strict=True):
        for at in np.ndindex(part.shape):
            kept, part[at] = part[at], part[at] + 1e-30j
            slope[at] = numpy_loss(kernel, where, *parts).imag / 1e-30
            part[at] = kept
    return Point(*(torch.from_numpy(slope) for slope in found))


def critical_point(kernel: str, where: Orbits, start: Float[Tensor, " size"]) -> Float[Tensor, " size"]:
    """(r, b, c) at which the family's own loss is stationary: L-BFGS, then up to 6 steps of Newton."""

    def objective(parameters: Tensor) -> Tensor:
        return expected_loss(kernel, where, family_point(where, parameters))

    found = train(objective, start, lambda _: 0.0, 300).point
    for _ in range(6):
        slope = torch.autograd.functional.jacobian(objective, found)
        if float(slope.abs().max()) <= 1e-13 * float(objective(found)):
            break
        hessian = torch.autograd.functional.hessian(objective, found)
        found = found - torch.linalg.pinv(hessian, rtol=1e-8, hermitian=True) @ slope
    return found


def theorem_one(
    generator: torch.Generator,
    *,
    setting: LinearSetting = AS_STATED,
    broken: str = "",
    progress: Progress = silent,
) -> tuple[tuple[Verdict, ...], Grid]:
    """The verdicts on Theorem 1, and a table of the gradient that remains when a hypothesis is broken.

    setting: for the exact polynomials; broken: for the orbits; both replace what the theorem assumes.
    """
    stated = [(L, broken) for L in range(1, _LAYERS + 1)]
    posed = [(kernel, *one) for one in (*stated, *((1, name) for name in BREAKS)) for kernel in COMPARED]
    found = []
    with progress("stationarity", len(posed) + 6) as advance:
        for kernel, L, name in posed:
            found.append(_at_critical(kernel, L, generator, name))
            advance(1)
        as_stated, without = found[: len(stated) * len(COMPARED)], found[len(stated) * len(COMPARED) :]
        judged = (
            lambda: _linear(setting),
            _symmetry,
            lambda: _off_family(generator, broken),
            lambda: _critical(as_stated),
            lambda: _needed(without),
            lambda: _infimum(generator),
        )
        verdicts = []
        for judge in judged:
            verdicts.append(judge())
            advance(1)
    columns = ("hypotheses", "kernel", "layers", "in (r, B, C)", "in (r, b, c)", "loss")
    note = (
        "norms of the gradient at a critical point of the family's own loss, over the mean norm on one "
        f"prompt; d = 2, {_ORBITS // 2} random prompts with their orbits; idle: b = c = 0"
    )
    rows = tuple(one.row for one in found)
    return tuple(verdicts), Grid("Gradient at critical points of the family", columns, rows, note)


def _verdict(name: str, status: Status, evidence: str) -> Verdict:
    means: Means | None = "exact" if status == "proved" else None
    return Verdict(f"functional/theorem-1/{name}", status, evidence, means=means)


def _linear(setting: LinearSetting) -> Verdict:
    found = {L: linear_gradient(L, setting) for L in range(1, _EXACT_LAYERS + 1)}
    left = [L for L, one in found.items() if not one.stationary]
    terms = ", ".join(str(len(one.along[0])) for one in found.values())
    return _verdict(
        "linear",
        "failed" if left else "proved",
        f"linear attention, Gaussian x, noisy w.x, d = 2, L = 1..{_EXACT_LAYERS}, all n, S, noise, r, b, c: "
        + (
            f"the gradient in B or C is not a multiple of S^1/2 at L = {left}"
            if left
            else f"the gradients in B and C are multiples of S^1/2, as polynomials of {terms} terms"
        ),
    )


def _symmetry() -> Verdict:
    sizes = (2, 3, 4)
    kept = all(averages_to_trace(signed_permutations(d)) for d in sizes)
    chiral = averages_to_trace(quarter_turns())
    return _verdict(
        "symmetry",
        "proved" if kept and not chiral else "failed",
        "the mean of g A g^T over the signed permutations is trace(A)/d I for every A, d = 2, 3, 4, "
        "in symbols, and over quarter turns of the plane it is not: at d = 2 the U must include reflections",
    )


def _off_family(generator: torch.Generator, broken: str) -> Verdict:
    """Random points of the family on random orbits, by autograd and, on one orbit each, by complex steps."""
    worst, apart, judged, without_gradient = 0.0, 0.0, 0, 0
    for d in (2,) if broken == "no reflections" else (2, 3):
        for kernel in COMPARED:
            for index in range(_ORBITS):
                where = orbits(d, 1, generator, broken)
                drawn = torch.rand(3 * _LAYERS, generator=generator, dtype=torch.float64) + 0.3
                point = family_point(where, drawn)
                found, single = (gradient_at(kernel, part, point) for part in (where, where.only(0)))
                if index == 0:
                    apart = max(apart, _difference(found, complex_step(kernel, where, point)))
                scale = single.off(where.family)
                if scale == 0:  # relu(<u, v>) may be 0 for all pairs
                    without_gradient += 1
                    continue
                judged += 1
                worst = max(worst, found.off(where.family) / scale)
    kept = worst <= OFF_FAMILY and apart <= OFF_FAMILY and judged > without_gradient
    return _verdict(
        "off-family",
        "held" if kept else "failed",
        f"{', '.join(COMPARED)}, L = {_LAYERS}, n = {_EXAMPLES}, d = 2, 3: off the family at most "
        f"{worst:.2g} of one prompt's gradient ({OFF_FAMILY:g} allowed) on {judged} orbits, each with its "
        f"own S, r, b, c; {without_gradient} more have gradient 0; autograd and complex steps differ by "
        f"{apart:.2g}",
    )


def _difference(one: Point, other: Point) -> float:
    parts = ((one.r, other.r), (one.B, other.B), (one.C, other.C))
    return max(float((a - b).abs().max()) for a, b in parts) / max(one.norm, 1e-300)


@dataclass(frozen=True)
class _Critical:
    """Gradients at a critical point of the family, relative to the mean norm on one prompt."""

    name: str
    kernel: str
    layers: int
    whole: float
    within: float
    loss: float
    idle: bool

    @property
    def found(self) -> bool:
        """Whether the search reached a critical point other than the idle one, which needs no hypothesis."""
        return self.within <= OFF_FAMILY and not self.idle

    @property
    def row(self) -> tuple[Cell, ...]:
        name = f"{self.name}, idle" if self.idle else self.name
        return name, self.kernel, self.layers, self.whole, self.within, self.loss


def _at_critical(kernel: str, layers: int, generator: torch.Generator, broken: str) -> _Critical:
    where = orbits(2, _ORBITS // 2, generator, broken)
    start = torch.tensor([-0.2] * layers + [0.7] * 2 * layers, dtype=torch.float64)
    point = family_point(where, critical_point(kernel, where, start))
    found = gradient_at(kernel, where, point)
    firsts = range(0, len(where.x), 2 * len(where.x) // _ORBITS)  # one prompt of each orbit
    norms = [gradient_at(kernel, where.only(k), point).norm for k in firsts]
    scale = sum(norms) / len(norms) or 1.0
    return _Critical(
        broken or "all hold",
        kernel,
        layers,
        found.norm / scale,
        found.within(where.family) / scale,
        float(expected_loss(kernel, where, point)),
        float(torch.stack([point.B, point.C]).abs().max()) < _IDLE,
    )


def _critical(found: list[_Critical]) -> Verdict:
    """Judge whether the whole gradient vanishes where the gradient in (r, b, c) does."""
    judged = [one for one in found if one.found]
    worst = max((one.whole for one in judged), default=0.0)
    left = ", ".join(f"{one.kernel} at L = {one.layers}" for one in found if not one.found)
    status: Status = "vacuous" if not judged else "held" if worst <= 10 * OFF_FAMILY else "failed"
    return _verdict(
        "critical-point",
        status,
        f"at {len(judged)} critical points of the family's own loss (L-BFGS and Newton, d = 2, each kernel, "
        f"L = 1..{_LAYERS}) the gradient in all of r, B, C is at most {worst:.2g} of one prompt's"
        + (f"; only the idle one was found for {left}" if left else ""),
    )


def _needed(found: list[_Critical]) -> Verdict:
    """Judge whether each hypothesis is needed, by the gradient at critical points without it."""
    shown, kept = [], True
    for name in BREAKS:
        left = [one.whole for one in found if one.name == name and one.found]
        kept = kept and max(left, default=0.0) >= _CLEAR
        shown.append(f"{name}: " + (f"{min(left):.2g} to {max(left):.2g}" if left else "none found"))
    return _verdict(
        "hypotheses",
        "held" if kept else "failed",
        "gradient in (r, B, C), relative to one prompt's, where the gradient in (r, b, c) is 0, by what is "
        f"broken (L = 1, each kernel): {'; '.join(shown)}; {_CLEAR:g} is required for one kernel at least",
    )


def _infimum(generator: torch.Generator) -> Verdict:
    """Judge the point b = c = 0 on prompts without any symmetry."""
    where = orbits(3, 1, generator, "no orbit")
    root = torch.randn(1, _EXAMPLES + 1, _EXAMPLES + 1, generator=generator, dtype=torch.float64)
    labels = root @ root.mT + torch.eye(_EXAMPLES + 1, dtype=torch.float64)
    where = Orbits(where.x, labels, where.family, where.skew)
    nothing = torch.zeros(_LAYERS, dtype=torch.float64)
    worst, rates = 0.0, []
    for kernel in COMPARED:
        at_zero = float(similarity(kernel, 0 * where.x[:, :-1], 0 * where.x)[0, 0, 0])
        rates.append(idle_rate(at_zero, where.covariance[0].tolist()))
        first = nothing.clone()
        first[0] = rates[-1]
        found = gradient_at(kernel, where, family_point(where, torch.cat([first, nothing, nothing])))
        worst = max(worst, found.norm)
    return _verdict(
        "infimum",
        "vacuous" if worst <= OFF_FAMILY else "failed",
        "trivial as stated: b = c = 0 attains the infimum 0 for any inputs and labels (norm of the gradient "
        f"at most {worst:.2g} on a prompt without symmetry; {', '.join(COMPARED)} with r_0 = "
        f"{', '.join(f'{rate:.3g}' for rate in rates)}); off-family and critical-point judge the intent",
    )
