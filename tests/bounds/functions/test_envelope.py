"""The envelope: no choice of units exceeds it, and it is close to the concave envelope by brute force."""

import flint
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icgd.bounds.activation import parse_activation
from icgd.bounds.functions import envelope as module
from icgd.bounds.functions.envelope import BINS, QUANTITIES, envelope, joint_envelope
from icgd.bounds.functions.scalar import PRECISION, lower_float, upper_float

NAMES = (
    "tanh",
    "sigmoid",
    "softplus",
    "gelu",
    "sin",
    "identity",
    "t**3-t",
    "cos(3*t)",
    "1000*tanh(t)",
    "t/9999",
)


def values(name, z):
    """r^2 and every quantity at z."""
    r = parse_activation(name).r
    slope, bend = r.derivative(z), r.derivative.derivative(z)
    return r(z) ** 2, {"slope": np.abs(slope), "slope2": slope**2, "bend2": bend**2}


def balls(name, z):
    """r^2 and every quantity at z, in balls that hold them."""
    jets = [parse_activation(name).r.jet(flint.arb(x), 2) for x in z.tolist()]
    return [r * r for r, _, _ in jets], {
        "slope": [abs(slope) for _, slope, _ in jets],
        "slope2": [slope * slope for _, slope, _ in jets],
        "bend2": [bend * bend for _, _, bend in jets],
    }


@st.composite
def units(draw):
    """An envelope, a largest |z|, and units inside: anywhere, at the two ends, or all on one side."""
    name, reach = draw(st.sampled_from(NAMES)), draw(st.sampled_from([0.05, 0.7, 2.0, 5.0]))
    rng = np.random.default_rng(draw(st.integers(0, 2**20)))
    share = draw(st.one_of(st.floats(0, 1), st.integers(0, BINS).map(lambda m: m / BINS)))
    z = share * reach * rng.uniform(-1, 1, (12, draw(st.integers(1, 4))))
    match draw(st.sampled_from(["anywhere", "ends", "one side", "one side"])):
        case "ends":
            z = share * reach * np.sign(z)
        case "one side":
            z = draw(st.sampled_from([-1, 1])) * np.abs(z)
    return name, reach, share * reach, z


@pytest.mark.slow
@settings(deadline=None, max_examples=150)
@given(units(), st.floats(0, 1), st.floats(0, 1))
def test_no_units_beat_the_envelope(drawn, below, above):
    name, reach, largest, z = drawn
    table = envelope(parse_activation(name).r, reach)
    bins = table.bin(np.array([largest]))
    (m,) = bins.tolist()
    with flint.ctx.workprec(PRECISION):
        for units in z:
            square, quantities = balls(name, units)
            mean = sum(square) / len(square)
            for r2, slope, bend2 in zip(square, quantities["slope"], quantities["bend2"], strict=True):
                assert not r2 > table.square[m] and not r2 < table.least[m]
                assert not slope > table.slope[m] and not bend2 > flint.arb(table.bend[m]) ** 2
            narrow = lower_float(mean), upper_float(mean)
            for low, high in (narrow, (narrow[0] * (1 - below), narrow[1] * (1 + above))):
                for quantity in QUANTITIES:
                    average = sum(quantities[quantity]) / len(square)
                    assert not average > float(
                        table.average(quantity, bins, np.array([low]), np.array([high]))[0]
                    )


def test_steps_reach_as_far_as_asked():
    table = envelope(parse_activation("tanh").r, 3.0)
    z = np.concatenate([np.linspace(0, 3, 997), np.arange(BINS + 1) * 3 / BINS, [3.1]])
    bins = table.bin(z)
    assert (bins * 3 / BINS >= np.minimum(z, 3) * (1 - 1e-15)).all() and bins.max() == BINS
    assert ((bins - 1) * 3 / BINS <= z).all()  # and no step is wasted
    assert bins[0] == 0


def turns_left(a, b, c):
    return (b[0] - a[0]) * (c[1] - a[1]) >= (b[1] - a[1]) * (c[0] - a[0])


def hull(x, y, at):
    """The concave envelope of points (x, y), at `at`: the least line above them that brute force finds."""
    order = np.lexsort((y, x))
    kept = []
    for point in zip(x[order], y[order], strict=True):
        while len(kept) > 1 and turns_left(kept[-2], kept[-1], point):
            kept.pop()
        kept.append(point)
    top = [max(v for u, v in kept if u == kept[0][0]), *(v for _, v in kept[1:])]
    return np.interp(at, [u for u, _ in kept], top)


