"""The message of each figure in one sentence, computed from what it shows; and figures that have none."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from icgd.reports.document.numbers import digits, grouped
from icgd.reports.document.shape import PlanDocument, PlotDocument, StreamDocument, TrajectoryDocument
from icgd.reports.document.study_shape import StudyFigureDocument
from icgd.reports.figures.curves import drawable
from icgd.reports.figures.study_panels import PANELS, TRAINED_PANEL, curve_data, has_panels, predictor_of

Traced = list[tuple[float, float]]
TracedLines = Mapping[str, Traced]
"""Label of a curve -> its points."""

_APART = 0.01
"""Lines that differ by less, as a share of the height of the axes, look like one."""
_LOSS, _MATRICES = 1e-9, 1e-6
"""How near to a predicted loss, and to predicted matrices, a training has reached them."""


def message(plot: PlotDocument) -> str:
    """What a plot shows in one sentence without a full stop; its title where there is no sentence for it."""
    curves = {one["label"]: list(zip(*drawable(one), strict=True)) for one in plot["curves"]}
    tell = _TELLERS.get(plot["title"])
    if tell is None or not all(curves.values()):
        return plot["title"]
    try:
        return tell(curves)
    except (LookupError, StopIteration, ValueError):  # a plot of an earlier version has other curves
        return plot["title"]


def looks_like_one_line(plot: PlotDocument) -> bool:
    """Whether a plot shows several curves that no eye can tell apart, on axes that are not logarithmic."""
    drawn = [drawable(one) for one in plot["curves"]]
    if plot["log"] or len(drawn) < 2 or any(xs != drawn[0][0] or not ys for xs, ys in drawn):
        return False
    every = [y for _, ys in drawn for y in ys]
    apart = max(max(row) - min(row) for row in zip(*(ys for _, ys in drawn), strict=True))
    return apart < _APART * (max(every) - min(every))


def budget_message(plan: PlanDocument) -> str:
    """The local error that takes most of a plan's bound."""
    name, term = max(plan["terms"].items(), key=lambda item: item[1]["share"])
    kind, _, layer = name.rstrip("]").partition("[")
    of = {"dr": "r'", "product": "products"}.get(kind, kind) + (f" in layer {layer}" if layer else "")
    return f"The largest share of the error budget, {term['share'] / plan['bound']:.0%}, goes to {of}"


def steps_message(path: TrajectoryDocument, allowed: float) -> str:
    """How the errors of followed steps compare with what is allowed."""
    largest = max(float(error) for error in path["errors"])
    side = "below" if largest < allowed else "not below"
    return f"Followed steps err by at most {digits(largest, up=True)}, {side} the {digits(allowed)} allowed"


def loss_message(path: TrajectoryDocument) -> str:
    """Where the loss begins and ends."""
    first, last = (digits(path["loss"][index]) for index in (0, -1))
    return f"In {len(path['loss']) - 1} steps the mean loss goes from {first} to {last}"


def stream_message(stream: StreamDocument) -> str:
    """How many sub-layers share how many slots."""
    return f"{len(stream['sublayers'])} sub-layers read and write {len(stream['slots'])} named slots"


def study_message(figure: StudyFigureDocument) -> str:
    """How ridge, the better trained transformer and the mean of labels compare; the title of other figures.

    They are compared at the most examples at which every predictor was measured.
    """
    lines = {predictor_of(one): curve_data(one) for one in figure["curves"] if not one["published"]}
    drawn = {name: dict(zip(x, y, strict=True)) for name, (x, y) in lines.items() if x}
    k = min((max(one) for one in drawn.values()), default=0.0)
    found = {name: one[k] for name, one in drawn.items() if k in one}
    trained = [found[name] for name in PANELS[TRAINED_PANEL] if name in found]
    if not (has_panels(figure) and trained and {"ridge", "mean"} <= found.keys()):
        return figure["title"]
    measure, _, depth = figure["title"].partition(", ")
    measure = "R^2 within prompts" if measure.lower() == "within r^2" else measure
    ridge, better, mean = (f"{one:.2f}" for one in (found["ridge"], max(trained), found["mean"]))
    ends = f"ridge has {ridge}, the better trained transformer {better}, the mean of the labels {mean}"
    return f"{measure} at {k:g} examples, {depth}: {ends}"


def _curve(curves: TracedLines, beginning: str) -> Traced:
    return next(points for label, points in curves.items() if label.startswith(beginning))


