"""Figures agree with the numbers of their document."""

import ast
import re
import subprocess
import warnings
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_rgb

from icgd.bounds.problem import Problem
from icgd.construct.block.slot_use import slot_use
from icgd.construct.relu_icgd import build
from icgd.reports.document.document import stream_document
from icgd.reports.figures import figures
from icgd.reports.figures.captions import caption
from icgd.reports.figures.curves import drawable, figure_of, look
from icgd.reports.figures.figures import draw_figures, loss_plot, sketches, steps_plot
from icgd.reports.figures.stream import rows_of, stream_figure
from icgd.reports.figures.style import COLOURS, STYLE, typeset_label

PROBLEM = Problem(N=2, K=2, d=2, n=3, eps=0.5)
STREAM = stream_document(slot_use(build(PROBLEM)))


def plot(*curves, log="", title="A plot"):
    return {"title": title, "x": "eps", "y": "norm2(err)/eta", "log": log, "curves": list(curves)}


def curve(label, x, y):
    return {"label": label, "x": x, "y": y}


def document():
    terms = {
        "product[2]": {"share": 0.3, "pieces": 19, "fewest": 18, "tolerance": 0.1, "bound": 0.1},
        "dr[1]": {"share": 0.1, "pieces": 7, "fewest": 7, "tolerance": 0.1, "bound": 0.1},
        "r[1]": {"share": 0.09, "pieces": 12, "fewest": 11, "tolerance": 0.1, "bound": 0.1},
        "z[1]": {"share": 1e-14, "pieces": None, "fewest": None, "tolerance": None, "bound": 1e-15},
    }
    relu = {
        "problem": PROBLEM.as_dict(),
        "plan": {"units": 9, "fewest_units": 8, "bound": 0.49, "recurrence": 0.6, "terms": terms},
        "step_error": {"sampled": 0.01, "attacked": 0.02, "bound": 0.049, "allowed": 0.05},
        "search": {"prompts": 1000, "attacked_tokens": 2000},
        "trajectory": {
            "source": "people.csv", "start": "random w(0)", "prompts": 64, "errors": [0.004, 0.003],
            "loss": [0.5, 0.4, 0.3], "exact_loss": [0.5, 0.41, 0.31], "apart": [0.0, 0.004, 0.006],
        },
        "stream": STREAM,
        "plots": [plot(curve("a", [1, 2], [3.0, 4.0])), plot(curve("b", [1, 2], [5.0, "inf"]), log="xy")],
    }  # fmt: skip
    other = {"grids": [], "plots": [plot(curve("c", [0, 1], [0.0, 4.0]), log="y")], "trajectory": None}
    return {"seed": 3, "theorems": {"relu-icgd/lean": relu, "looped": other}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("figures")


@pytest.fixture(scope="module")
def drawn(folder):
    return draw_figures(document(), folder)


def test_every_plot_has_one_pair_of_files_and_every_name_its_own(drawn, folder):
    assert [one.title for one in drawn if one.theorem == "relu-icgd/lean"] == [
        f"{len(STREAM['sublayers'])} sub-layers read and write {len(STREAM['slots'])} named slots",
        "A plot",
        "A plot",
        "The largest share of the error budget, 61%, goes to products in layer 2",
        "Followed steps err by at most 0.004, below the 0.05 allowed",
        "In 2 steps the mean loss goes from 0.5 to 0.3",
    ]
    assert [one.title for one in drawn if one.theorem == "looped"] == ["A plot"]
    assert len({one.name for one in drawn}) == len(drawn) == 7
    assert {path.name for path in folder.iterdir()} == {
        f"{d.name}.{e}" for d in drawn for e in ("pdf", "svg")
    }
    for one in drawn:
        assert re.fullmatch(r"[a-z0-9-]+", one.name) and one.caption.endswith(".")
        assert one.pdf.read_bytes().startswith(b"%PDF") and ElementTree.parse(one.svg).getroot().tag.endswith(
            "svg"
        )
    assert "1 of them" in drawn[-1].caption  # the zero on a logarithmic axis


def test_a_caption_names_the_seed_once():
    plot = {"title": "Expected loss by depth", "x": "layers", "y": "loss", "log": "", "curves": []}
    for seed, found in ((3, 1), (30, 2)):
        grid = {"title": plot["title"], "columns": [], "rows": [], "note": "400 prompts, seed 3"}
        assert caption({"grids": [grid]}, plot, seed).lower().count("seed") == found


def test_the_same_document_gives_the_same_bytes_and_no_dates(drawn, tmp_path):
    before = dict(matplotlib.rcParams)
    again = draw_figures(document(), tmp_path)
    assert dict(matplotlib.rcParams) == before
    for a, b in zip(drawn, again, strict=True):
        assert a.pdf.read_bytes() == b.pdf.read_bytes() and a.svg.read_bytes() == b.svg.read_bytes()
        assert b"CreationDate" not in a.pdf.read_bytes() and b"<dc:date" not in a.svg.read_bytes()
        assert a.svg.stat().st_size < 100_000


def test_no_state_of_pyplot_is_touched():
    for path in Path(figures.__file__).parent.glob("*.py"):
        tree = ast.walk(ast.parse(path.read_text()))
        assert not any(
            "pyplot" in ast.dump(node) for node in tree if isinstance(node, ast.Import | ast.ImportFrom)
        )


finite = st.floats(1e-12, 1e12)
value = finite | st.sampled_from([0.0, -1.0, "inf", "nan", None])
text = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=30)


