"""Fixtures of reports: the LaTeX of a report with small figures, written once, and a check of its types."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Literal, NotRequired, Union, get_args, get_origin, get_type_hints

import matplotlib
import pytest
from matplotlib.figure import Figure
from typing_extensions import is_typeddict

from icgd.reports.figures.style import STYLE
from icgd.reports.latex.source import write_source

DOCUMENT = json.loads((Path(__file__).parent / "data" / "document_latex.json").read_text())
LEAN = "relu-icgd/lean"


@dataclass(frozen=True)
class Drawn:
    theorem: str
    name: str
    title: str
    caption: str
    pdf: Path


@pytest.fixture(scope="session")
def figures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn")
    made = []
    for theorem, name, inches in (
        (LEAN, "lean-steps", 3.3), (LEAN, "lean-budget", 3.3), ("convergence", "distance", 3.3),
        ("looped", "examples", 6.5), ("elsewhere", "other", 3.3),
    ):  # fmt: skip
        path = folder / f"{name}.pdf"
        figure = Figure(figsize=(inches, 2.5))
        with matplotlib.rc_context(STYLE):
            figure.subplots().plot([1, 2], [2, 1])
            figure.savefig(path, metadata={"CreationDate": None})
        made.append(Drawn(theorem, name, "Error of 50% & more", "norm2(err) <= eta*eps, d_out = 2", path))
    return made


@pytest.fixture(scope="session")
def written(figures, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    write_source(DOCUMENT, figures, folder)
    return folder


def _misfits(value, kind, place=""):
    """Where a value that JSON holds is not of a type: a line each."""
    origin, inside = get_origin(kind), get_args(kind)
    if origin is NotRequired:
        yield from _misfits(value, inside[0], place)
    elif origin in (Union, UnionType):
        found = [list(_misfits(value, one, place)) for one in inside]
        yield from found[0] if all(found) else ()
    elif origin is Literal and value in inside:
        return
    elif is_typeddict(kind) and isinstance(value, dict):
        kinds = get_type_hints(kind, include_extras=True)
        optional = kind.__optional_keys__ | {key for key in kinds if get_origin(kinds[key]) is NotRequired}
        yield from (f"{place} {key} is missing".strip() for key in kinds.keys() - optional - value.keys())
        for key, item in value.items():
            at = f"{place} {key}".strip()
            yield from _misfits(item, kinds[key], at) if key in kinds else [f"{at} is no key"]
    elif origin in (dict, Mapping) and isinstance(value, dict):
        for key, item in value.items():
            yield from _misfits(key, inside[0], f"{place} {key}")
            yield from _misfits(item, inside[1], f"{place} {key}")
    elif origin in (list, Sequence) and isinstance(value, list):
        for index, item in enumerate(value):
            yield from _misfits(item, inside[0], f"{place} {index}")
    elif type(value) is not kind and (kind, type(value)) != (float, int):
        yield f"{place} is {value}"


@pytest.fixture(scope="session")
def misfits():
    return _misfits
