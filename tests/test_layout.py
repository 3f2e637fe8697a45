"""The layout shows the idea: imports go down the floors, files stay small, no drawer for odds and ends."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = ("bounds", "construct", "verify", "reports", "icgd")
SOURCES = sorted(path for floor in FLOORS for path in (ROOT / floor).rglob("*.py"))


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def floor_of(module):
    """The floor of a module of ours: icgd.bounds.plan is in bounds, icgd.cli in icgd; None for others."""
    first, *rest = module.split(".")
    if first != "icgd":
        return None
    return rest[0] if rest and rest[0] in FLOORS else "icgd"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down_only(path):
    own = path.relative_to(ROOT).parts[0]
    floors = {floor_of(name) for name in imported(path)} - {None}
    assert all(FLOORS.index(floor) <= FLOORS.index(own) for floor in floors)
    assert not floors or own == "icgd" or "icgd" not in floors
    if own == "bounds":
        assert "torch" not in {name.split(".")[0] for name in imported(path)}


def test_files_are_small_and_named_for_what_they_hold():
    for path in SOURCES:
        assert path.stem not in {"utils", "helpers", "misc", "common"}
        assert len(path.read_text().splitlines()) <= 420, path