@st.composite
def plots(draw_from):
    labels = draw_from(st.lists(text, min_size=1, max_size=8, unique=True))
    made = []
    for label in labels:
        points = draw_from(st.lists(st.tuples(finite, value), min_size=1, max_size=6))
        made.append(curve(label, [x for x, _ in points], [y for _, y in points]))
    return plot(*made, log=draw_from(st.sampled_from(["", "x", "y", "xy"])))


@settings(deadline=None, max_examples=25)
@given(plots())
def test_the_lines_are_the_curves_and_any_text_can_be_set(made):
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = figure_of(made)
        figure.canvas.draw()
    lines = [line for axes in figure.axes for line in axes.get_lines()]
    assert len(lines) == len(made["curves"])
    for line, one in zip(lines, made["curves"], strict=True):
        kept = [(x, y) for x, y in zip(one["x"], one["y"], strict=True) if isinstance(y, float)]
        assert list(zip(line.get_xdata(), line.get_ydata(), strict=True)) == kept


def test_a_long_curve_loses_nothing_but_the_inside_of_level_stretches():
    y = [1.0] * 400 + [2.0, 1.0, 2.0] + [3.0] * 400
    x, kept = drawable(curve("long", list(range(len(y))), y))
    assert len(x) == 7
    assert [kept[max(i for i, a in enumerate(x) if a <= k)] for k in range(len(y))] == y


def test_laws_are_thin_lines_with_their_exponent():
    made = plot(
        curve("heads", [1.0, 0.1], [5.0, 500.0]), curve("c eps^(-2)", [1.0, 0.1], [1.0, 100.0]), log="xy"
    )
    axes = figure_of(made).axes[0]
    law = axes.get_lines()[1]
    assert law.get_marker() == "None" and law.get_linewidth() < axes.get_lines()[0].get_linewidth()
    assert [note.get_text() for note in axes.texts] == [r"$\propto\varepsilon^{-2}$"]


def test_many_curves_become_panels_that_share_their_axes():
    made = plot(*(curve(f"data {a}, attention {b}", [1, 2], [a, b]) for a in (1, 2, 3) for b in (4, 5, 6)))
    panels = figure_of(made).axes
    assert [axes.get_title() for axes in panels] == ["data 1", "data 2", "data 3"]
    assert [[float(line.get_ydata()[1]) for line in axes.get_lines()] for axes in panels] == [[4, 5, 6]] * 3
    assert len({axes.get_ylim() for axes in panels}) == 1


def test_lines_are_told_apart_without_colour():
    greys = [0.299 * r + 0.587 * g + 0.114 * b for r, g, b in map(to_rgb, COLOURS)]
    assert min(abs(a - b) for a, b in combinations(greys, 2)) > 0.07
    looks = [look(index) for index in range(12)]
    for a, b in combinations(looks[:5], 2):
        assert all(a[key] != b[key] for key in ("color", "linestyle", "marker"))
    assert (
        len({str((one["linestyle"], one["marker"], one["markerfacecolor"] == "white")) for one in looks})
        == 12
    )


def test_the_budget_is_sorted_and_adds_up():
    budget = next(one for one in sketches(document()) if one.name.endswith("budget-goes")).figure
    widths = [bar.get_width() for bar in budget.axes[0].patches]
    assert widths == [0.3, 0.1, 0.09]
    written = {note.get_text() for note in budget.axes[0].texts}
    assert {"0.3", "0.1", "0.09", "19", "7", "12"} <= written


