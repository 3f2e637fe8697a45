"""Shapes of tensors, as signatures declare them, held at every call and result in the tests."""

from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import jaxtyping
from beartype import beartype
from jaxtyping import install_import_hook, jaxtyped

ROOT = Path(__file__).parents[1]


def checked(function):
    """Held to the shapes in its signature alone: types are mypy's, and a test may pass a double."""
    hints = function.__annotations__
    hints |= {name: Any for name, hint in hints.items() if "jaxtyping" not in repr(hint)}
    return beartype(function)


def declares(function):
    """Whether a shape stands in the signature, as far as its names are known when it is made."""
    for hint in function.__annotations__.values():
        try:
            if "jaxtyping" in repr(eval(hint, function.__globals__) if isinstance(hint, str) else hint):
                return True
        except NameError:  # jaxtyping leaves such a hint out, too
            pass
    return False


_known = {}
"""Whether each function declares shapes, by its code: one inside another function is made at every call."""


def where_declared(typechecker):
    """In place of `jaxtyped`, whose wrapper costs a call without shapes as much as one with them."""

    def decorated(made):
        if isinstance(made, type) and not is_dataclass(made):
            return made
        function = made.__init__ if isinstance(made, type) else made
        if function.__code__ not in _known:
            _known[function.__code__] = declares(function)
        return jaxtyped(made, typechecker=typechecker) if _known[function.__code__] else made

    return decorated


def hold():
    """From now on every module of ours that declares shapes is imported with its shapes held."""
    sources = [path for floor in ("construct", "verify", "reports") for path in (ROOT / floor).rglob("*.py")]
    declaring = [path for path in sources if "from jaxtyping import" in path.read_text(encoding="utf-8")]
    modules = ["icgd." + ".".join(path.relative_to(ROOT).with_suffix("").parts) for path in declaring]
    install_import_hook(modules, f"{__name__}.checked")
    jaxtyping.jaxtyped = where_declared  # the name that the hook puts before every function and class
