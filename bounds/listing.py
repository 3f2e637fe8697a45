"""Tuples whose items are also found by key: bounds, verdicts, hypotheses and findings, in Python."""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, SupportsIndex, TypeVar, overload

from icgd.bounds.html_table import html_table
from icgd.bounds.letters import ProblemError
from icgd.bounds.printable import printable
from icgd.bounds.tabular import Tabular

_LINES, _WIDTH = 7, 100
"""The most items of a listing that it names, and the length of such a line."""


class Listed(Protocol):
    """An item of a listing: its key, such as "relu-icgd/heads", what is said of it, its row in a table.

    detail: a sentence more.
    """

    @property
    def key(self) -> str: ...
    @property
    def said(self) -> str: ...
    @property
    def detail(self) -> str: ...
    def as_row(self) -> Mapping[str, Any]: ...


class Described:
    """An item that shows itself by its key, what is said of it and its detail; declared with `repr=False`."""

    __slots__ = ()

    def __repr__(self: Listed) -> str:
        lead, detail = printable(f"{type(self).__name__} {self.key}: {self.said}"), printable(self.detail)
        lines = _wrapped(f"<{lead}", 3, later="  ") + _wrapped(detail, 5, first="  ", later="  ")
        return "\n".join(lines) + ">"

    def _repr_html_(self: Listed) -> str:
        return _described([self])


def _described(items: Iterable[Listed]) -> str:
    rows = (map(printable, (one.key, one.said, one.detail)) for one in items)
    return html_table(("key", "said", "detail"), rows)


def _wrapped(text: str, most: int, *, first: str = "", later: str = "") -> list[str]:
    """The text in at most so many lines; they do not break keys at their hyphens."""
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=first,
        subsequent_indent=later,
        max_lines=most,
        placeholder=" ...",
        break_on_hyphens=False,
    )


_Item = TypeVar("_Item", bound=Listed, covariant=True)


class Listing(tuple[_Item, ...], Tabular):
    """A tuple whose items are also found by key, with or without the theorem's name that it begins with.

    `frame` is a pandas.DataFrame, and `arrow` a pyarrow.Table, which polars takes.
    """

    @overload
    def __getitem__(self, at: SupportsIndex) -> _Item: ...
    @overload
    def __getitem__(self, at: slice) -> Listing[_Item]: ...
    @overload
    def __getitem__(self, at: str) -> _Item: ...
    def __getitem__(self, at: SupportsIndex | slice | str) -> Any:
        """The item at a place or of a key, or a listing; raises ProblemError for an unknown key."""
        if isinstance(at, str):
            return self._find(at)
        if isinstance(at, slice):
            return Listing(super().__getitem__(at))
        return super().__getitem__(at)

    def _find(self, key: str) -> _Item:
        known = self._by_key()
        if key in known:
            return known[key]
        near = difflib.get_close_matches(key, known, n=4, cutoff=0.4)
        ending = [name for name in known if name.endswith(f"/{key}")]
        hint = ", ".join(dict.fromkeys([*ending[:4], *near])) or ", ".join(list(known)[:6])
        why = f"it is none of these {len(self)}; near are {hint}" if known else "there are no items here"
        raise ProblemError("key", repr(key), why)

    def _by_key(self) -> dict[str, _Item]:
        """Each item by its key, and by the rest of it where no other has the same rest."""
        whole = {one.key: one for one in self}
        rests = [key.partition("/")[2] for key in whole]
        short = {
            rest: one
            for rest, one in zip(rests, whole.values(), strict=True)
            if rest and rests.count(rest) == 1
        }
        return {**short, **whole}

    def __contains__(self, what: object) -> bool:
        return what in self._by_key() if isinstance(what, str) else super().__contains__(what)

    def keys(self) -> list[str]:
        """The key of each item."""
        return [one.key for one in self]

    def _ipython_key_completions_(self) -> list[str]:
        return list(self._by_key())

    @property
    def table_rows(self) -> Sequence[Mapping[str, Any]]:
        """A row for each item."""
        return [one.as_row() for one in self]

    def _repr_html_(self) -> str:
        return _described(self)

    def __repr__(self) -> str:
        widest = max((len(one.key) for one in self[:_LINES]), default=0)
        lines = [f"  {one.key:{widest}}  {printable(one.said)}" for one in self[:_LINES]]
        cut = [line if len(line) <= _WIDTH else line[: _WIDTH - 3] + "..." for line in lines]
        more = [f"  and {len(self) - _LINES} more"] if len(self) > _LINES else []
        kinds = " and ".join(dict.fromkeys(type(one).__name__ for one in self)) or "items"
        return "\n".join([f"<listing of {len(self)} {kinds}", *cut, *more]) + ">"


def listing(items: Iterable[Any]) -> Listing[Any]:
    """The same items as a listing."""
    return items if isinstance(items, Listing) else Listing(items)
