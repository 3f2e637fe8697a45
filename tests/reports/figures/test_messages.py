"""Messages of figures follow from their numbers, and a figure whose lines look like one is not drawn."""

import pytest

from icgd.reports.figures.messages import looks_like_one_line, message


def plot(title, log="", **curves):
    made = [
        {"label": label.replace("_", " "), "x": list(range(1, len(y) + 1)), "y": y}
        for label, y in curves.items()
    ]
    return {"title": title, "x": "x", "y": "y", "log": log, "curves": made}


SHOWN = {
    "Step error over depth": (
        {"bound": [0.3, 0.4], "allowed": [0.4, 0.4]}, "Up to N = 2 the bound stays below what is allowed"
    ),
    "Distance from exact descent on diabetes data": (
        {"largest": [0.1, 0.20001]}, "After 2 steps the transformer is within 0.2001 of exact descent"
    ),
    "Error against width, smallest problem": (
        {"four layers": [9.0, 0.5, 0.2], "ours": [0.7, 0.2, 0.1]},
        "For an error of 0.2 four layers on a grid are 3 wide, this construction 2",
    ),
    "Training: loss": (
        {"Theorem 1, start 0": [1.0, 1e-12], "Theorem 1, start 1": [1, 0.1], "Theorem 3, start 0": [1, 1e-8]},
        "Random starts that end at the predicted loss: 1 of 2 for Theorem 1, 0 of 1 for Theorem 3",
    ),
    "Test error over depth": (
        {"data a, attention a": [1, 0.1], "data a, attention b": [0, 0.2], "data b, attention a": [1, 0.1]},
        "Least error at the last layer: a attention on a data, a attention on b data",
    ),
    "Examples needed for a target error": (
        {"looped": [3.0, 1.0, 5.0, 3.0, 3.0], "earlier": [2.0, 2.0, 4.0, 4.0, 9.0]},
        "Fewer examples than the earlier requirement from T = 4 loops on",
    ),
    "ReLUs over the lower bound": (
        {"ratio": [1.2, 1.50001]}, "At most 1.501 times the fewest ReLUs, 1.2 times at eps = 1",
    ),
    "Distance from exact descent": (
        {"largest distance, a": [0.1, 0.2], "largest distance, b": [0.3, 0.1], "proved": [0.4, 0.5]},
        "After 2 steps at most 0.5 is proved, and 0.2 is found",
    ),
}  # fmt: skip


@pytest.mark.parametrize("title", SHOWN)
def test_a_message_is_what_the_curves_show(title):
    curves, said = SHOWN[title]
    assert message(plot(title, **curves)) == said
    assert message(plot(title, other=[1.0])) in (title, message(plot(title, **{"other": [1.0]})))
    assert message(plot("Another", **curves)) == "Another"
    worse = {
        label: [100 * one for one in y] if label in ("bound", "looped") else y for label, y in curves.items()
    }
    if worse != curves:
        assert message(plot(title, **worse)) != said


def test_lines_that_nobody_can_tell_apart_are_no_figure():
    near, far = [3.0, 2.0, 1.0], [3.0, 2.0, 1.1]
    assert looks_like_one_line(plot("loss", a=near, b=[3.0, 2.01, 1.0]))
    assert not looks_like_one_line(plot("loss", a=near, b=far))
    assert not looks_like_one_line(plot("loss", a=near)) and not looks_like_one_line(
        plot("loss", "y", a=near, b=near)
    )
