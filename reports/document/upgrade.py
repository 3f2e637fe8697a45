"""The document of an earlier report: where a number is missing, and its bounds under the names of today."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from icgd.reports.document.bearings import BEARINGS
from icgd.reports.document.first_page import STATUSES
from icgd.reports.document.numbers import quantities
from icgd.reports.document.step_bound import is_checked, step_error_document

_NUMBERS = ("census", "step_error", "plan", "search")
"""Sections in which nothing but numbers stands."""

_OUTCOMES, _ASSUMED = ("confirmed", "refuted", "open"), ("holds", "fails", "undecided")
"""What became of a finding, and of a hypothesis."""

_NO_FLOATS = ("inf", "-inf", "nan")
"""What stands for the floats that JSON has not."""


def renamed(document: dict[str, Any]) -> dict[str, Any]:
    """The same where a bound is called certified only if a checker accepted a certificate of it."""
    for part in document["theorems"].values():
        checked, error, plan = is_checked(part), part.get("step_error"), part.get("plan")
        if error and "allowed" in error and "bound" not in error:
            part["step_error"] = step_error_document(error, checked=checked)
        if plan and "bound" not in plan:
            part["plan"] = _renamed_plan(plan, checked=checked)
    if "numbers" in document:
        document["numbers"] = {one.macro: one.value for one in quantities(document)}
    return document


def _renamed_plan(plan: Mapping[str, Any], *, checked: bool) -> dict[str, Any]:
    told = {}
    for key, value in plan.items():
        told["bound" if key == "certified" else key] = value
        if key == "certified" and checked:
            told[key] = value
    terms = {
        name: {"bound" if key == "certified" else key: value for key, value in term.items()}
        for name, term in plan["terms"].items()
    }
    return {**told, "terms": terms}


def misplaced(document: Mapping[str, Any]) -> str | None:
    """The first place where a text stands for a number, or None; KeyError or the like for no report."""
    return next(_misplaced(document), None)


def _misplaced(document: Mapping[str, Any]) -> Iterator[str]:
    for name, part in document["theorems"].items():
        for section in _NUMBERS:
            yield from _texts(part.get(section), f"{name} {section}")
        run = part.get("trajectory") or {}
        for key in ("prompts", "errors", "loss", "exact_loss", "apart"):
            yield from _texts(run.get(key), f"{name} trajectory {key}")
        for key, claim in part["bounds"].items():
            yield from _texts(claim["value"], f"{name} bounds {key}")
        for key, value in (part.get("certificate") or {}).items():
            if key not in ("refusal", "weights", "float32", "trusted"):
                yield from _texts(value, f"{name} certificate {key}")
        yield from _texts(part.get("seconds"), f"{name} seconds")
    yield from _texts([document.get("seed"), document.get("seconds")], "seed or seconds")


def unknown_word(document: Mapping[str, Any]) -> str | None:
    """The first verdict, outcome or status that there is not, or None; KeyError or the like for no report."""
    parts = document["theorems"].values()
    verdicts = [one for part in parts for one in part.get("verdicts") or ()] + document.get("verdicts", [])
    said: list[tuple[Any, Collection[str]]] = [(one["verdict"], STATUSES) for one in verdicts]
    said += [(one["outcome"], _OUTCOMES) for one in document["findings"]]
    said += [(one.get("bearing") or "open", BEARINGS) for one in document["findings"]]
    said += [(one["status"], _ASSUMED) for part in parts for one in part.get("hypotheses") or ()]
    return next((str(word) for word, known in said if word not in known), None)


def _texts(value: Any, place: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts(item, f"{place} {key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts(item, f"{place} {index}")
    elif isinstance(value, str) and value not in _NO_FLOATS:
        yield place
