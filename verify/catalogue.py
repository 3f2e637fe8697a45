"""The catalogue of theorems: the built-in ones, those of installed packages, and those of files a user names.

A package adds a `Theorem` by an entry point in the group `icgd.theorems`; a file adds one by defining it.
"""

from __future__ import annotations

import copyreg
import importlib.util
import sys
import warnings
from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path
from types import MappingProxyType
from typing import Any

from icgd.bounds.letters import Letters, ProblemError
from icgd.verify import convergence, functional, looped, preconditioned, relu_icgd, softmax_icgd
from icgd.verify.search.options import Search
from icgd.verify.theorem import Theorem

GROUP = "icgd.theorems"
"""The group of the entry points by which installed packages add theorems."""

TABLES = "icgd.tables"
"""The group for modules of packages that register activations, losses, kernels or attention when imported."""

BUILT_IN = (
    relu_icgd.THEOREM,
    softmax_icgd.THEOREM,
    convergence.THEOREM,
    preconditioned.THEOREM,
    functional.THEOREM,
    looped.THEOREM,
)

_SIGNALS = (129, 143)
"""Codes of a SystemExit that SIGHUP or SIGTERM raised."""

_known: dict[str, Theorem] = {}
_files: dict[str, str] = {}


def theorems() -> Mapping[str, Theorem]:
    """Every theorem by name, the built-in ones first; warns about packages whose theorem cannot be loaded."""
    if not _known:
        for theorem in BUILT_IN:
            register(theorem)
        for point in (*entry_points(group=TABLES), *entry_points(group=GROUP)):
            try:
                loaded = point.load()
                if point.group == GROUP:
                    register(loaded)
            except Exception as error:  # a broken package must not disable the other theorems
                what = "the theorem" if point.group == GROUP else "the module"
                message = f"{what} {point.value} of {point.group} is left out: {error}"
                warnings.warn(message, stacklevel=2)
    return MappingProxyType(_known)


def register(theorem: Theorem) -> Theorem:
    """Add a theorem; raises ProblemError where its name is taken, or where it is not a `Theorem`."""
    if not isinstance(theorem, Theorem):
        raise ProblemError("theorem", theorem, "an icgd.verify.theorem.Theorem is needed")
    if theorem not in BUILT_IN:
        theorems()  # the built-in ones come first
    for letter in theorem.letters.names():
        if letter in Search.__dataclass_fields__:
            raise ProblemError("letter", letter, f"{theorem.name}: every command has an option of that name")
    if _known.setdefault(theorem.name, theorem) is not theorem:
        raise ProblemError("theorem", theorem.name, "there is another theorem of that name")
    return theorem


def find_theorem(asked: str | Path | Letters) -> Theorem:
    """The theorem of that name, in that file (such as ./mine.py), or the first one posed by such a problem.

    Raises ProblemError if there is none.

    >>> find_theorem("looped").letters().T
    10
    """
    if isinstance(asked, Letters):
        for theorem in theorems().values():
            if theorem.letters is type(asked):
                return theorem
        raise ProblemError("problem", type(asked).__name__, "no theorem takes such a problem")
    if not isinstance(asked, str | Path):
        raise ProblemError("theorem", asked, "a name, a path or a problem is needed")
    asked = str(asked)
    if asked.endswith(".py"):
        found = _of_file(Path(asked))
        _files[found.name] = asked
        return found
    if asked not in theorems():
        names = ", ".join(theorems())
        raise ProblemError("theorem", asked, f"the theorems are {names}; a file that defines one ends in .py")
    return theorems()[asked]


def _of_file(path: Path) -> Theorem:
    """The one theorem that a Python file defines; the file is run once."""
    path = path.resolve()
    name = f"icgd_file_{path.stem}"
    module = sys.modules.get(name)
    if module is None or getattr(module, "__file__", None) != str(path):
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None or not path.is_file():
            raise ProblemError("theorem", path, "there is no such file")
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:
            del sys.modules[name]
            if isinstance(error, SystemExit) and error.code in _SIGNALS:
                raise
            raise ProblemError("theorem", path, f"it raises {type(error).__name__}: {error}") from error
    held = [one for one in vars(module).values() if isinstance(one, Theorem) and one not in BUILT_IN]
    if len(held) != 1:
        raise ProblemError("theorem", path, f"it defines {len(held)} theorems, and exactly one is needed")
    return theorems()[held[0].name] if held[0] in theorems().values() else register(held[0])


def _in_short(theorem: Theorem) -> tuple[Any, ...]:
    """How a theorem is pickled: a known one by name, since its functions need not have names of their own."""
    if theorems().get(theorem.name) is theorem:
        return find_theorem, (command_name(theorem),)
    found: tuple[Any, ...] = theorem.__reduce_ex__(4)  # type: ignore[assignment]
    return found


copyreg.pickle(Theorem, _in_short)


def command_name(theorem: Theorem) -> str:
    """How a command line names it: by its name, or by the path of the file it was loaded from."""
    return _files.get(theorem.name, theorem.name)


def theorems_with_letter(letter: str) -> list[str]:
    """The names of the theorems that have this letter."""
    return [name for name, theorem in theorems().items() if letter in theorem.letters.names()]


def theorems_with_option(option: str) -> str:
    """The names of the theorems that take this option, separated by commas."""
    return ", ".join(
        name
        for name, theorem in theorems().items()
        if option in theorem.options or (option == "construction" and theorem.constructions)
    )
