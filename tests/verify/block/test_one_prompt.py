"""Enclosures of the error on one prompt, against float64, float32, the literal matrices and 50-digit sums."""

import copy

import mpmath
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from icgd.bounds.functions.relu_sum import ReluSum
from icgd.bounds.problem import Problem
from icgd.bounds.step_error.plan import plan
from icgd.construct.block.dense import DenseTransformer, dense_bytes
from icgd.construct.block.heads import Aggregate, Clip, Gate, Read
from icgd.construct.block.hidden import Ridge
from icgd.construct.block.table import LookupTable
from icgd.construct.prompt import box, split_weights
from icgd.construct.relu_icgd import build
from icgd.verify.block.one_prompt import enclose
from icgd.verify.data.real_prompts import prompts_from_table
from icgd.verify.data.sources import load_table
from icgd.verify.descent import step_error
from icgd.verify.relu_icgd import resolution
from icgd.verify.search.prompts import random_prompts, start
from icgd.verify.search.sweep import one_step_errors
from icgd.verify.strategies import problems, prompts
from tests.rounding import of_step

SINGLE = 2.0**-24


def width(interval):
    return interval[1] - interval[0]


def inside(value, interval, slack=0.0):
    return interval[0] - slack <= float(value) <= interval[1] + slack


def nested(found):
    return found.deployed[0] <= found.real[0] <= found.real[1] <= found.deployed[1]


def literal_step(transformer, prompt, dtype=torch.float64):
    stream = transformer.stream
    return DenseTransformer(transformer, dtype).block(stream.pack(stream.open(prompt)))[:, 0, stream.weights]


@pytest.mark.slow
@given(st.data())
@settings(max_examples=25, deadline=None)
def test_float64_lies_in_a_narrow_enclosure(data):
    names = ("tanh", "sigmoid", "softplus", "gelu", "sin")
    problem = data.draw(problems(max_K=3, activations=names, min_eps=1e-2))
    prompt = data.draw(prompts(problem, batch=2))
    transformer = build(problem, data.draw(st.sampled_from(["lean", "paper"])))
    steps = [transformer.step(prompt)]
    if dense_bytes(transformer) < 1 << 25:
        steps.append(literal_step(transformer, prompt))
    # The referee rounds, too: its gradient in float64 is no part of what is enclosed.
    slack, rounding = resolution(problem), of_step(plan(problem, transformer.name))
    for index in range(2):
        found = enclose(transformer, prompt, index)
        assert nested(found) and found.prompt == index
        assert found.deployed[1] - found.real[1] <= 2 * rounding
        assert width(found.real) <= slack and width(found.deployed) <= 2 * rounding
        for step in steps:
            assert inside(step_error(problem, prompt, step)[index], found.deployed, slack)


@pytest.mark.parametrize("loss", ["squared", "huber"])
@pytest.mark.parametrize("output", ["activated", "linear"])
def test_the_exact_construction(loss, output):
    problem = Problem.parse(
        {"N": 3, "K": 4, "activation": "relu", "loss": loss, "output": output, "eta": 1.0}
    )
    transformer, generator = build(problem, "exact"), torch.Generator().manual_seed(0)
    prompt = random_prompts(problem, 8, generator).with_weights(start(problem, "random", 8, generator))
    errors = one_step_errors(transformer, prompt)
    for index in range(8):
        found = enclose(transformer, prompt, index)
        assert nested(found) and width(found.deployed) < 1e-9
        assert inside(errors[index], found.deployed, resolution(problem))


@pytest.mark.parametrize("construction", ["lean", "paper"])
def test_real_patients(construction):
    problem = Problem(n=50, d_out=1, eta=0.5)
    drawn = prompts_from_table(
        problem, load_table("diabetes"), count=4, generator=torch.Generator().manual_seed(3), weights="random"
    )
    transformer = build(problem, construction)
    errors = one_step_errors(transformer, drawn.prompt)
    for index in range(4):
        found = enclose(transformer, drawn.prompt, index)
        assert width(found.real) < 1e-15 and width(found.deployed) < 1e-10
        assert inside(errors[index], found.deployed)


