"""The letters of a theorem as the fields of a frozen dataclass: read from plain values, checked at birth."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, ClassVar, Self

from icgd.bounds.printable import printable


class ProblemError(ValueError):
    """An impossible value: which field, what it was, what is allowed, in one sentence."""

    def __init__(self, field: str, value: object, allowed: str) -> None:
        self.field, self.value, self.allowed = field, value, allowed
        try:
            shown = str(value)
        except ValueError:  # an int with more digits than Python will print
            shown = "a very large number"
        shown = shown if len(shown) <= 80 else shown[:80] + "..."
        super().__init__(printable(f"{field} = {shown}: {allowed}"))


class Letters:
    """Base of a theorem's problem; a subclass is a frozen dataclass that checks its fields in __post_init__.

    meanings: what each letter means, for command lines and reports.
    """

    meanings: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """A problem from plain values; raises ProblemError for a letter that there is not."""
        known = cls.names()
        for name, value in values.items():
            if name not in known:
                raise ProblemError(name, value, f"there is no such letter; there are {', '.join(known)}")
        return cls(**values)

    @classmethod
    def names(cls) -> list[str]:
        """The letters, in the order in which they are posed."""
        return [field.name for field in fields(cls)]  # type: ignore[arg-type]

    def as_dict(self) -> dict[str, int | float | str]:
        """The letters as plain values, such that `parse` gives the same problem back."""
        return {name: getattr(self, name) for name in self.names()}

    @classmethod
    def kinds(cls) -> dict[str, type]:
        """The type of each letter as it is typed: int, float or str."""
        plain = {"int": int, "float": float}
        return {field.name: plain.get(str(field.type), str) for field in fields(cls)}  # type: ignore[arg-type]

    @property
    def chosen(self) -> dict[str, float]:
        """Values in use for letters that are posed as 0, which means: choose."""
        return {}

    @property
    def options(self) -> str:
        """The command-line options that pose this problem, quoted for a shell."""
        return shlex.join(
            word for name, value in self.as_dict().items() for word in (f"--{name}", str(value))
        )

    def _check_count(self, name: str, least: int = 1, most: int = 10**6) -> None:
        value = getattr(self, name)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ProblemError(name, value, f"a whole number from {least} to {most} is needed")

    def _check_number(self, name: str, least: float, most: float) -> None:
        value = getattr(self, name)
        real = isinstance(value, int | float) and not isinstance(value, bool)
        if not real or not least <= value <= most:
            raise ProblemError(name, value, f"a finite number is needed, from {least:g} to {most:g}")
        object.__setattr__(self, name, float(value))
