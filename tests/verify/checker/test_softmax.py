"""Certificates for softmax attention: the program run in numpy, local errors, forgeries refused."""

import ast
import copy
import json
import math
from fractions import Fraction
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from flint import arb, ctx
from hypothesis import given, settings
from hypothesis import strategies as st

from icgd.bounds.problem import Problem
from icgd.bounds.softmax_icgd import halved, plan_softmax
from icgd.bounds.step_error.recurrence import Term
from icgd.bounds.step_error.worst_case import Cells
from icgd.construct.softmax_icgd import DenseSoftmaxTransformer, MeanHead, assemble_softmax
from icgd.verify.certificate.issue import posed_letters
from icgd.verify.certificate.softmax_program import softmax_certificate
from icgd.verify.checker import relu as checker
from icgd.verify.checker import softmax as softmax_checker
from icgd.verify.checker.lemmas import Refused
from icgd.verify.checker.relu import PRECISION
from icgd.verify.checker.softmax import SoftmaxCheck, check
from icgd.verify.search.prompts import random_prompts, seeded

SMALL = {"N": 2, "K": 2, "d": 2, "n": 3, "eps": 0.2}
CASES = [
    {},
    {"activation": "sigmoid", "loss": "logistic"},
    {"activation": "softplus", "loss": "huber"},
    {"activation": "gelu", "d_out": 1},
    {"activation": "sin", "B_v": 1.25, "eps": 0.4},
    {"activation": "t/(1+exp(-t))"},
    {"activation": "identity", "eps": 1e-3},
    {"output": "linear"},
    {"output": "linear", "loss": "logistic"},
    {"output": "linear", "loss": "huber", "B_y": 1e3, "eps": 1.0},
    {"N": 1, "eps": 0.01},
    {"N": 3, "d": 3, "eta": 0.5, "B_x": 0.3},
    {"n": 100, "eps": 1e-3},
]


@cache
def _made(given):
    made = plan_softmax(halved(Problem.parse(SMALL | dict(given))))
    return made, json.dumps(softmax_certificate(made))


def made(**given):
    """A plan, its certificate as read from a file, and the letters posed."""
    found, text = _made(tuple(sorted(given.items())))
    return found, json.loads(text), posed_letters(Problem.parse(SMALL | given))


# The file itself.


def test_it_shares_no_code_with_the_prover():
    allowed = {
        "__future__",
        "collections",
        "typing",
        "flint",
        "icgd.verify.checker",
        "icgd.verify.checker.relu",
        "icgd.verify.checker.lemmas",
    }
    for node in ast.walk(ast.parse(Path(softmax_checker.__file__).read_text())):
        if isinstance(node, ast.Import):
            assert {alias.name for alias in node.names} <= allowed
        elif isinstance(node, ast.ImportFrom):
            assert node.module.removesuffix(".abc") in allowed
            assert node.module != "icgd.verify.checker" or [alias.name for alias in node.names] == ["relu"]
    assert len(Path(softmax_checker.__file__).read_text().splitlines()) < 120


# The program, run by numpy from the certificate alone.

SLOPES = {
    "squared": lambda p, y: 2 * (p - y),
    "huber": lambda p, y: np.clip(p - y, -0.5, 0.5),
    "logistic": lambda p, y: 1 / (1 + np.exp(-p)) - y,
}


def sigmoid(t):
    return 1 / (1 + np.exp(-t))


def normal(t):
    return np.array([0.5 * (1 + math.erf(x / math.sqrt(2))) for x in t])


FUNCTIONS = {  # r and r'
    "tanh": (np.tanh, lambda t: 1 - np.tanh(t) ** 2),
    "sigmoid": (sigmoid, lambda t: sigmoid(t) * sigmoid(-t)),
    "softplus": (lambda t: np.log1p(np.exp(t)), sigmoid),
    "gelu": (
        lambda t: t * normal(t),
        lambda t: normal(t) + t * np.exp(-(t**2) / 2) / math.sqrt(2 * math.pi),
    ),
    "sin": (np.sin, np.cos),
    "t/(1+exp(-t))": (lambda t: t * sigmoid(t), lambda t: sigmoid(t) * (1 + t * sigmoid(-t))),
    "identity": (lambda t: t, np.ones_like),
}


