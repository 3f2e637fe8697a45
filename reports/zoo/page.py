"""What is told of the zoo: the list of models, and of one its slots, its known circuit and its README."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from icgd.bounds.problem import Problem
from icgd.construct.block.given_block import GivenBlock
from icgd.construct.block.slot_use import slot_use
from icgd.construct.exports.named_slots import NamedSlots, block_slots, linear_slots
from icgd.reports.document.numbers import digits
from icgd.verify.results import Grid
from icgd.verify.zoo.built_model import LENS_FOLDER, BuiltModel
from icgd.verify.zoo.models import ZOO
from icgd.verify.zoo.sizes import zoo_sizes

_TEMPLATES = Path(__file__).parent / "templates"
_EXAMPLES = 8
"""How many examples the prompt of a README has, where a model takes any number."""


def zoo_list() -> Grid:
    """Every model with its theorem and letters, sizes and error."""
    rows = []
    for name, model in ZOO.items():
        size = zoo_sizes()[name]
        error = "exact" if model.exact else digits(size.error, up=True)
        rows.append((name, model.posed(), size.layers, size.heads, size.width, size.units, error))
    columns = ("name", "theorem and letters", "layers", "heads", "width", "units", "err <=")
    note = (
        "heads, units: the most of any layer; err: norm2(err) of one step, on every prompt within the radii"
        " and every w in W, rounding included, by a certificate; exact: steps of descent, proved in exact"
        " arithmetic; icgd zoo NAME shows what every slot of a model means"
    )
    return Grid("Models whose every part is known", columns, tuple(rows), note)


def error_told(built: BuiltModel) -> str:
    """How far a step of the model is from exact descent, and how that is known."""
    if built.certificate is None:
        return f"its steps are those of descent, proved in exact arithmetic ({built.model.exact})"
    return (
        f"one step ends within {digits(built.size.error, up=True)} of exact descent in 2-norm, on every"
        " prompt within the radii and every w in W, rounding included: proved by a certificate"
    )


def slots_grid(built: BuiltModel) -> Grid:
    """What each slot of the residual stream holds."""
    slots = model_slots(built)
    raised = any("constant" in slot for slot in slots.values())
    rows = []
    for name, slot in slots.items():
        constant = [digits(float(slot["constant"])) if "constant" in slot else ""] if raised else []
        rows.append((name, f"{slot['start']}:{slot['stop']}", *constant, str(slot["meaning"])))
    columns = ("slot", "coordinates", *(["constant"] if raised else []), "what it holds")
    note = "a slot that layers write holds 0 before the first of them, and 0 again after the last layer"
    return Grid("Slots", columns, tuple(rows), note if built.certificate else "")


def model_slots(built: BuiltModel) -> NamedSlots:
    """The slots of a model by name."""
    if built.certificate is None:
        return linear_slots(built.size.width - 1, -1)
    return block_slots(GivenBlock.of_block(built.transformer))


def circuit_grid(built: BuiltModel) -> Grid:
    """Which slots each sub-layer of a block reads and writes; not for linear attention."""
    rows = tuple(
        (
            one.layer - 1,
            _counted(one.heads, "head") if one.heads else _counted(one.units, "unit"),
            " ".join(one.reads),
            " ".join(one.writes),
        )
        for one in slot_use(built.transformer).sublayers
    )
    note = "layers from 0, as TransformerLens counts them; to read or write is a nonzero entry of a matrix"
    return Grid("Circuit", ("layer", "part", "reads", "writes"), rows, note)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def page_grids(built: BuiltModel) -> tuple[Grid, ...]:
    """The tables about one model."""
    slots = slots_grid(built)
    return (slots,) if built.certificate is None else (slots, circuit_grid(built))


def readme(built: BuiltModel) -> str:
    """The README of the folder of a model, in Markdown."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["sentence"] = lambda text: f"{text[0].upper()}{text[1:]}."
    model, problem, d = built.model, built.problem, built.size.width - 1
    construction = ["--construction", model.construction] if model.of.constructions else []
    if isinstance(problem, Problem):
        shapes = [(problem.n, problem.d), (problem.n, problem.d_out), (problem.d,), (problem.D_w,)]
    else:
        shapes = [(_EXAMPLES, d), (_EXAMPLES,), (d,)]
    return environment.get_template("readme.md.j2").render(
        built=built,
        model=model,
        size=built.size,
        theorem=model.of,
        error=error_told(built),
        words=" ".join([model.theorem, *map(str, construction), model.options()]),
        letters=", ".join(f"{name} = {value}" for name, value in problem.as_dict().items()),
        grids=page_grids(built),
        block=isinstance(problem, Problem),
        shapes=tuple(shapes),
        lens=LENS_FOLDER,
    )
