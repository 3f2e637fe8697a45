"""What MkDocs calls while it builds the site of docs/: it runs notebooks, sets formulas and follows links."""

from __future__ import annotations

import html
import re
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

from icgd.reports.mathematics.mathml import math
from icgd.reports.website_links import broken_links

_FORMULA = re.compile(r'<(span|div) class="arithmatex">\s*\\([(\[])(.*?)\\[)\]]\s*</\1>', re.DOTALL)
_PAGE = re.compile(r"(?<![\w/\">])docs/([\w-]+)\.md")
"""A page as sources and commands name it."""


def on_files(files: Any, config: Any) -> Any:
    """Run every notebook of docs/, and add what it shows as a page beside it."""
    from mkdocs.structure.files import File

    for notebook in [one for one in files if one.src_uri.endswith(".ipynb")]:
        page, pictures = run_notebook(Path(notebook.abs_src_path))
        name = notebook.src_uri.removesuffix(".ipynb")
        files.append(File.generated(config, f"{name}.md", content=page))
        for picture, content in pictures.items():
            files.append(File.generated(config, f"{Path(name).parent}/{picture}", content=content))
    return files


def run_notebook(path: Path) -> tuple[str, dict[str, bytes]]:
    """A notebook as Markdown with what its cells show when they are run now, and its pictures by name.

    It runs in an empty folder; a cell that fails ends the build with the cell and its error.
    """
    import nbformat
    from nbconvert import MarkdownExporter
    from nbconvert.preprocessors import ExecutePreprocessor

    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        run = ExecutePreprocessor(timeout=600, extra_arguments=["--log-level=ERROR"])
        run.preprocess(notebook, {"metadata": {"path": folder}})
    page, resources = MarkdownExporter().from_notebook_node(notebook, {"unique_key": f"{path.stem}-pictures"})
    title, rest = page.strip().split("\n", 1)
    return f"{title}\n\n[Download this notebook]({path.name})\n{rest}\n", dict(resources["outputs"])


def on_config(config: Any) -> None:
    """Have examples in docstrings shown as code, which Markdown would take for quotations."""
    from markdown import Extension, Markdown
    from markdown.preprocessors import Preprocessor

    class Examples(Extension, Preprocessor):
        def extendMarkdown(self, md: Markdown) -> None:
            md.preprocessors.register(self, "examples", 100)  # before code is looked for

        def run(self, lines: list[str]) -> list[str]:
            return fenced(lines)

    config.markdown_extensions.append(Examples())


def fenced(lines: list[str]) -> list[str]:
    """Lines of Markdown with a fence around each example of a session of Python outside of other code.

    >>> fenced(["so", ">>> 1 + 1", "2", "", "on"])
    ['so', '```pycon', '>>> 1 + 1', '2', '```', '', 'on']
    """
    found, inside, in_code = [], False, False
    for line in [*lines, ""]:
        if not inside and not in_code and line.startswith(">>> "):
            inside = True
            found.append("```pycon")
        elif inside and not line.strip():
            inside = False
            found.append("```")
        in_code ^= not inside and line.startswith("```")
        found.append(line)
    return found[:-1]


_APART = r"(?:^|\n|(?<=[.;]) {1,2})"
"""Where a docstring begins to speak of something else: at a line, or after a full stop or a semicolon."""


def itemised(text: str, names: Collection[str], heading: str) -> str:
    r"""A docstring in which what is said of these names stands in a list below a heading, a line each.

    It says it in the style of this project: `first, second: of both.  third: of another.`

    >>> print(itemised("Draw.\n\nn: how many;\nat most 9.  x, y: ends.\nRaises ValueError.", "nxy", "Args"))
    Draw.
    <BLANKLINE>
    Args:
        n: how many; at most 9.
        x: ends.
        y: ends.
    <BLANKLINE>
    Raises ValueError.
    """
    named = "|".join(map(re.escape, names))
    item = re.compile(rf"{_APART}((?:{named})(?:, (?:{named}))*): ")
    end = re.compile(rf"{_APART}(?=Raises |Returns |Source: )")
    prose, listed, place = [], [], None
    for paragraph in text.split("\n\n"):
        lead, *found = item.split(paragraph) if names and not _is_set_apart(paragraph) else [paragraph]
        prose += [lead] if lead.strip() else []
        if found and place is None:
            place = len(prose)
        for heads, said in zip(found[::2], found[1::2], strict=True):
            said, *rest = end.split(said, maxsplit=1)
            listed += [f"    {name}: {' '.join(said.split())}" for name in heads.split(", ")]
            prose += rest
    if place is not None:
        prose.insert(place, "\n".join([f"{heading}:", *listed]))
    return "\n\n".join(prose)


def _is_set_apart(paragraph: str) -> bool:
    """Whether it is an example or code, whose lines stay as they are."""
    return paragraph.startswith((">>>", "```"))


def on_page_markdown(text: str, page: Any, **_: Any) -> str:
    """A page whose links to notebooks lead to the pages that show them, which offer the notebook itself."""
    return text if page.file.src_uri.startswith("notebooks/") else text.replace(".ipynb)", ".md)")


def on_page_content(content: str, page: Any, **_: Any) -> str:
    """A page whose formulas are MathML, so that no script has to set them, and whose pages are linked."""
    content = _FORMULA.sub(_as_mathml, content)
    up = "../" * page.url.count("/")
    return _PAGE.sub(rf'<a href="{up}\1.html">\g<0></a>', content)


def _as_mathml(found: re.Match[str]) -> str:
    formula = math(html.unescape(found[3]), block=found[1] == "div")
    return f'<div class="formula">{formula}</div>' if found[1] == "div" else formula


def on_post_build(config: Any) -> None:
    """End the build where a link leads nowhere, or where a page would load something from elsewhere."""
    from mkdocs.exceptions import PluginError

    if broken := broken_links(Path(config.site_dir)):
        raise PluginError("\n".join(broken))