@pytest.mark.parametrize("literal", [False, True])
@pytest.mark.parametrize(
    ("construction", "letters"),
    [
        ("lean", {"eps": 1e-3}),
        ("lean", {"activation": "gelu", "loss": "huber"}),
        ("paper", {"loss": "logistic", "activation": "sin"}),
        ("exact", {"activation": "relu", "eps": 0.5}),
    ],
)
def test_every_rounding_is_counted(construction, letters, literal):
    """In float32, where roundings are large, the same analysis must hold and must be needed."""
    problem = Problem.parse({"N": 2, "K": 3, "d_out": 1, "n": 6, "eta": 2.0, **letters})
    transformer, generator = build(problem, construction), torch.Generator().manual_seed(1)
    prompt = random_prompts(problem, 12, generator).with_weights(start(problem, "random", 12, generator))
    prompt = prompt.to("cpu", torch.float32)
    if literal:
        reached = literal_step(transformer, prompt, torch.float32)
    else:
        reached = copy.deepcopy(transformer).to(torch.float32).step(prompt)
    double = prompt.to("cpu", torch.float64)
    errors = step_error(problem, double, reached.double())
    beyond = 0
    for index in range(12):
        found = enclose(transformer, double, index, unit=SINGLE)
        assert inside(errors[index], found.deployed, resolution(problem))
        beyond += not inside(errors[index], found.real, resolution(problem))
    assert beyond > 6


def test_a_step_onto_the_faces():
    """Targets far beyond W are explained by err = 0, to rounding, on both readings of the face."""
    problem = Problem(N=1, d=2, n=4, eta=500.0, activation=Problem().activation)
    transformer = build(problem)
    prompt = random_prompts(problem, 16, torch.Generator().manual_seed(2))
    reached, faces = transformer.step(prompt), box(problem, prompt.w)
    assert float(((reached.abs() - faces).abs() < 1e-10).double().mean()) > 0.5
    errors = one_step_errors(transformer, prompt)
    for index in range(16):
        found = enclose(transformer, prompt, index)
        assert width(found.deployed) < 1e-9 and inside(errors[index], found.deployed, resolution(problem))


# Fifty digits, by hand: parts as the dense sums they stand for, and the literal matrices.


def mp(values):
    return [mpmath.mpf(value) for value in values]


def relus_of(part, t):
    relus = part.relus
    units = zip(mp(relus.a.tolist()), mp(relus.b.tolist()), mp(relus.c.tolist()), strict=True)
    return mpmath.mpf(relus.constant) + sum((c * max(a * t + b, 0) for a, b, c in units), mpmath.mpf(0))


def added(part, H, token, stream):
    """{coordinate: what the part adds to it in this token} for the rows H of the stream."""
    h = H[token]

    def at(name, k=0):
        return h[stream[name][k]]

    def read(matrix, query, k, columns):
        rows, width_ = stream[matrix].shared
        if columns:
            return sum(h[stream[matrix].at(i, k)] * at(query, i) for i in range(rows))
        return sum(h[stream[matrix].at(k, i)] * at(query, i) for i in range(width_))

    target = stream[part.target]
    if isinstance(part, Aggregate):
        offset, found = mpmath.mpf(part.offset), {}
        key, value, mask = stream[part.key], stream[part.value], stream["t"].start
        for k in range(key.size):
            for i in range(value.size):
                total = sum(
                    (max(g[key[k]] + (2 * g[mask] - 1) * offset, 0) - offset * g[mask]) * g[value[i]]
                    for g in H
                )
                found[target.at(k, i)] = mpmath.mpf(part.scale) * total / len(H)
        return found
    found = {}
    for k in range(target.size):
        if isinstance(part, Read):
            value = relus_of(part, read(part.matrix, part.query, k, part.columns))
        elif isinstance(part, Gate):
            factor = read(part.matrix, part.query, k, True) if part.matrix else at(part.query, k)
            value = factor * at(part.value, k)
        else:
            form = sum((mpmath.mpf(c) * at(name, k) for name, c in part.form.items()), mpmath.mpf(0))
            if isinstance(part, Ridge):
                value = mpmath.mpf(part.scale) * relus_of(part, form + mpmath.mpf(part.bias))
            else:
                assert isinstance(part, Clip)
                value = relus_of(part, form)
        found[target[k]] = value
    return found


def declared_step(transformer, H):
    for layer in (transformer.layer(i) for i in range(len(transformer.layers))):
        for parts in (layer.heads, layer.ridges):
            increments = [[added(part, H, i, transformer.stream) for part in parts] for i in range(len(H))]
            H = [
                [v + sum(f.get(place, 0) for f in found) for place, v in enumerate(h)]
                for h, found in zip(H, increments, strict=True)
            ]
    return H


def times(sparse, h):
    result = [mpmath.mpf(0)] * sparse.shape[0]
    entries = zip(sparse.rows.tolist(), sparse.columns.tolist(), mp(sparse.values.tolist()), strict=True)
    for row, column, value in entries:
        result[row] += value * h[column]
    return result


