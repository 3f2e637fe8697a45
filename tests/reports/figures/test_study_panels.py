"""The panels of the study of networks: every predictor of the table is drawn, named, and where it says."""

import json
import math
import re
from itertools import pairwise

import matplotlib
import pytest
from matplotlib.colors import to_hex

from icgd.reports.document.studies import KEPT_STUDIES, kept_studies
from icgd.reports.figures.captions import study_caption
from icgd.reports.figures.figures import sketches
from icgd.reports.figures.messages import study_message
from icgd.reports.figures.study_panels import IN_PANELS, PANELS, panelled_figure, predictor_of, spread
from icgd.reports.figures.style import STYLE
from icgd.verify.study.baselines.table import BASELINES
from icgd.verify.study.network_report import TRAINED

(KEPT,) = kept_studies(["relu-icgd"])
TABLES = {name: table["rows"] for name, table in zip(("pooled-6", "within-6"), KEPT["tables"], strict=False)}
SHOWN = {one["key"]: one for one in KEPT["figures"] if one["key"] in TABLES}
FAINT = "#999999"
DOTS = {
    "softmax transformer": ("o", "black"),
    "relu transformer": ("o", "white"),
    "network, best epoch": ("x", None),
}


def drawn(key):
    with matplotlib.rc_context(STYLE):
        return panelled_figure(SHOWN[key])


def named(axes, said):
    """The line that a thin one leads to from its name."""
    (text,) = [one for one in axes.texts if one.get_text() == said]
    thin = [
        one
        for one in axes.get_lines()
        if one.get_linewidth() < 0.5 and one.get_ydata()[1] == text.get_position()[1]
    ]
    start = thin[0].get_xdata()[0], thin[0].get_ydata()[0]
    ends = [one for one in axes.get_lines() if (one.get_xdata()[-1], one.get_ydata()[-1]) == start]
    assert len(thin) == len(ends) == 1 and ends[0].get_color() == thin[0].get_color()
    return ends[0]


def dots(axes, predictor):
    marker, face = DOTS[predictor]
    lines = [one for one in axes.get_lines() if one.get_linestyle() == "None" and one.get_marker() == marker]
    (line,) = [one for one in lines if face in (None, one.get_markerfacecolor())]
    return line


def test_every_predictor_of_the_study_has_its_panel():
    assert sorted(IN_PANELS) == sorted([*TRAINED, *BASELINES])


@pytest.mark.parametrize("key", SHOWN)
def test_every_row_of_the_table_is_a_line_in_its_panel_with_its_name_beside_it(key):
    panels = dict(zip(PANELS, drawn(key).axes, strict=True))
    assert [axes.get_title(loc="left").lower() for axes in panels.values()] == [*PANELS]
    for predictor, prompts, *_, last in TABLES[key]:
        name = predictor.removesuffix(", published")
        ((axes, said),) = [(panels[one], names[name]) for one, names in PANELS.items() if name in names]
        line = named(axes, said) if name == predictor else dots(axes, name)
        points = list(zip(line.get_xdata(), line.get_ydata(), strict=True))
        assert len(points) == (2 if prompts == "128" else 15)
        ((x, y),) = [one for one in points if abs(one[0] - 50) < 4]
        assert f"{y:.3f}" == last.partition(" ")[0], predictor
        assert x == 50 or prompts == "128"
    for one, axes in panels.items():
        few = [
            named(axes, PANELS[one][name])
            for name, prompts, *_ in TABLES[key]
            if prompts == "128" and name in PANELS[one]
        ]
        assert len({line.get_xdata()[-1] for line in few}) == len(few)  # no interval hides another
        faint = [line.get_linestyle() for line in axes.get_lines() if to_hex(line.get_color()) == FAINT]
        assert faint == ([] if one == "trained transformers" else ["-", "--"])
        bands = [type(part).__name__ for part in axes.collections]
        assert bands == [("LineCollection" if few else "FillBetweenPolyCollection")] * len(bands) and bands
        looks = [
            (to_hex(line.get_color()), line.get_marker())
            for line in axes.get_lines()
            if line.get_marker() != "None"
        ]
        assert len(set(looks)) == len(looks)
        low, high = axes.get_ylim()
        heights = sorted((text.get_position()[1] - low) / (high - low) for text in axes.texts)
        assert all(b - a > 0.099 for a, b in pairwise(heights)) and heights[0] > 0 and heights[-1] < 1


def test_reports_draw_the_panels_for_predictors_and_one_pair_of_axes_for_distances():
    with matplotlib.rc_context(STYLE):
        found = {one.name: one for one in sketches({"theorems": {}, "studies": [KEPT]})}
    axes = {name.removeprefix("study-icl-networks-"): len(one.figure.axes) for name, one in found.items()}
    assert axes == {"pooled-6": 5, "within-6": 5, "distance-softmax-6": 1, "distance-relu-6": 1}
    assert "ridge has" in found["study-icl-networks-pooled-6"].title


def test_names_are_moved_apart_and_no_further():
    assert spread([0.2, 0.5, 0.9], 0.1) == [0.2, 0.5, 0.9]
    assert spread([0.5, 0.5], 0.1) == pytest.approx([0.45, 0.55])
    assert spread([-7.0, 2.0], 0.1) == pytest.approx([0.05, 0.96])
    tight = spread([0.99, 0.99, 0.99], 0.1)
    assert all(b - a > 0.099 for a, b in pairwise(tight)) and tight[-1] <= 0.9601


@pytest.mark.parametrize("key", SHOWN)
def test_the_caption_says_what_is_cut_off_lacking_or_on_few_prompts(key):
    figure, text = SHOWN[key], study_caption(KEPT, SHOWN[key])
    low, _ = drawn(key).axes[0].get_ylim()
    whole = {predictor_of(one): min(one["low"] or one["y"]) for one in figure["curves"]}
    assert [name for name, least in whole.items() if least < low] == ["least squares"]
    assert f"Cut off below {low:.1f}: least squares." in text
    assert "Not measured at this scale: network, each best epoch." in text
    assert (
        "On 128 prompts alone, at 10 and 50 examples" in text
        and "network trained on the prompt, constructed." in text
    )


@pytest.mark.parametrize("key", SHOWN)
def test_the_message_has_the_numbers_of_the_table(key):
    ends = {row[0]: float(row[-1].partition(" ")[0]) for row in TABLES[key]}
    better = max(ends[name] for name in TRAINED)
    numbers = [float(one) for one in re.findall(r"-?\d+\.\d+", study_message(SHOWN[key]))]
    assert numbers == pytest.approx([ends["ridge"], better, ends["mean"]], abs=0.0051)
    bare = SHOWN[key] | {"curves": [one for one in SHOWN[key]["curves"] if one["label"] != "ridge"]}
    assert study_message(bare) == SHOWN[key]["title"]


def test_the_curves_of_a_kept_result_are_those_of_its_table_of_every_number():
    text = (KEPT_STUDIES / f"icl-networks-{KEPT['scale']}.json").read_text(encoding="utf-8")
    kept = {one["key"]: one for one in KEPT["figures"]}
    compared = 0
    for figure in json.loads(text)["figures"]:
        curves = {predictor_of(one): one for one in kept[figure["key"]]["curves"] if not one["published"]}
        for one in figure["curves"]:
            if not one["published"]:
                other = curves[predictor_of(one)]
                assert one["x"] == other["x"]
                for name in ("y", "low", "high"):
                    pairs = zip(one[name], other[name], strict=True)
                    assert all(math.isclose(a, b, rel_tol=5e-6) for a, b in pairs)  # six digits are kept
                    compared += len(one[name])
    assert compared > 500
