"""The bound on a cell: no network, token or choice of local errors exceeds it, and some networks attain it.

The adversary is a forward and backward pass of single tokens written out here, with an error of its own sign
in every unit.  Ascent makes the error large over weights, inputs, targets and signs; the bound of the cell
that holds just that network's activity must never be below it.
"""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from icgd.bounds.functions.envelope import SUPREMUM_ROOM as ENVELOPE_ROOM
from icgd.bounds.problem import Problem
from icgd.bounds.step_error.cover import cover
from icgd.bounds.step_error.recurrence import Term, ranges, step_error_bound
from icgd.bounds.step_error.worst_case import Cells, Setting
from icgd.verify.strategies import problems
from tests.rounding import in_float64

KINDS = ("r", "dr", "product", "z", "g", "update")
TORCH = {
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "softplus": torch.nn.functional.softplus,
    "gelu": torch.nn.functional.gelu,
    "sin": torch.sin,
    "identity": lambda z: 1.0 * z,
    "t/(1+exp(-t))": torch.nn.functional.silu,
    "cos(2*t)": lambda z: torch.cos(2 * z),
    "exp(t)": torch.exp,
}
BOUNDED = tuple(name for name in TORCH if name != "exp(t)")


def terms(problem):
    return [Term(kind, j) for kind in KINDS for j in range(1, problem.N + 1)] + [Term("u", problem.N)]


def setting_of(problem, errors, from_z):
    return Setting(problem, ranges(problem, errors), from_z)


def loss_slope(problem, p, y):
    match problem.loss.name:
        case "squared":
            return 2 * (p - y)
        case "logistic":
            return torch.sigmoid(p) - y
    return torch.clamp(p - y, -0.5, 0.5)


def step(problem, token, errors, signs, from_z):
    """The gradient of one token, all layers in one row, and the exact or approximate p(1..N)."""

    def off(kind, j):
        term = Term(kind, j)
        return errors[term] * signs[term] if term in signs and term in errors else 0.0

    *matrices, x, y = token
    p, dr = [x], []
    for j, v in enumerate(matrices, start=1):
        function = TORCH[problem.activation_at(j).name]
        z = (v @ p[-1][..., None])[..., 0] + off("z", j)
        live = z if z.requires_grad else z.requires_grad_()
        exact = function(live)
        (slope,) = torch.autograd.grad(exact.sum(), live, create_graph=True)
        p.append(exact + off("r", j))
        dr.append(slope + off("dr", j))
    g = loss_slope(problem, exact if from_z else p[-1], y) + off("u", problem.N)
    blocks = []
    for j in range(problem.N, 0, -1):
        s = dr[j - 1] * (g + off("g", j)) + off("product", j)
        block = s[..., :, None] * p[j - 1][..., None, :] / 2
        blocks.append((block + off("update", j)).flatten(1))
        g = (matrices[j - 1].mT @ s[..., None])[..., 0]
    return torch.cat(blocks, dim=1), p[1:]


def into_ball(x, radius):
    return x * torch.clamp(
        radius / torch.linalg.vector_norm(x, dim=-1, keepdim=True).clamp(min=1e-300), max=1
    )


def inside(problem, token):
    *matrices, x, y = token
    widths = [problem.half_width(j) for j in range(1, problem.N + 1)]
    boxed = [v.clamp(-h, h) for v, h in zip(matrices, widths, strict=True)]
    return [*boxed, into_ball(x, problem.B_x), into_ball(y, problem.B_y)]


def coherent(problem, batch=1):
    """All weights at their largest, x and y along the diagonal: every norm inequality is an equality."""
    dims, ones = problem.dims, torch.ones
    matrices = [
        ones(batch, a, b, dtype=torch.float64) * problem.half_width(j)
        for j, (a, b) in enumerate(zip(dims[1:], dims[:-1], strict=True), start=1)
    ]
    x = ones(batch, dims[0], dtype=torch.float64) * problem.B_x / math.sqrt(dims[0])
    y = -ones(batch, dims[-1], dtype=torch.float64) * problem.B_y / math.sqrt(dims[-1])
    return [*matrices, x, y]


def starts(problem, batch, generator):
    """Random tokens and coherent ones, the weights of either scaled down by a random factor a layer."""
    token = coherent(problem, batch)
    drawn = []
    for i, part in enumerate(token):
        shape = (batch, *[1] * (part.dim() - 1))
        random = torch.rand(part.shape, generator=generator, dtype=torch.float64) * 2 - 1
        aligned = torch.where(torch.rand(shape, generator=generator) < 0.5, 1.0, -1.0) * part
        mixed = torch.where(torch.arange(batch).view(shape) % 2 == 0, aligned, random * part.abs())
        scale = torch.rand(shape, generator=generator, dtype=torch.float64) ** 0.3
        drawn.append(mixed * (scale if i < problem.N else 1.0))
    return inside(problem, drawn)


def free_signs(problem, batch, generator):
    signs = {}
    for term in terms(problem):
        size = (batch, problem.dims[term.layer])
        shape = (*size, problem.dims[term.layer - 1]) if term.kind == "update" else size
        signs[term] = torch.rand(*shape, generator=generator, dtype=torch.float64) * 2 - 1
    return signs


