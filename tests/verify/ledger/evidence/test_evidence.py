"""Evidence is sensitive: with another case or one part wrong, no finding reproduces."""

from dataclasses import replace
from fractions import Fraction

import pytest
import torch

from icgd.bounds.activation import ACTIVATIONS
from icgd.bounds.algebra.definiteness import Witness
from icgd.bounds.problem import Problem
from icgd.verify.ledger import entries as ledger
from icgd.verify.ledger import settled as settling
from icgd.verify.ledger.evidence import convergence as evidence_convergence
from icgd.verify.ledger.evidence import functional as evidence_functional
from icgd.verify.ledger.evidence import hypotheses as evidence_hypotheses
from icgd.verify.ledger.evidence import looped as evidence_looped
from icgd.verify.ledger.evidence import preconditioned as evidence_preconditioned
from icgd.verify.ledger.evidence import projection as evidence_projection
from icgd.verify.ledger.evidence import sizes as evidence_sizes
from icgd.verify.linear_attention.contraction import least_squares


@pytest.mark.parametrize(
    "key, given",
    [
        ("relu-not-smooth", {"activation": "tanh"}),
        ("c4-not-needed", {"loss": "squared"}),
        ("identical-units", {"activation": "tanh"}),
        ("local-minimum", {"S": "1,1"}),
        ("several-minima", {"points": [[0.45, 2.96, 0.84], [0.45, 2.96, 0.84]]}),
        ("rotated-covariance", {"S": "2"}),
        ("prior-matters", {"S": "1,1"}),
        ("noisy-labels", {"variance": "0"}),
        ("singular-covariance", {"S": "2,1"}),
        ("relu-indefinite", {"kernel": "linear"}),
        ("softmax-limit", {"points": [[1, 0], [1, 0], [0, 1]]}),
        ("rate-vacuous", {"sizes": [4]}),
        ("linear-singular", {"n": 4}),
        ("step-knows-the-data", {"scale": "1"}),
        ("four-layers-smallest", {"cells": 8}),
        ("doing-nothing", {"eps": [0.05, 0.0966, 0.1]}),
        ("local-minimum-share", {"top": 8}),
        ("lemma-6-columns", {"B_y": "10"}),
        ("lemma-14-step", {"a": "1"}),
        ("corollary-1-1-examples", {"eta": "4/3"}),
        ("corollary-1-1-unprojected", {"eta": "1/20"}),
        ("corollary-1-1-constant", {"steps": 1}),
        ("lemma-7-order", {"speeds": [3, 4]}),
        ("lemma-2-interval", {"extra": "0"}),
        ("lemma-2-step-error", {"slopes": [0, 0]}),
        ("lemma-3-interval", {"B_v": "1/100"}),
        ("lemma-3-units", {"d": 0}),
        ("lemma-4-interval", {"B_v": "1"}),
        ("lemma-4-variables", {"d": 3}),
        ("lemma-4-norm", {"hidden": [1, 1]}),
        ("equal-tokens", {"tokens": 3}),
        ("theorem-2-tolerance", {"eta": "1"}),
        ("theorem-1-power", {"K": 1}),
        ("last-layer-clears", {"K": 100}),
        ("theorem-4", {"d_out": 3}),
        ("lemma-3-bound", {"B_x": 1.0}),
        ("context-weights", {"d": 1}),
        ("sigmoid-example", {"promised": "0.4"}),
        ("mlp-width", {"loss": "squared"}),
        ("flops-measured", {"examples": 50}),
        ("rate-vacuous", {"dimensions": [20, 3]}),
    ],
)
def test_a_finding_is_not_shown_where_it_is_not_so(key, given):
    entry = ledger.find_entry(key)
    found = settling.settle(replace(entry, given={**entry.given, **given}))
    assert not found.reproduces


SABOTAGED = [
    ("relu-not-smooth", evidence_hypotheses, "parse_activation", lambda _: lambda text: ACTIVATIONS["tanh"]),
    ("zero-start", evidence_hypotheses, "descend", lambda f: lambda *a: f(*a) + 1),
    ("identical-units", evidence_hypotheses, "descend", lambda f: lambda *a: f(*a) + torch.arange(32.0)),
    ("c4-not-needed", evidence_hypotheses, "refusal", lambda _: lambda *a: "a line is wrong"),
    ("projection-width", evidence_projection, "_clip", lambda _: lambda w, h: tuple(min(h, v) for v in w)),
    ("projection-ball", evidence_projection, "Scalar", lambda f: lambda expr: f(expr * 0)),
    ("heads-beyond-a-billion", evidence_sizes, "sampled_division", lambda f: lambda _: f(Problem(N=1))),
    ("head-constant", evidence_sizes, "sampled_division", lambda f: lambda _: f(Problem(N=1))),
    ("logarithm", evidence_sizes, "sampled_heads", lambda _: lambda mass, error: 3),
    ("width-quadratic", evidence_sizes, "census", lambda f: lambda made: replace(f(made), width=30)),
    ("accumulation-vacuous", evidence_convergence, "accumulated", lambda f: lambda *a: 3 * f(*a)),
    ("local-minimum", evidence_preconditioned, "_denominators", lambda f: lambda *a: [2 * x for x in f(*a)]),
    (
        "lemma-1-transposed",
        evidence_preconditioned,
        "_layer",
        lambda f: lambda X, y, A, **m: f(X, y, A.T, **m),
    ),
    ("mask-in-one-layer", evidence_preconditioned, "_layer", lambda f: lambda *a, masked: f(*a, masked=True)),
    ("noisy-labels", evidence_preconditioned, "minimiser", lambda _: lambda p: [[Fraction(1, 4)]]),
    ("relu-indefinite", evidence_functional, "RELU_WITNESS", lambda w: Witness(w.points, (1, 1, 1, 1))),
    ("softmax-limit", evidence_functional, "_two_examples", lambda f: lambda E, right: 2 * f(E, right)),
    ("noisy-labels", evidence_preconditioned, "_second_moment", lambda f: lambda *a: 2 * f(*a)),
    ("local-minimum-share", evidence_preconditioned, "_bends_down", lambda _: lambda *a: False),
    (
        "step-depends-on-prompt",
        evidence_functional,
        "extreme_eigenvalues",
        lambda f: lambda gram: tuple(2 * value for value in f(gram)),
    ),
    ("rate-vacuous", evidence_functional, "_random_depths", lambda _: lambda n, d, *a: [float(d)]),
    ("condition-hypothesis", evidence_looped, "examples_needed", lambda f: lambda *a: f(*a) - 1),
    ("examples-constant", evidence_looped, "examples_needed", lambda f: lambda *a: f(*a) - 1),
    ("examples-constant", evidence_looped, "_examples_limit", lambda f: lambda *a: 1.01 * f(*a)),
    ("square-data", evidence_looped, "exact_descent", lambda _: lambda x, y, *a: [least_squares(x, y)]),
]


@pytest.mark.parametrize("key, module, name, sabotage", SABOTAGED, ids=[row[0] for row in SABOTAGED])
def test_sabotaged_evidence_does_not_reproduce(monkeypatch, key, module, name, sabotage):
    monkeypatch.setattr(module, name, sabotage(getattr(module, name)))
    found = settling.settle(ledger.find_entry(key))
    assert not found.reproduces and "is not defined" not in " ".join(found.differences)
    assert found.verdict().status == "failed" and found.verdict().replay == f"icgd findings {found.entry.key}"
