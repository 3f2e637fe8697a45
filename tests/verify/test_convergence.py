"""Verdicts on convergence: correct bounds and transformers hold, damaged ones are caught by name."""

import re
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from icgd.bounds.activation import ACTIVATIONS
from icgd.bounds.convergence import Curvature, accumulated, curvature, diameter, distance, path_length
from icgd.bounds.problem import Problem
from icgd.bounds.step_error.plan import plan
from icgd.construct.block.assembly import assemble
from icgd.construct.prompt import box, split_weights
from icgd.verify import convergence, hessian
from icgd.verify.certificate.constructions import CONSTRUCTIONS
from icgd.verify.convergence import KEYS, measure_descent, verify
from icgd.verify.data import descent_rows
from icgd.verify.data.descent_rows import random_and_real
from icgd.verify.descent import descend, gradient, project
from icgd.verify.hessian import certified_single_layer, eigenvalue_range, hessian_norms, hessian_search
from icgd.verify.search.prompts import random_prompts, seeded
from icgd.verify.several_steps import proof as several_steps_proof
from icgd.verify.several_steps.verdicts import rounded_up
from tests.rounding import gamma, of_eigenvalues

FLAT = Problem(N=1, activation=ACTIVATIONS["identity"], eps=0.01)
CURVED = Problem(N=2, K=3, d=2, d_out=1, n=4, L=4)


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(hessian, "_ASCENT", 25)
    monkeypatch.setattr(hessian, "SAMPLED", 128)
    monkeypatch.setattr(convergence, "_LONG", 20)
    monkeypatch.setattr(descent_rows, "FOLLOWED", 8)


def status(found):
    return {verdict.claim.removeprefix("convergence/"): verdict.status for verdict in found.verdicts}


class Damaged:
    """Exact descent with a damage, in the place of a transformer."""

    def __init__(self, problem, factor=1.0):
        self.problem, self.factor = problem, factor

    def to(self, device):
        return self

    def simulate(self, prompt, steps=None):
        path = [prompt.w]
        for _ in range(steps):
            slope = gradient(self.problem, prompt.with_weights(path[-1]))
            path.append(project(self.problem, path[-1] - self.factor * self.problem.eta * slope))
        return torch.stack(path)


def test_every_claim_is_kept():
    found = verify(CURVED)
    expected = {"lemma-14": "vacuous", "on-prompts": "proved on given prompts"}
    assert status(found) == dict.fromkeys(KEYS, "held") | expected
    assert [claim.key.removeprefix("convergence/") for claim in found.claims] == [
        key for key in KEYS if key != "on-prompts"
    ]
    assert len(found.grids[0].rows) == CURVED.L + 1 and len(found.plots[0].curves) == 6
    assert found.problem.options == CURVED.options


def test_several_steps_are_proved_with_certificates():
    found = verify(CURVED, certify=True)
    judged = {verdict.claim.removeprefix("convergence/"): verdict for verdict in found.verdicts}
    by_certificate = ("accumulation", "accumulation-split", "several-steps", "corollary-1.1")
    assert all(judged[key].said == "proved by certificate" for key in by_certificate)
    assert judged["lipschitz"].said == judged["spectrum"].said == "proved by balls"
    proved, allowed = found.grids[0].rows[-1][-1], found.grids[0].rows[-1][-2]
    assert found.grids[0].columns[-2:] == ("bound, cells", "proved") and 0 < proved < allowed
    assert proved == found.census["distance after L steps, proved"]
    assert f"<= {rounded_up(proved, 6)} for every l <= 4" in judged["several-steps"].evidence
    below, above = found.census["least eigenvalue, proved"], found.census["largest eigenvalue, proved"]
    low, high = re.search(r"from (\S+) to (\S+) on all of W", judged["spectrum"].evidence).groups()
    assert float(low) <= below < above <= float(high)
    of_step, of_spectrum = found.trusted[:-1], found.trusted[-1]
    assert of_step == CONSTRUCTIONS["lean"].trusted and "several_steps/spectrum_check.py" in of_spectrum