def allowed(signs):
    """Every sign in [-1, 1]; the error of a mean is one matrix of norm at most 1."""
    return {
        term: into_ball(value.flatten(1), 1.0).view(value.shape)
        if term.kind == "update"
        else value.clamp(-1, 1)
        for term, value in signs.items()
    }


def ascent(problem, errors, from_z, seed, batch=48, rounds=8):
    """Batches of (step error, root mean squares of r(z) in every layer), larger and larger errors."""
    generator = torch.Generator().manual_seed(seed)
    token, signs = starts(problem, batch, generator), allowed(free_signs(problem, batch, generator))
    for i in range(rounds):
        token = [part.detach().requires_grad_() for part in token]
        signs = {term: value.detach().requires_grad_() for term, value in allowed(signs).items()}
        exact, p = step(problem, token, {}, {}, from_z)
        gap = torch.linalg.vector_norm(step(problem, token, errors, signs, from_z)[0] - exact, dim=1)
        rms = np.array([(q**2).mean(dim=-1).sqrt().detach().numpy() for q in p])
        yield gap.detach().numpy(), rms
        pulls = torch.autograd.grad(gap.sum(), [*token, *signs.values()], materialize_grads=True)
        moved = []
        for part, pull, ceiling in zip(token, pulls, coherent(problem), strict=False):
            length = torch.linalg.vector_norm(pull.flatten(1), dim=1).view(-1, *[1] * (pull.dim() - 1))
            reach = float(ceiling.abs().max()) * math.sqrt(part[0].numel()) * 0.4 / (1 + i)
            moved.append(part + reach * pull / (length + 1e-300))
        token = inside(problem, [part.detach() for part in moved])
        signs = {
            term: value if not pull.any() else pull / 1e-300 if term.kind == "update" else pull.sign()
            for (term, value), pull in zip(signs.items(), pulls[len(token) :], strict=True)
        }


@st.composite
def errors_of(draw, problem):
    """Sizes of all local errors: even, uneven, or of a few kinds only."""
    rng = np.random.default_rng(draw(st.integers(0, 2**20)))
    size = 10 ** draw(st.floats(-4, 0.3))
    kinds = draw(st.sampled_from([(*KINDS, "u"), ("r",), ("dr",), ("z",), ("g", "u"), ("product", "update")]))
    power = draw(st.sampled_from([0, 3]))
    return {term: size * rng.uniform() ** power for term in terms(problem) if term.kind in kinds}


@pytest.mark.slow
@settings(deadline=None, max_examples=70)
@given(st.data(), problems(max_N=4, max_K=4, max_radius=1.5, activations=BOUNDED))
def test_no_choice_of_local_errors_beats_the_cell_of_its_network(data, problem):
    errors = data.draw(errors_of(problem))
    from_z = problem.loss.rho == 0 and data.draw(st.booleans())
    rounded = in_float64(problem, errors)
    setting = setting_of(problem, rounded, from_z)
    rng = np.random.default_rng(0)
    largest = 0.0
    for found, rms in ascent(problem, errors, from_z, data.draw(st.integers(0, 2**20))):
        at_points = setting.bound(Cells(rms, rms), rounded)
        assert (found <= at_points).all()
        wider = Cells(rms * rng.uniform(0, 1, rms.shape), rms * (1 + rng.uniform(0, 1, rms.shape)))
        assert (at_points <= setting.bound(wider, rounded)).all()  # rounding keeps the order of numbers
        largest = max(largest, float(found.max()))
        everything = setting.everything
        assert (rms >= everything.low).all() and (rms <= everything.high).all()
    assert largest <= float(setting.bound(everything, rounded)[0])
    assert largest <= cover(setting, rounded, slack=0.5).bound


ATTAINED = [{}, {"N": 1}, {"N": 3}, {"K": 1, "d": 1}, {"d": 3, "d_out": 1, "K": 4}, {"output": "linear"}]


def alone(problem):
    return [[term] for term in terms(problem)] + [terms(problem)]


@pytest.mark.parametrize("activation", ["identity", "exp(t)"])
@pytest.mark.parametrize("letters", ATTAINED)
@pytest.mark.parametrize("size", [1e-5, 3e-2])
def test_some_networks_attain_the_bound(letters, activation, size):
    """With exp all derivatives peak at once: what is lost is of third order, or in the envelope of |r'|."""
    radii = {"B_x": 0.5, "B_y": 0.7, "B_v": 0.4}
    problem = Problem.parse({"N": 2, "K": 3, "d": 2, **radii, "activation": activation, **letters})
    ones = {term: torch.ones(1, problem.dims[term.layer], dtype=torch.float64) for term in terms(problem)}
    for term in ones:
        if term.kind == "update":
            shape = (1, problem.dims[term.layer], problem.dims[term.layer - 1])
            ones[term] = torch.full(shape, 1 / math.sqrt(shape[1] * shape[2]), dtype=torch.float64)
    exact, p = step(problem, coherent(problem), {}, {}, False)
    rms = np.array([[float((q.detach() ** 2).mean().sqrt())] for q in p])
    for chosen in alone(problem):
        errors = dict.fromkeys(chosen, size)
        found = float(
            torch.linalg.vector_norm(step(problem, coherent(problem), errors, ones, False)[0] - exact)
        )
        bound = float(setting_of(problem, errors, False).bound(Cells(rms, rms), errors)[0])
        assert found <= bound * (1 + 1e-9)
        assert found >= bound * (1 - 1e-3 - 4 * size * (activation != "identity")) - 1e-12, str(chosen)


