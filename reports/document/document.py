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
from icgd.bounds.hypotheses import hypotheses
from icgd.bounds.letters import Letters
from icgd.bounds.problem import Problem, ProblemError
from icgd.bounds.relu_icgd import SOURCE, built, claims
from icgd.bounds.step_error.plan import Plan
from icgd.construct.block.slot_use import Anatomy
from icgd.construct.machine.json_files import finite, json_text, load_json
from icgd.reports.document.numbers import quantities
from icgd.reports.document.step_bound import step_error_document
from icgd.reports.document.upgrade import misplaced, renamed, unknown_word
from icgd.verify.relu_icgd import THEOREM, TITLE, Verification
from icgd.verify.results import Findings, Plot

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


def verification_document(found: Verification, *, seed: int, seconds: float) -> dict[str, Any]:
    """Everything a verification found, as plain values."""
    checked = found.proof is not None and found.proof.refusal is None
    document = {
        "theorem": THEOREM,
        "title": TITLE,
        "source": SOURCE,
        "problem": found.plan.problem.as_dict(),
        "options": found.plan.problem.options,
        "construction": found.plan.construction,
        "census": found.census.as_dict(),
        "bounds": bounds_document(found.claims),
        "hypotheses": hypotheses_document(found.plan.problem),
        "step_error": step_error_document(found.sandwich.as_dict(), checked=checked),
        "plan": plan_document(found.plan, checked=checked),
        "trajectory": found.trajectory.as_dict(),
        "search": {
            "prompts": found.sweep.count,
            "admitted": found.sweep.admitted,
            "attacked_tokens": found.attack.evaluations if found.attack else 0,
        },
        "certificate": found.proof and found.proof.as_dict(),
        "hashes": hashes(found.proof.certificate) if found.proof else None,
        "enclosures": [{"prompt": name, **one.as_dict()} for name, one in found.enclosures],
        "verdicts": [verdict.as_dict() for verdict in found.verdicts],
        "versions": versions(),
        "seed": seed,
        "seconds": round(seconds, 3),
    }
    return finite(document)


def certificate_text(certificate: Mapping[str, Any]) -> str:
    """A certificate as the text of its file."""
    return json_text(certificate) + "\n"


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


def surroundings_document(plots: Iterable[Plot], body: Anatomy) -> dict[str, Any]:
    """What a report shows beside a verification: figures, and the transformer's slots and layers."""
    return finite({"plots": [plot.as_dict() for plot in plots], "stream": body.as_dict()})


def hypotheses_document(problem: Problem) -> list[dict[str, str]]:
    """The hypotheses of Theorem 1 on this problem: which hold, which fail and what holds then."""
    return [hypothesis.as_dict() for hypothesis in hypotheses(problem)]


def findings_document(found: Findings, *, seconds: float) -> dict[str, Any]:
    """Everything that the verification of one theorem of the catalogue found, as plain values."""
    document = {
        "theorem": found.theorem,
        "title": found.title,
        "source": found.source,
        "problem": found.problem.as_dict(),
        "options": found.problem.options,
        "chosen": found.problem.chosen if isinstance(found.problem, Letters) else {},
        "construction": None,
        "census": dict(found.census),
        "bounds": bounds_document(found.claims),
        "step_error": None,
        "hashes": hashes(found.certificate) if found.certificate else None,
        "grids": [grid.as_dict() for grid in found.grids],
        "plots": [plot.as_dict() for plot in found.plots],
        "verdicts": [verdict.as_dict() for verdict in found.verdicts],
        "versions": versions(),
        "seed": found.seed,
        "seconds": round(seconds, 3),
    }
    return finite(document)


def claims_for(plan: Plan) -> tuple[Claim, ...]:
    """The theorem's claims and those of what is built for the same problem."""
    return (*claims(plan.problem), *built(plan.problem, plan.construction))


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
