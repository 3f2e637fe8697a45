"""Tests that every entry of the open tables passes on every floor; the entries are read from the tables.

To test a new activation, loss, kernel or kind of attention, add it to its table.
"""

import json
from functools import cache

import numpy as np
import pytest
import torch
from flint import arb, ctx

from icgd import cli
from icgd.bounds.activation import ACTIVATIONS
from icgd.bounds.functional import FunctionalProblem
from icgd.bounds.functions.formula import FUNCTIONS
from icgd.bounds.hypotheses import hypotheses
from icgd.bounds.kernel import KERNELS
from icgd.bounds.letters import ProblemError
from icgd.bounds.loss import LOSSES
from icgd.bounds.problem import Problem
from icgd.bounds.relu_icgd import built, claims
from icgd.bounds.step_error.plan import plan
from icgd.construct import functional
from icgd.construct.block.attention import ATTENTIONS
from icgd.construct.block.census import census
from icgd.construct.block.elementwise import torch_callable
from icgd.construct.regression_tokens import stream
from icgd.construct.relu_icgd import assemble, check_construction
from icgd.verify.certificate.issue import certificate, posed_letters
from icgd.verify.certificate.proof import mismatch, refusal
from icgd.verify.checker import power_series, relu
from icgd.verify.checker.loss_slopes import slope_of
from icgd.verify.coq.export import export
from icgd.verify.descent import empirical_loss, gradient
from icgd.verify.kernels.formula import slope, values
from icgd.verify.kernels.given_inputs import convergence_on, kernel_balls
from icgd.verify.kernels.prompts import draw_examples, kernel_referee, kernel_values
from icgd.verify.search.ascent import Round
from icgd.verify.search.attack import attack
from icgd.verify.search.covered import coverage
from icgd.verify.search.prompts import random_prompts, seeded
from icgd.verify.search.sweep import one_step_errors

TINY = {"N": 2, "K": 1, "d": 1, "n": 2, "eps": 0.5, "L": 2}
AT = np.array([-2.3, -1.1, -0.35, 0.0, 0.2, 0.9, 1.7])
BALLS = ("0.3", "0", "-1.2", "0.4 +/- 0.2", "-0.1 +/- 0.3")


@cache
def planned(construction, given):
    return plan(Problem.parse(TINY | dict(given)), construction)


def check_everywhere(construction, **given):
    """A problem with this entry is planned, built, descended on, attacked, certified and exported."""
    made = planned(construction, tuple(given.items()))
    problem, transformer = made.problem, assemble(made)
    assert made.bound <= problem.eps and Problem.parse(problem.as_dict()) == problem
    counted = census(transformer).as_dict()
    for claim in built(problem, construction):
        if claim.relation == "==":
            assert counted[claim.quantity] == claim.value, claim.key
        elif claim.quantity in counted:
            assert counted[claim.quantity] <= claim.value * (1 + 1e-9), claim.key
    assert claims(problem) and all(one.why for one in hypotheses(problem))
    prompts = random_prompts(problem, 200, seeded(0))
    covers = coverage(made)
    errors = torch.where(covers(prompts), one_step_errors(transformer, prompts), 0.0)
    sampled = float(errors.max()) / problem.eta
    attacked = (
        attack(made, seeded(0), pool=64, rounds=(Round(8, 4, 0.1),), covers=covers).largest / problem.eta
    )
    assert max(sampled, attacked) <= made.bound + 1e-12
    if construction == "exact":
        return
    found = json.loads(json.dumps(certificate(made)))
    assert refusal(found, posed_letters(problem), construction) is None
    assert mismatch(found, transformer.literal()) is None


def check_export(folder, **given):
    """Coq gets the theorem, or the reader a sentence for each part that it does not get."""
    files = export(certificate(planned("lean", tuple(given.items()))), folder)
    missing = (folder / "missing.txt").read_text().splitlines()
    assert any(path.name == "instance.v" for path in files) == (not missing)
    assert all(": " in reason and 10 < len(reason) < 200 for reason in missing)


