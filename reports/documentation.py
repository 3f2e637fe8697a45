"""One page of documentation for each theorem beside Theorem 1, written from its claims: `make docs`."""

from __future__ import annotations

from dataclasses import fields
from importlib import import_module
from pathlib import Path

from icgd.construct.catalogue import RECIPES
from icgd.construct.machine.files import write_atomically
from icgd.reports.document.numbers import grouped
from icgd.verify.catalogue import THEOREMS, meanings

FOLDER = Path(__file__).parents[1] / "docs"


def page(theorem: str) -> str:
    """Markdown: what it is about, its letters, its bounds at the default problem, and what is judged."""
    module = theorem.replace("-", "_")
    recipe, judged = RECIPES[theorem], THEOREMS[theorem].claims
    about = [_prose(import_module(f"{floor}.{module}").__doc__) for floor in _floors(theorem)]
    problem = recipe.letters()
    lines = [
        f"# {theorem}",
        "",
        "*Written by `make docs` from the claims; edit those.*",
        "",
        *(f"- `{floor}/{module}.py`: {text}" for floor, text in zip(_floors(theorem), about, strict=True)),
        "",
        f"    icgd audit {theorem}      # bounds, builds, judges; a report in out/report",
        f"    icgd bounds {theorem}     # constants only",
    ]
    if recipe.model:
        lines.append(
            f"    icgd build {theorem} --out model.safetensors    # docs/weights.md reads it in numpy"
        )
    lines += ["", "## Letters", "", "| option | meaning | default |", "|---|---|---|"]
    for field in fields(recipe.letters):  # type: ignore[arg-type]
        shown = meanings()[field.name][1].removeprefix(f"{theorem}: ").rpartition(" [default")[0]
        if recipe.letters.__name__ != "Problem":
            shown = recipe.letters.meanings[field.name]  # type: ignore[union-attr]
        lines.append(f"| `--{field.name}` | {_cell(shown)} | {_cell(str(problem.as_dict()[field.name]))} |")
    lines += ["", "## Bounds", "", "| claim | source | statement | at the default |", "|---|---|---|---|"]
    for claim in recipe.claims(problem):
        value = grouped(claim.value, up=claim.relation == "<=")
        lines.append(f"| `{claim.key}` | {claim.source} | {_cell(claim.statement)} | {value} |")
    lines += ["", "## What is judged", "", *(f"- `{theorem}/{name}`" for name in judged), ""]
    return "\n".join(lines)


def _floors(theorem: str) -> tuple[str, ...]:
    made = ("construct",) if RECIPES[theorem].model else ()
    return ("bounds", *made, "verify")


def _prose(docstring: str | None) -> str:
    """The first paragraph, on one line."""
    return " ".join((docstring or "").strip().split("\n\n")[0].split())


def _cell(text: str) -> str:
    return " ".join(text.replace("|", r"\|").split())


def main(folder: Path = FOLDER) -> None:
    """Write every page."""
    for theorem in RECIPES:
        write_atomically(folder / f"{theorem}.md", page(theorem))


if __name__ == "__main__":
    main()