def relus(part, t):
    """The sum of ReLUs of a program."""
    units = np.maximum(np.multiply.outer(t, part["a"]) + np.array(part["b"]), 0.0)
    return units @ np.array(part["c"]) + part["constant"]


def times(part, left, right):
    ends = (relus(part["square"], part["a"] * left + sign * part["b"] * right) for sign in (1, -1))
    return np.subtract(*ends) / 4


def matrices(problem, w):
    shapes = list(pairwise(problem.dims))
    parts = np.split(w, np.cumsum([a * b for a, b in shapes])[:-1])
    return [part.reshape(b, a) for part, (a, b) in zip(parts, shapes, strict=True)]


def token(program, V, x, y):
    """s(j) p(j-1)^T of one example, as the program approximates it."""
    p, z, loss, layers = [x], [], program["loss"], program["layers"]
    for v, layer in zip(V, layers, strict=True):
        z.append(times(layer["z"], v, p[-1][None]).sum(1))
        p.append(relus(layer["r"], z[-1]) if layer["r"] else None)
    u = z[-1] if loss["from_z"] else p[-1] - loss["rho"] * y
    u = (loss["linear"] * u if loss["linear"] else relus(loss["relus"], u)) - loss["sigma"] * y
    blocks = []
    for j in range(len(V) - 1, -1, -1):
        layer, product = layers[j], layers[j]["product"]
        s = product["centre"] * u
        if product["square"]:
            s = s + times(product, relus(layer["dr"], z[j]) - product["centre"], u)
        blocks.insert(0, times(layer["update"], p[j][None], s[:, None]))
        if j:
            u = times(layers[j - 1]["g"], V[j], s[:, None]).sum(0)
    return blocks


def stepped(found, prompt, row):
    """One step of a certificate's program, in the letters of the certificate's problem: (1/n) sum."""
    program, problem = found["program"], Problem.parse(found["problem"])
    V, total = matrices(problem, prompt.w[row].numpy()), 0
    for x, y in zip(prompt.x[row].numpy(), prompt.y[row].numpy(), strict=True):
        blocks = token(program, V, x, y)
        total = total + np.concatenate([block.ravel() for block in blocks]) / problem.n
    sides = np.concatenate(
        [np.full(v.size, layer["face"]) for v, layer in zip(V, program["layers"], strict=True)]
    )
    return np.clip(prompt.w[row].numpy() - problem.eta * total, -sides, sides)


def descended(problem, prompt, row):
    """w - eta grad (1/n) sum l from the paper's text, with functions of its own, before Proj."""
    V, total = matrices(problem, prompt.w[row].numpy()), 0
    r = [FUNCTIONS[problem.activation.name]] * (problem.N - 1)
    r.append(FUNCTIONS["identity" if problem.output == "linear" else problem.activation.name])
    for x, y in zip(prompt.x[row].numpy(), prompt.y[row].numpy(), strict=True):
        p, z = [x], []
        for v, (f, _) in zip(V, r, strict=True):
            z.append(v @ p[-1])
            p.append(f(z[-1]))
        u, blocks = SLOPES[problem.loss.name](p[-1], y), []
        for j in range(problem.N - 1, -1, -1):
            s = r[j][1](z[j]) * u
            blocks.insert(0, np.outer(s, p[j]).ravel())
            u = V[j].T @ s
        total = total + np.concatenate(blocks) / problem.n
    return prompt.w[row].numpy() - problem.eta * total


