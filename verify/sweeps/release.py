"""What decides a number besides what was asked: the version of icgd, its sources, and the libraries."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

_LIBRARIES = ("torch", "numpy", "scipy", "sympy", "mpmath", "python-flint")


@cache
def release() -> str:
    """Such as "0.1.0 (1f0c9e2ab4d7)": a version, and a digest of the sources and of the libraries.

    Rows of one release and one request are equal, so a sweep may take them from an earlier run.
    """
    digest = hashlib.sha256()
    for floor in ("bounds", "construct", "verify"):
        for folder in getattr(find_spec(f"icgd.{floor}"), "submodule_search_locations", None) or ():
            for path in sorted(Path(folder).rglob("*.py")):
                digest.update(f"{floor}/{path.relative_to(folder).as_posix()}\n".encode())
                digest.update(path.read_bytes())
    for library in _LIBRARIES:
        digest.update(f"{library} {_version(library)}\n".encode())
    return f"{_version('icgd')} ({digest.hexdigest()[:12]})"


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "not installed"
