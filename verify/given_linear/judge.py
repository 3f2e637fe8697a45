"""Judges linear attention that others trained or built: which descent it is, or how far from the nearest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

import torch
from jaxtyping import Float
from torch import Tensor

from icgd.bounds.letters import ProblemError
from icgd.bounds.progress import Progress, silent
from icgd.construct.given_linear import Exact, GivenLinear, rationals
from icgd.construct.machine.memory import refuse_prompts
from icgd.verify.given_linear.expected_loss import ExpectedLoss, random_inputs, random_prompt_loss
from icgd.verify.given_linear.impostors import beyond_descent, remarks
from icgd.verify.given_linear.layer_form import descent_of, linear_form
from icgd.verify.given_linear.linear_prompt import (
    FARTHER,
    LinearCounterexample,
    is_far,
    reference_told_apart,
    surely_apart,
)
from icgd.verify.given_linear.moment_search import WORK
from icgd.verify.given_linear.nearest_descent import (
    DescentKind,
    LinearPrompt,
    Radii,
    apart,
    attack_distance,
    nearest_descent,
    random_linear_prompts,
)
from icgd.verify.given_linear.prediction_distance import distance_bound
from icgd.verify.results import Grid, Results
from icgd.verify.search.prompts import seeded
from icgd.verify.verdict import Verdict

DESCENT, REFERENCE = "judge/descent", "judge/reference"
"""The claims: predictions within a tolerance of descent's, and the same as those of a reference."""

LINEAR_PROMPTS = 2_000
LONGEST_PROMPT = 4_096
"""The longest prompts that are run; distances do not depend on n with a mask and a mean over examples."""

KINDS_OF_DESCENT: tuple[DescentKind, ...] = ("preconditioned", "plain")


