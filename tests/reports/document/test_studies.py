"""Kept results of studies: which a report shows, how, and what is refused."""

import csv
import json
import re
from dataclasses import asdict
from pathlib import Path

import pytest

from icgd.bounds.letters import ProblemError
from icgd.construct.machine.json_files import finite
from icgd.reports.document.studies import KEPT_STUDIES, figure_place, kept_studies, study_text
from icgd.reports.figures.captions import study_caption
from icgd.reports.figures.figures import draw_figures
from icgd.reports.figures.study_figure import study_figure
from icgd.reports.html.page import page
from icgd.reports.latex.source import write_source
from icgd.verify.study.baselines.table import baseline_predictions
from icgd.verify.study.measures import measures
from icgd.verify.study.network_scales import CONDITIONS, find_scale
from icgd.verify.study.published_curves import published_curve
from icgd.verify.study.study import StudyCurve, StudyFigure

DATA = Path(__file__).parents[1] / "data"
PAGE = Path(__file__).parents[3] / "docs" / "studies.md"
KEPT = sorted(KEPT_STUDIES.glob("*.json"))
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
    assert [one.stem for one in KEPT] == ["icl-networks-small", "icl-networks-tiny"]


def test_the_figures_have_the_curves_of_the_table_of_every_number(tmp_path):
    text = "N,condition,predictor,examples,prompts,pooled,pooled low,pooled high\n"
    lines = (
        "6,share 1.0,mean,0,9,.1,.1,.1",
        "6,share 1.0,mean,2,9,.2,.1,.3",
        "6,share 0.9,mean,2,9,.7,.7,.7",
    )
    lines += (
        "3,share 1.0,mean,2,9,.8,.8,.8",
        "6,share 1.0,lean,2,4,.5,.4,.6",
        '6,share 1.0,"mean, published",2,,.9,,',
    )
    keep(tmp_path, "a.json")
    beside = tmp_path / "a.csv"
    beside.write_text(text + "\n".join(lines) + "\n", encoding="utf-8")
    ((figure,),) = [one["figures"] for one in kept_studies(["relu-icgd"], tmp_path)]
    drawn = [(one["label"], one["x"], one["y"], one["low"], one["high"]) for one in figure["curves"][:-1]]
    assert drawn == [("mean", [2], [0.2], [0.1], [0.3]), ("lean, 4 prompts", [2], [0.5], [0.4], [0.6])]
    assert figure["curves"][-1]["label"] == "relu transformer, published"
    for wrong in ("a,b\n1,2\n", text + lines[1].replace(".3", "x")):
        beside.write_text(wrong, encoding="utf-8")
        with pytest.raises(ProblemError, match=r"it is not the result\.csv that icgd study wrote"):
            kept_studies(["relu-icgd"], tmp_path)


def test_a_result_is_written_with_a_line_for_every_row():
    for path in KEPT:
        text = path.read_text(encoding="utf-8")
        assert study_text(json.loads(text)) + "\n" == text
        assert text.count("\n") < 800
        with path.with_suffix(".csv").open(encoding="utf-8", newline="") as file:
            measured = {line["predictor"]: line["prompts"] for line in csv.DictReader(file)}
        for grid in json.loads(text)["tables"][:2]:
            assert grid["columns"][:2] == ["predictor", "prompts"]
            assert all(row[1].replace(",", "") == measured[row[0]] for row in grid["rows"])
    odd = {"a": [[1, "[{"], [], {}], "b": {"c": float("inf"), "d": [{"e": (float("nan"), None)}]}, "f": "é"}
    assert json.loads(study_text(odd)) == finite(odd)
    assert study_text(odd).splitlines()[2:5] == ['  [1, "[{"],', "  [],", "  {}"]


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


