"""The layout shows the idea: imports go down the floors, files stay small, no drawer for odds and ends."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = ("bounds", "construct", "verify", "reports", "icgd")
SOURCES = [*sorted(path for floor in FLOORS[:-1] for path in (ROOT / floor).rglob("*.py")), ROOT / "icgd.py"]


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down_only(path):
    own = path.relative_to(ROOT).parts[0].removesuffix(".py")
    floors = {name.split(".")[0] for name in imported(path)} & set(FLOORS)
    assert all(FLOORS.index(floor) <= FLOORS.index(own) for floor in floors)
    if own == "bounds":
        assert "torch" not in {name.split(".")[0] for name in imported(path)}


def test_files_are_small_and_named_for_what_they_hold():
    for path in SOURCES:
        assert path.stem not in {"utils", "helpers", "misc", "common"}
        assert len(path.read_text().splitlines()) <= 420, path
