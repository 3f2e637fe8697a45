"""Every theorem that takes prompts, on rows of a table: against numpy, from the file's own numbers."""

import math
import shlex

import numpy as np
import pytest

from icgd.bounds.functional import FunctionalProblem
from icgd.bounds.letters import ProblemError
from icgd.bounds.looped import LoopedProblem
from icgd.bounds.preconditioned import PreconditionedProblem
from icgd.verify import functional
from icgd.verify.catalogue import find_theorem, theorems
from icgd.verify.data.on_rows import regression_rows
from icgd.verify.data.table import DataError
from icgd.verify.requests import Request, all_requests
from icgd.verify.results import Grid, Plot
from icgd.verify.search.options import Search
from icgd.verify.verdict import Verdict

N, COUNT, SEED = 12, 5, 3


@pytest.fixture(scope="module")
def houses(tmp_path_factory):
    """A file and its columns: two correlated inputs, and a price that no line fits, in German marks."""
    rng = np.random.default_rng(0)
    size = rng.uniform(30, 200, 40).round(1)
    rooms = (size / 30 + rng.normal(0, 0.7, 40)).round(2)
    price = (1500 * size + 9000 * rooms + rng.normal(0, 30_000, 40)).round(2)
    path = tmp_path_factory.mktemp("data") / "houses.csv"
    lines = ['"size, m2";rooms;price']
    lines += [
        f"{a:.1f};{b:.2f};{c:.2f}".replace(".", ",") for a, b, c in zip(size, rooms, price, strict=True)
    ]
    path.write_text("\n".join(lines), encoding="utf-8")
    return str(path), np.column_stack([size, rooms]), price


def given(path):
    return {"data": path, "table": "decimal=,", "inputs": ("size, m2", "rooms"), "targets": "price"}


def drawn(path, **radius):
    """Which rows each prompt has; only the draw is taken from icgd, all numbers from the file."""
    columns = given(path)["inputs"], given(path)["targets"]
    sizes = {"d": 2, "n": N, "count": COUNT, "seed": SEED}
    return regression_rows(path, "decimal=,", columns, **sizes, **radius).rows.numpy()


def standard(values):
    return (values - values.mean(axis=0)) / values.std(axis=0)


def errors(predictions, price, rows):
    """The root mean square at the queries, in the price's units, of predictions in standard units."""
    off = price.std() * np.array(predictions) + price.mean() - price[rows[:, -1]]
    return math.sqrt(np.mean(off**2))


def named(found, title):
    return next(grid for grid in found.grids if grid.title.startswith(title))


def test_loops_on_rows_are_descent_with_the_rate_that_eigenvalues_give(houses):
    path, x, price = houses
    problem = LoopedProblem(d=2, n=N, T=6, eta=0.3)
    found = find_theorem("looped").verify(problem, seed=SEED, prompts=COUNT, **given(path))
    rows, X, y = drawn(path), standard(x), standard(price)
    shown = named(found, "Errors on rows")
    w = np.zeros((COUNT, 2))
    best = np.array([np.linalg.lstsq(X[r[:-1]], y[r[:-1]], rcond=None)[0] for r in rows])
    spectra = [np.linalg.eigvalsh(X[r[:-1]].T @ X[r[:-1]] / N) for r in rows[:3]]
    factor = max(np.abs(1 - 0.3 * values).max() for values in spectra)
    for step, (loop, at_query, _, apart, allowed) in enumerate(shown.rows):
        answers = np.einsum("bd,bd->b", w, X[rows[:, -1]])
        assert loop == step and at_query == pytest.approx(errors(answers, price, rows), rel=1e-9)
        distance = np.linalg.norm(w - best, axis=1) / np.linalg.norm(best, axis=1)
        assert apart == pytest.approx(distance[:3].max(), rel=1e-9)
        assert factor**step * (1 - 1e-12) <= allowed <= factor**step * (1 + 1e-9) and apart <= allowed
        for b, r in enumerate(rows):
            w[b] -= 0.3 / N * X[r[:-1]].T @ (X[r[:-1]] @ w[b] - y[r[:-1]])
    least = errors(np.einsum("bd,bd->b", best, X[rows[:, -1]]), price, rows)
    assert f"least squares on the same examples: {least:.6g} at the query" in shown.note
    said = {one.claim: one.evidence for one in found.verdicts}
    assert path in said["looped/steps"] and "over 5 prompts" in said["looped/rounding"]
    assert not any(one.status == "failed" for one in found.verdicts)


