"""The least that a checker accepts is more than what the weights do, at whatever letters."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icgd.bounds.problem import Problem
from icgd.bounds.step_error import rounding
from icgd.bounds.step_error.plan import clear_plan_caches, plan
from icgd.construct.block import assembly, hidden
from icgd.construct.block.assembly import assemble
from icgd.verify.certificate import program
from icgd.verify.certificate.issue import as_read, certificate, posed_letters
from icgd.verify.certificate.proof import refusal
from icgd.verify.sabotage.forgeries import outermost_face
from icgd.verify.sabotage.least_claims import extreme_letters, least_claim, measured_claim, measured_claims
from icgd.verify.sabotage.run import SETTINGS
from icgd.verify.search.prompts import random_prompts, seeded

TINY = [Problem.parse(SETTINGS[name][0]) for name in ("tiny", "tiny wide")]


@pytest.fixture(autouse=True)
def cold():
    clear_plan_caches()
    yield
    clear_plan_caches()


def with_offsets(monkeypatch, above):
    """Weights and certificates with other offsets, in all that they are made of."""
    for module in (rounding, assembly, program):
        monkeypatch.setattr(module, "offset_above", above)


OFFSETS = {
    "as shipped": rounding.offset_above,
    "2^-40 beyond": lambda bound: bound * (1 + 2.0**-8) + 2.0**-40,
    "a thousand times": lambda bound: 1e3 * bound or 1.0,
    "2^-44 beyond": lambda bound: bound + 2.0**-44,
}


@pytest.mark.parametrize("problem", TINY, ids=["tiny", "tiny wide"])
@pytest.mark.parametrize("construction", ["lean", "paper"])
@pytest.mark.parametrize("above", OFFSETS)
def test_the_least_claim_holds_with_whatever_offsets_ship(monkeypatch, problem, construction, above):
    with_offsets(monkeypatch, OFFSETS[above])
    found = measured_claim(problem, construction)
    assert found is not None and found.share <= 1 and found.beyond == 0


def test_offsets_far_above_tiny_ranges_are_what_rounds(monkeypatch):
    """Weights with offsets of 2^-40 break, 10^4 times, what is proved of those that ship."""
    problem = TINY[0]
    proved = least_claim(as_read(certificate(plan(problem))), posed_letters(problem), "lean")["certified"]
    clear_plan_caches()
    with_offsets(monkeypatch, OFFSETS["2^-40 beyond"])
    far = as_read(certificate(plan(problem)))
    claimed = least_claim(far, posed_letters(problem), "lean")["certified"]
    share = measured_claim(problem, "lean").share
    assert share * claimed > 1e4 * proved and share <= 1
    lied = far | {"errors": {**far["errors"], "g[1]": far["errors"]["g[1]"] / 1e3}}
    assert "error g[1] covers" in refusal(lied, posed_letters(problem), "lean")


@pytest.mark.parametrize("eta", [1e3, 1e6])
def test_faces_on_the_edge_of_the_domain_let_weights_out_and_are_refused(monkeypatch, eta):
    problem = Problem.parse({"N": 2, "K": 3, "d": 2, "eta": eta, "eps": 0.5, "n": 4})
    sides = [outermost_face(problem.dims[j - 1]) for j in (1, 2)]
    assert measured_claim(problem, "lean").beyond == 0
    for module in (hidden, program):
        monkeypatch.setattr(module, "face", lambda _, j: sides[j - 1])
    made = plan(problem)
    prompt = random_prompts(problem, 2000, seeded(0))
    reached = assemble(made).step(prompt).abs().max(dim=0).values
    first = problem.K * problem.d
    assert max(float(reached[:first].max()) - sides[0], float(reached[first:].max()) - sides[1]) > 1e-16
    reason = refusal(as_read(certificate(made)), posed_letters(problem), "lean")
    assert reason == "the box of V2 leaves room for rounding in the theorem's domain"


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["lean", "paper"]))
def test_no_accepted_claim_is_exceeded_at_extreme_letters(seed, construction):
    found = measured_claim(Problem.parse(extreme_letters(random.Random(seed))), construction, seed % 7)
    assert found is None or (found.share <= 1 and found.beyond == 0)


@settings(max_examples=4, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_no_accepted_claim_of_softmax_is_exceeded_at_extreme_letters(seed):
    letters = extreme_letters(random.Random(seed)) | {"N": 1 + seed % 2, "K": 2}
    found = measured_claim(Problem.parse(letters), "softmax", seed % 7)
    assert found is None or (found.share <= 1 and found.beyond == 0)


def test_a_search_measures_as_many_claims_as_asked_for():
    found = measured_claims(5, seed=3)
    assert len(found) == 5 and all(0 <= one.share <= 1 and one.beyond == 0 for one in found)
    assert found == measured_claims(5, seed=3)


def test_the_least_claim_is_a_little_less_than_the_certificate_s_and_no_less_is_accepted():
    problem = Problem(N=2, K=2, d=2, n=4, eps=0.2)
    found, posed = as_read(certificate(plan(problem))), posed_letters(problem)
    least = least_claim(found, posed, "lean")
    assert 0.99 * found["certified"] < least["certified"] <= found["certified"]
    assert refusal(least, posed, "lean") is None
    assert refusal(least | {"certified": least["certified"] * (1 - 1e-12)}, posed, "lean")
    for name, error in least["errors"].items():
        lied = least | {"errors": least["errors"] | {name: error * (1 - 1e-12)}}
        assert error == 0 or f"error {name} covers" in refusal(lied, posed, "lean")
