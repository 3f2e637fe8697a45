"""The reference of the site: what a docstring says of parameters and fields becomes a list, one to a line.

MkDocs loads this file for Griffe, which reads the sources.  A docstring names parameters in its sentences,
`count: how many.  seed: of the prompts.`; Griffe knows such a list only under a heading.
"""

from __future__ import annotations

from typing import Any

from griffe import Extension

from icgd.reports.website import itemised


class DocstringItems(Extension):
    """Rewrites docstrings when all sources have been read."""

    def on_function(self, *, func: Any, **_: Any) -> None:
        """Give the docstring of a function a list of its parameters."""
        if func.docstring:
            func.docstring.value = itemised(
                func.docstring.value, [one.name for one in func.parameters], "Args"
            )

    def on_class(self, *, cls: Any, **_: Any) -> None:
        """Give the docstring of a class a list of its fields."""
        if cls.docstring:
            fields = [name for name, one in cls.members.items() if one.is_attribute]
            fields += [one.name for one in getattr(cls.members.get("__init__"), "parameters", ())]
            cls.docstring.value = itemised(cls.docstring.value, fields, "Attributes")
