"""Generator of the pages in docs/ that come from a theorem's claims: `make docs`."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

from icgd.bounds.printable import as_written
from icgd.construct.machine.files import write_atomically
from icgd.reports.document.numbers import grouped
from icgd.verify.catalogue import BUILT_IN
from icgd.verify.theorem import Theorem

FOLDER = Path(__file__).parents[1] / "docs"


def theorem_page(theorem: Theorem) -> str:
    """The Markdown page of a theorem: modules, letters, bounds at the default problem and judged claims."""
    name = theorem.name
    module = name.replace("-", "_")
    floors = ("bounds", *(["construct"] if theorem.model else []), "verify")
    about = [_prose(import_module(f"icgd.{floor}.{module}").__doc__) for floor in floors]
    problem = theorem.letters()
    lines = [
        f"# {name}",
        "",
        "*Written by `make docs` from the claims; edit those.*",
        "",
        *(f"- `{floor}/{module}.py`: {text}" for floor, text in zip(floors, about, strict=True)),
        "",
        "```sh",
        f"icgd audit {name}      # bounds, builds, judges; a report in out/report",
        f"icgd bounds {name}     # constants only",
    ]
    if theorem.model:
        lines.append(f"icgd build {name} --out model.safetensors    # docs/weights.md reads it in numpy")
    lines += ["```", "", "## Letters", "", "| option | meaning | default |", "|---|---|---|"]
    for letter, meaning in theorem.letters.meanings().items():
        value = problem.as_dict().get(letter, getattr(problem, letter))
        lines.append(f"| `--{letter}` | {_cell(meaning)} | {_cell(as_written(value))} |")
    lines += ["", "## Bounds", "", "| claim | source | statement | at the default |", "|---|---|---|---|"]
    for claim in theorem.claims(problem):
        value = grouped(claim.value, up=claim.relation == "<=")
        lines.append(f"| `{claim.key}` | {claim.source} | {_cell(claim.statement)} | {value} |")
    lines += ["", "## What is judged", "", *(f"- `{key}`" for key in theorem.claim_keys()), ""]
    return "\n".join(lines)


def _prose(docstring: str | None) -> str:
    """The first paragraph of a docstring, on one line."""
    return " ".join((docstring or "").strip().split("\n\n")[0].split())


def _cell(text: str) -> str:
    """A text in a table, whose bars would end the cell: those of formulas get their LaTeX names."""
    parts = text.split("$")
    parts[::2] = [part.replace("|", r"\|") for part in parts[::2]]
    parts[1::2] = [re.sub(r"(\\)?\|", _bar, part) for part in parts[1::2]]
    return " ".join("$".join(parts).split())


def _bar(found: re.Match[str]) -> str:
    before_a_letter = found.string[found.end() : found.end() + 1].isalpha()
    return (r"\Vert" if found[1] else r"\vert") + (" " if before_a_letter else "")


def written() -> list[Theorem]:
    """The theorems that have a generated page; the page of relu-icgd is written by hand."""
    return [theorem for theorem in BUILT_IN if not theorem.constructions]


def main(folder: Path = FOLDER) -> None:
    """Write every page."""
    for theorem in written():
        write_atomically(folder / f"{theorem.name}.md", theorem_page(theorem))


if __name__ == "__main__":
    main()
