"""Verdicts on functional descent: the undamaged transformer keeps its claims, and damage is caught."""

import re
from dataclasses import replace
from functools import lru_cache

import pytest
import torch

from icgd.bounds.algebra.definiteness import Witness
from icgd.bounds.functional import FunctionalProblem
from icgd.construct.functional import FunctionalTransformer, build
from icgd.verify import functional
from icgd.verify.functional import verify
from icgd.verify.kernels import matching
from icgd.verify.kernels.prompts import draw_examples
from icgd.verify.kernels.stationary_family import theorem_one
from icgd.verify.search.prompts import seeded

SMALL = FunctionalProblem(d=3, n=5, L=6)


@lru_cache(maxsize=1)
def stationary():
    return theorem_one(seeded(0))


@pytest.fixture(autouse=True)
def few(monkeypatch, request):
    monkeypatch.setattr(matching, "STUDIED", 128)
    monkeypatch.setattr(functional, "theorem_one", lambda *_, **__: stationary())  # has tests of its own


def status(found):
    return {verdict.claim.removeprefix("functional/"): verdict.status for verdict in found.verdicts}


@pytest.mark.slow
@pytest.mark.parametrize("kernel", ["exp", "softmax", "linear+exp"])
def test_definite_kernels_keep_every_claim(kernel):
    found = verify(FunctionalProblem(d=3, n=5, L=6, kernel=kernel))
    judged = status(found)
    assert "failed" not in judged.values() and judged["descent"] == "proved"
    assert judged["rate"] == judged["exp-definite"] == "proved on given prompts"
    assert judged["parameters"] == "counted"
    assert judged["relu-indefinite"] == judged["softmax-limit"] == "proved"
    assert judged["theorem-1/off-family"] == "held" and judged["theorem-1/linear"] == "proved"
    assert {"functional/rate", "functional/theorem-1/off-family"} <= {claim.key for claim in found.claims}
    assert found.grids[1].rows and all(len(row) == 6 for row in found.grids[1].rows)
    assert len(found.plots[0].curves) == 12 and len(found.plots[1].curves) == 2


@pytest.mark.parametrize(
    ("letters", "expected", "evidence"),
    [
        ({"kernel": "relu", "n": 12}, "inapplicable", "certified eigenvalue -"),
        ({"kernel": "linear", "n": 8}, "vacuous", "rank at most d"),
        ({"kernel": "softmax+exp"}, "inapplicable", "softmax in a sum"),
        ({"r": 5.0}, "inapplicable", "2/lambda_max"),
    ],
)
def test_hypotheses_that_fail_are_named(letters, expected, evidence):
    found = verify(FunctionalProblem(**{"d": 3, "n": 5, "L": 6, **letters}))
    rate = next(verdict for verdict in found.verdicts if verdict.claim == "functional/rate")
    assert rate.status == expected and evidence in rate.evidence
    assert status(found)["descent"] == "proved" and status(found)["rounding"] == "held"


def test_width_and_normaliser_keep_every_claim_and_others_are_caught():
    problem = FunctionalProblem(d=3, n=5, L=6, kernel="softmax", sigma=0.7, normaliser="tokens")
    found = status(verify(problem))
    assert "failed" not in found.values() and found["descent"] == "proved" and found["rounding"] == "held"
    assert found["rate"] == "proved on given prompts"
    for other in ({"sigma": 0.8}, {"normaliser": "examples"}):
        judged = status(verify(problem, transformer=build(replace(problem, **other, r=problem.rate))))
        assert judged["rounding"] == "failed"
        assert judged["descent"] == ("failed" if "sigma" in other else "proved")


def test_with_noise_no_attention_beats_the_bayes_predictor_and_the_limit_is_worse(monkeypatch):
    ridges, real = set(), matching.regressed

    def recorded(posed, name, examples, ridge=0.0):
        ridges.add(ridge)
        return real(posed, name, examples, ridge)

    monkeypatch.setattr(matching, "regressed", recorded)
    found = verify(FunctionalProblem(d=3, n=5, L=6, noise=0.5))
    (judged,) = (one for one in found.verdicts if one.claim == "functional/matching")
    assert judged.status == "held" and "no attention beats the Bayes predictor" in judged.evidence
    assert "ahead of the attention with the data's own kernel by 2 standard errors" in judged.evidence
    assert "none below 1/(n k_max)" in found.grids[1].note
    bayes = re.findall(r"has (\S+) on linear data, (\S+) on exp data", found.grids[1].note)[0]
    assert ridges == {0.0, 0.25}
    limits = {row[0]: row[2:4] for row in found.grids[1].rows if row[1] == "limit"}
    assert float(bayes[0]) < limits["linear"][0] and float(bayes[1]) < limits["exp"][1]


