"""The numerical studies whose results are kept with the package, for the report of a theorem."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any, cast

from icgd.bounds.letters import ProblemError
from icgd.construct.machine.json_files import finite, json_text, load_json
from icgd.construct.machine.json_types import misfit
from icgd.reports.document.study_shape import StudyDocument

KEPT_STUDIES = Path(__file__).parents[1] / "studies"
"""One file NAME-SCALE.json for each result, as `icgd study` writes it."""


def kept_studies(theorems: Collection[str], folder: Path = KEPT_STUDIES) -> list[StudyDocument]:
    """The kept results that are about one of these theorems: of each study, the largest scale.

    theorems: names such as relu-icgd or relu-icgd/lean.  Raises ProblemError for a file that is no result.
    """
    names = {name.split("/")[0] for name in theorems}
    found: dict[str, StudyDocument] = {}
    for path in sorted(folder.glob("*.json")):
        one = load_json(path, "study")
        wrong = misfit(one, StudyDocument, lacking=False)
        if wrong:
            raise ProblemError("study", path, f"it is not a result of icgd study, at {wrong}")
        if not names & set(one["theorems"]):
            continue
        earlier = found.get(one["study"])
        sizes = list(one["scales"])
        if earlier is None or sizes.index(one["scale"]) > sizes.index(earlier["scale"]):
            shown = {name: one[name] for name in StudyDocument.__annotations__}
            found[one["study"]] = _spoken(cast(StudyDocument, shown))
    return list(found.values())


def capitalised(text: str) -> str:
    """The text with a capital where it begins with a word; what begins with a formula stays as it is.

    >>> capitalised("pooled R^2"), capitalised("relu heads"), capitalised("w(0) is 0"), capitalised("r = 1")
    ('Pooled R^2', 'ReLU heads', 'w(0) is 0', 'r = 1')
    """
    if text.startswith("relu "):
        return f"ReLU{text[4:]}"
    return text[:1].upper() + text[1:] if re.match(r"(?:[a-z]{2,}|a)(?=[\s,:;-]|$)", text) else text


def _spoken(study: StudyDocument) -> StudyDocument:
    """The study with capitals where its sentences, titles and notes begin."""
    tables = [
        {**one, "title": capitalised(one["title"]), "note": capitalised(one["note"])}
        for one in study["tables"]
    ]
    figures = [{**one, "title": capitalised(one["title"])} for one in study["figures"]]
    spoken = {"said": list(map(capitalised, study["said"])), "tables": tables, "figures": figures}
    return cast(StudyDocument, {**study, "task": capitalised(study["task"]), **spoken})


def study_text(value: Any, deep: int = 0) -> str:
    """A result as JSON, in which a list or object that holds no other stands in one line, such as a row.

    deep: how many spaces it is indented by.  Infinite numbers and what is no number are strings.
    """
    plain = finite(value) if not deep else value
    inside = plain.values() if isinstance(plain, dict) else plain if isinstance(plain, list) else ()
    if not any(isinstance(one, dict | list) for one in inside):
        return json_text(plain)
    space, ends = " " * (deep + 1), "{}" if isinstance(plain, dict) else "[]"
    names = [f"{json_text(name)}: " for name in plain] if isinstance(plain, dict) else [""] * len(plain)
    lines = [f"{space}{name}{study_text(one, deep + 1)}" for name, one in zip(names, inside, strict=True)]
    return "\n".join([ends[0], ",\n".join(lines), f"{space[1:]}{ends[1]}"])


def figure_place(study: StudyDocument) -> str:
    """Where the figures of a study belong, as those of a theorem belong to its name."""
    return f"study {study['study']}, {study['scale']}"
