"""Prepares the SVG of a figure for embedding in an HTML page: unique ids, safe elements, a title."""

from __future__ import annotations

import re
from collections.abc import Iterator
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
_ELSEWHERE = re.compile(r"url\((?!#)|@import", re.IGNORECASE)


def inline(svg: str, name: str, title: str) -> Markup:
    """An svg element with the drawing, and its title for screen readers.

    svg: the text of a whole SVG file.  name: prefix of every id, so that the ids of two figures differ.
    Ids are renumbered in the order of use, and unused ones are removed, so that the same drawing gives the
    same text whatever ids its file has.  References to other files are removed.
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
        "style": f"--width:{width:g};stroke-linejoin:round;stroke-linecap:butt",
    }
    label = Element("title", {"id": f"{name}-title"})
    label.text = title
    drawn.insert(0, label)
    return Markup(ElementTree.tostring(drawn, encoding="unicode"))


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
            kept.set(key, _LOCAL.sub(lambda match: f"url(#{names[match[1]]})", value))
    kept.text = element.text
    for child in element:
        drawn = isinstance(child.tag, str) and child.tag.startswith(_SVG)
        if drawn and child.tag.removeprefix(_SVG) in _DRAWN:
            kept.append(_cleaned(child, names))
            kept[-1].tail = child.tail
    return kept