def test_captions_name_what_is_drawn_and_sentences_begin_with_a_capital():
    (kept,) = kept_studies(["relu-icgd"])
    figures = [one for one in kept["figures"] if one["shown"]]
    captions = {one["key"]: study_caption(kept, one) for one in figures}
    with_dots = {key for key, text in captions.items() if "Dots:" in text}
    assert with_dots == {one["key"] for one in figures if any(c["published"] for c in one["curves"])}
    assert with_dots and with_dots < set(captions)
    assert all("Bands:" in text for text in captions.values())
    assert {key for key, text in captions.items() if "Cut off" in text} == {"pooled-6", "within-6"}
    (bare,) = [one | {"curves": [c | {"low": [], "high": []} for c in one["curves"]]} for one in figures[:1]]
    assert "Bands:" not in study_caption(kept, bare)
    notes = [table[key] for table in kept["tables"] for key in ("title", "note")]
    for text in (*kept["said"], *notes, *(one["title"] for one in kept["figures"]), kept["task"]):
        assert text[:1].isupper(), text


def test_both_pages_show_a_study_with_its_figures_and_tables(tmp_path):
    keep(tmp_path, "a.json")
    whole = json.loads((DATA / "document_html.json").read_text(encoding="utf-8"))
    whole |= {"theorems": {}, "verdicts": [], "findings": [], "questions": []}
    whole["studies"] = kept_studies(["relu-icgd"], tmp_path)
    figures = draw_figures(whole, tmp_path / "figures")
    assert [one.name for one in figures] == ["study-icl-networks-pooled-6"]
    html = page(whole, figures)
    section = html[html.index('<details class="chapter" id="studies"') :]
    for told in (
        "icgd study icl-networks --scale tiny",
        "It is 0.5",
        "<svg",
        "<caption",
        "bootstrap intervals",
    ):
        assert told in section, told
    assert "Other figures" not in html and 'href="#studies"' in html
    tex = write_source(whole, figures, tmp_path / "tex").read_text(encoding="utf-8")
    for told in (
        r"\section{Numerical studies}",
        "It is 0.5",
        "study-icl-networks-pooled-6.pdf",
        r"\end{longtable}",
    ):
        assert told in tex, told
    assert "Other figures" not in tex