def test_one_layer_by_hand():
    """N = 1, linear output, squared loss: the 2-norm of p is known in a cell, and so is u = 2(p - y)."""
    problem = Problem(N=1, d=1, n=1, B_x=2.0, B_y=0.5, B_v=3.0, output="linear")
    setting = setting_of(problem, {}, False)
    cell = Cells(np.array([[1.0, 0.0, 7.0]]), np.array([[4.0, 6.0, 8.0]]))
    errors = {Term("dr", 1): 0.25, Term("u", 1): 1.0, Term("update", 1): 0.125}
    # |u| <= 2 (4 + 0.5), |ds| <= 1 + 0.25 (|u| + 1), times |x| / 2 = 1, plus the update's own error
    expected = [1 + 0.25 * (9 + 1) + 0.125, 1 + 0.25 * (13 + 1) + 0.125, 0.0]
    assert setting.bound(cell, errors) == pytest.approx(expected, rel=2 * ENVELOPE_ROOM)


@pytest.mark.parametrize("from_z", [True, False])
def test_the_slope_of_the_logistic_loss_is_a_quarter(from_z):
    problem = Problem.parse({"N": 1, "d": 1, "B_x": 2.0, "loss": "logistic", "output": "linear"})
    errors = {Term("z", 1): 1e-3}
    found = setting_of(problem, errors, from_z).bound(Cells(np.zeros((1, 1)), np.zeros((1, 1))), errors)
    assert found == pytest.approx([1e-3 / 4 * 2.0 / 2], rel=1e-3)


def test_a_slope_read_off_z_does_not_multiply_suprema():
    problem = Problem.parse({"N": 2, "K": 3, "activation": "t**3", "loss": "logistic"})
    errors = dict.fromkeys([Term("r", 1), Term("z", 2)], 1e-4)
    setting = setting_of(problem, errors, True)
    plain = step_error_bound(problem, setting.layers, errors, from_z=True)
    assert cover(setting, errors).bound <= plain * 1.01


@settings(deadline=None, max_examples=15)
@given(problems(max_N=3, max_radius=1.25, activations=BOUNDED), st.integers(0, 999))
def test_larger_errors_make_larger_bounds_and_may_differ_from_cell_to_cell(problem, seed):
    rng = np.random.default_rng(seed)
    small = {term: 0.1 * float(rng.uniform()) for term in terms(problem)}
    large = {term: error * (1 + float(rng.uniform())) for term, error in small.items()}
    setting = setting_of(problem, large, False)
    root = setting.everything
    both = {term: np.array([small[term], large[term]]) for term in small}
    bounds = setting.bound(root[np.array([0, 0])], both)
    assert 0 < bounds[0] <= bounds[1]
    assert bounds.tolist() == [float(setting.bound(root, e)[0]) for e in (small, large)]
    assert float(setting.bound(root, {})[0]) == 0.0


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("N", [14, 26])
def test_what_floats_cannot_hold_is_refused(N):
    radii = dict.fromkeys(("B_x", "B_y", "B_v"), 1e6)
    problem = Problem.parse({"N": N, "K": 2, "activation": "identity", **radii})
    setting = setting_of(problem, {}, False)
    with pytest.raises(ValueError, match=r"overflows|no finite enclosure"):
        setting.bound(setting.everything, {Term("r", 1): 1e-3})


def test_cells_are_picked_like_columns():
    cells = Cells(np.arange(6.0).reshape(2, 3), np.arange(6.0).reshape(2, 3) + 1)
    assert len(cells) == 3 and len(cells[np.array([True, False, True])]) == 2
    assert cells[np.array([2])].high.tolist() == [[3.0], [6.0]]


def test_networks_outside_a_cell_do_not_count():
    """A layer fed with little cannot be active: such cells are empty, and only such."""
    problem = replace(Problem(N=2, K=2, d=2), B_v=0.5)
    setting = setting_of(problem, {}, False)
    errors = {Term("r", 1): 1e-3}
    reach = math.tanh(0.5 * math.sqrt(2) * 0.1)  # |z| <= B_v norm2(p(1)) in layer 2
    high = np.array([[0.1] * 3, [0.3] * 3])
    low = np.array([[0.0] * 3, [reach * 0.999, reach * 1.02, 0.0]])
    bounds = setting.bound(Cells(low, high), errors)
    assert bounds[0] > 0 and bounds[1] == 0 and bounds[2] > 0
