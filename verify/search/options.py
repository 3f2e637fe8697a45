"""The options of a verification, for every command, for pytest and for Python: samples, effort, data, ..."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

from icgd.bounds.letters import ProblemError, real, whole
from icgd.construct.machine.device import check_device
from icgd.verify.data.columns import Names
from icgd.verify.data.layout import Layout
from icgd.verify.data.sources import BUNDLED


@dataclass(frozen=True, kw_only=True)
class Search:
    """The options of a verification; each field is an option of that name on the command line and in pytest.

    An annotation has the type, the meaning, and the placeholder in help texts where it is not the type.
    Raises ProblemError for an impossible value.
    """

    construction: Annotated[str | None, "of the theorem; none: its default"] = None
    seed: Annotated[int, "seed of all random work"] = 0
    samples: Annotated[int, "random prompts in the sweep"] = 100_000
    effort: Annotated[float, "length of the attack, 0 for none"] = 1.0
    start: Annotated[str, "w(0): random, or zero as in the theorem"] = "random"
    data: Annotated[str | None, "real prompts to follow", f"{'|'.join(BUNDLED)}|FILE"] = None
    table: Annotated[str, "how its text is laid out: sep=; decimal=, ...: docs/data.md", "WORDS"] = ""
    inputs: Annotated[tuple[str, ...], "columns that are x, by commas or an option each", "NAMES"] = ()
    targets: Annotated[tuple[str, ...], "columns that are y, likewise", "NAMES"] = ()
    prompts: Annotated[int, "prompts to cut from the data; functional and looped draw as many without"] = 64
    certify: Annotated[bool, "also prove the step error"] = False
    device: Annotated[str, "cpu or cuda"] = "cpu"
    out: Annotated[Path, "folder for counterexamples and certificates"] = Path("out")

    def __post_init__(self) -> None:
        if not isinstance(self.certify, bool):
            raise ProblemError("certify", self.certify, "True or False is needed")
        counts = {"samples": 10**12, "prompts": 10**9}
        found: dict[str, Any] = {
            name: whole(name, getattr(self, name), 1, most, f"a whole number from 1 to {most:,} is needed")
            for name, most in counts.items()
        }
        effort = "a number from 0 (no attack) to 1000 is needed"
        found["effort"] = real("effort", self.effort, 0, 1000, effort)
        found["seed"] = whole("seed", self.seed, -(2**63), 2**63 - 1, "a 64-bit whole number is needed")
        if self.start not in ("random", "zero"):
            raise ProblemError("start", self.start, "either zero or random is needed")
        if self.data == "":
            raise ProblemError("data", '""', f"a file is needed, or {' or '.join(BUNDLED)}")
        Layout.parse(self.table)
        for name in ("inputs", "targets"):
            found[name] = name_items(getattr(self, name))
        for name, given in (
            ("inputs", found["inputs"]),
            ("targets", found["targets"]),
            ("table", self.table),
        ):
            if given and self.data is None:
                shown = given if isinstance(given, str) else ", ".join(given)
                raise ProblemError(name, shown, "it is about --data, which is missing")
        check_device(str(self.device))
        data = str(self.data) if isinstance(self.data, Path) else self.data
        found |= {"out": Path(self.out), "data": data, "device": str(self.device)}
        for name, plain in found.items():
            object.__setattr__(self, name, plain)

    def only(self, taken: frozenset[str]) -> Search:
        """The options for a theorem that takes only these; all others are at their defaults."""
        return Search(**{name: value for name, value in self.given.items() if name in taken | EVERYWHERE})

    @property
    def given(self) -> dict[str, Any]:
        """The options that are not at their defaults."""
        values = {one.name: (getattr(self, one.name), one.default) for one in fields(self)}
        return {name: value for name, (value, default) in values.items() if value != default}


def name_items(names: Names) -> tuple[str, ...]:
    """Names of columns as options have them: a text is one item, however many names are in it."""
    return () if names is None else (names,) if isinstance(names, str) else tuple(names)


def option_words(name: str, value: Any) -> list[str]:
    """The words of a command line that give an option this value.

    >>> option_words("inputs", ("a, b", "c")), option_words("certify", True)
    (['--inputs', 'a, b', '--inputs', 'c'], ['--certify'])
    """
    if value is True:
        return [f"--{name}"]
    return [
        word for one in (value if isinstance(value, tuple) else (value,)) for word in (f"--{name}", str(one))
    ]


BRIEF: Mapping[str, Any] = {"samples": 20_000, "effort": 0.3}
"""A shorter search, for reports and for pytest."""

EVERYWHERE = frozenset({"seed", "device", "out"})
"""Options that every theorem takes."""