@pytest.mark.parametrize("quantity", QUANTITIES)
@pytest.mark.parametrize("name", ["tanh", "sigmoid", "softplus", "gelu", "sin", "identity"])
def test_it_is_nearly_the_concave_envelope(name, quantity):
    table = envelope(parse_activation(name).r, 2.0)
    for share in (1.0, 0.8, 0.4, 0.1):
        square, quantities = values(name, np.linspace(-2 * share, 2 * share, 2001))
        at = np.linspace(square.min(), square.max(), 40)
        bins = table.bin(np.full(len(at), 2 * share))
        found, best = table.average(quantity, bins, at, at), hull(square, quantities[quantity], at)
        assert (found >= best * (1 - 1e-9)).all()
        loose = 0.35 if quantity == "bend2" else 0.06  # of second order, and few tangents do
        assert np.max(found - best) <= loose * quantities[quantity].max() + 1e-10, share


def test_the_joint_envelope_is_nearly_what_units_and_targets_attain():
    """For tanh, in closed form: s = (1 - r^2) (r - y), and its slope in z."""
    K, reach = 3, 1.5
    table, rng = joint_envelope(parse_activation("tanh").r, reach, K, 1.0), np.random.default_rng(0)
    largest = {"signal": 0.0, "drift": 0.0}
    for _ in range(30):
        r = np.tanh(rng.uniform(-1, 1, (4000, K)) * reach * rng.uniform(0, 1, (4000, 1)) ** 0.5)
        d, mean = 1 - r * r, (r * r).mean(axis=1)
        parts = {"signal": (d * r, d), "drift": (d * d - 2 * r * r * d, -2 * r * d)}
        for name, (a, b) in parts.items():
            y = rng.normal(size=r.shape)
            for _ in range(8):  # towards the best y for these units, along the gradient
                y = -b * (a - b * y)
                y /= np.linalg.norm(y, axis=1, keepdims=True) + 1e-300
            norm = np.linalg.norm(a - b * y, axis=1)
            bound = table.norm(name, np.full(len(mean), BINS), mean, mean)
            assert (norm <= bound).all()
            for ends in ((0 * mean, mean), (mean, mean + 1)):
                assert (norm <= table.norm(name, np.full(len(mean), BINS), *ends)).all()
            largest[name] = max(largest[name], float((norm / bound).max()))
    assert min(largest.values()) > 0.97


def test_joint_forms_are_below_their_suprema_on_every_box():
    """a^2 mu / (mu - b^2) of tanh from both sides, without the room for rounding, at points of each box."""
    r, reach, boxes = parse_activation("tanh").r, 1.5, 16 * BINS
    whole, middle = module._jets(r, reach, 16)
    products = module._half_square(whole), module._half_square(middle)
    t = np.tanh((np.arange(boxes) + np.linspace(0, 1, 9)[:, None]) * reach / boxes)
    d = 1 - t * t
    for k, mu, a, b in ((1, 1.3, t * d, d), (2, 0.8, d * d - 2 * t * t * d, -2 * t * d)):
        phi = a * a * mu / (mu - b * b)
        part = module._freed(mu, [x[k:] for x in products], (whole[k:], middle[k:]))
        for sign, one in ((1, part), (-1, -part)):
            high, _ = one.suprema(reach / boxes / 2, 0.0)
            assert (high + 1e-13 > (sign * phi).max(axis=0)).all()  # phi is the same at -z


def test_there_is_no_joint_envelope_of_a_line():
    assert joint_envelope(parse_activation("identity").r, 1.0, 2, 1.0) is None


def test_large_outputs_and_steep_units_exclude_each_other():
    table = envelope(parse_activation("tanh").r, 4.0)
    squares = np.array([0.0, 0.25, 0.64])
    found = table.average("slope", np.full(3, BINS), squares, squares)
    np.testing.assert_allclose(found, 1 - squares, atol=20 / BINS**2)  # tanh' = 1 - tanh^2


def test_what_has_no_finite_enclosure_is_refused():
    with pytest.raises(ValueError, match="no finite enclosure"):
        envelope(parse_activation("tan(t)").r, 3.0)
