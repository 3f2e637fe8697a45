"""Which cases of a long table run in `make test`, and which in `make slow`."""

from collections.abc import Iterable
from typing import Any

import pytest


def mostly_slow(cases: Iterable[Any], one_in: int = 4) -> list[Any]:
    """The cases as parameters: one in `one_in` for make test, the others for make slow."""
    return [case if not index % one_in else _slow(case) for index, case in enumerate(cases)]


def _slow(case: Any) -> Any:
    if hasattr(case, "marks"):  # the result of pytest.param
        return pytest.param(*case.values, id=case.id, marks=[*case.marks, pytest.mark.slow])
    return pytest.param(case, marks=pytest.mark.slow)
