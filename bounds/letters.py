"""Base of every theorem's problem: letters are fields of a frozen dataclass, checked on creation."""

from __future__ import annotations

import math
import operator
import shlex
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields
from typing import Any, Self, get_args, get_type_hints

from icgd.bounds.html_table import html_table
from icgd.bounds.printable import printable


class ProblemError(ValueError):
    """An invalid value; the message names the field, the value and what is allowed."""

    def __init__(self, field: str, value: object, allowed: str) -> None:
        self.field, self.value, self.allowed = field, value, allowed
        super().__init__(printable(f"{field} = {_shown(value)}: {allowed}"))

    def __reduce__(self) -> tuple[type[Self], tuple[str, str, str]]:
        """A pickle holds the value as text: it may be anything, and only the sentence is needed elsewhere."""
        return type(self), (self.field, _shown(self.value), self.allowed)


def _shown(value: object) -> str:
    """A value in at most about 80 signs; a long number as a power of ten, since cut digits would mislead.

    >>> _shown(10**400), _shown("a" * 100)[-5:]
    ('about 1.00e+400', 'aa...')
    """
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        value = value.item()
    if isinstance(value, int) and abs(value) >= 10**80:
        power, part = divmod(math.log10(abs(value)), 1)
        return f"about {'-' * (value < 0)}{10**part:.2f}e+{power:.0f}"
    try:
        shown = str(value)
    except (ValueError, RecursionError):  # parts with more digits or levels than Python prints
        shown = f"a very large {type(value).__name__}"
    return shown if len(shown) <= 80 else shown[:80] + "..."


class Letters:
    """Base of a theorem's problem; a subclass is a frozen dataclass that checks its fields in __post_init__.

    A letter is annotated with its type and its meaning, for command lines and reports:
    `n: Annotated[int, "examples in context"] = 8`.
    """

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """A problem from plain values; raises ProblemError for an unknown letter."""
        if not isinstance(values, Mapping):
            name = next(iter(cls.names()))
            allowed = f'a {cls.__name__} is needed, or its letters by name, such as {{"{name}": 2}}'
            raise ProblemError("problem", getattr(values, "brief", values), allowed)
        known = cls.names()
        for name, value in values.items():
            if name not in known:
                hint = f"there is no such letter; the letters are {', '.join(known)}"
                raise ProblemError(name, value, hint)
        return cls(**values)

    @classmethod
    def taken(cls, problem: Any) -> Self:
        """The problem itself, or the one of letters by name; raises ProblemError for anything else."""
        return problem if isinstance(problem, cls) else cls.parse(problem)

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
        """The command-line options that pose this problem, quoted for a shell, without automatic choices."""
        left = self.chosen.keys() - self._changed.keys()
        return _options({name: value for name, value in self.as_dict().items() if name not in left})

    @property
    def brief_options(self) -> str:
        """Those of them whose letters differ from their defaults."""
        return _options(self._changed)

    @property
    def _changed(self) -> dict[str, int | float | str]:
        usual = self.defaults()
        return {name: value for name, value in self.as_dict().items() if value != usual[name]}

    @property
    def brief(self) -> str:
        """The problem as a short constructor call: only the letters that differ from their defaults."""
        posed = (f"{name}={value!r}" for name, value in self._changed.items())
        return f"{type(self).__name__}({', '.join(posed)})"

    @property
    def values(self) -> str:
        """Every letter with its value, as a sentence shows them; for an automatic choice, the value chosen.

        >>> from icgd.bounds.looped import LoopedProblem
        >>> LoopedProblem(n=36).values
        'd=4, n=36, T=10, eta=0.36 (automatic), t=2, eps=0.01, c=1'
        """
        shown = []
        for name, given in self.as_dict().items():
            value = self.chosen.get(name, given)
            short = f"{value:.6g}" if isinstance(value, float) else str(value)
            if name in self.chosen:
                shown.append(f"{name}={short} (automatic)")
            else:  # what was given is never rounded
                shown.append(f"{name}={short if short == str(value) or float(short) == value else value}")
        return ", ".join(shown)

    def _repr_html_(self) -> str:
        meant = self.meanings()
        rows = [(name, value, meant[name]) for name, value in (self.as_dict() | self.chosen).items()]
        return html_table(("letter", "value", "meaning"), rows)

    def check_count(self, *names: str, least: int = 1, most: int = 10**6) -> None:
        """Raises ProblemError unless each of these letters is a whole number there; stores it as an int."""
        for name in names:
            allowed = f"a whole number from {least} to {most} is needed"
            object.__setattr__(self, name, whole(name, getattr(self, name), least, most, allowed))

    def check_number(self, name: str, least: float, most: float) -> None:
        """Raises ProblemError unless the letter is a number in that range; stores it as a float."""
        allowed = f"a finite number is needed, from {least:g} to {most:g}"
        object.__setattr__(self, name, real(name, getattr(self, name), least, most, allowed))


def _options(letters: Mapping[str, int | float | str]) -> str:
    return shlex.join(word for name, value in letters.items() for word in (f"--{name}", str(value)))


def check_texts(entry: Any, *names: str) -> None:
    """Raises ProblemError unless these fields of a table's entry are texts."""
    for name in names:
        if not isinstance(getattr(entry, name), str):
            raise ProblemError(name, getattr(entry, name), "a text is needed")


def whole(name: str, value: Any, least: int, most: int, allowed: str) -> int:
    """A whole number of Python, numpy or torch as an int; raises ProblemError outside [least, most].

    >>> whole("n", True, 1, 9, "a digit is needed")
    Traceback (most recent call last):
    icgd.bounds.letters.ProblemError: n = True: a digit is needed
    """
    try:
        found = None if _is_truth(value) else operator.index(value)
    except (TypeError, ValueError, RuntimeError):  # torch raises either for several numbers
        found = None
    if found is None or not least <= found <= most:
        raise ProblemError(name, repr(value) if isinstance(value, str) else value, allowed)
    return found


def real(name: str, value: Any, least: float, most: float, allowed: str) -> float:
    """A real number of any library as the nearest float; raises ProblemError outside [least, most].

    >>> from fractions import Fraction
    >>> real("eta", Fraction(1, 4), 0.0, 1.0, "at most 1")
    0.25
    """
    found = math.nan
    if not _is_truth(value) and not isinstance(value, str | bytes) and getattr(value, "ndim", 0) == 0:
        with suppress(TypeError, ValueError, OverflowError, RuntimeError):
            found = float(value.item() if hasattr(value, "item") else value)
    if not least <= found <= most:
        raise ProblemError(name, repr(value) if isinstance(value, str) else value, allowed)
    return found


def _is_truth(value: Any) -> bool:
    """Whether it is true or false, in Python, numpy or torch: computing with it would be a mistake."""
    return isinstance(value, bool) or "bool" in str(getattr(value, "dtype", ""))