@pytest.mark.parametrize("given", CASES, ids=str)
def test_true_certificates_are_accepted_and_speak_of_what_ships(given):
    """numpy on the program is the transformer; its error in Theorem 2's units is within the bound."""
    made_, found, posed = made(**given)
    problem = Problem.parse(posed)
    bound = check(found, posed)
    assert bound == 2 * made_.bound <= problem.eps
    assert found["program"]["eta"] == 2 * problem.eta
    transformer = assemble_softmax(made_)
    prompt = random_prompts(transformer.problem, 5, seeded(1))
    after = transformer.step(prompt).numpy()
    for row in range(5):
        target = descended(problem, prompt, row)
        side = np.concatenate(
            [np.full(v.size, problem.half_width(j)) for j, v in enumerate(matrices(problem, target), 1)]
        )
        np.testing.assert_allclose(
            after[row], stepped(found, prompt, row), rtol=0, atol=1e-12 * problem.eta * posed["B_y"] + 1e-13
        )
        error = np.linalg.norm(after[row] - np.clip(target, -side, side))
        assert error <= problem.eta * bound + 1e-14
    found["certified"] *= 0.95
    with pytest.raises(Refused, match="bound in the cell"):
        check(found, posed)


# Every local error covers what numpy sees, and the products' errors are met.


@pytest.mark.parametrize("given", CASES, ids=str)
def test_local_errors_cover_the_products(given):
    made_, found, _ = made(**given)
    problem, layers, rng = made_.problem, found["layers"], np.random.default_rng(0)
    for j in range(1, problem.N + 1):
        program, rows, columns = found["program"]["layers"][j - 1], problem.dims[j], problem.dims[j - 1]
        p_most = problem.B_x if j == 1 else layers[j - 2]["r"]
        half = problem.B_v / math.sqrt(columns)
        s_most = layers[j - 1]["s"]
        V = rng.uniform(-half, half, (2000, columns))
        p = rng.uniform(-p_most, p_most, (2000, columns))
        off = np.abs(times(program["z"], V, p).sum(1) - (V * p).sum(1))
        assert off.max() <= found["errors"][f"z[{j}]"]
        s = rng.uniform(-s_most, s_most, (2000, rows))
        if j > 1:
            columns_of_V = rng.uniform(-half, half, (2000, rows))
            g = found["program"]["layers"][j - 2]["g"]
            off = np.abs(times(g, columns_of_V, s).sum(1) - (columns_of_V * s).sum(1))
            assert off.max() <= found["errors"][f"g[{j - 1}]"]
        outer = times(program["update"], p[:, None, :], s[:, :, None]) - p[:, None, :] * s[:, :, None]
        norms = np.linalg.norm(outer, axis=(1, 2)) / 2
        assert norms.max() <= found["errors"][f"update[{j}]"]
        one = np.abs(outer).max() * math.sqrt(rows * columns) / 2
        assert one >= 0.5 * found["errors"][f"update[{j}]"] or problem.activation.name == "identity"


@pytest.mark.parametrize("given", [{}, {"loss": "logistic"}, {"N": 3, "K": 1}], ids=str)
def test_cells_against_the_prover(given):
    made_, found, posed = made(**given)
    rng, root = np.random.default_rng(3), made_.setting.everything
    with ctx.workprec(PRECISION):
        judged = SoftmaxCheck(found, posed, "softmax")
        judged.judge()
        for _ in range(15):
            low = root.low[:, 0] + rng.uniform(0, 0.5, len(root.low)) * (root.high - root.low)[:, 0]
            high = low + rng.uniform(0, 1, len(low)) * (root.high[:, 0] - low)
            mine = float(judged.bound(low[:, None], high[:, None])[0])
            theirs = float(made_.setting.bound(Cells(low[:, None], high[:, None]), made_.errors)[0])
            assert mine == pytest.approx(theirs, rel=3e-3, abs=1e-12)