def test_what_balls_leave_open_is_no_counterexample_and_prompts_are_as_many_as_asked(monkeypatch):
    problem = FunctionalProblem(d=3, n=5, L=6)
    monkeypatch.setattr(functional, "distance_from_descent", lambda *_: (0.0, 1.0))
    monkeypatch.setattr(functional, "KERNEL_PRECISION", 2)
    found = {one.claim.removeprefix("functional/"): one for one in verify(problem, prompts=4).verdicts}
    assert found["rounding"].status == "held" and "too wide to tell: 0 to" in found["rounding"].evidence
    assert "over 4 prompts" in found["rounding"].evidence
    assert found["rate"].status == "vacuous" and "too wide to tell" in found["rate"].evidence


def test_descent_that_leaves_float64_is_no_counterexample():
    judged = status(verify(FunctionalProblem(d=3, n=5, L=200, r=1e6)))
    assert judged["rounding"] == "inapplicable" and "failed" not in judged.values()


def wrong_sign(transformer):
    transformer.V *= -1


def one_layer_differs(transformer):
    transformer.V[-1] *= 1.0001


def mean_for_sum(transformer):
    transformer.V /= 5


def labels_leak(transformer):
    transformer.V[0, 0, 0, -1] = 1e-6


def scaled_inner_product(transformer):
    transformer.B *= 1.001


def no_step(transformer):
    transformer.V.zero_()


@pytest.mark.parametrize(
    "damage", [wrong_sign, one_layer_differs, mean_for_sum, labels_leak, scaled_inner_product, no_step]
)
def test_damaged_weights_are_caught(damage):
    transformer = build(SMALL)
    damage(transformer)
    judged = status(verify(SMALL, transformer=transformer))
    assert judged["descent"] == judged["rounding"] == "failed"


@pytest.mark.parametrize("kernels", [("relu",), ("softmax",), ("linear",), ("exp", "exp")])
def test_an_unmatched_kernel_is_caught(kernels):
    judged = status(verify(SMALL, transformer=FunctionalTransformer(kernels, [SMALL.rate] * 6, 3)))
    assert judged["rounding"] == "failed"
    if len(kernels) > 1:
        assert judged["descent"] == judged["parameters"] == "failed"


def test_a_dropped_layer_is_caught():
    found = verify(SMALL, prompts=4, transformer=FunctionalTransformer(("exp",), [SMALL.rate] * 5, 3))
    judged = status(found)
    assert all(one.replay.endswith("--prompts 4") for one in found.verdicts if one.status == "failed")
    assert judged["descent"] == judged["rounding"] == judged["parameters"] == "failed"


def test_divergence_breaks_the_rate():
    transformer = FunctionalTransformer(("exp",), [-20 * SMALL.rate] * 6, 3)
    assert status(verify(SMALL, transformer=transformer))["rate"] == "failed"


class Unmasked(FunctionalTransformer):
    """The query's own label takes part in the sum."""

    def layer(self, H, index):
        x = H[..., : self.d]
        return H + torch.exp(x @ x.mT).mT @ H @ self.V[index, 0].mT

    def labels(self, x, y, query):
        H = functional.stream(x, y, query)
        path = [H]
        for index in range(len(self.V)):
            path.append(self.layer(path[-1], index))
        return torch.stack(path)[..., -1]


def test_a_missing_mask_is_caught():
    judged = status(verify(SMALL, transformer=Unmasked(("exp",), [SMALL.rate] * 6, 3)))
    assert judged["rounding"] == "failed"


def test_a_false_witness_is_caught():
    witness = Witness(((1, 0), (0, 1)), (1, 1))
    assert status(verify(SMALL, witness=witness))["relu-indefinite"] == "failed"


def test_data_of_another_kernel_breaks_the_matching_claim(monkeypatch):
    problem = FunctionalProblem(d=3, n=8, L=4)
    other = {"exp": "linear", "linear": "linear", "relu": "relu"}

    def unmatched(posed, count, generator):
        swapped = other.get(posed.kernel, posed.kernel)
        return draw_examples(FunctionalProblem(d=3, n=8, kernel=swapped), count, generator)

    monkeypatch.setattr(matching, "draw_examples", unmatched)
    monkeypatch.setattr(matching, "STUDIED", 1024)
    assert status(verify(problem))["matching"] == "failed"


def test_the_same_seed_finds_the_same():
    first, again = (verify(SMALL, seed=3) for _ in range(2))
    assert first.verdicts == again.verdicts and first.grids == again.grids


def test_drawn_labels_have_the_kernel_as_covariance():
    problem = FunctionalProblem(d=2, n=1, kernel="linear")
    drawn = draw_examples(problem, 20000, seeded(0))
    inner = (drawn.x[:, 0] * drawn.query).sum(-1)
    moment = drawn.y[:, 0] * drawn.answer
    assert float((moment * inner).mean()) == pytest.approx(0.5, abs=0.05)
    assert float((drawn.y**2).mean()) == pytest.approx(1, abs=0.05)
