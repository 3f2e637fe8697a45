"""Linear attention of others is judged as what it is: a trained checkpoint, a layer by hand, impostors."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

import icgd
from icgd.bounds.letters import ProblemError
from icgd.construct.given_linear import GivenLinear, descent
from icgd.construct.preconditioned import build, one_layer
from icgd.verify.given_linear.judge import _descent_verdict, judge_linear
from icgd.verify.given_linear.linear_prompt import LinearCounterexample, replay_linear
from icgd.verify.given_linear.nearest_descent import LinearPrompt, Radii
from tests.numpy_linear_attention import descended, descent_matrices, prediction

QUICK = {"samples": 100, "effort": 0.02}


def train(layers, d, n, steps, seed=0):
    """A state dict {"allparam": (layers, 1, 2, d, d)}, trained on linear regression, in our own code."""
    torch.manual_seed(seed)
    allparam = torch.nn.Parameter(0.05 * torch.randn(layers, 1, 2, d, d))
    search = torch.optim.Adam([allparam], lr=0.02)
    for _ in range(steps):
        w, x = torch.randn(400, d), torch.randn(400, n + 1, d)
        labels = (x * w[:, None]).sum(-1)
        tokens = torch.cat([x, labels[..., None] * (torch.arange(n + 1) < n)[:, None]], dim=-1)
        for P, Q in allparam[:, 0]:
            full = torch.block_diag(P, torch.ones(1, 1))
            scores = tokens[..., :d] @ Q @ tokens[:, :n, :d].mT
            tokens = tokens + scores @ (tokens[:, :n] @ full.T) / n
        loss = (tokens[:, -1, -1] + labels[:, -1]).square().mean()
        search.zero_grad()
        loss.backward()
        search.step()
    return {"allparam": allparam.detach()}, loss.item()


def test_a_trained_checkpoint_is_judged_without_conversion(tmp_path):
    d, n = 2, 12
    state, _ = train(1, d, n, 150)
    torch.save({"model_state_dict": state, "epoch": 3}, tmp_path / "trained.pt")
    with pytest.raises(ProblemError, match="it is a pickle"):
        icgd.judge(tmp_path / "trained.pt", n)
    found = icgd.judge(tmp_path / "trained.pt", n, trust_pickle=True, **QUICK)
    # One layer reads no entry of P but the 1 in its corner, so it is descent whatever the training did.
    (A,) = np.array(found.proved, dtype=float)
    assert found.verdicts[0].said == "proved by exact arithmetic"
    assert np.array_equal(A, -state["allparam"][0, 0, 1].double().numpy())
    least = n / (n + d + 1)  # arXiv 2306.00297, Theorem 1, for S = I
    assert np.abs(A - least * np.eye(d)).max() < 0.1
    assert 0 <= float(found.loss.value) - d * (1 - least) < 0.05
    assert abs(float(found.loss.value) - found.loss.sampled[0]) < found.loss.sampled[1]
    plain = found.nearest["plain"]
    assert 0 < plain.attacked <= plain.certified <= 1.05 * plain.attacked


def test_a_deep_checkpoint_is_named_and_bounded():
    state, loss = train(2, 2, 12, 100)
    found = icgd.judge(state, 12, **QUICK)
    assert found.proved is None and found.verdicts[0].status == "failed"
    assert "GD++" in found.conclusion and loss < 0.8
    for one in found.nearest.values():
        assert 0 < one.sampled <= one.attacked <= one.certified
    replayed = replay_linear(found.given, None, found.counterexamples["descent"])
    assert replayed.status == "failed"
    lax = replay_linear(found.given, None, found.counterexamples["descent"], n=12, tolerance=1e-9)
    assert lax.status == "held" and "the nearest descent found" in lax.evidence
    assert found.weights[0] == 1.0 > found.weights[1] > found.weights[2]
    best = found.nearest["preconditioned"]
    lazy = {"samples": 50, "effort": 0.0}
    bound = icgd.judge(state, 12, **lazy).nearest["preconditioned"].certified
    assert icgd.judge(state, 12, tolerance=bound, **lazy).verdicts[0].said == "proved by balls"
    held = icgd.judge(state, 12, tolerance=(best.attacked + best.certified) / 2, **lazy)
    assert held.verdicts[0].status == "held"
    # One descent that is farther than a tolerance refutes no other.
    held = icgd.judge(state, 12, tolerance=1e-6, **lazy)
    assert held.verdicts[0].status == "held" and not held.counterexamples
    assert "the nearest descent found" in held.verdicts[0].evidence


def test_von_oswalds_layer_is_a_step_of_descent(tmp_path):
    """arXiv 2212.07677, Proposition 1, with W_0 = 0: keys and queries x, values (0; -y), P = eta/N I."""
    d, n, eta = 3, 8, 0.75
    keys = np.diag([1.0] * d + [0.0])
    values = np.diag([0.0] * d + [-1.0])
    out = eta / n * np.eye(d + 1)
    named = {"Q": keys, "K": keys, "V": values, "P": out}
    path = tmp_path / "oswald.safetensors"
    save_file({f"layer.00.{name}": np.ascontiguousarray(one[None]) for name, one in named.items()}, path)
    found = icgd.judge(path, n, divide_by="1", **QUICK)
    assert found.proved == [[[Fraction(eta) * (i == j) for j in range(d)] for i in range(d)]]
    assert found.conclusion == "It is 1 step of gradient descent, exactly, for every prompt."
    assert found.nearest["plain"].certified == 0
    rng = np.random.default_rng(0)
    x, y, query = rng.normal(size=(n, d)), rng.normal(size=n), rng.normal(size=d)
    by_hand = prediction([[out @ values]], [[keys.T @ keys]], x, y, query, divisor=1)
    assert by_hand == pytest.approx(descended([eta * np.eye(d)], x, y) @ query, 1e-12)
    other = icgd.judge(path, n + 1, divide_by="1", **QUICK)  # eta/N is for N examples alone
    assert other.proved[0][0][0] == Fraction(eta) / n * (n + 1)


def test_our_own_models_are_proved_from_module_or_file_and_held_against_each_other(tmp_path):
    problem = icgd.PreconditionedProblem(d=2, n=6, L=2)
    model = build(problem)
    model.save(tmp_path / "model.safetensors")
    found = icgd.judge(tmp_path / "model.safetensors", against=model, **QUICK)
    assert [one.said for one in found.verdicts] == ["proved by exact arithmetic"] * 2
    assert found.radii.n == 6 and problem.eigenvalues == found.S
    swapped = {"P": model.P.detach().flip(0), "Q": model.Q.detach().flip(0)}
    found = icgd.judge(swapped, 6, against=model, **QUICK)
    assert found.verdicts[1].status == "failed" and found.named_reference == "layers 0 and 1 are swapped"
    # The loss of the file is that of Theorem 1, in the eigenbasis of S.
    one = one_layer(problem)
    one.save(tmp_path / "one.safetensors")
    found = icgd.judge(tmp_path / "one.safetensors", **QUICK)
    trace = sum(problem.eigenvalues)
    least = sum(s - s**2 / ((1 + Fraction(1, 6)) * s + trace / 6) for s in problem.eigenvalues)
    assert float(found.loss.value) == pytest.approx(float(least), 1e-12)
    assert found.loss.gradient < 1e-12  # the entries are those of the minimiser, each rounded once


def test_a_counterexample_survives_its_file_and_nonsense_does_not(tmp_path):
    A = 0.5 * torch.eye(2, dtype=torch.float64)[None]
    found = judge_linear(descent(A.repeat(2, 1, 1)), 3, reference=descent(0.4 * A.repeat(2, 1, 1)), **QUICK)
    saved = found.counterexamples["reference"]
    path = tmp_path / "saved.json"
    path.write_text(saved.text, encoding="utf-8")
    loaded = LinearCounterexample.load(path)
    again = replay_linear(found.given, descent(0.4 * A.repeat(2, 1, 1)), loaded)
    assert again.status == "failed" and again.evidence.startswith(f"{saved.amount:.6g} apart")
    with pytest.raises(ProblemError, match="give it with --against"):
        replay_linear(found.given, None, loaded)
    with pytest.raises(ProblemError, match="its prompt is not for d = 3"):
        replay_linear(descent(torch.eye(3)[None].double()), None, loaded)
    for text in ('{"claim": "judge/descent"}', saved.text.replace('"query"', '"q"'), "[]", "nonsense"):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ProblemError, match="replay = "):
            LinearCounterexample.load(path)


def test_a_replay_is_of_this_file_and_this_tolerance():
    eye = torch.eye(2, dtype=torch.float64)
    P, Q = descent_matrices(np.array([0.5 * np.eye(2), 0.3 * np.eye(2)]))
    P[0, 0, 2, 0] = 0.1
    given = GivenLinear.of(torch.from_numpy(P), torch.from_numpy(Q))
    saved = judge_linear(given, 3, **QUICK).counterexamples["descent"]
    assert replay_linear(given, None, saved, n=3).status == "failed"
    exact = replay_linear(descent(torch.stack([eye, eye])), None, saved)
    assert exact.status == "held" and "the distance to the A_l of the saved file" in exact.evidence
    for words, other, options in (
        ("its prompt has 3 examples, and n is 4", given, {"n": 4}),
        ("it has 2 A_l, and the file L = 1", descent(eye[None]), {}),
    ):
        with pytest.raises(ProblemError, match=words):
            replay_linear(other, None, saved, **options)


def test_a_step_that_ascends_is_not_called_descent():
    for steps, words in (
        ([-0.5], "but not all descend; step 0 ascends: A_0 is negative definite."),
        ([0.5, -0.3], "but not all descend; step 1 ascends: A_1 is negative definite."),
    ):
        given = descent(torch.tensor(steps, dtype=torch.float64)[:, None, None] * torch.eye(2).double())
        found = judge_linear(given, 4, **QUICK)
        assert found.verdicts[0].status == "proved" and words in found.conclusion
        assert "ascends" in found.verdicts[0].evidence and "gradient descent" not in found.conclusion
    skew = torch.tensor([[[0.5, 0.2], [0.0, 0.5]]], dtype=torch.float64)
    assert "A_0 is not symmetric" in judge_linear(descent(skew), 4, **QUICK).conclusion


def test_the_nearest_descent_is_the_best_of_those_found():
    P, Q = descent_matrices(np.array([0.5 * np.eye(2), 0.3 * np.eye(2), 0.2 * np.eye(2)]))
    P[0, 0, 0, 0], Q[0, 0, 2, 0] = 1e-3, 1e-3
    made = GivenLinear.of(torch.from_numpy(P), torch.from_numpy(Q))
    found = judge_linear(made, 6, samples=30, effort=0.02)  # every box of a split is left out
    bounds = {kind: one.certified for kind, one in found.nearest.items()}
    for better in bounds:  # plain descent is a preconditioned one, too
        nearest = {
            kind: replace(one, certified=1.0 if kind == better else 3.0)
            for kind, one in found.nearest.items()
        }
        assert _descent_verdict(made, nearest, None, (), 2.0, {}).status == "proved"
    P, Q = descent_matrices(np.array([[[0.5]], [[0.3]]]))
    P[0, 0, 0, 0] = 0.1
    found = judge_linear(GivenLinear.of(torch.from_numpy(P), torch.from_numpy(Q)), 3, **QUICK)
    assert found.nearest["plain"].certified == found.nearest["preconditioned"].certified
    assert len(found.grids[0].rows) == 1 and "preconditioned" not in found.conclusion


def test_a_small_layer_beside_a_large_one_is_not_rounding():
    eye = torch.eye(2, dtype=torch.float64)
    given, other = (descent(torch.stack([1e5 * eye, small * eye])) for small in (1e-5, -1e-5))
    found = judge_linear(given, 4, reference=other, **QUICK)
    assert found.verdicts[1].status == "failed" and found.named_reference == "the sign of step 1 is wrong"
    assert replay_linear(given, other, found.counterexamples["reference"]).status == "failed"
    # Below the rounding of its layer an entry shows where a prompt reads it alone.
    given, other = (
        descent(torch.diag(torch.tensor([1e4, small], dtype=torch.float64))[None])
        for small in (1e-12, -1e-12)
    )
    assert judge_linear(given, 4, reference=other, **QUICK).verdicts[1].status == "held"
    ones = torch.ones(1, 1, dtype=torch.float64)
    alone = LinearPrompt(torch.tensor([[[0.0, 1.0]]]).double(), ones, torch.tensor([[0.0, 1.0]]).double())
    saved = LinearCounterexample("judge/reference", alone, None, 2e-12, 0.0)
    assert replay_linear(given, other, saved).status == "failed"
    thirds = GivenLinear.of(3 * given.P, given.Q / 3)
    assert judge_linear(thirds, 4, reference=given, **QUICK).verdicts[1].status == "held"


def test_what_is_not_allowed_is_said():
    given = descent(torch.eye(2, dtype=torch.float64)[None])
    for words, options in (
        ("n = 0", {"n": 0}),
        ("B_x = 0", {"n": 3, "B_x": 0.0}),
        ("B_y = inf", {"n": 3, "B_y": float("inf")}),
        ("tolerance = nan", {"n": 3, "tolerance": float("nan")}),
        ("S = 3: one variance, or 2", {"n": 3, "S": (Fraction(1),) * 3}),
        ("against = d = 1", {"n": 3, "reference": descent(torch.eye(1, dtype=torch.float64)[None])}),
    ):
        with pytest.raises(ProblemError, match=words):
            judge_linear(given, **options, **QUICK)
    assert Radii(5, 1.0, 2.0).as_dict() == {"n": 5, "B_x": 1.0, "B_y": 2.0}
