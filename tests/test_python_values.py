"""Values from other libraries where a number, a path or a name is meant; what pickle, copy and spawn keep."""

import copy
import io
import math
import multiprocessing
import pickle
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import sympy
import torch

from icgd import (
    Activation,
    Claim,
    FunctionalProblem,
    LoopedProblem,
    Loss,
    PreconditionedProblem,
    Problem,
    ProblemError,
    Prompt,
    Verdict,
    build,
    claims,
    judge,
    plan,
    sweep,
    theorem,
    theorems,
)
from icgd.bounds.listing import Listing
from icgd.verify import catalogue
from icgd.verify.search.options import Search
from icgd.verify.search.prompts import random_prompts, seeded

SMALL = Problem(N=1, K=1, d=1, n=2, L=1, eps=0.5)

TAKEN = [
    # A whole number of any library is that number.
    *((Problem, "N", two, 2) for two in (np.int64(2), np.uint8(2), np.array(2), torch.tensor(2))),
    (Problem, "N", sympy.Integer(2), 2),
    (LoopedProblem, "T", np.int32(3), 3),
    (FunctionalProblem, "L", torch.tensor(3), 3),
    (PreconditionedProblem, "d", np.int64(1), 1),
    (Search, "samples", np.int64(7), 7),
    (Search, "seed", torch.tensor(-7), -7),
    # A real number is the float next to it, whatever held it: float32 has only 24 bits of 0.1.
    (Problem, "eta", np.float32(0.1), 0.10000000149011612),
    (Problem, "eta", torch.tensor(0.1, dtype=torch.float64), 0.1),
    (Problem, "eta", torch.tensor(0.25, requires_grad=True), 0.25),
    (Problem, "eta", np.array(0.25), 0.25),
    (Problem, "eta", Fraction(1, 3), 1 / 3),
    (Problem, "eta", Decimal("0.1"), 0.1),
    (Problem, "eta", sympy.Rational(1, 4), 0.25),
    (Problem, "B_x", np.int64(2), 2.0),
    (LoopedProblem, "c", np.float64(0.5), 0.5),
    (Search, "effort", np.float16(0.5), 0.5),
    # Eigenvalues as a list, a tuple or an array; decimals are what is written, not the float next to it.
    (PreconditionedProblem, "S", [1, "1/2"], "1,1/2"),
    (PreconditionedProblem, "S", (2, Fraction(1, 3)), "2,1/3"),
    (PreconditionedProblem, "S", np.array([2.0, 0.1]), "2.0,0.1"),
    (PreconditionedProblem, "S", torch.tensor([1, 2]), "1,2"),
    (PreconditionedProblem, "S", torch.tensor(2), "2"),
    # Paths and texts are each taken for the other.
    (Search, "out", "folder", Path("folder")),
    (Search, "device", torch.device("cpu"), "cpu"),
    # Names and formulas are parsed where a table's entry is meant.
    (Problem, "activation", "sigmoid", Problem.parse({"activation": "sigmoid"}).activation),
    (Problem, "activation", "t/(1+exp(-t))", Problem.parse({"activation": "t/(1+exp(-t))"}).activation),
    (Problem, "loss", "huber", Problem.parse({"loss": "huber"}).loss),
]

REFUSED = [
    # Computing with a truth value, a text or several numbers is a mistake in the caller's code.
    *((Problem, "N", wrong) for wrong in (True, np.True_, torch.tensor(True), "2", 2.0, np.float64(2))),
    *((Problem, "N", wrong) for wrong in (None, 2j, torch.tensor([2, 3]), np.array([2]), 10**400)),
    *(
        (Problem, "eta", wrong)
        for wrong in ("0.1", b"1", np.False_, torch.tensor([0.1, 0.2]), np.array([0.1]))
    ),
    *(
        (Problem, "eta", wrong)
        for wrong in (math.nan, np.float32("inf"), torch.tensor(math.nan), 1j, 10**400)
    ),
    *(
        (Problem, "eta", wrong)
        for wrong in (Decimal("nan"), Fraction(10**400, 3), np.datetime64("2026-01-01"))
    ),
    *((Problem, "activation", wrong) for wrong in (None, torch.tanh, "swosh", 3)),
    *((Problem, "loss", wrong) for wrong in (b"huber", "hinge")),
    *((Search, "samples", wrong) for wrong in (0, 100.0, True)),
    (Search, "seed", 2**63),
    (Search, "effort", np.nan),
    (Search, "prompts", np.int64(-1)),
]


