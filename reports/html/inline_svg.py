"""Prepares the SVG of a figure for an HTML page: unique ids, safe elements, a title, two colour schemes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from markupsafe import Markup

_SVG = "{http://www.w3.org/2000/svg}"
_HREF = "{http://www.w3.org/1999/xlink}href"
_NAMES = """
svg g defs use symbol path rect circle ellipse line polyline polygon text tspan image clipPath mask pattern
marker linearGradient radialGradient stop
"""
_DRAWN = frozenset(_NAMES.split())
"""Elements that only draw; others could run scripts, load files or restyle the page."""

_LOCAL = re.compile(r"url\(#([^)]+)\)")
_COLOUR = re.compile(r"(?<!\()#([0-9a-fA-F]{6})\b")
_INK = re.compile(r"var\(--ink-([0-9a-f]{6})\)")
_PAINTED = ("fill", "stroke", "stop-color")

_FAINT, _PALE = 8, 0xC8
"""Colours whose channels differ by so little are greys; one whose channels are all above this is a ground."""

_ELSEWHERE = re.compile(r"url\((?!#)|@import", re.IGNORECASE)


def inline(svg: str, name: str, title: str) -> Markup:
    """An svg element with the drawing, and its title for screen readers.

    svg: the text of a whole SVG file.  name: prefix of every id, so that the ids of two figures differ.
    Ids are renumbered in the order of use, and unused ones are removed, so that the same drawing gives the
    same text whatever ids its file has.  References to other files are removed.  Every colour #rrggbb becomes
    the variable --ink-rrggbb, which `inks` defines.
    Raises ValueError if svg is not an SVG.
    """
    try:
        root = ElementTree.fromstring(svg)
    except ElementTree.ParseError as error:
        raise ValueError(f"the figure {name} is no SVG: {error}") from error
    if root.tag != f"{_SVG}svg":
        raise ValueError(f"the figure {name} is no SVG: its root is {root.tag}")
    names = {old: f"{name}-{count}" for count, old in enumerate(dict.fromkeys(_used(root)), 1)}
    drawn = _cleaned(root, names)
    try:
        width = float(drawn.get("viewBox", "").split()[2])
    except (IndexError, ValueError):
        raise ValueError(f"the figure {name} has no viewBox") from None
    drawn.attrib = {
        "viewBox": drawn.attrib["viewBox"],
        "role": "img",
        "aria-labelledby": f"{name}-title",
        # matplotlib sets the line joins in a style sheet, which here would apply to the whole page.
        "style": f"--width:{width:g};fill:{_ink('000000')};stroke-linejoin:round;stroke-linecap:butt",
    }
    label = Element("title", {"id": f"{name}-title"})
    label.text = title
    drawn.insert(0, label)
    return Markup(ElementTree.tostring(drawn, encoding="unicode"))


def inks(drawings: Iterable[str]) -> Markup:
    """The style sheet with the colours of drawings made by `inline`, on a light page and on a dark one.

    On a dark page greys and grounds are inverted; other colours get lighter and keep their hue and order.

    >>> print(inks(["var(--ink-004488)"]))  # doctest: +ELLIPSIS
    :root{--ink-004488:#004488}...{--ink-004488:oklch(from #004488 calc(.95 - .38*l) c h)}}}
    """
    found = sorted({colour for drawing in drawings for colour in _INK.findall(drawing)})
    light = ";".join(f"--ink-{colour}:#{colour}" for colour in found)
    dark = ";".join(f"--ink-{one}:oklch(from #{one} calc(.95 - {_slope(one)}*l) c h)" for one in found)
    # Browsers that cannot compute these leave figures on a white ground, as report.css does without them.
    return Markup(
        f":root{{{light}}}\n@media screen and (prefers-color-scheme:dark)"
        f"{{@supports (color:oklch(from red l c h)){{:root{{{dark}}}}}}}"
    )


def _slope(colour: str) -> str:
    channels = [int(colour[place : place + 2], 16) for place in (0, 2, 4)]
    neutral = max(channels) - min(channels) <= _FAINT or min(channels) >= _PALE
    return ".7" if neutral else ".38"


def _ink(colour: str) -> str:
    return f"var(--ink-{colour.lower()})"


def _used(root: Element) -> Iterator[str]:
    """The ids that the drawing refers to."""
    for element in root.iter():
        for key, value in element.attrib.items():
            yield from _LOCAL.findall(value)
            if key in ("href", _HREF) and value.startswith("#"):
                yield value[1:]


def _cleaned(element: Element, names: dict[str, str]) -> Element:
    """The same element without namespaces and without elements that do not draw."""
    kept = Element(element.tag.removeprefix(_SVG))
    painted = []
    for key, value in element.attrib.items():
        if key == "id":
            if value in names:
                kept.set("id", names[value])
        elif key in ("href", _HREF):
            if value.startswith("#"):
                kept.set("href", "#" + names[value[1:]])
            elif value.startswith("data:image/png"):
                kept.set("href", value)
        elif "{" not in key and not key.lower().startswith("on") and not _ELSEWHERE.search(value):
            local = _LOCAL.sub(lambda match: f"url(#{names[match[1]]})", value)
            inked = _COLOUR.sub(lambda match: _ink(match[1]), local)
            if key in _PAINTED and inked != local:  # only a style may use a variable
                painted.append(f"{key}:{inked}")
            else:
                kept.set(key, inked)
    if painted:
        kept.set("style", ";".join([*painted, *filter(None, [kept.get("style")])]))
    kept.text = element.text
    for child in element:
        drawn = isinstance(child.tag, str) and child.tag.startswith(_SVG)
        if drawn and child.tag.removeprefix(_SVG) in _DRAWN:
            kept.append(_cleaned(child, names))
            kept[-1].tail = child.tail
    return kept
