"""A prompt on which linear attention is not what it is said to be: saved, replayed, run in balls."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flint
import torch
from flint import arb, arb_mat
from torch import Tensor

from icgd.bounds.algebra.rationals import to_flint
from icgd.bounds.letters import ProblemError
from icgd.construct.given_linear import Exact, GivenLinear, rationals
from icgd.construct.machine.json_files import json_text, load_json
from icgd.verify.given_linear.impostors import told_apart
from icgd.verify.given_linear.layer_form import descent_of, linear_form
from icgd.verify.given_linear.nearest_descent import LinearPrompt
from icgd.verify.verdict import Status, Verdict

BITS = 600
"""The precision of balls: degrees triple from layer to layer, and so do the digits that are lost."""

FARTHER = "farther than the tolerance from the nearest descent found, which refutes no other"
"""What is said where a tolerance is exceeded, but by one descent alone."""

_FAR = 1e-9
"""More than rounding, relative to the largest weight held in between."""

_PARTS = ("x", "y", "query")


@dataclass(frozen=True, eq=False)
class LinearCounterexample:
    """One prompt against a claim.  A: of the descent compared with; None: a reference file is.

    amount: |difference of predictions| there.  allowed: the tolerance.
    """

    claim: str
    prompt: LinearPrompt
    A: Tensor | None
    amount: float
    allowed: float

    @property
    def text(self) -> str:
        """The counterexample as JSON; floats are written in full, so that a replay is exact."""
        plain: dict[str, Any] = {"claim": self.claim, "amount": self.amount, "allowed": self.allowed}
        plain["prompt"] = {name: getattr(self.prompt, name)[0].tolist() for name in _PARTS}
        plain["A"] = None if self.A is None else self.A.tolist()
        return json_text(plain, indent=1)

    @classmethod
    def load(cls, path: Path) -> LinearCounterexample:
        """The counterexample of a file; raises ProblemError where it is not one."""
        found = load_json(path, "replay")
        try:
            parts = [torch.tensor(found["prompt"][name], dtype=torch.float64)[None] for name in _PARTS]
            A = None if found["A"] is None else torch.tensor(found["A"], dtype=torch.float64)
            fits = parts[0].ndim == 3 and parts[1].shape == parts[0].shape[:2]
            fits &= parts[2].shape == (1, parts[0].shape[2]) and (A is None or A.ndim == 3)
            if not fits or not all(
                bool(torch.isfinite(part).all()) for part in (*parts, *([] if A is None else [A]))
            ):
                raise ValueError
            return cls(
                str(found["claim"]), LinearPrompt(*parts), A, float(found["amount"]), float(found["allowed"])
            )
        except (KeyError, TypeError, ValueError, RuntimeError):
            why = "it is no counterexample that icgd judge saved for linear attention"
            raise ProblemError("replay", path, why) from None


def prediction_ball(given: GivenLinear, prompt: LinearPrompt) -> arb:
    """The prediction on the first prompt, in a ball."""
    with flint.ctx.workprec(BITS):
        x, query = prompt.x[0].tolist(), [*prompt.query[0].tolist(), 0.0]
        seen = [[*row, y] for row, y in zip(x, prompt.y[0].tolist(), strict=True)]
        Z = arb_mat(seen if given.masked else [*seen, query])
        G = Z.transpose() * Z * arb(to_flint(given.scale(len(x))))
        width = given.d + 1
        R = arb_mat([[int(i == j) for j in range(width)] for i in range(width)])
        for heads in given.exact:
            moments, moved = R * G * R.transpose(), arb_mat(width, width)
            for P, Q in heads:
                moved = moved + _balls(P) * moments * _balls(Q)
            R = R + moved * R
        return given.sign * (R * arb_mat([[value] for value in query]))[given.d, 0]


def descent_ball(A: Sequence[Exact], prompt: LinearPrompt) -> arb:
    """w_L . x_q on the first prompt, in a ball, w <- w - A_l grad R(w)."""
    with flint.ctx.workprec(BITS):
        X = arb_mat(prompt.x[0].tolist())
        missed = arb_mat([[value] for value in prompt.y[0].tolist()])
        w = arb_mat(X.ncols(), 1)
        for step in A:
            w = w + _balls(step) * (X.transpose() * (missed - X * w)) * (arb(1) / X.nrows())
        return (arb_mat([prompt.query[0].tolist()]) * w)[0, 0]


def _balls(matrix: Exact) -> arb_mat:
    return arb_mat([[arb(to_flint(value)) for value in row] for row in matrix])


def at_least(difference: arb) -> float:
    """A float that |difference| is not below."""
    return max(0.0, math.nextafter(float(abs(difference).lower()), -math.inf))


def surely_apart(given: GivenLinear, A: Sequence[Exact], prompt: LinearPrompt) -> float:
    """What |prediction - descent's| on the first prompt is not below, rounding included."""
    with flint.ctx.workprec(BITS):
        return at_least(prediction_ball(given, prompt) - descent_ball(A, prompt))