@dataclass(frozen=True, eq=False)
class Nearest:
    """A descent found near, and how far its predictions are: on random prompts, after an ascent, at most.

    A: (L, d, d); for the plain kind multiples of I.  certified: proved for every prompt in the radii.
    """

    kind: DescentKind
    A: Float[Tensor, "L d d"]
    sampled: float
    attacked: float
    certified: float
    prompt: LinearPrompt

    @property
    def factor(self) -> float:
        """What the proof gives away, or the ascent has not found."""
        return (
            self.certified / self.attacked if self.attacked else 1.0 if not self.certified else float("inf")
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class LinearResults(Results):
    """Everything found out about linear attention that others trained or built.

    proved: the A_l of the descent that it is, exactly, or None.  nearest: by kind.  loss: on random
    prompts.  names: what tells it apart from descent; named_reference: from the reference.
    weights: per layer, the mean of norm2(w_l - w*)^2 / norm2(w*)^2 over such prompts.
    """

    given: GivenLinear
    radii: Radii
    S: tuple[Fraction, ...]
    proved: list[Exact] | None
    nearest: Mapping[DescentKind, Nearest]
    loss: ExpectedLoss
    names: tuple[str, ...]
    named_reference: str | None
    weights: tuple[float, ...]
    counterexamples: Mapping[str, LinearCounterexample] = field(default_factory=dict)

    @property
    def conclusion(self) -> str:
        """What it is, in two or three sentences."""
        steps = f"{self.given.L} step{'s' * (self.given.L > 1)}"
        best, plain = self.nearest["preconditioned"], self.nearest["plain"]
        x, y = f"norm2(x) <= {self.radii.B_x:g}", f"|y| <= {self.radii.B_y:g}"
        radii = f"every prompt of {self.radii.n} examples with {x} and {y}"
        if self.proved:
            is_plain = _is_plain(self.proved)
            kind = "gradient descent" if is_plain else "preconditioned gradient descent"
            said = f"It is {steps} of {kind}, exactly, for every prompt."
            if any("ascend" in name for name in self.names):
                said = (
                    f"It is {steps} w <- w - A_l grad R(w), exactly, for every prompt, but not all descend."
                )
            if self.names:
                said = f"{said[:-1]}; {'; '.join(self.names)}."
            if not any(value for A in self.proved for row in A for value in row):
                said = "It predicts 0 for every prompt: a descent whose steps are 0."
            if not is_plain:
                said += f" Plain descent is {_between(plain)} away, over {radii}."
        else:
            told = f": {'; '.join(self.names)}" if self.names else ""
            one = self.given.d == 1
            said = (
                f"It is not shown to be descent{told}. The nearest {'' if one else 'preconditioned '}descent "
                f"found is {_between(best)} away, over {radii}"
            )
            said += "." if one else f"; the nearest plain descent found, {_between(plain)}."
        if self.named_reference:
            said += f" From the reference it is told apart: {self.named_reference}."
        return said

    def __repr__(self) -> str:
        kept = ", ".join(f"{one.claim.removeprefix('judge/')} {one.status}" for one in self.verdicts)
        return f"<linear attention, {self.given.L} layers, d = {self.given.d}; {kept}>"


def _grids(
    given: GivenLinear, nearest: Mapping[DescentKind, Nearest], weights: Sequence[float]
) -> tuple[Grid, ...]:
    """Tables: distances, then preconditioners and weights by layer."""
    rows = tuple(
        (one.kind, one.sampled, one.attacked, one.certified, f"{one.factor:.3g}")
        for one in nearest.values()
        if given.d > 1 or one.kind == "plain"
    )
    note = (
        "largest |difference of predictions|: on random prompts, after an ascent, proved for all; the "
        "descent is the nearest found by least squares"
    )
    columns = ("nearest", "sampled", "attacked", "certified", "certified / attacked")
    best, plain = nearest["preconditioned"].A, nearest["plain"].A
    layers = [(l, _matrix(best[l]), f"{float(plain[l][0, 0]):.6g}", weights[l]) for l in range(given.L)]
    layers.append((given.L, "", "", weights[-1]))
    held = "w_l: the regression weight held before the layer, over that of w*; mean over random prompts"
    of_layers = ("layer", "A_l, rows", "plain step", "norm2(w_l - w*)^2")
    return (
        Grid("Distance from descent", columns, rows, note),
        Grid("By layer", of_layers, tuple(layers), held),
    )


def _is_plain(steps: Sequence[Exact]) -> bool:
    """Whether every A_l is a multiple of I."""
    return all(
        value == (A[0][0] if i == j else 0)
        for A in steps
        for i, row in enumerate(A)
        for j, value in enumerate(row)
    )


def _between(one: Nearest) -> str:
    return f"between {one.attacked:.6g} and {one.certified:.6g}"


def _matrix(A: Float[Tensor, "d d"]) -> str:
    shown = A[:6, :6].tolist()
    return "; ".join(" ".join(f"{value:.4g}" for value in row) for row in shown) + " ..." * (len(A) > 6)


def judge_linear(
    given: GivenLinear,
    n: int,
    *,
    B_x: float = 1.0,
    B_y: float = 1.0,
    S: Sequence[Fraction] = (Fraction(1),),
    tolerance: float = 0.0,
    reference: GivenLinear | None = None,
    axes: Exact | None = None,
    covariates: str = "normal",
    samples: int = LINEAR_PROMPTS,
    effort: float = 1.0,
    seed: int = 0,
    progress: Progress = silent,
) -> LinearResults:
    """One verdict on descent, and one on a reference, with distances over all prompts in the radii.

    tolerance: how far predictions may be from descent's.  S: variances of x for the expected loss, one
    for all or d, along the columns of `axes`, orthonormal, or else along the coordinates; covariates: the
    law of x there, normal or sphere.  Raises ProblemError for a value that is not allowed.
    """
    if covariates not in ("normal", "sphere"):
        raise ProblemError("covariates", covariates, "it is normal or sphere")
    check_posed(given, n, B_x, B_y, S, tolerance)
    refuse_prompts(8.0 * 30 * (given.d + 1) * n * max(500, min(samples, 2000)))
    variances = tuple(S) * given.d if len(S) == 1 else tuple(S)
    radii, generator = Radii(n, B_x, B_y), seeded(seed)
    random = random_linear_prompts(given.d, radii, samples, generator)
    proved = descent_of(given, n)
    nearest: dict[DescentKind, Nearest] = {}
    with progress("distances", 2) as advance:
        for kind in KINDS_OF_DESCENT:
            nearest[kind] = _nearest(given, radii, kind, proved, random, generator, effort)
            advance(1)
    if given.d == 1:  # every A_l is a multiple of I
        better = min(nearest.values(), key=lambda one: (one.certified, one.attacked))
        nearest = {kind: replace(better, kind=kind) for kind in KINDS_OF_DESCENT}
    elif nearest["plain"].attacked < nearest["preconditioned"].attacked:  # it is preconditioned, too
        nearest["preconditioned"] = replace(nearest["plain"], kind="preconditioned")
    with progress("expected loss", 1) as advance:
        turned = given if axes is None else given.turned(axes)
        loss = random_prompt_loss(turned, n, variances, generator, covariates)
        advance(1)
    names = tuple(beyond_descent(given, n)) + tuple(remarks(given, n))
    broken: dict[str, LinearCounterexample] = {}
    verdicts = [_descent_verdict(given, nearest, proved, names, tolerance, broken)]
    named = None
    if reference is not None:
        named = reference_told_apart(given, reference, n)
        verdicts.append(_reference_verdict(given, reference, n, named, random, broken))
    weights = _held_weights(turned, n, variances, covariates, generator)
    return LinearResults(
        problem=radii,
        seed=seed,
        verdicts=tuple(verdicts),
        census=given.census,
        grids=_grids(given, nearest, weights),
        given=given,
        radii=radii,
        S=variances,
        proved=proved,
        nearest=nearest,
        loss=loss,
        names=names,
        named_reference=named,
        weights=weights,
        counterexamples=broken,
    )


def check_posed(
    given: GivenLinear, n: int, B_x: float, B_y: float, S: Sequence[Fraction], tolerance: float
) -> None:
    """Raises ProblemError for examples, radii, variances or a tolerance that are not allowed."""
    for name, value, fits, allowed in (
        ("n", n, 1 <= n <= LONGEST_PROMPT, f"1 to {LONGEST_PROMPT:,} examples are run"),
        ("B_x", B_x, 1e-3 <= B_x <= 1e3, "a radius from 0.001 to 1000 is needed"),
        ("B_y", B_y, 1e-3 <= B_y <= 1e3, "a radius from 0.001 to 1000 is needed"),
        ("tolerance", tolerance, 0 <= tolerance < float("inf"), "a number from 0 is needed"),
        ("S", len(S), len(S) in (1, given.d), f"one variance, or {given.d}, is needed"),
    ):
        if not fits:
            raise ProblemError(name, value, allowed)


def _nearest(
    given: GivenLinear,
    radii: Radii,
    kind: DescentKind,
    proved: list[Exact] | None,
    random: LinearPrompt,
    generator: torch.Generator,
    effort: float,
) -> Nearest:
    if proved and (kind == "preconditioned" or _is_plain(proved)):
        A = torch.tensor([[[float(v) for v in row] for row in one] for one in proved], dtype=torch.float64)
        return Nearest(kind, A, 0.0, 0.0, 0.0, random[:1])
    A = nearest_descent(given, radii, kind, generator)
    exact = [rationals(one) for one in A]
    with torch.no_grad():
        row = int(apart(given, A, random).nan_to_num(-1.0).argmax())
    prompt = random[row : row + 1]
    sampled = attacked = surely_apart(given, exact, prompt)
    if effort > 0:
        _, climbed = attack_distance(given, A, radii, generator, effort)
        reached = surely_apart(given, exact, climbed)
        if reached > attacked:
            attacked, prompt = reached, climbed
    sizes = Fraction(radii.B_x), Fraction(radii.B_y)
    bound = distance_bound(given, exact, radii.n, *sizes, reached=attacked, work=WORK * effort)
    return Nearest(kind, A, sampled, attacked, bound.value, prompt)


def _descent_verdict(
    given: GivenLinear,
    nearest: Mapping[DescentKind, Nearest],
    proved: list[Exact] | None,
    names: Sequence[str],
    tolerance: float,
    broken: dict[str, LinearCounterexample],
) -> Verdict:
    steps = f"{given.L} steps w <- w - A_l grad R(w)" if given.L > 1 else "a step w <- w - A_0 grad R(w)"
    if proved:
        evidence = f"for every prompt the prediction is that of {steps}, in rationals, A_l in the table"
        evidence = "; ".join((evidence, *names))
        return Verdict(DESCENT, "proved", evidence, means="exact", about="given")
    told = "; ".join(names) or "every A_l is in the table"
    # A plain descent is a preconditioned one, too.
    sure = min(nearest.values(), key=lambda one: one.certified)
    best = sure if sure.certified <= tolerance else nearest["preconditioned"]
    of = "plain step" if best.kind == "plain" else "A_l"
    evidence = (
        f"predictions are at most {best.certified:.6g} from those of {steps}, {of} in the table, for every "
        f"prompt in the radii, and {best.attacked:.6g} on one that was found; {tolerance:.6g} allowed; {told}"
    )
    numbers = {"largest": best.attacked, "allowed": tolerance, "bound": best.certified}
    if best.certified <= tolerance:
        return Verdict(DESCENT, "proved", evidence, means="balls", about="given", numbers=numbers)
    if best.attacked <= tolerance:
        return Verdict(DESCENT, "held", evidence, about="given", numbers=numbers)
    if tolerance > 0:  # another descent may be nearer
        return Verdict(DESCENT, "held", f"{FARTHER}; {evidence}", about="given", numbers=numbers)
    broken["descent"] = LinearCounterexample(DESCENT, best.prompt, best.A, best.attacked, tolerance)
    return Verdict(DESCENT, "failed", evidence, about="given", numbers=numbers)


def _reference_verdict(
    given: GivenLinear,
    reference: GivenLinear,
    n: int,
    named: str | None,
    random: LinearPrompt,
    broken: dict[str, LinearCounterexample],
) -> Verdict:
    if given.d != reference.d:
        raise ProblemError("against", f"d = {reference.d}", f"the judged file is for d = {given.d}")
    if linear_form(given, n) == linear_form(reference, n):
        evidence = "predictions are the same for every prompt, in rationals"
        return Verdict(REFERENCE, "proved", evidence, means="exact", about="given")
    parts = random.x, random.y, random.query
    with torch.no_grad():
        differences = (given(*parts) - reference(*parts)).abs()
    row = int(differences.argmax())
    worst = float(differences[row])
    where = f"the largest difference on {len(differences):,} random prompts is {worst:.6g}"
    if named is None and is_far(given, reference, random[row : row + 1], worst):
        named = "entries differ by little more than rounding, and predictions by much more"
    if named is None:
        return Verdict(REFERENCE, "held", f"the same up to rounding of the entries; {where}", about="given")
    broken["reference"] = LinearCounterexample(REFERENCE, random[row : row + 1], None, worst, 0.0)
    return Verdict(REFERENCE, "failed", f"{named}; {where}", about="given")


def _held_weights(
    given: GivenLinear, n: int, S: Sequence[Fraction], covariates: str, generator: torch.Generator
) -> tuple[float, ...]:
    """By layer, the mean of norm2(w_l - w*)^2 over that of norm2(w*)^2, on 2,000 random prompts."""
    count = max(1, min(2000, (1 << 22) // (n * (given.d + 1))))
    x = random_inputs(count, n + 1, S, covariates, generator)
    w = torch.randn(count, given.d, 1, generator=generator, dtype=torch.float64)
    y = (x @ w)[..., 0]
    held = given.weights(x[:, :-1], y[:, :-1], x[:, -1])
    distance = (held - w[..., 0]).square().sum(-1).mean(1) / w.square().sum((1, 2)).mean()
    return tuple(distance.tolist())
