"""The examples in docstrings, run under the names that users import."""

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
SOURCES = [
    path for floor in ("bounds", "construct", "verify", "reports") for path in (ROOT / floor).rglob("*.py")
]
MODULES = sorted(
    "icgd." + ".".join(p.relative_to(ROOT).with_suffix("").parts) for p in SOURCES if ">>> " in p.read_text()
)


@pytest.mark.parametrize("module", MODULES)
def test_examples_in_docstrings(module):
    failed, run = doctest.testmod(importlib.import_module(module), optionflags=FLAGS)
    assert run and not failed