def test_values_that_mean_a_number_a_path_or_a_name():
    for kind, name, value, meant in TAKEN:
        found = getattr(kind(**{name: value}), name)
        assert found == meant and type(found) is type(meant), (kind.__name__, name, value)
    for kind, name, value in REFUSED:
        with pytest.raises(ProblemError) as caught:
            kind(**{name: value})
        assert caught.value.field == name and str(caught.value).isprintable(), (kind.__name__, name, value)


def test_a_theorem_takes_paths_letters_and_numbers_of_numpy(tmp_path, monkeypatch):
    monkeypatch.setattr(catalogue, "_known", dict(theorems()))  # without what is registered here, afterwards
    monkeypatch.setattr(catalogue, "_files", {})
    example = Path(__file__).parents[1] / "docs" / "one_step.py"
    assert theorem(example) is theorem(str(example))
    found = theorem("looped").verify({"T": np.int64(2), "d": 2, "n": 50}, seed=np.int64(3))
    assert (found.problem.T, found.seed, type(found.seed)) == (2, 3, int)
    with pytest.raises(ProblemError, match="looped needs a LoopedProblem"):
        theorem("looped").verify(SMALL)
    with pytest.raises(ProblemError, match="theorem = None"):
        theorem(None)
    for path in (tmp_path / "a.safetensors", str(tmp_path / "b.safetensors")):
        theorem("relu-icgd").model.save(build(SMALL), path)
        assert Path(path).stat().st_size > 100


def test_judging_takes_numbers_of_numpy_and_torch_and_refuses_impossible_ones():
    numbers = {"samples": np.int64(20), "effort": torch.tensor(0.0), "seed": torch.tensor(1)}
    found = judge(build(SMALL), **numbers, device=torch.device("cpu"))
    assert found.proved and type(found.seed) is int
    for name, wrong in (("samples", 0), ("effort", -1), ("seed", 2**63), ("device", "abacus")):
        with pytest.raises(ProblemError, match=f"^{name} = "):
            judge(build(SMALL), **{name: wrong})


def test_prompts_that_are_no_tensors_of_floats_are_refused(any_shapes):
    prompt = random_prompts(SMALL, 1, seeded(0))
    for wrong, shown in ((prompt.x.long(), "torch.int64"), (prompt.y > 0, "torch.bool")):
        with pytest.raises(ProblemError, match=f"x = {shown}: a tensor of floats is needed"):
            Prompt(wrong, prompt.y, prompt.query, prompt.w).check(SMALL)


def test_a_text_where_an_object_is_meant_is_parsed_or_refused(tmp_path, any_shapes):
    block, prompt = build(SMALL), random_prompts(SMALL, 1, seeded(0))
    looped, number = theorem("looped"), sympy.Integer(3)
    refused = [
        *((f, "problem = looped: a Problem is needed") for f in (claims, plan, build)),
        *((one.claims, "problem = looped: a ") for one in theorems().values() if not one.constructions),
        *((one.model.build, "problem = looped: a ") for one in theorems().values() if one.model),
        (looped.verify, "problem = str: looped needs a LoopedProblem"),
        (looped.bounds, "problem = str: looped needs a LoopedProblem"),
        (lambda text: looped.verify(t_=text), "t_ = looped: looped has no such option, and no such letter"),
        (lambda text: theorem("relu-icgd").verify(certify=text), "certify = looped: True or False"),
        (lambda text: judge(block, problem=text), "problem = looped: a Problem is needed"),
        (block.step, "prompt = str: a Prompt is needed"),
        (theorem("softmax-icgd").model.build(SMALL).step, "prompt = str: a Prompt is needed"),
        (block.simulate, "prompt = str: a Prompt is needed"),
        (lambda text: block.simulate(prompt, text), "steps = 'looped': a whole number"),
        (lambda text: Prompt(prompt.x, text, prompt.query, prompt.w), "y = str: a tensor of floats"),
        (prompt.check, "problem = looped: a Problem is needed"),
        (Problem.parse, "problem = looped: a Problem is needed"),
        (lambda text: Problem(activation=Activation(text, "t**")), "activation = .*: not a formula"),
        (lambda text: Problem(loss=Loss(text, "p**")), "loss = .*: not a formula"),
        (lambda text: Activation(text, 3), "formula = 3: a text is needed"),
        (lambda text: Loss(3, text), "name = 3: a text is needed"),
        (lambda text: Loss("a", "(p - y)**2", text), "data_range = looped: two finite numbers"),
        (lambda text: FunctionalProblem(kernel=text), "kernel = looped: "),
        (lambda text: Verdict("a/b", text, ""), "a/b: 'looped' is no status; they are proved"),
        (lambda text: Claim("a/b", "", "", "", (), "heads", "<=", text, {}), "bound = looped: a/b: a sympy"),
        (lambda text: Claim("a/b", "", "", "", (), "heads", text, number, {}), "relation = looped: a/b: it"),
        (lambda text: sweep("looped", {text: 1}), "grid = .*: a text is needed"),
        (lambda text: sweep("looped", "T=1", letters=text), "letters = looped: letters by name are needed"),
        (lambda text: sweep("looped", "T=1", steps=text), "with = looped: it may be build"),
        (lambda text: sweep("looped", "T=1", samplse=text), "samplse = looped: sweep has no such option"),
    ]
    for function, why in refused:
        with pytest.raises(ValueError, match=f"^{why}"):
            function("looped")
    assert claims({"N": 1}) == claims(Problem(N=1)) and looped.bounds(T=2) == looped.claims(
        LoopedProblem(T=2)
    )
    found = sweep("looped", "T=1", letters={"n": 8}, steps="build verify", out=tmp_path)
    assert found.rows[0]["counted_parameters"] == 50 and not found.failed
    assert looped.verify(T=2, n=50).problem == LoopedProblem(T=2, n=50)


