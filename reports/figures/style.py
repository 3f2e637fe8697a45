"""Style of all figures: fonts, widths in inches, and colours, dashes and markers that differ even in grey."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from icgd.reports.mathematics.print_signs import printed

COLUMN, PAGE = 3.3, 6.5
"""Widths of a figure for one column and for the whole page."""

LABEL, SMALL = 8.0, 7.0
"""Text sizes in points at these widths."""

STYLE: Any = {  # matplotlib's own type for this lists every setting there is
    # Computer Modern, as matplotlib has it, keeps its mathematics at places where Unicode has other letters:
    # in a PDF nobody could search for an epsilon, a minus sign or a norm.
    "font.family": ["STIXGeneral"],
    "mathtext.fontset": "stix",
    "axes.formatter.use_mathtext": True,
    "axes.formatter.limits": (-3, 4),
    "font.size": LABEL,
    "axes.labelsize": LABEL,
    "axes.titlesize": LABEL,
    "legend.fontsize": SMALL,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "axes.linewidth": 0.5,
    "xtick.major.width": 0.5,
    "ytick.major.width": 0.5,
    "xtick.minor.width": 0.3,
    "ytick.minor.width": 0.3,
    "hatch.linewidth": 0.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "svg.fonttype": "path",
    "svg.hashsalt": "icgd",
    "pdf.fonttype": 42,
}
"""Settings of matplotlib while a figure is drawn and saved."""

COLOURS = ("#004488", "#BB5566", "#DDAA33", "#000000", "#228833")
"""Distinguishable for colour-blind readers, and of different greys in black and white."""

DASHES: tuple[Any, ...] = (
    "-",
    (0, (5, 1.6)),
    (0, (1.2, 1.4)),
    (0, (6, 1.6, 1.2, 1.6)),
    (0, (3, 1.2, 1, 1.2, 1, 1.2)),
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
GREY, PALE = "0.45", "0.8"

_GREEK = {"eps": r"\varepsilon", "eta": r"\eta", "mu": r"\mu", "Lambda": r"\Lambda"}
_FORMULA = re.compile(
    r"norm2\((?P<norm>\w+)\)|exp\((?P<exp>[^()]*)\)|\b(?P<greek>" + "|".join(_GREEK) + r")\b"
    r"|(?<![A-Za-z_])(?P<letter>[NKTLln])(?![A-Za-z_])|(?P<sign>[<>]=|\$)"
)
_SIGNS = {"<=": "\u2264", ">=": "\u2265", "$": r"\$"}


def typeset_label(text: str) -> str:
    r"""Plain text in matplotlib's math notation; letters that are not in ASCII lose their marks.

    >>> print(typeset_label("norm2(err)/eta < 1 at N = 2, the theorem's"))
    $\Vert\mathrm{err}\Vert_2$/$\eta$ < 1 at $N$ = 2, the theorem’s
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return _FORMULA.sub(_formula, printed(plain))


def _formula(match: re.Match[str]) -> str:
    kind, found = str(match.lastgroup), str(match.group(match.lastgroup or 0))
    if kind == "norm":
        return rf"$\Vert\mathrm{{{found}}}\Vert_2$"
    if kind == "exp":
        return rf"$\exp({found})$"
    return _SIGNS.get(found) or f"${_GREEK.get(found, found)}$"
