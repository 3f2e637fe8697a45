"""The numerical studies whose results are kept with the package, for the report of a theorem."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import cast

from icgd.bounds.letters import ProblemError
from icgd.construct.machine.json_files import load_json
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


def figure_place(study: StudyDocument) -> str:
    """Where the figures of a study belong, as those of a theorem belong to its name."""
    return f"study {study['study']}, {study['scale']}"
