"""The machine-readable report: one dictionary with the keys that every command promises."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from icgd.bounds.claims import Claim
from icgd.bounds.hypotheses import Hypothesis
from icgd.bounds.letters import ProblemError
from icgd.bounds.step_error.plan import Plan
from icgd.construct.machine.json_files import finite, load_json
from icgd.reports.document.numbers import quantities
from icgd.reports.document.step_bound import step_error_document
from icgd.reports.document.upgrade import misplaced, renamed, unknown_word
from icgd.verify.certificate.issue import certificate_text
from icgd.verify.results import Results, StepError
from icgd.verify.theorem import Theorem

_PACKAGES = ("icgd", "torch", "numpy", "sympy", "mpmath", "python-flint", "hypothesis")


def versions() -> dict[str, str]:
    """What computed these numbers."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def closing(began: float) -> dict[str, Any]:
    """How a document ends: what computed it, and how long that took since `began`, a perf_counter."""
    return {"versions": versions(), "seconds": round(time.perf_counter() - began, 3)}


def audit_document(
    theorems: Mapping[str, dict[str, Any]],
    *,
    command: str,
    seed: int,
    seconds: float,
    findings: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    """Everything that an audit found, theorem by theorem; PDF and HTML are made from this alone.

    theorems: a document for each, under a name such as relu-icgd/lean.  findings: settled entries.
    """
    document: dict[str, Any] = {
        "command": command,
        "theorems": dict(theorems),
        "findings": list(findings),
        "verdicts": [
            verdict | {"claim": full_name(name, verdict["claim"], part["bounds"])}
            for name, part in theorems.items()
            for verdict in part["verdicts"]
        ],
    }
    document = finite(document)
    numbers = {one.macro: one.value for one in quantities(document)}
    return document | {
        "numbers": numbers,
        "versions": versions(),
        "seed": seed,
        "seconds": round(seconds, 3),
    }


def bounds_document(asserted: tuple[Claim, ...]) -> dict[str, Any]:
    """{name: {expression, value, relation, source, constants, ...}}; whole numbers are exact.

    statement, latex: the assertion and its bound in LaTeX.
    """
    return {
        claim.key: {
            "title": claim.title,
            "statement": claim.statement,
            "hypotheses": list(claim.hypotheses),
            "expression": claim.expression,
            "latex": claim.latex,
            "value": claim.value,
            "relation": claim.relation,
            "quantity": claim.quantity,
            "source": claim.source,
            "constants": {
                str(symbol): {"value": value, "meaning": meaning}
                for symbol, (value, meaning) in claim.constants.items()
            },
        }
        for claim in asserted
    }


def plan_document(plan: Plan, *, checked: bool = False) -> dict[str, Any]:
    """The tolerance plan: every local error, the share of the bound it accounts for, its pieces and ReLUs.

    checked: whether a checker accepted a certificate of the bound, which may be called certified only then.
    relus: of one function, with `uses` of them; over all errors their products add up to `units`.
    """
    terms = {}
    for term, share in sorted(plan.ledger.items(), key=lambda item: -item[1]):
        fitted = plan.fits.get(term)
        product = plan.products.get(term)
        square = product.square if product else None
        chosen = fitted or square
        terms[str(term)] = {
            "tolerance": plan.tolerances.get(term),
            "bound": plan.errors[term],
            "share": share,
            "pieces": chosen.pieces if chosen else None,
            "fewest": chosen.fewest if chosen else None,
            "relus": fitted.relus.units if fitted else product.units if product else None,
            "uses": plan.problem.dims[term.layer] if chosen else None,
        }
    return {
        "units": plan.units,
        "fewest_units": plan.fewest_units,
        "bound": plan.bound,
        **({"certified": plan.bound} if checked else {}),
        "recurrence": plan.recurrence,
        "terms": terms,
    }


def results_document(theorem: Theorem, found: Results, *, seconds: float) -> dict[str, Any]:
    """Everything that the verification of a theorem found, as plain values."""
    document = {
        "theorem": theorem.name,
        "title": theorem.title,
        "source": theorem.source,
        "problem": found.problem.as_dict(),
        "options": found.problem.options,
        "chosen": found.problem.chosen,
        "construction": found.construction,
        "census": dict(found.census),
        "bounds": bounds_document(found.claims),
        "hypotheses": hypotheses_document(found.hypotheses),
        "step_error": None,
        "hashes": hashes(found.certificate) if found.certificate else None,
        "grids": [grid.as_dict() for grid in found.grids],
        "plots": [plot.as_dict() for plot in found.plots],
        "verdicts": [verdict.as_dict() for verdict in found.verdicts],
        "versions": versions(),
        "seed": found.seed,
        "seconds": round(seconds, 3),
    }
    return finite(document | (step_document(found.step) if found.step else {}))


def step_document(step: StepError) -> dict[str, Any]:
    """Everything that was found out about the error of one step."""
    checked = step.is_certified
    return {
        "step_error": step_error_document(step.sandwich.as_dict(), checked=checked),
        "plan": plan_document(step.plan, checked=checked),
        "trajectory": step.trajectory.as_dict(),
        "search": {
            "prompts": step.sweep.count,
            "admitted": step.sweep.admitted,
            "attacked_tokens": step.attack.evaluations if step.attack else 0,
        },
        "certificate": step.proof and step.proof.as_dict(),
        "enclosures": [{"prompt": name, **one.as_dict()} for name, one in step.enclosures],
    }


def hashes(certificate: Mapping[str, Any]) -> dict[str, str]:
    """SHA-256 of the file of a certificate, and of the weights that it is about."""
    file = hashlib.sha256(certificate_text(certificate).encode()).hexdigest()
    return {"certificate": file, "weights": certificate["weights"]}


def full_name(part: str, claim: str, bounds: Mapping[str, Mapping[str, Any]]) -> str:
    """The name of a claim among those of several parts; bounds: of its part.

    What a construction does is named after it; the sizes that a theorem states are the theorem's.

    >>> full_name("relu-icgd/lean", "relu-icgd/step-error", {}), full_name("looped", "looped/steps", {})
    ('relu-icgd/lean/step-error', 'looped/steps')
    """
    size = bounds.get(claim, {"quantity": "step_error"})["quantity"] != "step_error"
    if size or claim.startswith(f"{part}/"):
        return claim
    return part + claim.removeprefix(part.partition("/")[0])


def hypotheses_document(judged: Iterable[Hypothesis]) -> list[dict[str, str]]:
    """The hypotheses of a theorem on one problem: which hold, which fail and what holds then."""
    return [hypothesis.as_dict() for hypothesis in judged]


def load(path: Path) -> dict[str, Any]:
    """The document of an earlier report; raises ProblemError where it is none."""
    document = load_json(path, "from")
    if not isinstance(document, dict) or not {"theorems", "findings", "command"} <= set(document):
        raise ProblemError("from", path, "it is not the report.json that icgd audit or icgd report wrote")
    try:
        wrong, word = misplaced(document), unknown_word(document)
        if not wrong and word is None:
            return renamed(document)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ProblemError("from", path, "parts of the report are missing or are of another kind") from None
    if wrong:
        raise ProblemError("from", path, f"a number is needed at {wrong}")
    raise ProblemError("from", path, f"there is no verdict, outcome or status {word!r}")
