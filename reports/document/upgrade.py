"""Reads a report.json, also one of an earlier version: checks it and gives bounds their present names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from icgd.bounds.letters import ProblemError
from icgd.construct.machine.json_files import load_json
from icgd.construct.machine.json_types import misfit
from icgd.reports.document.findings import tally_document
from icgd.reports.document.numbers import quantities
from icgd.reports.document.shape import SCHEMA, AuditDocument, FindingDocument
from icgd.verify.catalogue import theorems

_BEARINGS = {"contradicts": "error", "refuted": "error", "confirmed": "confirms"}
"""Earlier words for a bearing, or for an outcome where no bearing was recorded, and their present ones."""
_SEVERITIES = {"error": "statement", "gap": "constants", "reading": "wording"}
"""How grave a finding counts as that was recorded without its severity."""


def load(path: Path) -> AuditDocument:
    """Read the document of a report; raises ProblemError if the file is not one."""
    document = load_json(path, "from")
    if not isinstance(document, dict) or not {"theorems", "findings", "command"} <= set(document):
        raise ProblemError("from", path, "it is not the report.json that icgd audit or icgd report wrote")
    schema = document.get("schema", 1)
    if type(schema) is not int or not 1 <= schema <= SCHEMA:
        known = f"versions 1 to {SCHEMA} are read; docs/verdicts.md says what they are"
        raise ProblemError("from", path, f"schema is not the version of its keys: {known}")
    wrong = misfit(document, AuditDocument, lacking=True) if schema == SCHEMA else None
    if wrong is None:
        try:
            found = renamed(document)
        except (AttributeError, KeyError, TypeError, ValueError):
            why = "parts of the report are missing or are of another kind"
            raise ProblemError("from", path, why) from None
        wrong = misfit(found, AuditDocument, lacking=True)
    if wrong:
        raise ProblemError("from", path, f"it is not a report as icgd writes them, at {wrong}")
    for name, part in found["theorems"].items():
        if name.split("/")[0] != part.get("theorem", name.split("/")[0]):
            why = f"the part {name} says that it is about {part['theorem']}"
            raise ProblemError("from", path, why)
    return found


def renamed(document: dict[str, Any]) -> AuditDocument:
    """The document with bounds renamed: certified only if a checker accepted a certificate of the bound.

    The content of a file is untyped; here it is declared to be an AuditDocument.
    """
    if document.get("schema", 1) < SCHEMA:
        _give_present_keys(document)
        document["schema"] = SCHEMA
    _set_repaired_apart(document)
    for part in document["theorems"].values():
        checked = bool((part.get("certificate") or {}).get("accepted"))
        error, plan = part.get("step_error"), part.get("plan")
        if error and "allowed" in error and "bound" not in error:
            part["step_error"] = _renamed(error, checked=checked)
        if plan and "bound" not in plan:
            terms = {name: _renamed(term, checked=False) for name, term in plan["terms"].items()}
            part["plan"] = _renamed(plan, checked=checked) | {"terms": terms}
    document["findings"] = [_finding(one) for one in document["findings"]]
    document.setdefault("questions", [])
    document["tally"] = tally_document(document["findings"])
    typed = cast(AuditDocument, document)
    if "numbers" in document:
        typed["numbers"] = {one.macro: one.value for one in quantities(typed)}
    return typed


def _finding(one: Mapping[str, Any]) -> dict[str, Any]:
    """A finding in its present form; earlier ones had an outcome, and neither statement nor severity.

    >>> old = {
    ...     "key": "1/a",
    ...     "source": "arXiv:1, Lemma 2",
    ...     "outcome": "confirmed",
    ...     "bearing": "gap",
    ...     "text": "t",
    ... }
    >>> [_finding(old)[name] for name in ("statement", "bearing", "severity", "text")]
    ['Lemma 2', 'gap', 'constants', 't']
    """
    if not isinstance(one.get("headline", ""), str):  # once it said whether a finding was one of the gravest
        one = {name: value for name, value in one.items() if name != "headline"}
    if "severity" in one:
        return dict(one)
    word = one.get("bearing") or one["outcome"]
    bearing = _BEARINGS.get(word, word)
    source = str(one.get("source") or "")
    made = {name: value for name, value in one.items() if name in FindingDocument.__annotations__}
    return {
        "claim": "", "kind": "", "theorem": "", "numbers": {}, "differences": [], "reproduces": True,
        "replay": f"icgd findings {one['key']}", "seconds": 0.0,
    } | made | {
        "source": source,
        "statement": source.partition(", ")[2] or source,
        "place": "",
        "quotation": "",
        "bearing": bearing,
        "severity": _SEVERITIES.get(bearing, "none"),
        "text": str(one.get("text") or one.get("finding") or ""),
        "repair": str(one.get("holds") or ""),
        "not_claimed": "",
    }  # fmt: skip


def _give_present_keys(document: dict[str, Any]) -> None:
    """Give claims the key that they now have everywhere, and verdicts whose claim it is, as far as known."""
    for name, part in document["theorems"].items():
        quantities_of = {key: claim["quantity"] for key, claim in part["bounds"].items()}
        part["bounds"] = {_hyphens(key): claim for key, claim in part["bounds"].items()}
        for verdict in part.get("verdicts") or ():
            verdict["claim"] = _present_key(name, verdict["claim"], quantities_of)
            verdict.setdefault("about", _about(verdict["claim"], part))
    ours = {
        v["claim"]: v["about"] for part in document["theorems"].values() for v in part.get("verdicts") or ()
    }
    for verdict in document.get("verdicts") or ():
        verdict["claim"] = _hyphens(verdict["claim"])
        verdict.setdefault("about", ours.get(verdict["claim"], "paper"))


def _hyphens(key: str) -> str:
    return key.replace("_", "-")


def _present_key(part: str, claim: str, quantities_of: Mapping[str, str]) -> str:
    """The key of a claim of one part; earlier versions left the construction out of it in the part itself.

    quantities_of: the quantities of the part's bounds by key; the sizes that a theorem states have no
    construction.

    >>> _present_key("relu-icgd/lean", "relu-icgd/step-error", {})
    'relu-icgd/lean/step-error'
    >>> _present_key("looped", "looped/steps", {}), _present_key("a/b", "a/b/mlp_width", {})
    ('looped/steps', 'a/b/mlp-width')
    """
    stated = quantities_of.get(claim, "step_error") != "step_error"
    if stated or claim.startswith(f"{part}/"):
        return _hyphens(claim)
    return part + _hyphens(claim.removeprefix(part.partition("/")[0]))


def _about(key: str, part: Mapping[str, Any]) -> str:
    """Whose claim it is: that of its bound; where there is none, that of the theorem of that name today."""
    if key in part["bounds"]:
        return "icgd" if part["bounds"][key]["source"] == "icgd" else "paper"
    known = theorems().get(part.get("theorem") or key.partition("/")[0])
    return known.subject(key) if known else "paper"


def _set_repaired_apart(document: Mapping[str, Any]) -> None:
    """Name the claims that are judged in a repaired form; earlier reports counted them as the papers'."""
    parts, known = document["theorems"].values(), theorems()
    lists = [*(part.get("verdicts") or () for part in parts), document.get("verdicts") or ()]
    for verdict in (one for some in lists for one in some if one.get("about") == "paper"):
        theorem = known.get(verdict["claim"].partition("/")[0])
        if theorem and theorem.subject(verdict["claim"]) == "repaired":
            verdict["about"] = "repaired"


def _renamed(bounds: Mapping[str, Any], *, checked: bool) -> dict[str, Any]:
    """Rename certified to bound; keep certified as well if the bound was checked.

    >>> _renamed({"sampled": 0.1, "certified": 0.4, "allowed": 0.5}, checked=False)
    {'sampled': 0.1, 'bound': 0.4, 'allowed': 0.5}
    """
    names: dict[str, Any] = {}
    for key, value in bounds.items():
        names[key.replace("certified", "bound")] = value
        if key == "certified" and checked:
            names[key] = value
    return names