def _sizes(curves: TracedLines) -> str:
    eps, heads = min(_curve(curves, "heads"))
    _, units = min(_curve(curves, "ReLUs built"))
    shown = f"{digits(heads)} heads" if heads > 1e6 else f"{grouped(round(heads))} heads"
    built = f"{grouped(round(units))} ReLUs"
    return f"At eps = {digits(eps)} the theorem's route takes {shown}, this construction {built}"


def _ratio(curves: TracedLines) -> str:
    (points,) = curves.values()
    eps, last = min(points)
    most = digits(max(y for _, y in points), up=True)
    return f"At most {most} times the fewest ReLUs, {digits(last, up=True)} times at eps = {digits(eps)}"


def _depths(curves: TracedLines) -> str:
    bound, allowed = _curve(curves, "bound"), _curve(curves, "allowed")
    kept = all(y <= top for (_, y), (_, top) in zip(bound, allowed, strict=True))
    return f"Up to N = {bound[-1][0]:g} the bound {'stays below' if kept else 'exceeds'} what is allowed"


def _apart(curves: TracedLines) -> str:
    (points,) = curves.values()
    step, far = points[-1]
    return f"After {step:g} steps the transformer is within {digits(far, up=True)} of exact descent"


def _widths(curves: TracedLines) -> str:
    wide, error = min(_curve(curves, "four layers"), key=lambda point: point[1])
    ours = min(width for width, reached in _curve(curves, "ours") if reached <= error)
    grid = f"four layers on a grid are {wide:,.0f} wide"
    return f"For an error of {digits(error)} {grid}, this construction {ours:,.0f}"


def _proved(curves: TracedLines) -> str:
    step, proved = _curve(curves, "proved")[-1]
    found = max(points[-1][1] for label, points in curves.items() if label.startswith("largest distance"))
    return f"After {step:g} steps at most {digits(proved, up=True)} is proved, and {digits(found)} is found"


def _by_depth(curves: TracedLines) -> str:
    ends = ", ".join(f"{digits(points[-1][1])} {_method(label)}" for label, points in curves.items())
    return f"Least expected loss at {max(points[-1][0] for points in curves.values()):g} layers: {ends}"


def _method(label: str) -> str:
    return f"by {label}" if label.startswith("Theorem") else f"with {label}"


def _starts(near: float, what: str) -> Callable[[TracedLines], str]:
    def told(curves: TracedLines) -> str:
        ends: dict[str, list[float]] = {}
        for label, points in curves.items():
            ends.setdefault(label.partition(", ")[0], []).append(points[-1][1])
        reached = (
            f"{sum(one <= near for one in found)} of {len(found)} for {name}" for name, found in ends.items()
        )
        return f"Random starts that end at the predicted {what}: {', '.join(reached)}"

    return told


def _best(curves: TracedLines) -> str:
    ends: dict[str, list[tuple[float, str]]] = {}
    for label, points in curves.items():
        data, attention = label.split(", ")
        ends.setdefault(data.removeprefix("data "), []).append(
            (points[-1][1], attention.removeprefix("attention "))
        )
    told = ", ".join(f"{min(found)[1]} attention on {data} data" for data, found in ends.items())
    return f"Least error at the last layer: {told}"


def _limit(curves: TracedLines) -> str:
    layer, far = _curve(curves, "measured")[-1]
    bound = _curve(curves, "certified")[-1][1]
    certified = digits(bound, up=True)
    return f"After {layer:g} layers the distance is {digits(far)}, certified to be at most {certified}"


def _examples(curves: TracedLines) -> str:
    ours, theirs = _curve(curves, "looped"), _curve(curves, "earlier")
    more = [loops for (loops, n), (_, other) in zip(ours, theirs, strict=True) if n >= other]
    first = next(loops for loops, _ in ours if loops > max(more, default=0.0))
    return f"Fewer examples than the earlier requirement from T = {first:g} loops on"


_TELLERS: Mapping[str, Callable[[TracedLines], str]] = {
    "Sizes over the tolerance": _sizes,
    "ReLUs over the lower bound": _ratio,
    "Step error over depth": _depths,
    "Distance from exact descent on diabetes data": _apart,
    "Error against width, smallest problem": _widths,
    "Distance from exact descent": _proved,
    "Expected loss by depth": _by_depth,
    "Training: loss": _starts(_LOSS, "loss"),
    "Training: distance": _starts(_MATRICES, "matrices"),
    "Test error over depth": _best,
    "Distance to the limit of descent, one prompt": _limit,
    "Examples needed for a target error": _examples,
}
"""Title of a plot -> what it tells."""
