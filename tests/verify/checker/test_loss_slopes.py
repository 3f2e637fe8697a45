"""The checker's reading of losses against the prover's, and certificates that contain a formula."""

import copy
import json
from fractions import Fraction
from functools import cache

import pytest
from flint import arb, ctx

from icgd.bounds.loss import LOSSES, parse_loss
from icgd.bounds.problem import Problem
from icgd.bounds.step_error.plan import plan
from icgd.verify.certificate import shape
from icgd.verify.certificate.issue import certificate, posed_letters
from icgd.verify.certificate.proof import refusal
from icgd.verify.checker.lemmas import Refused
from icgd.verify.checker.loss_slopes import slope_of
from icgd.verify.checker.power_series import Unreadable, formula, jet
from icgd.verify.checker.relu import LOSSES as KNOWN
from icgd.verify.checker.relu import PRECISION, check


@pytest.fixture(autouse=True)
def precision():
    with ctx.workprec(PRECISION):
        yield


WRITTEN = [
    "(p - y)**2/2",
    "log(cosh(p - y))",
    "log(cosh(p + y))",
    "sqrt(1 + (p - 2*y)**2) - 1",
    "(p - y)*(p - y)*3 + y**4 - 2*p + 7",
    "log(1 + exp(p)) - y*p",
    "log(1 + exp(p)) - p*(y/2 + 1) - log(1 + exp(y))",
    "log(1 + exp(p - y)) - (p - y)/2",
    "p**4/4 + (y + 1)*(p - 2)",
    "1 - exp(-(y - p)**2)",
    "-cos(pi*(p - y))/pi + 2**-1*atan(p - y)",
    "-(-(p - y)**2)",
]


@pytest.mark.parametrize("text", WRITTEN)
def test_it_reads_the_slope_that_the_prover_derives(text):
    """Two routes: sympy's derivative of the formula, and power series with the form read off the syntax."""
    found, loss = slope_of(text), parse_loss(text)
    assert (found.rho, found.sigma) == (Fraction(loss.rho), Fraction(loss.sigma))
    for ball in (arb("0.3"), arb(0), arb("-1.2"), arb("0.4 +/- 0.2"), arb("-0.1 +/- 0.3")):
        ours, theirs = jet(found.phi, ball, 3), loss.phi.jet(ball, 3)
        assert all(one.is_finite() and one.overlaps(other) for one, other in zip(ours, theirs, strict=True))
        if ball.is_exact():
            assert all(one.rad() < 1e-24 for one in ours)


@pytest.mark.parametrize("text", WRITTEN[:4])
def test_the_slope_can_follow_another_function(text):
    """Where rho = 0 the slope of the loss is a function of z: phi after r, with all derivatives."""
    phi, inner = slope_of(text).phi, formula("sin(t)/2")
    for x in (arb("0.25"), arb("-1.5"), arb("0.3 +/- 0.1")):
        chained = jet(lambda at: phi(inner(at)), x, 1)
        value, slope = jet(inner, x, 1)
        outer = jet(phi, value, 1)
        assert chained[0].overlaps(outer[0]) and chained[1].overlaps(outer[1] * slope)


@pytest.mark.parametrize(
    "text",
    [
        "(p - y)*(p + y)",
        "p*p*y",
        "exp(p*y)",
        "log(cosh(p - y)) + log(cosh(p))",
        "sin((p - y)**2 + y)",
        "p/y",
        "(p - y)**y",
        "log(exp(p - y) + p*y)",
    ],
)
def test_what_is_not_seen_to_be_of_that_form_is_refused(text):
    with pytest.raises(Unreadable, match="the slope of the loss in p is phi"):
        slope_of(text)


@pytest.mark.parametrize("text", ["Abs(p - y)**3", "relu(p - y)**2", "Max(p - y, 1)", "Min(p - y, 1)**2"])
def test_kinks_are_refused(text):
    with pytest.raises(Unreadable, match="has no kink"):
        slope_of(text)


@pytest.mark.parametrize("text", ["q - y", "p.x", "[p]", "p if p else y", "log-cosh", "p @ y", "f(p)", "'p'"])
def test_what_is_no_formula_is_refused(text):
    with pytest.raises(Unreadable):
        jet(slope_of(text).phi, arb(1), 1)


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_of_the_table_is_readable(name):
    """By a name that the checker knows, or else by the formula that a certificate then carries."""
    loss = LOSSES[name]
    if name in KNOWN:
        phi, lip, at_zero, program = KNOWN[name]
        slope = formula(phi)
        rho, sigma = program["rho"], program["sigma"]
        assert lip >= loss.phi.derivative.sup(-3.0, 3.0) * (1 - 1e-8)  # balls around a jump carry 30 bits
        assert abs(arb(at_zero) - abs(loss.phi.ball(arb(0)))) < 1e-24
    else:
        slope, rho, sigma = slope_of(loss.formula)
    assert (rho, sigma) == (loss.rho, loss.sigma)
    for ball in (arb("0.2"), arb("-0.3"), arb("0.1 +/- 0.2")):  # Huber turns at 0.5, which is a clip's affair
        ours, theirs = jet(slope, ball, 2), loss.phi.jet(ball, 2)
        assert all(one.overlaps(other) for one, other in zip(ours, theirs, strict=True))