def test_what_is_least_is_what_the_formulas_say():
    """The errors that the checker asks for, from the certificate's numbers, rounding apart."""
    _, found, posed = made(N=3, d=3)
    problem, layers = Problem.parse(posed), found["layers"]
    with ctx.workprec(PRECISION):
        judged = SoftmaxCheck(found, posed, "softmax")
        least = [judged.least(j) for j in range(1, 4)]
    for j in range(1, 4):
        rows, columns, lemmas = problem.dims[j], problem.dims[j - 1], found["lemmas"]
        assert float(least[j - 1]["z"]) == pytest.approx(columns * lemmas[f"z[{j}]"]["error"] / 2, rel=1e-6)
        if j < 3:
            above = problem.dims[j + 1] * lemmas[f"g[{j}]"]["error"] / 2
            assert float(least[j - 1]["g"]) == pytest.approx(above, rel=1e-6)
        update = math.sqrt(rows * columns) * lemmas[f"update[{j}]"]["error"] / 4
        assert float(least[j - 1]["update"]) == pytest.approx(update, rel=1e-6)
        for kind, error in least[j - 1].items():
            stated = found["errors"].get(f"{kind}[{j}]", 0.0)
            assert float(error) <= stated <= 2.005 * float(error) + 1e-300, (kind, j)
    assert len(layers) == 3


# The query token, and the mean.


@pytest.mark.parametrize("given", CASES[:4], ids=str)
def test_the_query_contributes_exactly_nothing(given):
    made_, *_ = made(**given)
    transformer = assemble_softmax(made_)
    stream, dense = transformer.stream, DenseSoftmaxTransformer(transformer)
    dense.matrices = dense.matrices[:-1]
    prompt = random_prompts(transformer.problem, 50, seeded(4))
    H = dense(stream.pack(stream.open(prompt)))
    for j in range(1, made_.problem.N + 1):
        q, s = (H[..., stream[f"{name}{j}"].start : stream[f"{name}{j}"].stop] for name in "qs")
        assert bool((q[:, -1] == 0).all()) and float(q[:, :-1].abs().max()) > 0
        assert float(s[:, -1].abs().max()) > 0  # nothing else makes it vanish there