def matrix_step(transformer, H):
    for layer in transformer.literal():
        sums = [list(h) for h in H]
        for head in layer.heads:
            q, k, v = ([times(part, h) for h in H] for part in (head.Q, head.K, head.V))
            for i, out in enumerate(sums):
                for j in [i] if layer.diagonal else range(len(H)):
                    score = max(sum(a * b for a, b in zip(q[i], k[j], strict=True) if a and b), 0)
                    if score:
                        share = score / (1 if layer.diagonal else len(H))
                        out[:] = [a + share * b for a, b in zip(out, v[j], strict=True)]
        H = [
            [a + b for a, b in zip(h, times(layer.W2, [max(z, 0) for z in times(layer.W1, h)]), strict=True)]
            for h in sums
        ]
    return H


def loss_by_hand(problem, prompt):
    """L_n as a function of the weights, for a tanh network and the squared loss."""
    shapes = [v.shape[1:] for v in split_weights(problem, prompt.w)]

    def loss(*w):
        total = mpmath.mpf(0)
        for x, y in zip(prompt.x[0].tolist(), prompt.y[0].tolist(), strict=True):
            p, used = mp(x), 0
            for rows, columns in shapes:
                v = [w[used + r * columns : used + (r + 1) * columns] for r in range(rows)]
                p, used = (
                    [mpmath.tanh(sum(a * b for a, b in zip(row, p, strict=True))) for row in v],
                    used + rows * columns,
                )
            total += sum((a - b) ** 2 for a, b in zip(p, mp(y), strict=True))
        return total / (2 * prompt.n)

    return loss


@pytest.mark.parametrize("construction", ["lean", "paper"])
def test_fifty_digits_by_hand(construction):
    problem = Problem(N=2, K=2, d=2, d_out=1, n=3, eta=0.25, eps=0.1)
    prompt = random_prompts(problem, 1, torch.Generator().manual_seed(4))
    prompt = prompt.with_weights(0.7 * start(problem, "random", 1, torch.Generator().manual_seed(5)))
    transformer = build(problem, construction)
    stream, found = transformer.stream, enclose(transformer, prompt)
    with mpmath.workdps(50):
        H = [mp(row) for row in stream.pack(stream.open(prompt))[0].tolist()]
        w, loss = mp(prompt.w[0].tolist()), loss_by_hand(problem, prompt)
        for step, interval in ((declared_step, found.real), (matrix_step, found.deployed)):
            reached = step(transformer, H)[0][stream.weights]
            error = mpmath.mpf(0)
            for k, (before, after) in enumerate(zip(w, reached, strict=True)):
                order = tuple(int(i == k) for i in range(len(w)))
                assert abs(after) < 0.99 * float(box(problem, prompt.w)[k])
                error += (after - before + problem.eta * mpmath.diff(loss, tuple(w), order)) ** 2
            error = mpmath.sqrt(error)
            assert mpmath.mpf(interval[0]) <= error <= mpmath.mpf(interval[1])
    assert 0 < width(found.real) < 1e-18 and found.real[0] > 1e-6


@pytest.mark.parametrize("construction", ["lean", "paper"])
@pytest.mark.parametrize("where", ["weight", "offset", "scale"])
def test_damage_is_seen(construction, where):
    problem = Problem(N=2, K=3, d=2, n=5, eta=0.5, eps=0.1)
    prompt = random_prompts(problem, 1, torch.Generator().manual_seed(7))
    prompt = prompt.with_weights(0.7 * start(problem, "random", 1, torch.Generator().manual_seed(8)))
    transformer = build(problem, construction)
    before = enclose(transformer, prompt)
    read = transformer.layer(0).heads[0]
    update = next(
        part
        for i in range(len(transformer.layers))
        for part in transformer.layer(i).heads
        if isinstance(part, Aggregate)
    )
    if where == "weight":
        c = read.relus.c.copy()
        c[-1] += 1e-3  # the unit that is open on the whole range
        read.relus = ReluSum(read.relus.a, read.relus.b, c, read.relus.constant)
    elif where == "offset":
        read.relus = ReluSum(read.relus.a, read.relus.b, read.relus.c, read.relus.constant + 1e-3)
    else:
        update.scale += 1e-3
    read.table = LookupTable(read.relus)
    after = enclose(transformer, prompt)
    assert after.deployed[0] > before.deployed[1] or after.deployed[1] < before.deployed[0]
    assert inside(one_step_errors(transformer, prompt)[0], after.deployed)
