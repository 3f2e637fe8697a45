"""Base of every theorem's problem: letters are fields of a frozen dataclass, checked on creation."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Self, get_args, get_type_hints

from icgd.bounds.printable import printable


class ProblemError(ValueError):
    """An invalid value; the message names the field, the value and what is allowed."""

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

    A letter is annotated with its type and its meaning, for command lines and reports:
    `n: Annotated[int, "examples in context"] = 8`.
    """

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """A problem from plain values; raises ProblemError for an unknown letter."""
        known = cls.names()
        for name, value in values.items():
            if name not in known:
                hint = f"there is no such letter; the letters are {', '.join(known)}"
                raise ProblemError(name, value, hint)
        return cls(**values)

    @classmethod
    def names(cls) -> list[str]:
        """The letters, in the order in which they are declared."""
        return [field.name for field in fields(cls)]  # type: ignore[arg-type]

    def as_dict(self) -> dict[str, int | float | str]:
        """The letters as plain values, such that `parse` gives the same problem back."""
        return {name: getattr(self, name) for name in self.names()}

    @classmethod
    def defaults(cls) -> dict[str, object]:
        """The default of each letter; a table entry, such as an activation, is given by its name."""
        given = ((field.name, field.default) for field in fields(cls))  # type: ignore[arg-type]
        return {name: getattr(value, "name", value) for name, value in given}

    @classmethod
    def kinds(cls) -> dict[str, type]:
        """The type of each letter on the command line: int, float or str."""
        hints = get_type_hints(cls)
        return {name: hints[name] if hints[name] in (int, float) else str for name in cls.names()}

    @classmethod
    def meanings(cls) -> dict[str, str]:
        """The meaning of each letter; its own name if it has no description."""
        hints = get_type_hints(cls, include_extras=True)
        return {name: str((*get_args(hints[name])[1:], name)[0]) for name in cls.names()}

    @property
    def chosen(self) -> dict[str, float]:
        """The values chosen for letters that were given as 0, which stands for an automatic choice."""
        return {}

    @property
    def options(self) -> str:
        """The command-line options that pose this problem, quoted for a shell."""
        return shlex.join(
            word for name, value in self.as_dict().items() for word in (f"--{name}", str(value))
        )

    def check_count(self, *names: str, least: int = 1, most: int = 10**6) -> None:
        """Raises ProblemError unless each of these letters is a whole number in that range."""
        for name in names:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
                raise ProblemError(name, value, f"a whole number from {least} to {most} is needed")

    def check_number(self, name: str, least: float, most: float) -> None:
        """Raises ProblemError unless the letter is a number in that range; stores it as a float."""
        value = getattr(self, name)
        real = isinstance(value, int | float) and not isinstance(value, bool)
        if not real or not least <= value <= most:
            raise ProblemError(name, value, f"a finite number is needed, from {least:g} to {most:g}")
        object.__setattr__(self, name, float(value))
