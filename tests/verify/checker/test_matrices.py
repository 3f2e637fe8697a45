"""The literal matrices equal the program as built, and every damage is found in its own layer."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from icgd.bounds.functions.relu_sum import ReluSum
from icgd.bounds.problem import Problem
from icgd.bounds.step_error.plan import plan
from icgd.construct.block.assembly import assemble
from icgd.construct.block.hidden import Ridge
from icgd.construct.block.literal import Head, LiteralLayer, Sparse
from icgd.construct.block.weights import save_weights
from icgd.verify.certificate.program import describe
from icgd.verify.checker.matrices import ENTRY_SLACK, Difference, differences, expected
from icgd.verify.checker.program import layout
from icgd.verify.strategies import problems

SMALL = {"N": 3, "K": 2, "d": 2, "d_out": 1, "n": 3, "eps": 0.2}
SMOOTH = ("tanh", "sigmoid", "softplus", "gelu", "sin")


def built(construction="lean", **letters):
    made = plan(Problem.parse(SMALL | letters), construction)
    return expected(describe(made)), assemble(made)


def agree(problem, construction):
    made = plan(problem, construction)
    program = describe(made)
    transformer = assemble(made)
    assert json.loads(json.dumps(program)) == program
    slots = transformer.stream.slots
    assert {name: (part.start, part.stop) for name, part in layout(program).items()} == {
        name: (slot.start, slot.stop) for name, slot in slots.items()
    }
    assert differences(expected(json.loads(json.dumps(program))), transformer.literal()) == []


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(problems(activations=SMOOTH, min_eps=0.02), st.sampled_from(["lean", "paper"]))
def test_what_is_built_is_the_program(problem, construction):
    agree(problem, construction)


@settings(deadline=None, max_examples=15)
@given(problems(activations=["relu"], losses=["squared", "huber"]))
def test_exact_is_its_program(problem):
    agree(problem, "exact")


@settings(deadline=None, max_examples=15)
@given(problems(activations=["identity"]), st.sampled_from(["lean", "paper"]))
def test_functions_without_curvature(problem, construction):
    agree(problem, construction)


def test_another_number_of_examples():
    made = plan(Problem.parse(SMALL))
    assert differences(expected(describe(made, 70)), assemble(made, 70).literal()) == []
    found = differences(expected(describe(made)), assemble(made, 70).literal())
    assert {difference.layer for difference in found} == {6}


# Damage to the parts, before the matrices are written: (construction, layer, what is done to its parts).


def changed(part, **values):
    for name, value in values.items():
        assert hasattr(part, name)
        setattr(part, name, value)
    return part


def with_units(relus, more=(), **values):
    """The sum with other a, b or c, and with `more` units (a, b, c)."""
    parts = {name: values.get(name, getattr(relus, name)) for name in "abc"}
    joined = [np.append(parts[name], [unit[i] for unit in more]) for i, name in enumerate("abc")]
    return ReluSum(*joined, values.get("constant", relus.constant))


def bump(values, by):
    values = np.array(values)
    values[len(values) // 2] += by
    return values


def spike(relus, at, width=1e-9):
    return with_units(
        relus, [(1.0, width - at, 1 / width), (1.0, -at, -2 / width), (1.0, -at - width, 1 / width)]
    )


def damage_fit(of):
    def damage(layer):
        ridge = max(layer.ridges, key=lambda ridge: ridge.relus.units)
        changed(ridge, relus=of(ridge.relus))

    return damage


def damage_heads(of):
    def damage(layer):
        changed(layer.heads[0], relus=of(layer.heads[0].relus))

    return damage


def scaled_updates(layer, by):
    for part in layer.heads:
        changed(part, scale=part.scale * by)


PARTS = {
    "flipped sign": ("lean", 0, damage_fit(lambda r: with_units(r, c=-r.c))),
    "weight off by 1e-3": ("lean", 1, damage_fit(lambda r: with_units(r, c=bump(r.c, 1e-3)))),
    "weight off by an ulp": ("lean", 1, damage_fit(lambda r: with_units(r, c=np.nextafter(r.c, 9)))),
    "kink off by 1e-12": ("lean", 1, damage_fit(lambda r: with_units(r, b=bump(r.b, 1e-12)))),
    "constant off": ("lean", 1, damage_fit(lambda r: with_units(r, constant=r.constant + 1e-9))),
    "spike": ("lean", 2, damage_fit(lambda r: spike(r, 0.123))),
    "spike in heads": ("paper", 1, damage_heads(lambda r: spike(r, 0.123))),
    "sign in heads": ("paper", 3, damage_heads(lambda r: with_units(r, c=-r.c))),
    "dropped ridge": ("lean", 3, lambda layer: layer.hidden.pop(0)),
    "dropped head": ("lean", 6, lambda layer: layer.attention.pop(1)),
    "unit at a corner of W": (
        "lean",
        0,
        lambda layer: layer.hidden.append(Ridge({"V1": 1.0}, ReluSum([1.0], [-0.7], [1.0]), "V1")),
    ),
    "n, not n+1": ("lean", 6, lambda layer: scaled_updates(layer, 3 / 4)),
    "step off by 1e-12": ("paper", 8, lambda layer: scaled_updates(layer, 1 + 1e-12)),
    "query not masked": ("lean", 6, lambda layer: changed(layer.heads[0], offset=0.0)),
    "wrong activity": ("lean", 4, lambda layer: changed(layer.heads[0], query="s2")),
    "wrong matrix": ("lean", 1, lambda layer: changed(layer.heads[0], target="z1")),
    "row for column": ("lean", 5, lambda layer: changed(layer.heads[0], columns=False)),
    "slot never cleared": ("lean", 6, lambda layer: layer.hidden.pop(-1)),
    "no projection": ("lean", 6, lambda layer: layer.hidden.pop(0)),
    "wrong face": (
        "lean",
        6,
        lambda layer: changed(layer.ridges[0], relus=ReluSum([1, -1], [-0.5, -0.5], [-1, 1])),
    ),
    "no mask": ("paper", 5, lambda layer: setattr(layer, "diagonal", False)),
    "mask too many": ("paper", 0, lambda layer: setattr(layer, "diagonal", True)),
    "gate on another slot": ("paper", 6, lambda layer: changed(layer.heads[0], value="dr1")),
}


@pytest.mark.parametrize("name", PARTS)
def test_damaged_parts_are_seen_in_their_layer(name):
    construction, index, damage = PARTS[name]
    wanted, transformer = built(construction)
    damage(transformer.layer(index))
    found = differences(wanted, transformer.literal())
    assert found and {difference.layer for difference in found} == {index}


def test_layers_out_of_order():
    wanted, transformer = built()
    literal = list(transformer.literal())
    swapped = [*literal[:4], literal[5], literal[4], literal[6]]
    assert {found.layer for found in differences(wanted, swapped)} == {4, 5}
    assert differences(wanted, literal[:-1]) == [Difference(6, "layer", None, True, False)]
    assert differences(wanted, [*literal, literal[0]]) == [Difference(7, "layer", None, False, True)]
    assert {found.layer for found in differences(wanted, [literal[0], *literal])} == set(range(1, 8))


def test_w_read_after_it_was_updated():
    """The update before the last backward layer: a stale gradient on a new w."""
    wanted, transformer = built()
    literal = list(transformer.literal())
    last, update = literal[5], literal[6]
    early = replace(last, heads=update.heads), replace(update, heads=last.heads)
    assert {found.layer for found in differences(wanted, [*literal[:5], *early])} == {5, 6}


# Damage to the matrices themselves: every entry of every matrix counts.


def altered(matrix, index, value):
    copy = Sparse(matrix.shape, [])
    copy.rows, copy.columns, copy.values = matrix.rows, matrix.columns, matrix.values.copy()
    copy.values[index] = value
    return copy


def matrices(layer):
    yield "W1", layer.W1, lambda new: replace(layer, W1=new)
    yield "W2", layer.W2, lambda new: replace(layer, W2=new)
    for m, head in enumerate(layer.heads):
        for part in "QKV":

            def put(new, m=m, head=head, part=part):
                heads = [*layer.heads[:m], replace(head, **{part: new}), *layer.heads[m + 1 :]]
                return replace(layer, heads=tuple(heads))

            yield f"head {m} {part}", getattr(head, part), put


@pytest.mark.parametrize("construction", ["lean", "paper"])
@pytest.mark.parametrize(
    "harm", [lambda v: -v, lambda v: v + 1e-3, lambda v: 0.0, lambda v: np.nan, lambda v: 3 * v]
)
def test_any_entry_of_any_matrix(construction, harm):
    wanted, transformer = built(construction, N=2, eps=0.5)
    random = np.random.default_rng(5)
    for index, layer in enumerate(transformer.literal()):
        for where, matrix, put in matrices(layer):
            if not matrix.nonzeros:
                continue
            at = int(random.integers(matrix.nonzeros))
            new = altered(matrix, at, harm(matrix.values[at]))
            found = differences([wanted[index]], [put(new)])
            assert [(one.where, one.entry) for one in found] == [
                (where, (int(matrix.rows[at]), int(matrix.columns[at])))
            ]


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_an_extra_entry_anywhere(data):
    wanted, transformer = built(data.draw(st.sampled_from(["lean", "paper"])), N=2, eps=0.5)
    literal = list(transformer.literal())
    index = data.draw(st.integers(0, len(literal) - 1))
    where, matrix, put = data.draw(st.sampled_from(list(matrices(literal[index]))))
    if not all(matrix.shape):
        return
    row, column = (data.draw(st.integers(0, side - 1)) for side in matrix.shape)
    if ((matrix.rows == row) & (matrix.columns == column)).any():
        return
    entries = np.column_stack([matrix.rows, matrix.columns, matrix.values])
    literal[index] = put(Sparse(matrix.shape, np.vstack([entries, [row, column, 1e-12]])))
    assert differences(wanted, literal) == [Difference(index, where, (row, column), 0.0, 1e-12)]


def test_dropped_extra_and_swapped_heads_and_units():
    wanted, transformer = built("paper")
    literal = list(transformer.literal())
    heads = literal[1].heads
    for others in (heads[1:], heads[:-1], (*heads, heads[0]), (heads[1], heads[0], *heads[2:])):
        found = differences([wanted[1]], [replace(literal[1], heads=tuple(others))])
        assert found and (len(others) == len(heads) or found[0].where == "heads")
    W1, W2 = literal[9].W1, literal[9].W2
    wider = replace(
        literal[9],
        W1=Sparse((W1.shape[0] + 1, W1.shape[1]), np.column_stack([W1.rows, W1.columns, W1.values])),
        W2=Sparse((W2.shape[0], W2.shape[1] + 1), np.column_stack([W2.rows, W2.columns, W2.values])),
    )
    assert {one.where for one in differences([wanted[9]], [wider])} == {"W1 rows", "W2 columns"}


def test_an_entry_listed_twice():
    wanted, transformer = built()
    layer = next(iter(transformer.literal()))
    twice = Sparse(layer.W1.shape, [])
    for part in ("rows", "columns", "values"):
        setattr(twice, part, np.append(getattr(layer.W1, part), getattr(layer.W1, part)[:1]))
    assert [one.where for one in differences([wanted[0]], [replace(layer, W1=twice)])] == ["entries listed"]


def test_computed_entries_have_four_roundings_and_no_more():
    wanted, transformer = built()
    layer = list(transformer.literal())[6]
    scale = layer.heads[0].V.values
    assert float(ENTRY_SLACK) == 2.0**-51
    for ulps, seen in ((0, False), (1, False), (9, True)):
        V = altered(layer.heads[0].V, 0, scale[0] + ulps * np.spacing(scale[0]))
        head = replace(layer.heads[0], V=V)
        found = differences([wanted[6]], [replace(layer, heads=(head, *layer.heads[1:]))])
        assert [one.where for one in found] == ["head 0 V"] * seen


def test_the_file_holds_the_program(tmp_path):
    """The matrices as they are written, read with nothing but safetensors and numpy."""
    made = plan(Problem.parse(SMALL | {"eps": 1.0}), "paper")
    save_weights(assemble(made), tmp_path / "model.safetensors")

    def sparse(full):
        rows, columns = np.nonzero(full)
        return Sparse(full.shape, np.column_stack([rows, columns, full[rows, columns]]))

    with safe_open(tmp_path / "model.safetensors", "np") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        meta = file.metadata()
    D, layers = layout(describe(made))["t"].stop, []
    for name in (f"layer.{index:02d}" for index in range(int(meta["layers"]))):
        heads = zip(*(tensors.pop(f"{name}.{part}", ()) for part in "QKV"), strict=True)
        W1, W2 = tensors.pop(f"{name}.W1", np.empty((0, D))), tensors.pop(f"{name}.W2", np.empty((D, 0)))
        diagonal = name in json.loads(meta["diagonal"])
        read = tuple(Head(*map(sparse, head)) for head in heads)
        layers.append(LiteralLayer(read, sparse(W1), sparse(W2), diagonal))
    assert not tensors
    assert differences(expected(describe(made)), layers) == []


@pytest.mark.parametrize("lost", [("layers", 0, "r"), ("layers", 0, "product"), ("loss", "linear")])
def test_an_incomplete_program_is_refused_or_seen(lost):
    made = plan(Problem.parse(SMALL))
    program = describe(made)
    part = program
    for key in lost[:-1]:
        part = part[key]
    part[lost[-1]] = None
    try:
        wanted = expected(program)
    except (ValueError, KeyError):
        return
    assert differences(wanted, assemble(made).literal())
