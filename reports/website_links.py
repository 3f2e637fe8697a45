"""Follows every link of a folder of HTML pages without a network."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

_LOADED = {"src", "srcset", "poster", "data"}


def broken_links(folder: Path) -> list[str]:
    """A sentence for each link to a file or an anchor that is missing, and for each file from elsewhere.

    Links to other sites are not followed; what style sheets and scripts load is not looked for.
    """
    pages = {path.resolve(): _read(path) for path in sorted(folder.rglob("*.html"))}
    found = []
    for path, page in pages.items():
        for target, loads in page.links:
            address = urlsplit(target)
            if address.scheme or address.netloc:
                if loads and address.scheme != "data":
                    found.append(
                        f"{path.relative_to(folder.resolve())} loads {target}: it must be in the site"
                    )
                continue
            relative = unquote(address.path)
            start = folder if relative.startswith("/") else path.parent
            there = (start / relative.lstrip("/")).resolve() if relative else path
            if not there.is_file():
                found.append(f"{path.relative_to(folder.resolve())} links to {target}, which is not there")
            elif (
                address.fragment and there in pages and unquote(address.fragment) not in pages[there].anchors
            ):
                found.append(
                    f"{path.relative_to(folder.resolve())} links to {target}: no such place on that page"
                )
    return found


@dataclass
class _Page(HTMLParser):
    links: list[tuple[str, bool]] = field(default_factory=list)
    """Each with whether a browser loads it without being asked."""
    anchors: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value is None:
                continue
            if name in ("id", "name"):
                self.anchors.add(value)
            elif name == "href" and not value.startswith("javascript:"):
                self.links.append((value, tag == "link" and ("rel", "canonical") not in attrs))
            elif name in _LOADED:
                self.links.append((value, True))


def _read(path: Path) -> _Page:
    page = _Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page
