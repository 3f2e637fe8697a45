"""The portfolio of attacks: each search is as documented, and none exceeds the certified bound."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from icgd.bounds.letters import ProblemError
from icgd.bounds.problem import Problem
from icgd.bounds.progress import Progress, silent
from icgd.bounds.step_error.plan import plan
from icgd.construct.block.assembly import assemble
from icgd.construct.prompt import split_weights
from icgd.verify.relu_icgd import resolution
from icgd.verify.search import attack as module
from icgd.verify.search.alignment import phase_moves
from icgd.verify.search.ascent import Round
from icgd.verify.search.attack import LEADERLESS, PORTFOLIO, attack
from icgd.verify.search.climbs import _copied, _with_equal_rows, near_corners
from icgd.verify.search.covered import all_covered
from icgd.verify.search.free_signs import Passes, away_from_faces, free_signs
from icgd.verify.search.interface import Hunt
from icgd.verify.search.prompts import random_prompts, seeded
from icgd.verify.search.single_token import FoundTokens, TokenError, decode, encode
from icgd.verify.search.sweep import one_step_errors
from icgd.verify.strategies import problems

PROBLEM = Problem(N=3, K=3, d=2, n=4, eps=0.05)
BRIEF = (Round(64, 10, 0.2), Round(16, 10, 0.02))


def _hunt(problem=PROBLEM, seed=1, progress=silent):
    made = plan(problem)
    error = TokenError(made, all_covered, "cpu")
    leaders = encode(error.problem, free_signs(made, seeded(seed), pool=256, effort=0.3).tokens)
    return Hunt(made, error, leaders, 0.1, 1000, BRIEF, seeded(seed), progress)


@pytest.mark.slow
@given(
    problems(max_N=2, max_K=3, max_d=2, min_eps=0.03),
    st.sampled_from(["lean", "paper"]),
    st.integers(0, 2**32),
)
@settings(max_examples=8, deadline=None)
def test_no_attack_exceeds_the_bound_and_a_seed_repeats_it(problem, construction, seed):
    try:
        made = plan(problem, construction)
    except ProblemError:
        return
    found, again = (attack(made, seeded(seed), pool=100, rounds=(Round(16, 4, 0.2),)) for _ in range(2))
    worst = found.worst.check(problem)
    assert float(one_step_errors(assemble(made), worst)[0]) == found.largest
    assert found.largest <= problem.eta * made.bound + resolution(problem)
    assert (found.largest, found.evaluations) == (again.largest, again.evaluations)
    assert torch.equal(found.worst.w, again.worst.w)


@pytest.mark.parametrize("name", PORTFOLIO)
def test_every_search_finds_worse_tokens_than_it_was_told_and_says_their_error(name):
    hunt = _hunt()
    told = hunt.error.at(encode(hunt.error.problem, random_prompts(hunt.error.problem, 500, hunt.generator)))
    before = hunt.error.tried
    found = PORTFOLIO[name](hunt, {"told": told})
    assert float(found.values.max()) > 1.2 * float(told.values.max())
    # An ascent rounds its descent in another order than the sweep does.
    torch.testing.assert_close(hunt.error.at(found.points).values, found.values, rtol=1e-6, atol=1e-12)
    assert hunt.error.tried - before > 1000
    decode(hunt.error.problem, found.points).check(hunt.error.problem)


@pytest.mark.parametrize("name", PORTFOLIO)
def test_progress_ends_where_it_said(name):
    told = {}

    def begin(what, total, seconds):
        class Bar:
            def __enter__(self):
                told[what] = [0.0, total]
                return lambda done: told[what].__setitem__(0, told[what][0] + done)

            def __exit__(self, *_):
                return None

        return Bar()

    hunt = _hunt(progress=Progress(begin))
    PORTFOLIO[name](hunt, {"told": hunt.error.at(hunt.leaders)})
    assert told and all(done == pytest.approx(total) for done, total in told.values())


def test_copied_units_are_equal_and_ascents_keep_them_so():
    hunt = _hunt(replace(PROBLEM, K=4))
    problem = hunt.error.problem
    start = away_from_faces(hunt.plan, _copied(hunt, encode(problem, random_prompts(problem, 20, seeded(2)))))
    after = hunt.climb(start, BRIEF[0], lambda done: None)
    assert float((after.points - start).abs().max()) > 0.01
    for points in (start, after.points):
        first, middle, last = split_weights(problem, decode(problem, points).w)
        for v in (first, middle):
            assert torch.allclose(v, v[:, :1].expand_as(v), rtol=0, atol=1e-9)
        for v in (middle, last):
            assert torch.allclose(v, v[:, :, :1].expand_as(v), rtol=0, atol=1e-9)


def test_tokens_near_corners_have_equal_rows_and_a_z_of_their_own_in_each_first_unit():
    hunt = _hunt()
    points = _with_equal_rows(hunt)
    first, *later = split_weights(hunt.error.problem, points[:, : PROBLEM.D_w])
    x = points[:, PROBLEM.D_w : PROBLEM.D_w + PROBLEM.d]
    torch.testing.assert_close(
        torch.linalg.vector_norm(x, dim=-1), torch.full((len(x),), PROBLEM.B_x).double()
    )
    z = first @ x[:, :, None] / PROBLEM.d**0.5
    torch.testing.assert_close(first, z * x[:, None] * PROBLEM.d**0.5 / PROBLEM.B_x**2)
    size = z.abs().squeeze(-1)
    assert 0.8 < size.max() < 1 and size.quantile(0.2) < 0.1 < size.median()
    assert 0.2 < (size.max(dim=1).values - size.min(dim=1).values < 1e-12).double().mean() < 0.4
    y = points[:, -PROBLEM.d_out :].abs()
    assert y.min() > 0 and 0.4 < ((y - y[:, :1]).abs().max(dim=1).values < 1e-12).double().mean() < 0.6
    for v in later:
        torch.testing.assert_close(v.abs(), v[:, :1].abs().expand_as(v))
        assert torch.linalg.matrix_rank(v).max() == 1
        assert 0.7 <= v.abs().min() < 0.8 and v.abs().max() <= 1 and 0.3 < (v < 0).double().mean() < 0.7


def test_ascents_near_corners_come_close_to_the_bound_of_two_layers():
    """The other searches stop at about 1.4: they rarely place three different units at once."""
    made = plan(Problem(N=2, K=3, d=2, eps=1e-2))
    error = TokenError(made, all_covered, "cpu")
    none = torch.empty(0, error.problem.D_w + error.problem.d + error.problem.d_out)
    hunt = Hunt(made, error, none, 0.1, module.POOL, module.ROUNDS, seeded(0), silent)
    found = float(near_corners(hunt, {}).values.max())
    assert made.bound / 1.32 < found / made.problem.eta <= made.bound


def test_a_search_is_up_to_twice_as_wide_in_a_small_network():
    hunt = _hunt(replace(PROBLEM, N=2))
    for (N, K, d), wide in {
        (1, 3, 2): 192,
        (2, 3, 2): 192,
        (3, 3, 2): 120,
        (3, 4, 2): 96,
        (6, 4, 3): 96,
    }.items():
        plan_of = SimpleNamespace(problem=Problem(N=N, K=K, d=d))
        assert replace(hunt, plan=plan_of).widened(96) == wide


def test_a_phase_of_the_first_layer_moves_nearly_alone():
    """Not quite: by p(1) . g(1) = s(2) . z(2) phases depend on each other."""
    hunt, h = _hunt(replace(PROBLEM, N=2)), 1e-6
    points = torch.rand(30, hunt.leaders.shape[1], generator=seeded(3), dtype=torch.float64) - 0.5
    moves, units = phase_moves(hunt.plan, points), hunt.plan.problem.units

    def places(at):
        passes = Passes.of(hunt.plan, decode(hunt.plan.problem, at), {})
        parts = [z / one.z for z, one in zip(passes.z, hunt.plan.layers, strict=True)]
        parts += [g / one.g for g, one in zip(passes.g, hunt.plan.layers, strict=True)]
        return torch.cat(parts, dim=-1)

    for unit in range(hunt.plan.problem.K):
        moved = (places(points + h * moves[:, :, unit]) - places(points)) / h
        alone = torch.nn.functional.one_hot(torch.tensor(unit), 2 * units)
        assert float((moved - alone).abs().max()) < 0.25


def test_a_hunt_shares_its_survivors_among_searches():
    hunt = _hunt()
    low = FoundTokens(hunt.leaders, torch.linspace(1, 2, len(hunt.leaders), dtype=torch.float64))
    high = FoundTokens(hunt.leaders + 1, torch.linspace(3, 4, len(hunt.leaders), dtype=torch.float64))
    assert (
        sorted((hunt.survivors({"low": low, "high": high}, 6).values > 2.5).tolist())
        == [False] * 3 + [True] * 3
    )


def test_where_nothing_is_approximated_no_signs_are_searched_for(monkeypatch):
    problem = Problem.parse({"N": 2, "K": 2, "d": 2, "activation": "relu"})
    called: list[str] = []

    def spied(name, search):
        return lambda hunt, found: called.append(name) or search(hunt, found)

    monkeypatch.setattr(module, "PORTFOLIO", {name: spied(name, one) for name, one in PORTFOLIO.items()})
    attack(plan(problem, "exact"), seeded(4), pool=50, rounds=BRIEF)
    assert called == list(LEADERLESS)
