"""The tone of every word that a report colours, and the colour of every tone, the same on all surfaces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from icgd.verify.verdict import STATUSES, Tone

Colour = Literal["green", "blue", "grey", "yellow", "red"]

TONE_COLOURS: Mapping[Tone, Colour] = {
    "good": "green",
    "fair": "blue",
    "aside": "grey",
    "care": "yellow",
    "bad": "red",
}
"""What is proved is green; what was only searched is not."""

TONES: Mapping[str, Tone] = {
    **{status: meaning.tone for status, meaning in STATUSES.items()},
    "error": "bad",
    "gap": "care",
    "sharper": "good",
    "reading": "aside",
    "confirms": "good",
    "open": "care",
    "holds": "good",
    "fails": "bad",
    "undecided": "aside",
    "not reproduced": "bad",
}
"""Verdicts, bearings of findings, statuses of hypotheses, fates of statements: the tone of each."""