@pytest.mark.slow
def test_mutants_of_several_steps_are_not_proved(monkeypatch):
    """Half of the spectrum's bounds are refused, and a run that leaves the bounds fails."""
    true = several_steps_proof.hessian_spectrum(CURVED)
    halved = replace(true, above=replace(true.above, bound=true.above.bound / 2))
    monkeypatch.setattr(several_steps_proof, "hessian_spectrum", lambda problem: halved)
    judged = status(verify(CURVED, certify=True))
    assert judged["spectrum"] == judged["several-steps"] == judged["lipschitz"] == "held"
    doubled = status(verify(CURVED, certify=True, transformer=Damaged(CURVED, 2.0)))
    assert doubled["several-steps"] == "failed" and doubled["on-prompts"] == "inapplicable"
    wrong = assemble(plan(replace(CURVED, n=8)), n=1)
    wrong.problem = replace(CURVED, n=8)
    judged = status(verify(replace(CURVED, n=8), transformer=wrong))
    assert judged["several-steps"] == judged["on-prompts"] == "failed"


def test_one_layer_is_proved():
    found = verify(Problem(N=1))
    assert status(found)["lipschitz"] == "proved" and "failed" not in status(found).values()


def test_no_constant_where_r_has_a_kink():
    found = verify(Problem(activation=ACTIVATIONS["relu"]))
    assert set(status(found).values()) == {"inapplicable"}


def test_a_bound_beyond_the_diameter_is_vacuous():
    judged = status(verify(replace(CURVED, eps=1e3), transformer=Damaged(replace(CURVED, eps=1e3))))
    assert judged["accumulation"] == judged["accumulation-split"] == "vacuous"


def test_a_bound_is_vacuous_where_it_says_nothing_at_the_last_step():
    """At L = 5 the accumulated errors would exceed the diameter of W; up to l = 4 they do not."""
    verdicts = {v.claim.removeprefix("convergence/"): v for v in verify(Problem(L=5)).verdicts}
    assert verdicts["accumulation"].status == "vacuous" and verdicts["accumulation-split"].status == "held"
    assert "says nothing at l = 5, and less only up to l = 4" in verdicts["accumulation"].evidence
    assert "no less than the diameter 6.325 of W" in verdicts["accumulation"].evidence
    short = {v.claim.removeprefix("convergence/"): v for v in verify(Problem(L=1, N=1)).verdicts}
    assert short["stationary"].status == "vacuous" and short["accumulation"].status == "held"
    assert "no projected gradient on W exceeds this" in short["stationary"].evidence


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.1, 2.0]), st.sampled_from([0.05, 3.0]))
def test_paths_with_large_errors_are_no_longer_than_their_bounds(seed, eta, eps):
    problem = replace(CURVED, eta=eta, eps=eps)
    path = convergence._with_largest_errors(problem, random_prompts(problem, 16, seeded(seed)), 6)
    for step, apart in enumerate(path.apart.amax(dim=1).tolist()):
        if step:
            room = 1e-12 * diameter(problem)  # 6 steps of float64
            assert apart <= path_length(problem, step) + room
            assert apart <= distance(problem, curvature(problem).lam, step) + room


def test_no_large_error_is_lost_on_a_face():
    """On the coordinates that Proj leaves alone, each step ends eta eps further from exact descent."""
    problem = Problem(N=2, K=2, d=1, n=2, B_y=1e3, eps=2.0)
    path = convergence._with_largest_errors(problem, random_prompts(problem, 256, seeded(0)), 4)
    checked, grown = 0, problem.eta * problem.eps
    faces = box(problem, path.prompt.w)
    for w, to, at in zip(path.iterates[:-1], path.iterates[1:], path.exact[1:], strict=True):
        target = w - problem.eta * gradient(problem, path.prompt.with_weights(w))
        free = target.abs() < faces
        kept = (to.abs() < faces).eq(free).all(dim=1)
        assert checked or kept.all()  # the first error points inwards
        whole = free.any(dim=1) & ~free.all(dim=1) & kept
        before, after = ((free * (v - at)).norm(dim=1)[whole] for v in (target, to))
        assert torch.allclose(after, before + grown, rtol=0, atol=1e-13 * problem.B_y)
        checked += int(whole.sum())
    assert checked


