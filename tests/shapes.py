"""Shapes of tensors, as signatures declare them, held at every call and result in the tests."""

from pathlib import Path
from typing import Any

from beartype import beartype
from jaxtyping import install_import_hook

ROOT = Path(__file__).parents[1]


def checked(function):
    """Held to the shapes in its signature alone: types are mypy's, and a test may pass a double."""
    hints = function.__annotations__
    hints |= {name: Any for name, hint in hints.items() if "jaxtyping" not in repr(hint)}
    return beartype(function)


def hold():
    """From now on every module of ours that declares shapes is imported with its shapes held."""
    sources = [path for floor in ("construct", "verify", "reports") for path in (ROOT / floor).rglob("*.py")]
    declaring = [path for path in sources if "from jaxtyping import" in path.read_text(encoding="utf-8")]
    modules = ["icgd." + ".".join(path.relative_to(ROOT).with_suffix("").parts) for path in declaring]
    install_import_hook(modules, f"{__name__}.checked")
