"""The numerical studies whose results are kept with the package, for the report of a theorem."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from icgd.bounds.letters import ProblemError
from icgd.construct.machine.json_files import finite, json_text, load_json
from icgd.construct.machine.json_types import misfit
from icgd.reports.document.study_shape import StudyCurveDocument, StudyDocument
from icgd.verify.study.measures import R2_MEASURES
from icgd.verify.study.network_report import IN_DISTRIBUTION

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
            found[one["study"]] = _spoken(_completed(cast(StudyDocument, shown), path.with_suffix(".csv")))
    return list(found.values())


def capitalised(text: str) -> str:
    """The text with a capital where it begins with a word; what begins with a formula stays as it is.

    >>> capitalised("pooled R^2"), capitalised("relu heads"), capitalised("w(0) is 0"), capitalised("r = 1")
    ('Pooled R^2', 'ReLU heads', 'w(0) is 0', 'r = 1')
    """
    if text.startswith("relu "):
        return f"ReLU{text[4:]}"
    return text[:1].upper() + text[1:] if re.match(r"(?:[a-z]{2,}|a)(?=[\s,:;-]|$)", text) else text


def _completed(study: StudyDocument, path: Path) -> StudyDocument:
    """The study with every measured predictor in its figures of R^2: earlier results drew only a few.

    path: the file of every number beside the result; where there is none the study stays as it is.
    Raises ProblemError for a file that is no such table.
    """
    if not path.exists():
        return study
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = [one for one in csv.DictReader(file) if one["condition"] == IN_DISTRIBUTION]
        figures = [
            {**one, "curves": [*measured, *(curve for curve in one["curves"] if curve["published"])]}
            if (measured := _measured(lines, one["key"]))
            else one
            for one in study["figures"]
        ]
    except (KeyError, ValueError) as error:
        wrong = f"it is not the result.csv that icgd study wrote beside the result: {error!r}"
        raise ProblemError("study", path, wrong) from error
    return cast(StudyDocument, {**study, "figures": figures})


def _measured(lines: Sequence[Mapping[str, str]], key: str) -> list[StudyCurveDocument]:
    """The curves of a figure such as pooled-6, measure and depth, from the lines of every number."""
    measure, _, N = key.partition("-")
    here = [one for one in lines if one["N"] == N and one["prompts"] and one["examples"] != "0"]
    if measure not in R2_MEASURES or not here:
        return []
    most = max(int(one["prompts"]) for one in here)
    curves: list[StudyCurveDocument] = []
    for name in dict.fromkeys(one["predictor"] for one in here):
        mine = [one for one in here if one["predictor"] == name]
        prompts = int(mine[0]["prompts"])
        numbers = {end: [float(one[f"{measure}{end}"]) for one in mine] for end in ("", " low", " high")}
        curves.append(
            {
                "label": f"{name}, {prompts:,} prompts" if prompts < most else name,
                "x": [float(one["examples"]) for one in mine],
                "y": numbers[""],
                "low": numbers[" low"],
                "high": numbers[" high"],
                "published": False,
            }
        )
    return curves


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
