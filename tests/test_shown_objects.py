"""What users hold in Python: short in a session, well-formed in a notebook, kept by pickle and copy."""

import copy
import pickle
import re
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch

import icgd
from icgd import Activation, Loss, Problem, Verdict, theorem, theorems
from icgd.bounds.listing import Listing
from icgd.construct.looped import LoopedTransformer
from icgd.verify.ledger.entries import find_entry
from icgd.verify.ledger.settled import settle
from icgd.verify.results import StepError
from icgd.verify.search.prompts import random_prompts, seeded

SMALL = Problem(N=1, K=1, d=1, n=2, L=1, eps=0.5)
NAMES = """
Activation Audit AuditFigure BlockResults Claim Enclosure Entry FunctionalProblem FunctionalTransformer Grid
Hypothesis LinearAttention LinearResults Listing LoopedProblem LoopedTransformer Loss Model Plan Plot
PreconditionedProblem PredictorResults Problem Proof Prompt Recovery Results Sandwich Settled
SoftmaxTransformer StepError Sweep SweptTable Theorem Trajectory Transformer Verdict
"""
"""The classes that must be among what is tried."""


def transformers():
    """One of every construction, small."""
    for one in theorems().values():
        for construction in (one.constructions or (None,)) * bool(one.model):
            activation = "relu" if construction == "exact" else "tanh"
            posed = replace(SMALL, activation=activation) if one.letters is Problem else one.letters()
            yield one.model.build(posed, **one.chosen(construction))


def answers(model):
    """What a transformer computes on fixed prompts."""
    if hasattr(model, "simulate"):
        return model.simulate(random_prompts(model.problem, 3, seeded(0)), 2)
    d, draw = model.problem.d, seeded(0)
    prompt = [torch.randn(2, *size, generator=draw, dtype=torch.float64) for size in ((5, d), (5,), (d,))]
    loops = {"loops": 3} if isinstance(model, LoopedTransformer) else {}
    return model.predict(*prompt, **loops) if hasattr(model, "predict") else model(*prompt)


@pytest.fixture(scope="module")
def held(tmp_path_factory):
    """What users get from the functions of the package, with all that their fields and listings hold."""
    layer = torch.zeros(1, 3, 3, dtype=torch.float64)
    audit = icgd.audit(SMALL, samples=10, effort=0, figures=False)
    swept = icgd.sweep("looped", "T=1,2", letters={"n": 8}, out=tmp_path_factory.mktemp("held"))
    waiting = [audit, audit.figures, swept, SMALL, *theorems().values(), *transformers()]
    waiting += [
        theorem("looped").verify(T=2, n=50),
        theorem("looped").bounds(T=2),
        icgd.plan(SMALL),
        Listing(),
    ]
    waiting += [icgd.judge(audit.transformer, samples=20, effort=0), icgd.claims(SMALL)]
    waiting += [icgd.judge({"P": layer, "Q": layer}, samples=20, effort=0, d=2, n=3)]
    waiting += [icgd.judge(lambda x, y, query: y.mean(1), d=2, n=3, prompts=32)]
    waiting += [one.letters() for one in theorems().values()]
    waiting += [Activation("cube", "t**3"), Loss("half", "(p - y)**2/2"), Verdict("a/b", "held", "<b>")]
    waiting += [Verdict(f"a/{'k' * 300}", "held", "of many words\x1b" * 500)]
    waiting += [settle(find_entry("2306.00297/local-minimum"))]
    found = []
    while waiting:
        one = waiting.pop()
        if type(one).__module__.startswith("icgd."):
            found.append(one)
            waiting += [getattr(one, part.name) for part in fields(one)] if is_dataclass(one) else []
        waiting += one if isinstance(one, tuple | list) else []
    assert {type(one).__name__ for one in found} >= set(NAMES.split())
    return found


def test_everything_is_short_in_a_session_and_well_formed_in_a_notebook(held):
    lengths = {type(one).__name__: (repr(one).count("\n") + 1, len(repr(one))) for one in held}
    assert not {name: size for name, size in lengths.items() if size[0] >= 10 or size[1] >= 1500}
    for one in held:
        if type(one).__name__ in ("Verdict", "Hypothesis", "StepError"):
            lines = repr(one).split("\n")
            assert len(lines) < 10 and max(map(len, lines)) <= 110 and "".join(lines).isprintable()
            assert one._repr_html_().count("<table>") >= 1
        if page := getattr(one, "_repr_html_", str)():
            ElementTree.fromstring(f"<div>{page}</div>")
            assert "<b>&lt;b&gt;</b>" not in page and len(page) < 200_000
        if isinstance(one, StepError):
            assert repr(one).startswith("<error of a step: sampled 0.0") and " <= certified 0.0" in repr(one)
        latex = getattr(one, "_repr_latex_", str)()
        assert not latex or (latex.startswith("$\\displaystyle ") and latex.endswith("$"))


def test_the_tab_key_offers_public_names_alone():
    inner = [name for name in dir(icgd) if not (name.startswith("__") and name.endswith("__"))]
    assert inner == sorted(set(icgd.__all__) - {"__version__"})


def test_everything_is_the_same_after_pickle_and_copy(held):
    for one in {type(one): one for one in held if "<lambda>" not in repr(one)}.values():
        for other in (pickle.loads(pickle.dumps(one)), copy.copy(one), copy.deepcopy(one)):
            assert type(other) is type(one) and repr(other) == repr(one)


def test_listings_and_their_items_have_a_hash_that_a_copy_shares(held):
    items = [one for one in held if type(one).__name__ in ("Claim", "Verdict", "Hypothesis", "Settled")]
    assert len({type(one) for one in items}) == 4
    assert all(hash(one) == hash(copy.deepcopy(one)) for one in items)
    assert all(hash(one) == hash(tuple(one)) for one in held if isinstance(one, Listing))


def test_the_page_on_verdicts_lists_every_number_of_these(held):
    page = (Path(__file__).parents[1] / "docs" / "verdicts.md").read_text(encoding="utf-8")
    named = {name for one in held if isinstance(one, Verdict) for name in one.numbers}
    assert len(named) > 8 and named <= {*re.findall(r"`(\w+)`", page)}


def test_transformers_compute_the_same_bits_after_pickle_and_copy():
    tried = 0
    for one in transformers():
        expected, tried = answers(one), tried + 1
        for other in (pickle.loads(pickle.dumps(one)), copy.copy(one), copy.deepcopy(one)):
            assert torch.equal(answers(other), expected) and repr(other) == repr(one)
    assert tried == 7