def results(scale):
    """The R^2 of a kept result by depth, condition, predictor and examples; and its sentences, at the end."""
    with (KEPT_STUDIES / f"icl-networks-{scale}.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    text = (KEPT_STUDIES / f"icl-networks-{scale}.json").read_text(encoding="utf-8")
    names = ("N", "condition", "predictor", "examples")
    found = {tuple(line[name] for name in names): line for line in lines}

    def r2(N, predictor, k, measure="pooled", condition="share 1.0"):
        return float(found[str(N), condition, predictor, str(k)][measure])

    ends = re.findall(
        r"the answers of (\S+) at \d+ examples are nearest to (.*?)(?: of size (\S+))?, which leaves (\S+) "
        r".*?; .* leaves (\S+) \(",
        "\n".join(json.loads(text)["said"]),
    )
    return r2, ends, json.loads(text)


def short(*values, places=2, times=1):
    """The least and the largest as the page writes them: .04 to .06."""
    ends = (f"{times * one:.{places}f}" for one in (min(values), max(values)))
    return " to ".join(one.removeprefix("0") if times == 1 else one for one in ends)


MODELS = [(attention, N) for N in (3, 4, 6) for attention in ("softmax", "relu")]


def test_the_page_says_what_the_smallest_result_has():
    (r2, ends, whole), page = results("tiny"), " ".join(PAGE.read_text(encoding="utf-8").split())
    assert sum(line.count("not apart from the mean of labels") for line in whole["said"]) == 12
    assert len(ends) == 6 and all(
        one[1] in ("2 steps of linear descent", "3 steps of linear descent") for one in ends
    )
    assert f"leave {short(*(float(one[3]) for one in ends), places=1, times=100)}% of their variance" in page
    last = [row for row in whole["tables"][-1]["rows"] if row[1] == 1500]
    assert f"the mean leaves {short(*(float(row[2]) for row in last), places=1, times=100)}%" in page
    away = short(*(float(one[4]) for one in ends), places=0, times=100)
    assert f"the best descent on an N-layer network {away}%" in page
    ours = short(*(r2(N, f"{name} transformer", 20) for name, N in MODELS))
    theirs = short(*(published_curve("relu", N).values[20] for N in (3, 4, 6)))
    assert f"R^2 at 20 examples is {ours}; {theirs} is published of the ReLU transformers" in page


def test_the_page_says_what_the_small_result_has():
    (r2, ends, whole), page = results("small"), " ".join(PAGE.read_text(encoding="utf-8").split())
    within = {(name, N): r2(N, f"{name} transformer", 50, "within") for name, N in MODELS}
    pooled = {(name, N): r2(N, f"{name} transformer", 50) for name, N in MODELS}
    deep = [one for one in MODELS if one[1] > 3]
    assert f"within prompts of {short(within['softmax', 3])[:3]}" in page
    told = (short(*(which[one] for one in deep)) for which in (within, pooled))
    assert "have {}, with a pooled R^2 of {}.".format(*told) in page
    mean = {row[1]: float(row[2]) for row in whole["tables"][-1]["rows"] if row[0] == "softmax-3"}
    assert mean[8000] < 0.015 < 0.035 < mean[12000] and "between 8,000 and 12,000 steps" in page
    linear = [one for one in ends if "linear descent" in one[1]]
    assert [one[0] for one in ends if one not in linear] == ["softmax-3"] and ends[0][1].startswith("ridge")
    assert {one[1] for one in linear} == {"2 steps of linear descent", "3 steps of linear descent"}
    assert {f"{float(one[2]):.3f}" for one in linear} == {"0.011"}
    shares = short(*(float(one[3]) for one in linear), places=3, times=100)
    assert f"to {shares}% of the variance" in page and f"ridge ({100 * float(ends[0][3]):.1f}%)" in page
    assert f"leaves {short(*(float(one[4]) for one in ends), places=0, times=100)}%." in page
    plateaus = {one: f"{published_curve(*one).plateau:.2f}"[1:] for one in MODELS}
    assert f"ReLU at N = 4 and 6 has {plateaus['relu', 4]} and {plateaus['relu', 6]}" in page
    assert f"softmax at N = 6 {plateaus['softmax', 6]}, which" in page
    assert f"with {plateaus['softmax', 3]} and {plateaus['softmax', 4]}, is where ridge" in page

    def falls(name, N):
        values = published_curve(name, N).values
        ours = [r2(N, f"{name} transformer", k) for k in (50, 75)]
        return *(f"{one:.2f}"[1:] for one in ours), *(f"{values[k]:.2f}"[1:] for k in (50, 75))

    first, last, was, then = falls("softmax", 3)
    assert f"falls from {first} to {last} at 75, as published ({was} to {then})" in page
    first, last, was, then = falls("relu", 6)
    assert f"from {first} to {last}, which the published one does not" in page and then > was
    moved = {one: r2(one[1], f"{one[0]} transformer", 50, condition="share 0.9") for one in MODELS}
    assert [one for one, value in moved.items() if value > 0] == [("relu", 3)]
    mean_of_labels = r2(3, "mean", 50, condition="share 0.9")
    assert f"N = 3 has {moved['relu', 3]:.2f}".replace("0.", ".") in page
    assert f"the mean of the labels {mean_of_labels:.2f})".replace("0.", ".") in page
    published = [published_curve(*one, share=0.9).values[50] for one in MODELS]
    assert f"keep {short(*published)}." in page
    other = (PAGE.parent / "study-readings.md").read_text(encoding="utf-8")
    for row in whole["tables"][1]["rows"]:
        if row[0] in ("mean", "ridge", "exact", "lean"):
            assert f"| {' | '.join(row)} |" in other


def test_the_page_has_the_mean_and_ridge_on_the_prompts_of_the_constructions():
    other, scale = (PAGE.parent / "study-readings.md").read_text(encoding="utf-8"), find_scale("small")
    few, (*_, k) = scale.slow
    cells = {"mean": [], "ridge": []}
    for N in scale.depths:
        prompts = scale.test_prompts(N, CONDITIONS[0], 0)[:few]
        for name, predicted in baseline_predictions(prompts, [k], [*cells]).items():
            (one,) = measures(prompts.y, [k], predicted)["within"]
            cells[name].append(f"{one.value:.3f} ({one.low:.2f}, {one.high:.2f})")
    for name, row in cells.items():
        assert f"| {name} | the same {few} | {' | '.join(row)} |" in other
