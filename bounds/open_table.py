"""Open tables, such as those of activations and kernels: entries by unique name, to which anyone can add."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


class Named(Protocol):
    """An entry of a table: any object with a name."""

    @property
    def name(self) -> str: ...


_Entry = TypeVar("_Entry", bound=Named)


class OpenTable(Mapping[str, _Entry]):
    """Entries by name, in the order in which they were added.

    what: the noun for an entry, with its article.  refuse: raises ValueError for an entry that is not
    supported; tests apply it to the built-in entries, `register` to later ones.
    """

    def __init__(
        self, what: str, entries: Iterable[_Entry], refuse: Callable[[_Entry], Any] = lambda entry: None
    ) -> None:
        self._what, self._refuse = what, refuse
        self._entries = {entry.name: entry for entry in entries}

    def __getitem__(self, name: str) -> _Entry:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def names(self) -> str:
        """All names, separated by commas."""
        return ", ".join(self._entries)

    def find(self, name: str) -> _Entry:
        """The entry of that name; raises ValueError with the known names."""
        if name not in self._entries:
            raise ValueError(f"not one of {self.names}")
        return self._entries[name]

    def register(self, entry: _Entry) -> _Entry:
        """Adds an entry and returns it; raises ValueError if its name or the entry itself is unacceptable."""
        name = entry.name
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValueError(
                f"{name!r} is no name for {self._what}: it needs a letter, then letters, digits, - and _"
            )
        if taken := next((one for one in self._entries if one.casefold() == name.casefold()), None):
            raise ValueError(f"{name} would shadow {taken}, {self._what} that exists already")
        self._refuse(entry)
        self._entries[name] = entry
        return entry

    @contextmanager
    def temporarily(self, entry: _Entry) -> Iterator[_Entry]:
        """Registers the entry for the duration of the context; raises ValueError as `register` does."""
        try:
            yield self.register(entry)
        finally:
            if self._entries.get(entry.name) is entry:
                del self._entries[entry.name]
