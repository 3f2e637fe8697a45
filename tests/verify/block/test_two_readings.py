"""The comparison of both readings: true blocks pass it, and every damage to one reading alone is named."""

import re
from dataclasses import replace
from fractions import Fraction

import numpy as np
import torch
from flint import fmpq
from hypothesis import given, settings

from icgd.bounds.problem import Problem
from icgd.bounds.softmax_icgd import halved, plan_softmax
from icgd.bounds.step_error.plan import plan
from icgd.construct.block.assembly import assemble
from icgd.construct.block.literal import Head, Sparse
from icgd.construct.block.table import LookupTable
from icgd.construct.softmax_icgd import assemble_softmax
from icgd.verify.block.exact_pieces import Kinked, relus_of, table_distance
from icgd.verify.block.two_readings import structured_verdict
from tests.construct.block.test_table import interesting, sums
from tests.rounding import exactly, gamma

SMALL = {"N": 2, "K": 2, "d": 2, "n": 4, "eps": 0.1}


def planned(construction, **letters):
    problem = Problem.parse(SMALL | letters)
    return plan_softmax(halved(problem)) if construction == "softmax" else plan(problem, construction)


def judged(made, damage=None, entries=0):
    build = assemble_softmax if hasattr(made, "cover") and not hasattr(made, "construction") else assemble
    block = build(made)
    if damage:
        damage(block)
    return structured_verdict("demo", block, made.layers, entries)


def test_blocks_of_every_construction_are_read_alike():
    for construction, letters in (
        ("lean", {}),
        ("lean", {"loss": "huber", "N": 1}),
        ("lean", {"loss": "logistic", "output": "linear", "N": 1}),
        ("paper", {"loss": "logistic", "N": 1}),
        ("exact", {"activation": "relu", "N": 1}),
        ("softmax", {"eps": 0.5}),
        ("softmax", {"N": 1, "K": 1, "eps": 1.0, "B_v": 1e-6, "loss": "huber"}),
    ):
        found = judged(planned(construction, **letters))
        assert found.said == "proved by exact arithmetic", (construction, letters, found.evidence)
        assert ": 0 linear maps" not in found.evidence
    assert judged(planned("lean"), entries=10**6).status == "inapplicable"


def literally(block, index, change):
    """The block with the matrices of one layer changed, its parts as they were."""
    layer = block.layers[index]
    layer.literal = lambda stream: change(type(layer).literal(layer, stream))


def one_entry(matrix, place, factor):
    made = Sparse(matrix.shape, [])
    made.rows, made.columns, made.values = matrix.rows, matrix.columns, matrix.values.copy()
    made.values[place] *= factor
    return made


def test_damage_to_one_reading_alone_is_named():
    made, exact, soft = planned("lean"), planned("paper"), planned("softmax", eps=0.5)

    def table_of(block):
        return block.layers[0].hidden[0].table

    def entry(name, place):
        def damage(block):
            getattr(table_of(block), name)[place] += 1e-9

        return damage

    def line(block):
        table_of(block).linear = (0.0, 0.0)

    def cells(block):
        table_of(block).per_cell *= 2

    def matrix(index, part, place, factor=1 + 1e-9):
        def change(layer):
            if part in ("W1", "W2"):
                return replace(layer, **{part: one_entry(getattr(layer, part), place, factor)})
            parts = {name: getattr(layer.heads[0], name) for name in "QKV"}
            parts[part] = one_entry(parts[part], place, factor)
            return replace(layer, heads=(Head(**parts), *layer.heads[1:]))

        return lambda block: literally(block, index, change)

    def fewer(block):
        literally(block, 0, lambda layer: replace(layer, heads=layer.heads[1:]))

    def more(block):
        literally(block, 0, lambda layer: replace(layer, heads=(*layer.heads, layer.heads[0])))

    def open_query(block):
        next(p for layer in block.blocks for p in layer.listed if getattr(p, "offset", None)).offset /= 4

    def moved(block):
        next(layer for layer in block.blocks if layer.head).head.scale *= 2

    for plan_, damage, named in (
        (made, entry("left", 3), r"layer 0, the hidden units for p1\[0\]: its table differs .* by 1e-09 at"),
        (made, entry("slope", 5), r"layer 0, the hidden units for p1\[0\]: its table differs"),
        (made, entry("jump", 4), r"layer 0, the hidden units for p1\[0\]: its table differs"),
        (made, line, r"layer 0, the hidden units for p1\[0\]: its table differs"),
        (made, cells, r"layer 0, the hidden units for p1\[0\]: its table differs"),
        (made, matrix(0, "W1", 0), r"layer 0, the hidden units for p1\[0\]"),
        (made, matrix(0, "W2", 7), r"layer 0: the constants of p1\[0\] differ by"),
        (made, matrix(0, "W2", 1), r"layer 0, the hidden units for p1\[0\]: its table differs"),
        (
            made,
            matrix(0, "Q", 0, 2.0),
            r"layer 0: no row of the matrices is the linear map of Read to z1\[0\]",
        ),
        (
            made,
            matrix(0, "K", 1, 2.0),
            r"layer 0: no row of the matrices is the linear map of Read to z1\[0\]",
        ),
        (made, matrix(0, "V", 0), r"layer 0, Read to z1\[0\]"),
        (made, matrix(-1, "V", 0), r"layer 4, Aggregate to V1\[\d\]"),
        (made, fewer, r"layer 0: no row of the matrices is the linear map of Read to z1\[0\]"),
        (made, more, r"layer 0, Read to z1\[0\]"),
        (exact, matrix(0, "V", 0), r"layer 0, Read to p1\[0\]: its table differs"),
        (soft, open_query, r"layer \d+: the products for q1\[0\] is open in the query's token"),
        (soft, matrix(9, "V", 0), r"layer 9: the head does not move what the layer declares"),
    ):
        found = judged(plan_, damage)
        assert found.status == "failed" and re.search(named, found.evidence), (named, found.evidence)
    assert judged(soft, moved).status == "proved"  # both readings change; the certificate's program does not


@settings(deadline=None, max_examples=25)
@given(sums(min_units=1))
def test_the_distance_covers_what_a_look_up_returns(relus):
    """Against the look-up as torch runs it and the sum by its definition, over Python's fractions."""
    table, reach = LookupTable(relus), 8.0
    whole = Kinked.of(*relus_of(table))
    found = table_distance(whole, table, fmpq(-8), fmpq(8))
    room = Fraction(int(found.apart.p), int(found.apart.q)) + gamma(12) * Fraction(
        int(found.size.p), int(found.size.q)
    )
    x = np.unique(np.clip(interesting(relus), -reach, reach))
    for at, got in zip(x.tolist(), table(torch.from_numpy(x)).tolist(), strict=True):
        true = exactly(relus, Fraction(at))
        assert whole(fmpq(*at.as_integer_ratio())) == fmpq(true.numerator, true.denominator)
        if not table.direct:  # the ReLUs themselves round like their own sizes, not like the lines
            assert abs(Fraction(got) - true) <= room, at
    if table.linear is None and not table.direct and not table.searched:
        table.left[table.left.numel() // 2] += 1e-6
        assert table_distance(whole, table, fmpq(-8), fmpq(8)).apart > fmpq(9, 10**7)