@pytest.mark.parametrize("name", ACTIVATIONS)
class TestActivation:
    """Smooth ones are certified; those with kinks are refused in one sentence but for what `exact` takes."""

    def test_it_goes_through_every_floor(self, name):
        problem = Problem.parse(TINY | {"activation": name})
        for construction in ("lean", "exact"):
            try:
                check_construction(problem, construction)
            except ProblemError as error:
                assert "\n" not in str(error) and ": " in str(error)
            else:
                check_everywhere(construction, activation=name)

    @pytest.mark.slow
    def test_a_smooth_one_is_certified_in_the_shape_of_the_theorem(self, name, tmp_path):
        if ACTIVATIONS[name].is_smooth:
            check_everywhere("paper", activation=name, loss="logistic")
            check_export(tmp_path, activation=name)
        else:
            with pytest.raises(ProblemError, match=rf"^activation = {name}: .*\(kink at "):
                planned("paper", (("activation", name),))

    def test_values_and_slopes_by_three_routes(self, name):
        r, formula = ACTIVATIONS[name].r, ACTIVATIONS[name].formula
        x = torch.from_numpy(AT.copy()).requires_grad_()
        value = torch_callable(r)(x)
        (steep,) = torch.autograd.grad(value.sum(), x)
        expected = values(formula, t=AT), slope(formula, "t", t=AT)
        for found in ((value.detach().numpy(), steep.numpy()), (r(AT), r.derivative(AT))):
            np.testing.assert_allclose(found[0], expected[0], atol=1e-14)
            away = AT != 0 if r.kinks else np.full(AT.shape, True)
            np.testing.assert_allclose(found[1][away], expected[1][away], atol=1e-14)

    def test_the_checker_reads_it_by_itself(self, name):
        """By a name that it has, or by the formula that certificates then hold: the same function."""
        known = posed_letters(Problem.parse(TINY | {"activation": name}))["activation"]
        assert known == (name if name in power_series.NAMED else ACTIVATIONS[name].formula)
        f, r = power_series.formula(known), ACTIVATIONS[name].r
        with ctx.workprec(128):
            for ball in map(arb, BALLS):
                if not any(ball.overlaps(arb(kink)) for kink in r.kinks):
                    check_jets(power_series.jet(f, ball, 4), r.jet(ball, 4), ball)

    def test_the_command_line_lists_it(self, name, capsys):
        assert name in shown(capsys, "relu-icgd", "--activation")


def check_jets(ours, theirs, ball):
    assert all(one.overlaps(other) for one, other in zip(ours, theirs, strict=True))
    if ball.is_exact() or ball.rad() < 1e-30:
        assert all(one.rad() < 1e-20 and other.rad() < 1e-20 for one, other in zip(ours, theirs, strict=True))


