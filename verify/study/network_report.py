"""What the study of networks in context shows: its lines, tables, figures and sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from icgd.verify.results import Cell, Grid
from icgd.verify.study.baselines.table import BASELINES
from icgd.verify.study.discrepancy import NETWORK_DESCENT, Discrepancy, nearest_of_all
from icgd.verify.study.measures import R2_MEASURES, MeasuredR2
from icgd.verify.study.network_scales import MEANS_AT, NetworkScale, PromptCondition
from icgd.verify.study.published_curves import PublishedCurve, published_curve
from icgd.verify.study.study import StudyCurve, StudyFigure

_ENDS = ("", " low", " high")
RESULT_COLUMNS = (
    *("N", "condition", "predictor", "kind", "examples", "prompts"),
    *(f"{measure}{end}" for measure in R2_MEASURES for end in _ENDS),
)
"""The columns of the table of every number."""

IN_DISTRIBUTION = "share 1.0"
TRAINED = ("softmax transformer", "relu transformer")
_SHOWN = ("pooled", "within")
"""The published measure, as far as it can be told, and the one that tells predictors apart."""

_ON_FEW = ("network", "constructed")
"""Kinds of predictors that train or run something on every prompt, and so are measured on few."""
_FAR = 0.1
"""As in `icgd judge`: near no reference, where the nearest leaves this share of the variance of answers."""


@dataclass(frozen=True, eq=False)
class MeasuredCurve:
    """A predictor under a condition: every measure at every number of examples."""

    predictor: str
    kind: str
    N: int
    condition: PromptCondition
    at: tuple[int, ...]
    prompts: int
    found: Mapping[str, Sequence[MeasuredR2]]

    def value(self, measure: str, examples: int) -> MeasuredR2 | None:
        """The measure at so many examples, if it was measured there."""
        return self.found[measure][self.at.index(examples)] if examples in self.at else None

    def lines(self) -> Iterator[dict[str, Cell]]:
        """Every number by the names of `RESULT_COLUMNS`, and after the transformers the published value."""
        about: dict[str, Cell] = {"N": self.N, "condition": self.condition.name, "prompts": self.prompts}
        for place, k in enumerate(self.at):
            numbers = {
                f"{measure}{end}": number
                for measure, values in self.found.items()
                for end, number in zip(
                    _ENDS, (values[place].value, values[place].low, values[place].high), strict=True
                )
            }
            yield {**about, "predictor": self.predictor, "kind": self.kind, "examples": k, **numbers}
        shown = published_of(self.predictor, self.N, self.condition)
        for k in self.at if shown else ():
            assert shown
            yield {
                "N": self.N,
                "condition": self.condition.name,
                "predictor": f"{self.predictor}, published",
                "kind": "published",
                "examples": k,
                "pooled": shown.values[k],
            }


def published_of(predictor: str, N: int, condition: PromptCondition) -> PublishedCurve | None:
    """The published curve of a trained transformer, or of a network trained on the prompt."""
    attention, _, what = predictor.partition(" ")
    about: tuple[str, int, str] = (attention, N, "transformer")
    if predictor == "network, best epoch":
        about = ("softmax", N, "network")
    elif what != "transformer":
        return None
    try:
        return published_curve(*about, share=condition.share, mean=condition.mean)
    except KeyError:
        return None


def _order(curve: MeasuredCurve) -> int:
    names = (*TRAINED, *BASELINES)
    return names.index(curve.predictor)


def network_tables(
    scale: NetworkScale, curves: Sequence[MeasuredCurve], apart: Sequence[Discrepancy]
) -> Iterator[Grid]:
    """R^2 of every predictor; the same away from training; what the models compute."""
    k = max(scale.slow[1])
    usual = [one for one in curves if one.condition.name == IN_DISTRIBUTION]
    for measure in _SHOWN:
        yield Grid(
            f"{measure} R^2 at {k} examples, inputs as in training",
            ("predictor", "prompts", *(f"N = {N}" for N in scale.depths)),
            tuple(_rows(usual, scale.depths, measure, k)),
            f"{R2_MEASURES[measure]}; bootstrap intervals of 95% over that row's prompts; published: read "
            "off to 0.005, as published without intervals, and only comparable to pooled",
        )
    moved = [one for one in curves if one.N == MEANS_AT and one.kind not in _ON_FEW]
    at = max(one for one in scale.at if one <= scale.training.examples)
    names = [one.name for one in scale.conditions(MEANS_AT)] if MEANS_AT in scale.depths else []
    for measure in _SHOWN if names else ():
        rows = [
            (name, *(_cell(_find(moved, name, MEANS_AT, one), measure, at) for one in names))
            for name in dict.fromkeys(one.predictor for one in sorted(moved, key=_order))
        ]
        title = f"{measure} R^2 at {at} examples away from training, N = {MEANS_AT}"
        yield Grid(title, ("predictor", *names), tuple(rows), R2_MEASURES[measure])
    if apart:
        yield _apart_grid(scale, apart)


def _rows(
    curves: Sequence[MeasuredCurve], depths: Sequence[int], measure: str, k: int
) -> Iterator[tuple[Cell, ...]]:
    ordered = sorted(curves, key=_order)
    for name in dict.fromkeys(one.predictor for one in ordered):
        shown = [one for one in ordered if one.predictor == name]
        cells = [_cell(_find(shown, name, N, IN_DISTRIBUTION), measure, k) for N in depths]
        yield (name, f"{shown[0].prompts:,}", *cells)
        known = [published_of(name, N, shown[0].condition) for N in depths]
        if measure == "pooled" and any(known):
            yield (f"{name}, published", "", *(f"{one.values[k]:.3f}" if one else "" for one in known))


def _find(curves: Sequence[MeasuredCurve], name: str, N: int, condition: str) -> MeasuredCurve | None:
    found = (one for one in curves if (one.predictor, one.N, one.condition.name) == (name, N, condition))
    return next(found, None)


def _cell(curve: MeasuredCurve | None, measure: str, k: int) -> str:
    number = curve.value(measure, k) if curve else None
    return "" if number is None else f"{number.value:.3f} ({number.low:.2f}, {number.high:.2f})"


def _apart_grid(scale: NetworkScale, apart: Sequence[Discrepancy]) -> Grid:
    """For every model and checkpoint the nearest reference, and the distance to a few."""
    k = max(scale.judged[1])
    rows: list[tuple[Cell, ...]] = []
    chosen = [one for one in apart if one.examples == k]
    for model, step in dict.fromkeys((one.model, one.step) for one in chosen):
        here = [one for one in chosen if (one.model, one.step) == (model, step)]
        best = nearest_of_all(here)
        known = {one.reference: one for one in here}
        near = best.words if best.share.mean <= _FAR else f"near none; {best.words}"
        others = ("mean of labels", "ridge", "kernel of the network", NETWORK_DESCENT)
        away = (f"{known[one].share.mean:.3g}" for one in others)
        rows.append((model, step, *away, f"{near}: {best.share}"))
    columns = ("model", "step", "mean", "ridge", "kernel", "network", "nearest of all, and its distance")
    note = (
        "mean squared distance of answers, as a share of their variance, on prompts that fitted nothing; "
        "network: descent on one from one random start; ridge and descent with parameters that fit best; "
        "nothing is proved"
    )
    return Grid(f"What the models compute over their training, at {k} examples", columns, tuple(rows), note)


def network_figures(
    scale: NetworkScale, curves: Sequence[MeasuredCurve], apart: Sequence[Discrepancy]
) -> Iterator[StudyFigure]:
    """R^2 over examples for every depth, published curves as dots; distances over training."""
    for N in scale.depths:
        here = [one for one in curves if one.N == N and one.condition.name == IN_DISTRIBUTION]
        for measure in _SHOWN:
            drawn = sorted(here, key=_order)
            lines = [_line(one, measure) for one in drawn]
            if measure == "pooled":
                lines += list(_dots(drawn))
            yield StudyFigure(
                f"{measure}-{N}",
                f"{measure} R^2, N = {N}",
                "examples in the prompt",
                "R^2",
                tuple(lines),
                shown=scale.depths[-1] == N,
            )
    k = max(scale.judged[1])
    for N in scale.depths[-1:] if apart else ():
        for model in (f"softmax-{N}", f"relu-{N}"):
            chosen = [one for one in apart if one.examples == k and one.model == model and one.step]
            yield StudyFigure(
                f"distance-{model}",
                f"Distance of the answers of {model} to each reference, {k} examples",
                "step of training",
                "share of their variance",
                tuple(_distances(chosen)),
                "xy",
            )


def _line(curve: MeasuredCurve, measure: str) -> StudyCurve:
    numbers = [(k, one) for k, one in zip(curve.at, curve.found[measure], strict=True) if k]
    few = f", {curve.prompts:,} prompts" if curve.kind in _ON_FEW else ""
    return StudyCurve(
        f"{curve.predictor}{few}",
        tuple(float(k) for k, _ in numbers),
        tuple(one.value for _, one in numbers),
        tuple(one.low for _, one in numbers),
        tuple(one.high for _, one in numbers),
    )


def _dots(curves: Sequence[MeasuredCurve]) -> Iterator[StudyCurve]:
    for one in curves:
        shown = published_of(one.predictor, one.N, one.condition)
        if shown:
            most = max(curves[0].at)
            x = tuple(float(k) for k in range(1, most + 1))
            yield StudyCurve(
                f"{one.predictor}, published", x, tuple(shown.values[1 : most + 1]), published=True
            )


def _distances(chosen: Sequence[Discrepancy]) -> Iterator[StudyCurve]:
    names = ("mean of labels", "ridge", "kernel of the network", NETWORK_DESCENT, "linear descent")
    for name in names:
        rows = [one for one in chosen if one.reference == name]
        yield StudyCurve(
            name,
            tuple(float(one.step) for one in rows),
            tuple(one.share.mean for one in rows),
            tuple(one.share.low for one in rows),
            tuple(one.share.high for one in rows),
        )


def _said_of_few(scale: NetworkScale, curves: Sequence[MeasuredCurve]) -> Iterator[str]:
    """Which predictors are measured on few prompts, how few, and why."""
    few = [one for one in sorted(curves, key=_order) if one.kind in _ON_FEW]
    if few:
        names = ", ".join(f'"{name}"' for name in dict.fromkeys(one.predictor for one in few))
        at = " and ".join(str(k) for k in few[0].at)
        yield (
            f"On the first {few[0].prompts:,} of {scale.prompts:,} prompts, at {at} examples, with inputs "
            f"and parameters as in training alone: {names}, since for each prompt and number of examples a "
            "network is trained or 200 steps are taken; their intervals are over those prompts, and so wider."
        )


def said_of(
    scale: NetworkScale, curves: Sequence[MeasuredCurve], apart: Sequence[Discrepancy]
) -> Iterator[str]:
    """What the numbers say, a sentence each; every one is computed from them."""
    k = max(scale.slow[1])
    for N in scale.depths:
        for measure in _SHOWN:
            said = []
            mean = _find(curves, "mean", N, IN_DISTRIBUTION)
            base = mean.value(measure, k) if mean else None
            for name in TRAINED:
                one = _find(curves, name, N, IN_DISTRIBUTION)
                number = one.value(measure, k) if one else None
                if number and base:
                    apart_by = number.disjoint(base)
                    how = (
                        ("above" if number.value > base.value else "below") if apart_by else "not apart from"
                    )
                    said.append(f"the {name} has {number.value:.3f}, {how} the mean of labels")
            if said and base:
                ends = f"{base.value:.3f} ({base.low:.3f} to {base.high:.3f})"
                yield f"{measure} R^2, N = {N}, {k} examples: {'; '.join(said)}, which has {ends}."
    yield from _said_of_few(scale, curves)
    k = max(scale.judged[1])
    for model in dict.fromkeys(one.model for one in apart):
        here = [one for one in apart if one.model == model and one.examples == k]
        last = [one for one in here if one.step == max(one.step for one in here)]
        best = nearest_of_all(last)
        descent = next((one for one in last if one.reference == NETWORK_DESCENT), None)
        far = f"; {descent.words} leaves {descent.share}" if descent and descent is not best else ""
        yield (
            f"After {best.step:,} steps the answers of {model} at {k} examples are nearest to {best.words}, "
            f"which leaves {best.share} of their variance{far}."
        )