def copies(value):
    """The same through pickle, copy and torch.save."""
    yield pickle.loads(pickle.dumps(value))
    yield copy.deepcopy(value)
    file = io.BytesIO()
    torch.save(value, file)
    yield torch.load(io.BytesIO(file.getvalue()), weights_only=False)


def test_what_users_hold_can_be_copied_and_sent_to_other_processes():
    made = plan(SMALL)
    block, prompt = build(made), random_prompts(SMALL, 3, seeded(0))
    step = block.simulate(prompt, 1)
    assert torch.equal(build(SMALL).simulate(prompt, 1), step)
    for wrong, said in ((made, "the plan is for lean"), (SMALL, "it is lean or paper or exact")):
        with pytest.raises(ProblemError, match=said):
            build(wrong, "papier")
    for equal in (SMALL, Problem(activation="t/(1+t**2)", loss="log-cosh"), LoopedProblem(), *claims(SMALL)):
        for other in copies(equal):
            assert other == equal and type(other) is type(equal)
    for other in copies(block):
        assert torch.equal(other.simulate(prompt, 1), step)
    for other in copies(made):
        assert (other.units, other.bound, other.problem) == (made.units, made.bound, SMALL)
        assert torch.equal(build(other).simulate(prompt, 1), step)
    for error in copies(ProblemError("eta", torch.tensor(0.0), "at least 1 is needed")):
        assert str(error) == "eta = 0.0: at least 1 is needed" and error.field == "eta"
    found = theorem("relu-icgd").verify(SMALL, samples=10, effort=0, certify=True)
    for other in copies(found):
        assert (other.verdicts, other.claims) == (found.verdicts, found.claims)
    for one in theorems().values():
        if one.model:
            assert all(map(type, copies(one.model.build(one.letters(), **one.chosen(None)))))


def test_a_copied_bound_of_any_theorem_is_the_same_formula():
    """sympy would simplify it again, as it does here: one argument of the maximum is below the other."""
    one, wide = sympy.Symbol("d_{out}", positive=True), sympy.Symbol("K", positive=True)
    whole = sympy.Max(one, wide + one, evaluate=False)
    assert whole.func(*whole.args) != whole
    values = {one: (1, "size of the output"), wide: (2, "width")}
    listings = [Listing([Claim("a/b", "", "", "", (), "heads", "<=", whole, values)])]
    for about in theorems().values():
        for construction in about.constructions or (None,):
            exact = {"activation": "relu"} if construction == "exact" else {}
            sizes = {"N": 1, "K": 2, "n": 2, "eps": 0.5} if issubclass(about.letters, Problem) else {}
            listings.append(about.bounds(construction=construction, **sizes, **exact))
    assert sum(map(len, listings)) > 50
    for bounds in listings:
        for other in copies(bounds):
            assert other == bounds and type(other) is Listing and hash(other) == hash(bounds)
            for again, bound in zip(other, bounds, strict=True):
                assert (again.expression, again.latex, again.value) == (
                    bound.expression,
                    bound.latex,
                    bound.value,
                )


def test_a_spawned_process_takes_problems_and_gives_transformers_back():
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        block = pool.apply(build, (SMALL,))
        with pytest.raises(ProblemError, match="construction = exact: it is for --activation relu"):
            pool.apply(build, (SMALL, "exact"))
    prompt = random_prompts(SMALL, 3, seeded(0))
    assert torch.equal(block.simulate(prompt, 1), build(SMALL).simulate(prompt, 1))
