"""The lemmas as claims: one for each, with every constant, and none where the theorem does not apply."""

import pytest

from icgd.bounds.activation import ACTIVATIONS, parse_activation
from icgd.bounds.problem import Problem
from icgd.bounds.published import published
from icgd.bounds.published_claims import LEMMAS, lemma_claims


def test_there_is_one_claim_for_each_lemma():
    claims = lemma_claims(Problem())
    assert tuple(claim.key.removeprefix("relu-icgd/") for claim in claims) == LEMMAS
    assert [claim.source.partition(", ")[2] for claim in claims][:2] == [
        f"Lemma {number}; repaired by icgd" for number in (2, 3)
    ]
    assert not lemma_claims(Problem(activation=ACTIVATIONS["relu"]))
    assert not lemma_claims(Problem(activation=parse_activation("exp(t)")))  # finite on our ranges alone


@pytest.mark.parametrize("N", [1, 3, 6])
def test_bounds_are_the_lemmas_at_the_tolerances(N):
    problem = Problem(N=N)
    made, value = (
        published(problem, repaired=True),
        {claim.quantity: claim.value for claim in lemma_claims(problem)},
    )
    e = made.local
    assert value["p_error"] == pytest.approx(made["E_r"] * e.r, rel=1e-12)
    assert value["dr_error"] == pytest.approx(e.dr + made["E_{r'}"] * e.r, rel=1e-12)
    assert value["u_error"] == pytest.approx(e.u + made["E_l"] * e.r, rel=1e-12)
    of_s = made["E_s^r"] * e.r + made["E_s^{r'}"] * e.dr + made["E_s^l"] * e.u
    assert value["s_error"] == pytest.approx(made["P"] * of_s, rel=1e-12)
    assert value["product_error"] == 0 and value["step_error"] == problem.eps