def test_a_step_too_long_is_named():
    posed = replace(FLAT, eta=2.5)
    judged = status(verify(posed, transformer=Damaged(posed)))
    assert judged["decrease"] == judged["stationary"] == "inapplicable"
    ours = next(one for one in verify(posed).verdicts if one.claim.endswith("/decrease"))
    assert ours.status == "held" and "1/Lambda" in ours.evidence


@pytest.mark.parametrize("problem", [FLAT, CURVED, Problem(N=1)])
def test_mutant_lambda_below_the_largest_hessian_norm(problem):
    found = curvature(problem)
    _, ascended = hessian_search(problem, seeded(0))
    small = replace(found, lam=0.99 * ascended)
    judged = status(verify(problem, bounds=small, transformer=Damaged(problem)))
    assert judged["lipschitz"] == "failed"


def test_mutant_halved_lambda():
    found = curvature(FLAT)
    judged = verify(FLAT, bounds=replace(found, lam=found.lam / 2), transformer=Damaged(FLAT))
    assert status(judged)["lipschitz"] == "failed" and "--N 1" in judged.verdicts[0].replay


def test_mutant_rest_that_eigenvalues_exceed():
    found = curvature(CURVED)
    low, _ = eigenvalue_range(CURVED, seeded(0))
    small = Curvature(found.lam, found.gauss_newton, -0.5 * low)
    assert status(verify(CURVED, bounds=small, transformer=Damaged(CURVED)))["accumulation-split"] == "failed"


@pytest.mark.parametrize(
    "wrong",
    [
        lambda rate, step, eps, steps: eps / max(rate, 1e-9) * (1 - (1 + step * rate) ** -steps),
        lambda rate, step, eps, steps: accumulated(rate, step, eps, steps) / 2,
        lambda rate, step, eps, steps: step * eps * steps * 0.99,
        lambda rate, step, eps, steps: step * eps,
    ],
    ids=["sign of the exponent", "half", "linear and short", "no accumulation"],
)
def test_mutant_accumulation_bounds(monkeypatch, wrong):
    monkeypatch.setattr(
        convergence, "distance", lambda problem, rate, l: wrong(rate, problem.eta, problem.eps, l)
    )
    assert status(verify(CURVED, transformer=Damaged(CURVED)))["accumulation"] == "failed"


@pytest.mark.parametrize("factor", [2.0, 0.5, -1.0, 0.0, float("nan")])
def test_mutant_steps(factor):
    """The factor 1/2 of L_n forgotten or taken twice, the wrong sign, no step at all, not a number."""
    judged = status(verify(FLAT, transformer=Damaged(FLAT, factor)))
    assert judged["accumulation"] == judged["accumulation-split"] == "failed"
    if factor == -1 or factor != factor:
        assert judged["decrease"] == "failed"
    if factor in (0, -1) or factor != factor:
        assert judged["stationary"] == "failed"


def test_mutant_update_for_another_number_of_examples():
    """(n+1)/(2n) of a single example in the place of the right one: the real construction, damaged."""
    wrong = assemble(plan(replace(FLAT, n=8)), n=1)
    wrong.problem = replace(FLAT, n=8)
    judged = status(verify(replace(FLAT, n=8), transformer=wrong))
    assert judged["accumulation"] == "failed"