@given(st.integers(1, 300), st.integers(0, 2**32), st.booleans())
@settings(max_examples=40, deadline=None)
def test_the_mean_is_as_exact_as_the_checker_counts_on(n, seed, huge):
    """gamma(2n + 10) of the mean size, against rationals, for the values that a head may see."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(1, n + 1, 2, generator=generator, dtype=torch.float64)
    if huge:
        values *= 10 ** (8 * torch.rand(1, n + 1, 1, generator=generator, dtype=torch.float64))
    scale = -0.2 * (n + 1) / (2 * n)
    attended = MeanHead(scale)(values)
    keys = torch.zeros(1, 1, n + 1, 7, dtype=torch.float64)
    wide = torch.nn.functional.scaled_dot_product_attention(keys, keys, scale * values[:, None])[0, 0]
    for column in range(2):
        terms = [Fraction(scale) * Fraction(x) for x in values[0, :, column].tolist()]
        true, size = sum(terms) / (n + 1), sum(map(abs, terms)) / (n + 1)
        for got in (float(attended[0, column]), *wide[:, column].tolist()):
            assert abs(Fraction(got) - true) <= Fraction(2 * n + 10, 2**53) * size
    assert torch.exp(torch.zeros(9, dtype=torch.float64)).eq(1).all()


# Lies.


def test_a_certificate_is_for_its_own_letters():
    _, found, posed = made()
    others = {
        "N": 3,
        "K": 3,
        "d": 1,
        "d_out": 1,
        "n": 4,
        "L": 6,
        "eta": 0.2,
        "eps": 0.3,
        "B_x": 1.5,
        "B_y": 1.5,
    }
    others |= {"B_v": 0.9, "activation": "sin", "loss": "huber", "output": "linear"}
    assert set(others) == set(posed)
    for name, value in others.items():
        with pytest.raises(Refused, match=rf"^{name} = "):
            check(found, posed | {name: value})


def test_each_construction_has_its_own_checker():
    _, found, posed = made()
    for construction in ("lean", "paper", "exact", "softmax"):
        with pytest.raises(Refused, match=r"^construction = "):
            checker.check(found, posed, construction)
        renamed = found | {"construction": construction}
        if construction != "softmax":
            with pytest.raises(Refused):
                checker.check(renamed, posed, construction)
            with pytest.raises(Refused, match=r"^construction = "):
                check(renamed, posed)


def test_the_loss_of_theorem_1_is_not_that_of_theorem_2():
    """The same numbers read as a proof for (1/(2n)) sum, where eta is half and eps twice too much."""
    _, found, posed = made()
    assert "is (2 eta) grad (1/(2n)) sum" in found["statement"]
    program = copy.deepcopy(found)
    program["program"]["eta"] /= 2
    with pytest.raises(Refused, match="eta of the program"):
        check(program, posed)
    with pytest.raises(Refused, match="bound in the cell"):
        check(found | {"certified": found["certified"] / 2}, posed)


def test_rounding_of_a_gate_is_counted():
    """The further the gate, the larger the error of the update that it asks for."""
    _, found, posed = made()
    seen = []
    with ctx.workprec(PRECISION):
        for far in (1.0, 1e6, 1e12):
            changed = copy.deepcopy(found)
            changed["program"]["layers"][0]["update"]["offset"] *= far
            judged = SoftmaxCheck(changed, posed, "softmax")
            judged.check_offsets(1)
            seen.append(judged.least(1)["update"])
    assert seen[0] < seen[1] < seen[2] and float(seen[2] - seen[0]) > 1e12 * 2.0**-53


@pytest.mark.parametrize("j", [1, 2])
def test_a_gate_must_reach_every_unit(j):
    _, found, posed = made()
    gated = found["program"]["layers"][j - 1]["update"]
    far = max(map(abs, gated["square"]["b"]), default=0.0) + found["lemmas"][f"update[{j}]"]["reach"]
    with ctx.workprec(PRECISION):
        for offset, shut in ((far * 1.01, True), (far * 0.98, False), (-far, False)):
            gated["offset"] = offset
            judged = SoftmaxCheck(found, posed, "softmax")
            if shut:
                judged.check_offsets(j)
            else:
                with pytest.raises(Refused, match="shuts the query token out"):
                    judged.check_offsets(j)
        assert arb(far) > 0


def test_a_plan_that_only_just_fits_is_not_stretched():
    """Errors as the prover states them, and not a hair less than the products make."""
    made_, found, posed = made()
    for term, product in made_.products.items():
        if term.kind != "product" and product.square is not None and term != Term("g", made_.problem.N):
            lied = copy.deepcopy(found)
            lied["errors"][str(term)] *= 0.999
            with pytest.raises(Refused, match=rf"error {term.kind}\[{term.layer}\] covers"):
                check(lied, posed)


problems = st.builds(
    lambda **letters: Problem.parse(letters),
    N=st.integers(1, 3),
    K=st.integers(1, 3),
    d=st.integers(1, 3),
    d_out=st.integers(0, 2),
    n=st.sampled_from([1, 8, 1000, 10**5]),
    eta=st.sampled_from([1e-3, 0.1, 30.0]),
    eps=st.sampled_from([0.02, 0.3, 5.0]),
    B_x=st.sampled_from([0.01, 1.0, 3.0]),
    B_y=st.sampled_from([0.01, 1.0, 100.0]),
    B_v=st.sampled_from([0.2, 1.0]),
    activation=st.sampled_from(["tanh", "sigmoid", "softplus", "sin", "identity", "t/(1+exp(-t))"]),
    loss=st.sampled_from(["squared", "huber", "logistic"]),
    output=st.sampled_from(["activated", "linear"]),
)


@pytest.mark.slow
@settings(deadline=None, max_examples=12)
@given(problems)
def test_whatever_is_planned_is_accepted(problem):
    made_ = plan_softmax(halved(problem))
    found = json.loads(json.dumps(softmax_certificate(made_)))
    assert check(found, posed_letters(problem)) == 2 * made_.bound <= problem.eps