def shown(capsys, theorem, option):
    """What `--help` says of an option, on one line."""
    assert cli.main(["audit", theorem, "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    return text[text.index(f"{option} ") :].split(" --")[0]


@pytest.mark.parametrize("name", LOSSES)
class TestLoss:
    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("construction", "output"), [("lean", "activated"), ("lean", "linear"), ("paper", "activated")]
    )
    def test_it_goes_through_every_floor(self, name, construction, output):
        check_everywhere(construction, loss=name, output=output)

    def test_exact_takes_it_or_says_why_not(self, name):
        problem = Problem.parse(TINY | {"loss": name, "activation": "relu"})
        if LOSSES[name].phi.is_piecewise_linear:
            check_everywhere("exact", loss=name, activation="relu")
        else:
            with pytest.raises(ProblemError, match=rf"^loss = {name}: --construction exact needs"):
                check_construction(problem, "exact")

    def test_coq(self, name, tmp_path):
        check_export(tmp_path, loss=name)

    def test_descent_by_two_routes(self, name):
        """Autograd of the network's loss against a formula in numpy, one weight at a time."""
        problem = Problem.parse(TINY | {"N": 1, "activation": "identity", "loss": name})
        prompt = random_prompts(problem, 30, seeded(1))
        x, y, w = (part.numpy()[..., 0] for part in (prompt.x, prompt.y, prompt.w))
        p, formula = w[:, None] * x, LOSSES[name].formula
        expected = values(formula, p=p, y=y).sum(axis=1) / (2 * problem.n)
        np.testing.assert_allclose(empirical_loss(problem, prompt).numpy(), expected, atol=1e-14)
        expected = (slope(formula, "p", p=p, y=y) * x).sum(axis=1) / (2 * problem.n)
        np.testing.assert_allclose(gradient(problem, prompt).numpy()[:, 0], expected, atol=1e-14)

    def test_the_checker_reads_it_by_itself(self, name):
        loss = LOSSES[name]
        known = posed_letters(Problem.parse(TINY | {"loss": name}))["loss"]
        if known in relu.LOSSES:
            phi, _, _, program = relu.LOSSES[known]
            found, rho, sigma = power_series.formula(phi), program["rho"], program["sigma"]
        else:
            assert known == loss.formula
            found, rho, sigma = slope_of(known)
        assert (rho, sigma) == (loss.rho, loss.sigma)
        with ctx.workprec(128):
            for ball in map(arb, BALLS):
                if abs(ball) < min(map(abs, loss.phi.kinks), default=9):  # beyond its kinks it is a clip
                    check_jets(power_series.jet(found, ball, 2), loss.phi.jet(ball, 2), ball)

    def test_the_command_line_lists_it(self, name, capsys):
        assert name in shown(capsys, "relu-icgd", "--loss")


@pytest.mark.parametrize("name", KERNELS)
class TestKernel:
    def test_it_descends_as_the_formula_says(self, name, tmp_path):
        """Structured, literal, in balls and by the referee in numpy; and the file is written."""
        problem = FunctionalProblem(d=2, n=4, L=5, kernel=name)
        examples, transformer = draw_examples(problem, 6, seeded(0)), functional.build(problem)
        expected = kernel_referee(problem.heads, examples, problem.rate, problem.L)
        labels = transformer.labels(examples.x, examples.y, examples.query).numpy()
        literal = transformer(stream(examples.x, examples.y, examples.query)).numpy()[..., -1]
        np.testing.assert_allclose(labels, expected, atol=1e-12)
        np.testing.assert_allclose(literal, expected[-1], atol=1e-12)
        transformer.save(tmp_path / "weights.safetensors")

    def test_its_gram_matrices_in_balls_hold_the_floats(self, name):
        points = draw_examples(FunctionalProblem(d=2, n=4, kernel=name), 1, seeded(0)).plain(0)[0]
        floats = kernel_values(name, np.array([points]))[0]
        with ctx.workprec(128):
            for row, expected in zip(kernel_balls((name,), points), floats, strict=False):
                assert all(abs(ball - arb(value)) < 1e-14 for ball, value in zip(row, expected, strict=True))

    def test_no_eigenvalue_exceeds_its_bound(self, name):
        problem = FunctionalProblem(d=2, n=5, kernel=name, radius=1.5)
        examples = draw_examples(problem, 1, seeded(0))
        found = convergence_on((name,), *examples.plain(0), problem.rate)
        assert found is not None
        assert found.largest.upper() <= 5 * KERNELS[name].largest(1.5, 5) * (1 + 1e-12)
        assert not KERNELS[name].is_semidefinite or found.smallest.upper() >= 0

    def test_the_command_line_lists_it(self, name, capsys):
        assert name in shown(capsys, "functional", "--kernel")


@pytest.mark.parametrize("name", ATTENTIONS)
def test_a_kind_of_attention_mixes_values_by_the_kernel_of_its_scores(name):
    kind, scores = ATTENTIONS[name], np.random.default_rng(0).standard_normal((1, 3, 4))
    expected = np.broadcast_to(values(KERNELS[kind.kernel].formula, s=scores), scores.shape)
    expected = (
        expected / expected.sum(axis=-1, keepdims=True) if KERNELS[kind.kernel].normalised else expected
    )
    np.testing.assert_allclose(kind.weights(torch.from_numpy(scores)).numpy(), expected, rtol=1e-13)
    assert kind.divisor(4) in (1, 3, 4)


@pytest.mark.parametrize("name", FUNCTIONS)
class TestFunction:
    """Formulas may hold it because every floor knows it: none of them by another's word."""

    def test_it_is_known_on_every_floor(self, name):
        activation = f"{name}(t/3 + 2)"  # defined, and away from every kink
        scalar = Problem.parse(TINY | {"activation": activation}).activation.r
        expected = values(activation, t=AT), slope(activation, "t", t=AT)
        x = torch.from_numpy(AT.copy()).requires_grad_()
        value = torch_callable(scalar)(x)
        (steep,) = torch.autograd.grad(value.sum(), x)
        for found in ((value.detach().numpy(), steep.numpy()), (scalar(AT), scalar.derivative(AT))):
            np.testing.assert_allclose(found[0], expected[0], rtol=1e-13)
            np.testing.assert_allclose(found[1], expected[1], rtol=1e-12, atol=1e-14)
        f = power_series.formula(activation)
        with ctx.workprec(128):
            for ball in map(arb, BALLS):
                check_jets(power_series.jet(f, ball, 4), scalar.jet(ball, 4), ball)
