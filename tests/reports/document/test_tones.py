"""One colour language: every word that is coloured has a tone, and each tone one colour on every surface."""

import colorsys
import re
from pathlib import Path
from typing import get_args

from rich.style import Style

from icgd.bounds.hypotheses import HypothesisStatus
from icgd.reports.command.console import style_of
from icgd.reports.document.tones import TONE_COLOURS, TONES
from icgd.verify.ledger.entries import BEARINGS
from icgd.verify.verdict import STATUSES

REPORTS = Path(__file__).parents[3] / "reports"
WORDS = {"bad": "failed", "care": "vacuous", "aside": "inapplicable", "fair": "held", "good": "proved"}


def hue(red, green, blue):
    """The name of a colour, its channels from 0 to 255."""
    turn, _, _ = colorsys.rgb_to_hsv(red / 255, green / 255, blue / 255)
    if max(red, green, blue) - min(red, green, blue) < 30:
        return "grey"
    names = ((20, "red"), (65, "yellow"), (165, "green"), (245, "blue"), (340, "purple"), (361, "red"))
    return next(name for end, name in names if 360 * turn < end)


def channels(digits):
    return [int(digits[place : place + 2], 16) for place in (0, 2, 4)]


def test_every_word_has_a_tone_and_what_is_not_proved_is_not_green():
    assert {*STATUSES, *BEARINGS, *get_args(HypothesisStatus)} <= set(TONES)
    assert set(TONES.values()) == set(TONE_COLOURS) and len(set(TONE_COLOURS.values())) == len(TONE_COLOURS)
    green = {word for word, tone in TONES.items() if TONE_COLOURS[tone] == "green"}
    assert "held" not in green and {"proved", "counted"} <= green


def test_page_pdf_and_terminal_give_a_tone_the_same_colour():
    page = (REPORTS / "html/templates/report.css").read_text(encoding="utf-8")
    print_ = (REPORTS / "latex/templates/preamble.tex.j2").read_text(encoding="utf-8")
    for tone, colour in TONE_COLOURS.items():
        schemes = [channels(one) for one in re.findall(rf"--{tone}: #(\w{{6}});", page)]
        assert [hue(*one) for one in schemes] == [colour] * 2, tone  # light and dark
        (inked,) = re.findall(rf"\\definecolor{{icgd{tone}}}{{HTML}}{{(\w{{6}})}}", print_)
        assert hue(*channels(inked)) == colour, tone
        said = Style.parse(style_of(WORDS[tone])).color
        assert said is not None and hue(*said.get_truecolor()) == colour, tone
    for word, tone in TONES.items():
        for found in re.findall(rf"\\icgdis{word}}}?{{icgd(\w+)}}", print_):
            assert found == tone, word
