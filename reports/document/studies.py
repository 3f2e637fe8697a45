"""The numerical studies whose results are kept with the package, for the report of a theorem."""

from __future__ import annotations

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
            found[one["study"]] = cast(StudyDocument, shown)
    return list(found.values())


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
