"""The literal matrices with softmax attention equal the program, and every small change is located."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from icgd.bounds.loss import LOSSES
from icgd.bounds.problem import Problem
from icgd.bounds.softmax_icgd import halved, plan_softmax
from icgd.construct.block.literal import Sparse
from icgd.construct.softmax_icgd import assemble_softmax
from icgd.verify.certificate.softmax_program import describe_softmax
from icgd.verify.checker.matrices import differences
from icgd.verify.checker.softmax_matrices import expected_softmax
from icgd.verify.checker.softmax_program import softmax_layout

problems = st.builds(
    lambda **letters: Problem.parse(letters),
    N=st.integers(1, 3),
    K=st.integers(1, 3),
    d=st.integers(1, 3),
    d_out=st.integers(0, 2),
    n=st.integers(1, 9),
    eta=st.sampled_from([0.01, 0.3]),
    eps=st.sampled_from([0.05, 0.7]),
    activation=st.sampled_from(["tanh", "sigmoid", "identity", "sin(t)/2+t/4"]),
    loss=st.sampled_from(list(LOSSES)),
    output=st.sampled_from(["activated", "linear"]),
)


@pytest.mark.slow
@settings(deadline=None, max_examples=12)
@given(problems)
@example(Problem.parse({"K": 2, "d": 3, "d_out": 1, "n": 1, "eta": 0.01, "loss": "huber"}))
@example(Problem.parse(  # r' is taken for a constant, off by a little more than its tolerance
    {"N": 1, "K": 1, "d": 1, "d_out": 2, "eps": 0.7, "activation": "sigmoid", "loss": "log-cosh"}
))  # fmt: skip
def test_what_is_built_is_the_program(problem):
    made = plan_softmax(halved(problem))
    program, transformer = json.loads(json.dumps(describe_softmax(made))), assemble_softmax(made)
    assert program == describe_softmax(made)
    slots = transformer.stream.slots
    assert {name: (part.start, part.stop) for name, part in softmax_layout(program).items()} == {
        name: (slot.start, slot.stop) for name, slot in slots.items()
    }
    assert differences(expected_softmax(program), transformer.literal()) == []


MADE = plan_softmax(halved(Problem.parse({"N": 2, "K": 2, "d": 2, "n": 3, "eps": 0.5})))


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 9), st.booleans(), st.integers(0, 2**32), st.sampled_from([1e-13, 1e-3, -2.0]))
def test_every_entry_counts(index, first, seed, by):
    """One entry of one matrix changed, or one more put where there is none: seen there, and nowhere else."""
    rng, layers = np.random.default_rng(seed), list(assemble_softmax(MADE).literal())
    name = "W1" if first else "W2"
    matrix = getattr(layers[index], name)
    entries = np.column_stack([matrix.rows, matrix.columns, matrix.values])
    if seed % 2:
        row = rng.integers(len(entries))
        entries[row, 2] *= 1 + by
        place = tuple(int(x) for x in entries[row, :2])
    else:
        place = tuple(int(rng.integers(side)) for side in matrix.shape)
        entries = np.vstack([entries, [*place, by]])  # equal places add up
    layers[index] = replace(layers[index], **{name: Sparse(matrix.shape, entries)})
    found = differences(expected_softmax(describe_softmax(MADE)), layers)
    assert [(one.layer, one.where, one.entry) for one in found if one.entry] == [(index, name, place)]


@pytest.mark.parametrize(
    "harm", [{"layers": []}, {"N": 3}, {"loss": {"rho": 1, "sigma": 1, "linear": 2, "relus": None}}]
)
def test_programs_that_are_none(harm):
    with pytest.raises((ValueError, LookupError)):
        expected_softmax(describe_softmax(MADE) | harm)
