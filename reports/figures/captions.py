"""Captions of the figures, in plain text: what each figure shows and how it was made."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from icgd.reports.document.numbers import digits, grouped, is_number
from icgd.reports.document.shape import (
    PlanDocument,
    PlotDocument,
    TermDocument,
    TheoremDocument,
)
from icgd.reports.document.step_bound import exclusion, is_bounded, is_checked
from icgd.reports.document.study_shape import StudyDocument, StudyFigureDocument
from icgd.reports.figures.study_panels import (
    IN_PANELS,
    PANELS,
    cut_off,
    has_panels,
    lowest_drawn,
    predictor_of,
)

_SENTENCES: dict[str, tuple[str, str]] = {
    "Sizes over the tolerance": (
        "Heads that the theorem's own route needs, every constant explicit, and ReLUs planned here "
        "for one step, with the fewest that a certified lower bound on linear pieces allows at the "
        "same local tolerances. Thin lines have the slopes of the two laws, five times above the last "
        "point; each point is a separate plan.",
        "",
    ),
    "ReLUs over the lower bound": (
        "ReLUs planned for one step over the fewest that piecewise linear functions within the same "
        "local tolerances can have. The bound is on pieces at these tolerances, not on all "
        "transformers.",
        "",
    ),
    "Step error over depth": (
        "Error of one step for networks of other depths, all other letters unchanged. The effort is "
        "small, so a full search would find larger errors; the bound here is the prover's, and "
        "the independent checker did not verify it.",
        "",
    ),
    "Loss on diabetes data": (
        "Mean empirical loss of the transformer and of exact descent, from the same random w(0), on "
        "prompts from the diabetes data. Where the lines coincide, see the figure of their distance.",
        "",
    ),
    "Distance from exact descent on diabetes data": (
        "Largest 2-norm distance, over prompts from the diabetes data, of the transformer's iterates from "
        "those of exact descent from the same w(0).",
        "",
    ),
    "Error against width, smallest problem": (
        "Largest error found against the width of the widest MLP, for four layers on a grid and for "
        "this construction.",
        "The smallest problem, built both ways",
    ),
    "Distance from exact descent": (
        "Largest distance from the iterates of exact descent on followed prompts, below the bounds on "
        "how step errors add up.",
        "Distance from exact descent",
    ),
    "Expected loss by depth": (
        "Least expected loss by the number of layers, for the families of matrices of the source.",
        "Expected loss by depth",
    ),
    "Training: loss": (
        "Expected loss above the predicted minimum while the matrices are trained from random starts; "
        "differences below 1e-16 are drawn there.",
        "Training from random matrices",
    ),
    "Training: distance": (
        "Distance of the trained matrices from the predicted ones, from the same starts; distances "
        "below 1e-16 are drawn there.",
        "Training from random matrices",
    ),
    "Test error over depth": (
        "Test error by the number of layers: a panel for each law of the data, a line for each attention.",
        "Matching attention to data",
    ),
    "Distance to the limit of descent, one prompt": (
        "Distance of the query's label from its limit on the first prompt, and the certified bound on it.",
        "",
    ),
    "Examples needed for a target error": (
        "Examples that a proof with explicit constants asks for, by the number of loops.",
        "Examples needed for a target error",
    ),
}
"""Title of a plot -> what it shows, and the title of the table whose note says how it was made."""


def caption(part: TheoremDocument, plot: PlotDocument, seed: int) -> str:
    """The caption of a plot."""
    text, table = _SENTENCES.get(plot["title"], (f"{plot['y']} over {plot['x']}.", ""))
    notes = [grid["note"] for grid in part.get("grids") or () if grid["title"] == table and grid["note"]]
    made = "".join(f" Made with: {note}." for note in notes)
    hidden = _hidden(plot)
    lost = f" Its axes cannot show points that are not positive, {hidden:,} of them." if hidden else ""
    sown = "" if re.search(rf"\bseed {seed}\b", made) else f" Seed {seed}."
    return f"{text}{made}{lost}{sown}"


def study_caption(study: StudyDocument, figure: StudyFigureDocument) -> str:
    """The caption of a figure of a study: what is drawn in it besides lines."""
    intervals = any(curve["low"] for curve in figure["curves"])
    drawn = "Bands: bootstrap intervals of 95% over prompts. " if intervals else ""
    if any(curve["published"] for curve in figure["curves"]):
        drawn += "Dots: read off the published figures. "
    if has_panels(figure):
        drawn += "".join(_of_panels(figure))
    return f"{drawn}Scale {study['scale']}, seed {study['seed']}."


def _of_panels(figure: StudyFigureDocument) -> Iterator[str]:
    """What the panels of a figure leave out, and who was measured on fewer prompts."""
    lines = [one for one in figure["curves"] if not one["published"]]
    few = [one for one in lines if one["label"].endswith(" prompts")]
    if few:
        names = ", ".join(
            panel for panel, who in PANELS.items() if any(predictor_of(one) in who for one in few)
        )
        said = few[0]["label"].rpartition(", ")[2]
        at = " and ".join(f"{x:g}" for x in few[0]["x"])
        yield f"On {said} alone, at {at} examples, intervals as bars side by side: {names}. "
    if cut := cut_off(figure):
        yield f"Cut off below {lowest_drawn(figure):.1f}: {'; '.join(cut)}. "
    lacking = set(IN_PANELS) - {predictor_of(one) for one in lines}
    if lacking:
        yield f"Not measured at this scale: {'; '.join(one for one in IN_PANELS if one in lacking)}. "


def _hidden(plot: PlotDocument) -> int:
    """The number of points that the axes cannot show."""
    shown = [
        is_number(y)
        and math.isfinite(y)
        and ("y" not in plot["log"] or y > 0)
        and ("x" not in plot["log"] or x > 0)
        for curve in plot["curves"]
        for x, y in zip(curve["x"], curve["y"], strict=True)
    ]
    return len(shown) - sum(shown)


def stream_caption(part: TheoremDocument) -> str:
    """The caption of the drawing of the stream."""
    width = sum(slot["size"] for slot in part["stream"]["slots"])
    return (
        f"The {grouped(width)} coordinates of a token by name, with the size of each slot, and which "
        "sub-layer of one gradient step reads it (a nonzero column of Q, K, V or W1) or writes it (a nonzero "
        "row of V or W2), by the literal matrices. Every other layer is shaded; slots still zero are "
        "dotted."
    )


def budget_caption(part: TheoremDocument) -> str:
    """The caption of the error budget."""
    plan = part["plan"]
    assert plan is not None
    small = sum(term["share"] for term in plan["terms"].values() if not drawn_in_budget(term, plan))
    bound, allowed = digits(plan["bound"], up=True), digits(float(part["problem"]["eps"]))
    rest = f"; those not drawn add up to {digits(small, up=True)}" if small > 0 else ""
    return (
        f"The share of each local error in the bound {bound} on norm2(err)/eta, in the worst case, "
        f"and the linear pieces spent on it; {allowed} is allowed. "
        f"The shares add up to the bound{rest}."
    )


def drawn_in_budget(term: TermDocument, plan: PlanDocument) -> bool:
    """Whether a local error is large enough to be visible in the figure."""
    return bool(term["share"] > 1e-3 * plan["bound"])


def steps_caption(part: TheoremDocument) -> str:
    """The caption of the errors of all steps."""
    path, search = part["trajectory"], part.get("search")
    source = f"{path['source']}, start {path['start']}"
    text = f"Largest error of every step on {grouped(path['prompts'])} prompts ({source})"
    if search:
        prompts, tokens = grouped(search["prompts"]), grouped(search["attacked_tokens"])
        text += f", the largest over {prompts} random prompts and {tokens} attacked tokens at any w"
    if is_bounded(part):
        text += (
            ", what is certified for every prompt"
            if is_checked(part)
            else ", the prover's unchecked bound for every prompt"
        )
    left_out = exclusion(part)
    beyond = (
        f" {left_out}: the claim does not cover these, and errors on them have no bound." if left_out else ""
    )
    return f"{text}, and what the theorem allows.{beyond}"


def loss_caption(part: TheoremDocument) -> str:
    """The caption of the loss along the descent."""
    path = part["trajectory"]
    prompts, apart = grouped(path["prompts"]), digits(path["apart"][-1], up=True)
    return (
        f"Mean empirical loss over {prompts} prompts of {path['source']}, start {path['start']}, for the "
        f"transformer and for exact descent, whose last iterates differ by at most {apart}."
    )
