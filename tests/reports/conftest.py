"""A report's LaTeX with small figures, written once."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from icgd.reports.latex.source import write

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
        figure.subplots().plot([1, 2], [2, 1])
        figure.savefig(path, metadata={"CreationDate": None})
        made.append(Drawn(theorem, name, "Error of 50% & more", "norm2(err) <= eta*eps, d_out = 2", path))
    return made


@pytest.fixture(scope="session")
def written(figures, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    write(DOCUMENT, figures, folder)
    return folder