def test_mutant_descent_inequality():
    """At eta = 1.9 least squares gains 0.05 m^2 a step; a Lambda of a half promises 0.525 m^2."""
    posed = replace(FLAT, eta=1.9, eps=1e-6)
    prompt = random_prompts(posed, 8, seeded(0))
    path = descend(posed, prompt, 10)
    assert measure_descent(posed, 1.0, path, prompt)[0] == 0
    assert measure_descent(posed, 0.5, path, prompt)[0] > 0


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 3), st.sampled_from(["activated", "linear"]))
def test_hessians_of_a_plain_network_lie_in_the_bounds(seed, depth, output):
    """The network written out again, torch's own Hessian: its eigenvalues, and the power iteration's norm."""
    problem = Problem(N=depth, K=2, d=2, n=3, output=output)
    prompt = random_prompts(problem, 1, seeded(seed))

    def loss(w):
        p = prompt.x[0]
        for layer, v in enumerate(split_weights(problem, w[None]), start=1):
            p = p @ v[0].T
            p = p if output == "linear" and layer == depth else torch.tanh(p)
        return ((p - prompt.y[0]) ** 2).sum() / (2 * problem.n)

    hessian = torch.autograd.functional.hessian(loss, prompt.w[0])
    values, found = torch.linalg.eigvalsh(hessian), curvature(problem)
    # All that an entry adds up, in fewer than 200 operations, is bounded by lam, too.
    room = of_eigenvalues(hessian.numpy()) + float(gamma(200)) * found.lam
    assert float(values.abs().max()) <= found.lam + room
    assert -found.rest - room <= float(values.min())
    assert float(values.max()) <= found.gauss_newton + found.rest + room
    v = torch.randn(prompt.w.shape, generator=seeded(seed), dtype=torch.float64)
    norms, _ = hessian_norms(problem, prompt, v / v.norm(), 200)
    largest = float(values.abs().max())
    # 200 steps from a random start miss a tenth once in 10^8 (Kuczynski and Wozniakowski 1992, Theorem 4.1).
    assert 0.9 * largest - room <= float(norms[0]) <= largest + room


def test_the_certificate_refuses_a_constant_that_is_too_small(monkeypatch):
    monkeypatch.setattr(hessian, "_BOXES", 400)
    problem = Problem(N=1)
    _, ascended = hessian_search(problem, seeded(0))
    assert certified_single_layer(problem, 0.999 * ascended) is None
    assert certified_single_layer(problem, curvature(problem).lam) is not None


def test_real_prompts_where_the_table_is_wide_enough():
    made, missing = random_and_real(CURVED, seeded(0), "cpu")
    assert [name for name, _ in made] == ["random", "diabetes"] and not missing
    made, missing = random_and_real(Problem(d=8, d_out=8), seeded(0), "cpu")
    assert len(made) == 1 and "d_out = 8" in missing


@pytest.mark.parametrize("loss", ["squared", "logistic", "huber"])
@pytest.mark.parametrize("activation", ["identity", "tanh", "sigmoid", "gelu"])
def test_the_certificate_settles_every_single_layer(activation, loss):
    """Least squares and the logistic loss with r = identity attain Lambda: nothing is left to spare there."""
    problem = Problem.parse({"N": 1, "activation": activation, "loss": loss, "B_x": 2.0})
    lam = curvature(problem).lam
    assert certified_single_layer(problem, lam) is not None
    _, ascended = hessian_search(problem, seeded(1))
    assert ascended <= lam
    if activation == "identity":
        assert ascended == pytest.approx(lam, rel=1e-3)


@given(st.floats(1e-12, 1e12), st.sampled_from((4, 6)))
def test_a_bound_in_a_sentence_is_not_below_the_bound(value, digits):
    shown = float(rounded_up(value, digits))
    # A bound that is short in decimals stays short.
    assert value * (1 - 2.0**-49) <= shown <= value * (1 + 10.0 ** (1 - digits))
    assert rounded_up(shown, digits) == f"{shown:.{digits}g}"
