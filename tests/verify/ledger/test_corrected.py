"""Findings that were wrong once: what they said is held to be false here."""

import pytest

from icgd.bounds.convergence import claims as convergence_claims
from icgd.bounds.convergence import diameter, steepest
from icgd.bounds.problem import Problem
from icgd.verify.ledger.entries import entries, find_entry
from icgd.verify.ledger.evidence import projection

KEYS = {entry.key.partition("/")[2] for entry in entries() if entry.paper == "2411.16549"}


@pytest.mark.parametrize(
    "key",
    [
        "iterates-leave",  # Theorem 2's step has a projection
        "targets-bounded",  # Theorem 1 bounds the targets
        "projection-not-convex",  # an MLP is continuous, which excludes the witness
        "examples-factor",  # (n+1)/n stands in (C.16)
        "weights-counted-once",  # Definition 2 says what D_N is
        "width-lacks-d",  # O hides d, as the theorem says
        "equal-sizes-not-needed",  # Theorem 4 has it
        "same-block",  # about our construction, not the paper
        "convex-case",  # no statement of the paper is about it
    ],
)
def test_what_the_text_contradicts_is_gone(key):
    assert key not in KEYS


def test_two_nearest_points_are_excluded_by_the_hypothesis_on_proj():
    """The old witness W = {-1, 1} has no continuous projection, so it is no witness against Theorem 1."""
    found = projection.continuity()
    assert found["shows"] and found["nearest"] == 2


def test_balanced_layers_stay_below_the_bound_that_was_called_exceeded():
    found = find_entry("norm-constant").expected  # computed again by test_settled
    assert found["built"] > found["allowed"] > found["balanced"]


def test_a_billion_heads_are_not_passed_where_the_plain_recurrence_said():
    """At eps = 0.0966, N = 3 the old count was a billion; by the bound on cells it is far fewer."""
    found = find_entry("heads-beyond-a-billion").expected
    assert found["tight_N3"] < 0.05 < 0.0966 < found["printed_N3"]


@pytest.mark.parametrize("N", [1, 2, 3])
def test_no_bound_of_convergence_exceeds_the_trivial_one(N):
    posed = Problem(N=N)
    found = {claim.key.partition("/")[2]: claim.value for claim in convergence_claims(posed)}
    assert found["stationary"] <= steepest(posed) * (1 + 1e-12)
    assert found["accumulation"] <= diameter(posed) * (1 + 1e-12)