def reference_told_apart(given: GivenLinear, reference: GivenLinear, n: int) -> str | None:
    """In what one differs from the other; None where predictions are the same, exactly or up to rounding."""
    if given.d == reference.d and linear_form(given, n) == linear_form(reference, n):
        return None
    return told_apart(given, reference, n)


def is_far(given: GivenLinear, reference: GivenLinear, prompt: LinearPrompt, amount: float) -> bool:
    """Whether this difference of predictions on one prompt is far above the rounding of both."""
    query = float(torch.linalg.vector_norm(prompt.query))
    held = [float(one.weights(prompt.x, prompt.y, prompt.query).abs().max()) for one in (given, reference)]
    return amount > _FAR * query * max(held)


def replay_linear(
    given: GivenLinear,
    reference: GivenLinear | None,
    saved: LinearCounterexample,
    *,
    n: int | None = None,
    tolerance: float = 0.0,
) -> Verdict:
    """Judge the claim of a saved counterexample again, on its prompt alone, in balls.

    n: of examples that are asked for, if any.  tolerance: how far predictions may be from descent's, whatever
    was allowed when it was saved.  Raises ProblemError for a file of another d or L, or another n.
    """
    examples = saved.prompt.x.shape[1]
    if saved.prompt.query.shape[1] != given.d:
        raise ProblemError("replay", saved.claim, f"its prompt is not for d = {given.d}")
    if n not in (None, examples):
        raise ProblemError("replay", saved.claim, f"its prompt has {examples} examples, and n is {n}")
    if saved.A is None:
        if reference is None:
            raise ProblemError("replay", saved.claim, "it compares with a reference; give it with --against")
        return _replayed_reference(given, reference, saved)
    if saved.A.shape[1:] != (given.d, given.d):
        raise ProblemError("replay", saved.claim, f"its A_l are not for d = {given.d}")
    if len(saved.A) != given.L:
        raise ProblemError("replay", saved.claim, f"it has {len(saved.A)} A_l, and the file L = {given.L}")
    amount = surely_apart(given, [rationals(A) for A in saved.A], saved.prompt)
    evidence = (
        f"{amount:.6g} is the distance to the A_l of the saved file on its prompt, rounding included; "
        f"{tolerance:.6g} allowed"
    )
    status: Status = "held"
    if descent_of(given, examples) is not None:
        evidence = f"it is descent exactly, with A_l of its own; {evidence}"
    elif amount > tolerance > 0:
        evidence = f"{FARTHER}; {evidence}"
    elif amount > tolerance:
        status = "failed"
    return Verdict(saved.claim, status, evidence, about="given")


def _replayed_reference(given: GivenLinear, reference: GivenLinear, saved: LinearCounterexample) -> Verdict:
    if reference.d != given.d:
        raise ProblemError("against", f"d = {reference.d}", f"the judged file is for d = {given.d}")
    with flint.ctx.workprec(BITS):
        difference = prediction_ball(given, saved.prompt) - prediction_ball(reference, saved.prompt)
        amount = at_least(difference)
    named = reference_told_apart(given, reference, saved.prompt.x.shape[1])
    broken = amount > 0 if named else is_far(given, reference, saved.prompt, amount)
    evidence = f"{amount:.6g} apart on the saved prompt, rounding included"
    evidence = f"{evidence}; {named}" if named else evidence
    return Verdict(saved.claim, "failed" if broken else "held", evidence, about="given")