def test_steps_and_loss_are_those_of_the_document():
    part = document()["theorems"]["relu-icgd/lean"]
    steps = {one["label"]: one["y"] for one in steps_plot(part)["curves"]}
    assert steps["followed, 64 prompts"] == [0.004, 0.003]
    assert steps["bound (prover, not checked)"] == [0.049, 0.049] and steps["allowed, eta eps"] == [
        0.05,
        0.05,
    ]
    part["step_error"]["bound"] = None
    assert "bound (prover, not checked)" not in [one["label"] for one in steps_plot(part)["curves"]]
    assert [one["y"] for one in loss_plot(part)["curves"]] == [[0.5, 0.4, 0.3], [0.5, 0.41, 0.31]]


@pytest.mark.parametrize("construction", ["lean", "paper"])
def test_the_stream_has_a_mark_wherever_a_slot_is_read_or_written(construction):
    stream = stream_document(slot_use(build(PROBLEM, construction)))
    lines = {line.get_gid(): line for line in stream_figure(stream).axes[0].get_lines() if line.get_gid()}
    for slot in stream["slots"]:
        for how in ("reads", "writes"):
            expected = [k for k, sublayer in enumerate(stream["sublayers"]) if slot["name"] in sublayer[how]]
            assert [round(x) for x in lines[f"{how}-{slot['name']}"].get_xdata()] == expected


def test_what_is_infinite_is_drawn_nowhere_and_said_in_a_caption():
    made = document()
    path = made["theorems"]["relu-icgd/lean"]["trajectory"]
    path["apart"][-1] = path["errors"][0] = "inf"
    found = {one.name.removeprefix("relu-icgd-lean-"): one for one in sketches(made)}
    assert "last iterates differ by at most inf" in found["loss-along-the-descent"].caption
    assert (
        found["error-of-every-step"].title == "Followed steps err by at most inf, not below the 0.05 allowed"
    )
    followed = found["error-of-every-step"].figure.axes[0].get_lines()[0]
    assert list(followed.get_ydata()) == [0.003]


def test_too_many_slots_share_lines_by_kind():
    slots = [{"name": "x", "start": 0, "size": 1}, {"name": "one", "start": 61, "size": 1}]
    slots += [{"name": f"{kind}{j}", "start": j, "size": 2} for kind in ("z", "V") for j in range(1, 31)]
    rows = rows_of(slots)
    assert [(row.name, row.size) for row in rows] == [("x", 1), ("Vj", 60), ("zj", 60), ("one", 1)]
    assert sum(len(row.members) for row in rows) == len(slots)


def test_a_document_that_lacks_parts_has_fewer_figures(tmp_path):
    bare = {"theorems": {"looped": {"plots": [plot()]}, "relu-icgd/lean": {"plan": None, "trajectory": None}}}
    assert draw_figures(bare, tmp_path) == ()


def test_text_is_set_with_the_signs_of_print():
    assert typeset_label("eps <= eta") == "$\\varepsilon$ \u2264 $\\eta$"
    assert typeset_label("exp(-T/2) of norm2(w)") == "$\\exp(\u2212T/2)$ of $\\Vert\\mathrm{w}\\Vert_2$"
    assert typeset_label("beta, deps_ 5 \u00e9, 4N + net_N $") == r"beta, deps_ 5 e, 4$N$ + net_N \$"


@pytest.mark.needs("pdftotext")
def test_whoever_searches_a_figure_finds_its_words_and_its_signs(drawn, tmp_path):
    made = plot(curve("least norm2(err) <= eta*eps", [1.0, 0.1], [0.01, 0.1]), curve("c", [1], [1]), log="xy")
    with matplotlib.rc_context(STYLE):
        figure_of(made).savefig(tmp_path / "signs.pdf")
    stream = next(one.pdf for one in drawn if one.name.endswith("stream"))
    found = {path.stem: _text_of(path) for path in (tmp_path / "signs.pdf", stream)}
    for words in ("least\u2016err\u20162\u2264\u03b7\u00b7\u03b5", "10\u22121", "\u2016err\u20162/\u03b7"):
        assert words in found["signs"]
    for words in ("r\u2032(1)", "z(1)", "weightsw", "mayholdnumbers"):
        assert words in found[stream.stem]


def _text_of(pdf):
    """The text of a PDF as a reader would search it, without the spaces between its parts."""
    text = subprocess.run(["pdftotext", pdf, "-"], capture_output=True, check=True).stdout
    return "".join(text.decode("utf-8").split())


def test_no_font_of_a_figure_is_a_bitmap_or_a_program(drawn):
    for one in drawn:
        assert b"/Type3" not in one.pdf.read_bytes() and b"/FontFile2" in one.pdf.read_bytes()