def test_kernels_on_rows_descend_in_function_space(houses, monkeypatch):
    path, x, price = houses
    nothing = Grid("", (), ()), Plot("", "", "", ())
    monkeypatch.setattr(
        functional, "matched", lambda *_: (*nothing, Verdict("functional/matching", "held", ""))
    )
    monkeypatch.setattr(functional, "theorem_one", lambda *_, **__: ([], nothing[0]))  # neither takes prompts
    problem = FunctionalProblem(d=2, n=N, L=5, r=0.05, radius=0.8)
    found = find_theorem("functional").verify(problem, seed=SEED, prompts=COUNT, **given(path))
    rows, X, y = drawn(path, radius=0.8), standard(x), standard(price)
    X = X * 0.8 * (1 - 2**-20) / np.linalg.norm(X, axis=1).max()
    shown = named(found, "Errors on rows")
    assert shown.columns[3:] == ("distance from the limit, largest of 3", "certified C rho^l")
    a = np.zeros((COUNT, N))
    kernel = np.exp(np.einsum("bid,bjd->bij", X[rows], X[rows]))
    limit = [k[-1, :-1] @ np.linalg.solve(k[:-1, :-1], y[r[:-1]]) for k, r in zip(kernel, rows, strict=True)]
    for layer, (_, at_query, _, apart, allowed) in enumerate(shown.rows):
        answers = np.einsum("bi,bi->b", a, kernel[:, -1, :-1])
        assert at_query == pytest.approx(errors(answers, price, rows), rel=1e-9), layer
        # The Gram matrices are ill-conditioned: numpy's limits are good to their condition times rounding.
        worst = max(np.linalg.cond(k[:-1, :-1]) for k in kernel[:3]) * 2.0**-40
        assert (
            apart == pytest.approx(max(abs(answers - limit)[:3]), rel=worst, abs=worst) and apart <= allowed
        )
        a += 0.05 * (y[rows[:, :-1]] - np.einsum("bij,bj->bi", kernel[:, :-1, :-1], a))
    (rate,) = (claim for claim in found.claims if claim.key == "functional/rate")
    assert "Bayes" not in rate.title  # these labels are nobody's Gaussian process
    assert not any(one.status == "failed" for one in found.verdicts)


def test_layers_of_linear_attention_and_descent_on_networks_take_rows_too(houses):
    """Their own tests judge the steps; here each is asked whether the prompts it followed are those rows."""
    path, x, price = houses
    layers = find_theorem("preconditioned").verify(
        PreconditionedProblem(n=N, L=1, S="1"), seed=SEED, prompts=COUNT, **given(path)
    )
    assert layers.data is not None and layers.data.used == 40
    shown = named(layers, "Errors on rows")
    assert shown.rows[0][1] == pytest.approx(errors(np.zeros(COUNT), price, drawn(path)), rel=1e-12)
    said = {one.claim: one for one in layers.verdicts}["preconditioned/lemma-1/model"]
    assert said.status == "held" and "5 prompts of the data" in said.evidence
    scaling = {one.name: (one.role, one.centre, one.unit) for one in layers.data.columns}
    assert scaling["price"] == ("target", pytest.approx(price.mean()), pytest.approx(price.std()))
    assert scaling["rooms"] == ("input", pytest.approx(x[:, 1].mean()), pytest.approx(x[:, 1].std()))
    taking = {name for name, theorem in theorems().items() if "data" in theorem.options}
    assert taking == set(theorems())


def test_letters_come_from_the_columns_and_too_few_rows_are_refused(houses):
    path, *_ = houses
    search = Search(**given(path))
    for name, theorem in theorems().items():
        letters, read = theorem.read({"n": 20}, search)
        problem = theorem.letters.parse(letters)
        assert problem.d == 2 and getattr(problem, "d_out", 1) == 1 and read["data"].rows == 40, name
        with pytest.raises(DataError, match="has 40 rows, and n = 40 examples and a query need 41"):
            theorem.read({"n": 40}, search)
        with pytest.raises(DataError, match="d = 3 but 2 input columns are named"):
            theorem.read({"d": 3}, search)
        assert theorem.read({"n": 20}, Search()) == ({"n": 20}, {}), name


def test_pytest_poses_every_theorem_on_the_columns(houses):
    path, *_ = houses
    search = Search(**given(path))
    asked = all_requests({"n": 20}, None, search)
    assert {one.theorem.name for one in asked} == set(theorems())
    assert all(one.refusal is None and (one.problem.d, one.problem.n) == (2, 20) for one in asked)
    words = shlex.split(next(one for one in asked if one.name == "looped").command(search))
    assert words[-8:] == [
        "--table",
        "decimal=,",
        "--inputs",
        "size, m2",
        "--inputs",
        "rooms",
        "--targets",
        "price",
    ]
    with pytest.raises(ProblemError, match=r"data = .*has 40 rows, and n = 60 examples"):
        all_requests({"n": 60}, None, search)
    small = LoopedProblem(d=2, n=60)
    found = Request(find_theorem("looped"), small).verify(search)  # as another process would
    assert not found.crash and {one.status for one in found.verdicts.values()} == {"inapplicable"}
    with pytest.raises(DataError, match="prompts = 9,000,000,000: cutting them from 40 rows takes about"):
        regression_rows(path, "decimal=,", ("rooms", "price"), d=1, n=3, count=9 * 10**9, seed=0)
