"""Kept results of studies: which a report shows, how, and what is refused."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from icgd.bounds.letters import ProblemError
from icgd.construct.machine.json_files import finite
from icgd.reports.document.studies import KEPT_STUDIES, figure_place, kept_studies
from icgd.reports.figures.figures import draw_figures
from icgd.reports.figures.study_figure import study_figure
from icgd.reports.html.page import page
from icgd.reports.latex.source import write_source
from icgd.verify.study.study import StudyCurve, StudyFigure

DATA = Path(__file__).parents[1] / "data"
CURVES = (
    StudyCurve("mean", (1.0, 3.0, 5.0, 7.0, 9.0), (0.5, 0.6, float("nan"), 0.8, 0.9), (0.4,) * 5, (1.0,) * 5),
    StudyCurve("far below", (1.0, 5.0), (-40.0, 0.3), (-50.0, 0.2), (-30.0, 0.4)),
    StudyCurve("relu transformer, published", (1.0, 2.0, 3.0), (0.5, 0.6, 0.7), published=True),
)
RESULT = {
    "study": "icl-networks",
    "title": "t",
    "source": "arXiv 2411.16549, Section 5",
    "theorems": ["relu-icgd"],
    "task": "a task",
    "scales": {"tiny": "w", "small": "w", "paper": "w"},
    "scale": "tiny",
    "seed": 0,
    "trained_on": "cpu",
    "said": ["it is 0.5"],
    "tables": [{"title": "t", "columns": ["a"], "rows": [["b"]], "note": ""}],
    "figures": [asdict(StudyFigure("pooled-6", "pooled R^2", "examples", "R^2", CURVES))],
}


def keep(folder, name, **changed):
    (folder / name).write_text(json.dumps(finite(RESULT | changed)), encoding="utf-8")


def test_a_report_shows_the_largest_scale_of_the_studies_about_its_theorems(tmp_path):
    keep(tmp_path, "a.json")
    keep(tmp_path, "b.json", scale="small")
    keep(tmp_path, "c.json", study="other", theorems=["looped"])
    found = kept_studies(["relu-icgd/lean", "convergence"], tmp_path)
    assert [(one["study"], one["scale"]) for one in found] == [("icl-networks", "small")]
    assert figure_place(found[0]) == "study icl-networks, small"
    assert kept_studies(["functional"], tmp_path) == []


def test_what_is_no_result_is_refused_and_what_is_kept_is_a_result(tmp_path):
    keep(tmp_path, "a.json", said=3)
    with pytest.raises(ProblemError, match="said: it should be a list"):
        kept_studies(["relu-icgd"], tmp_path)
    for one in kept_studies(["relu-icgd", "preconditioned", "functional", "looped"]):
        for figure in one["figures"]:
            assert StudyFigure.from_dict(figure).key == figure["key"]
    assert KEPT_STUDIES.is_dir()


def test_a_figure_has_lines_bands_and_dots_without_what_is_no_number(tmp_path):
    keep(tmp_path, "a.json")
    ((made,),) = ([one["figures"][0] for one in kept_studies(["relu-icgd"], tmp_path)],)
    figure = study_figure(made)
    (axes,) = figure.axes
    lines = axes.get_lines()
    assert [list(one.get_xdata()) for one in lines] == [[1.0, 3.0, 7.0, 9.0], [1.0, 5.0], [1.0, 2.0, 3.0]]
    assert lines[2].get_linestyle() == "None"
    assert [type(one).__name__ for one in axes.collections] == ["FillBetweenPolyCollection", "LineCollection"]
    assert axes.get_ylim()[0] == -0.6
    assert len({(one.get_color(), one.get_marker(), one.get_linestyle()) for one in lines}) == 3
    assert [text.get_text() for text in figure.legends[0].get_texts()][2] == "relu transformer, published"


def test_both_pages_show_a_study_with_its_figures_and_tables(tmp_path):
    keep(tmp_path, "a.json")
    whole = json.loads((DATA / "document_html.json").read_text(encoding="utf-8"))
    whole |= {"theorems": {}, "verdicts": [], "findings": [], "questions": []}
    whole["studies"] = kept_studies(["relu-icgd"], tmp_path)
    figures = draw_figures(whole, tmp_path / "figures")
    assert [one.name for one in figures] == ["study-icl-networks-pooled-6"]
    html = page(whole, figures)
    section = html[html.index('<section id="studies"') :]
    for told in (
        "icgd study icl-networks --scale tiny",
        "it is 0.5",
        "<svg",
        "<caption",
        "bootstrap intervals",
    ):
        assert told in section, told
    assert "Other figures" not in html and 'href="#studies"' in html
    tex = write_source(whole, figures, tmp_path / "tex").read_text(encoding="utf-8")
    for told in (r"\section{Numerical studies}", "it is 0.5", "study-icl-networks-pooled-6.pdf", r"\toprule"):
        assert told in tex, told
    assert "Other figures" not in tex