# Certificates that hold a formula.

SMALL = {"N": 2, "K": 2, "d": 2, "n": 3, "eps": 0.5, "loss": "log(cosh(p - y))"}


@cache
def made(construction="lean", **given):
    problem = Problem.parse(SMALL | given)
    return json.dumps(certificate(plan(problem, construction))), posed_letters(problem)


def test_the_losses_that_have_names_are_the_same_everywhere():
    assert {*shape.NAMED_LOSSES} == {*KNOWN} <= {*LOSSES}


@pytest.mark.parametrize("output", ["activated", "linear"])
@pytest.mark.parametrize("construction", ["lean", "paper"])
def test_a_formula_is_as_good_as_a_name(construction, output):
    text, posed = made(construction, output=output)
    assert posed["loss"] == SMALL["loss"] and refusal(json.loads(text), posed, construction) is None


def test_half_the_squared_loss_needs_no_units():
    text, posed = made(loss="(p - y)**2/2")
    assert json.loads(text)["program"]["loss"]["linear"] == 1.0
    assert refusal(json.loads(text), posed, "lean") is None


def put(path, change):
    def damage(found):
        *inner, last = path
        for key in inner:
            found = found[key]
        found[last] = change(found[last])

    return damage


FORGED = {
    "a flatter slope": (put(["lip"], lambda x: x / 2), "the lip of the loss slope holds"),
    "a slope a little flatter": (put(["lip"], lambda x: x * (1 - 1e-9)), "the lip of the loss slope holds"),
    "a negative lip": (put(["lip"], lambda x: -x), "lip of the loss slope holds"),
    "a smaller error": (put(["errors", "u[2]"], lambda x: x / 2), r"error u\[2\] covers"),
    "no error": (put(["errors", "u[2]"], lambda x: 0.0), r"error u\[2\] covers|range"),
    "a better fit": (put(["lemmas", "u[2]", "error"], lambda x: x / 2), r"lemma u\[2\] holds"),
    "a fit for less": (put(["lemmas", "u[2]", "reach"], lambda x: x / 2), r"lemma u\[2\] reaches"),
    "a smaller range": (put(["layers", 1, "g"], lambda x: x * 0.99), r"g\[2\] is in its range"),
    "another rho": (put(["program", "loss", "rho"], lambda x: 0.5), "rho of the program's loss slope"),
    "another sigma": (put(["program", "loss", "sigma"], lambda x: 1.0), "sigma of the program's loss slope"),
    "no units": (put(["program", "loss", "relus"], lambda x: None), "is computed where it is read"),
    "a factor": (put(["program", "loss", "linear"], lambda x: 1.0), "the loss slope is 1.0 times"),
    "an odd factor": (put(["program", "loss", "linear"], lambda x: 3.0), "power of 2 for a factor, not 3.0"),
    "another loss": (put(["problem", "loss"], lambda x: "log(cosh(p+y))"), "is what is proved"),
    "a spike": (
        put(["program", "loss", "relus", "c"], lambda c: [c[0] * 1.5, *c[1:]]),
        r"lemma u\[2\] holds",
    ),
}


@pytest.mark.parametrize("name", FORGED)
def test_forgeries_are_refused_by_name(name):
    damage, words = FORGED[name]
    text, posed = made()
    found = json.loads(text)
    assert check(copy.deepcopy(found), posed, "lean") == found["certified"]
    damage(found)
    with pytest.raises(Refused, match=words):
        check(found, posed, "lean")


def test_a_certificate_without_its_lip_is_refused():
    text, posed = made()
    found = json.loads(text)
    del found["lip"]
    assert refusal(found, posed, "lean") == "there is a field 'lip'"
    with pytest.raises(Refused, match="there is a field 'lip'"):
        check(found, posed, "lean")


def test_a_named_loss_has_no_field_for_it():
    text, posed = made(loss="squared")
    found = json.loads(text)
    assert refusal(found, posed, "lean") is None
    assert refusal(found | {"lip": 2.0}, posed, "lean") == "there is no field 'lip'"


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        ("3*(p - y)**2", "the loss slope has a power of 2 for a factor, not 6.0"),
        ("Min(Abs(p - y), 1)*(Abs(p - y) - Min(Abs(p - y), 1)/2)", "has no kink, though Abs stands"),
        ("(p - y)*(p + y) - 2*p*y", "the slope of the loss in p is phi"),
    ],
)
def test_what_it_cannot_follow_it_says_in_one_sentence(loss, words):
    text, posed = made(loss=loss)
    reason = refusal(json.loads(text), posed, "lean")
    assert reason is not None and words in reason and "\n" not in reason
