"""Evidence for the answers to reviewers' questions about arXiv 2411.16549."""

from __future__ import annotations

import math

from icgd.bounds.activation import parse_activation
from icgd.bounds.claims import L, epsilon, eta
from icgd.bounds.convergence import contracting_step, curvature, least_gradient, loss_drop
from icgd.bounds.problem import Problem
from icgd.bounds.relu_icgd import built
from icgd.bounds.step_error.plan import plan
from icgd.construct.block.census import Census, census
from icgd.construct.relu_icgd import build
from icgd.verify.ledger.entries import Numbers
from icgd.verify.ledger.evidence.hypotheses import accepted_bound, jump
from icgd.verify.ledger.evidence.sizes import hidden_constant


def _counted(problem: Problem) -> tuple[Census, bool]:
    """The census of the literal matrices of `lean`, and whether it agrees with the claimed sizes."""
    counted = census(build(problem))
    claimed = {claim.quantity: claim.value for claim in built(problem)}
    sizes = ("layers", "heads", "width", "mlp_width")
    return counted, all(getattr(counted, name) == claimed[name] for name in sizes)


def sizes_counted() -> Numbers:
    """Every size of one step of `lean` on the default problem, counted, with its certified step error."""
    posed = Problem()
    counted, agrees = _counted(posed)
    certified, heads = accepted_bound(posed), hidden_constant(posed.eps)
    return {
        "printed": heads["printed"],
        "tight": heads["tight"],
        "layers": counted.layers,
        "heads": counted.heads,
        "width": counted.width,
        "weights": posed.D_w,
        "mlp_width": counted.mlp_width,
        "units": plan(posed).units,
        "certified": certified,
        "eps": posed.eps,
        "shows": agrees and certified <= posed.eps and bool(heads["shows"]),
    }


def relu_networks() -> Numbers:
    """What the jump of relu' excludes, and what the construction `exact` reaches on ReLU networks."""
    posed = Problem(activation=parse_activation("relu"))
    bound, step = plan(posed, "exact").bound, float(jump("relu"))
    return {
        "jump": step,
        "nearest": step / 2,  # a continuous function misses one side of the jump by half of it
        "bound": bound,
        "eps": posed.eps,
        "shows": step != 0 and bound <= 1e-6 * posed.eps,
    }


def apart(eps: float = 0.05) -> Numbers:
    """How the bound on the least projected gradient divides into the construction's part and the rest.

    With c = 1 - h Lambda/2 it is at most eps (1 + 1/c) + sqrt(F/(c h L)), since sqrt(a + b) is at most
    sqrt(a) + sqrt(b); only the first summand holds eps, and only the second one depends on L.
    """
    posed = Problem(eps=eps)
    lam, step = curvature(posed).lam, contracting_step(posed)
    c = 1 - step * lam / 2
    drop, values = loss_drop(posed)
    many = 10**12  # so that the bound by the length of the path is not the least one
    known = {symbol: value for symbol, (value, _) in values.items()}
    known |= {symbol: step for symbol in drop.free_symbols if symbol.name == "h"}
    fall = float(drop.subs(known | {L: many, epsilon: eps, eta: step}))
    floor = eps * (1 + 1 / c)
    steps = math.ceil(fall / (c * step * floor**2))
    whole, exact = (least_gradient(lam, step, one, fall, steps) for one in (eps, 0.0))
    before = least_gradient(lam, step, 0.0, fall, max(1, steps - 1))
    return {
        "eps": eps,
        "floor": floor,
        "steps": steps,
        "exact": float(exact),
        "whole": float(whole),
        "step": step,
        "c": c,
        "shows": bool(
            exact < whole <= (floor + exact) * (1 + 1e-12) and exact <= floor * (1 + 1e-12) < before
        ),
    }


def beside_loop(layers: int = 13, heads: int = 1) -> Numbers:
    """One step on a two-layer sigmoid network: sizes counted from `lean`, beside those of a looped program.

    layers, heads: of one pass of the loop, from arXiv 2301.13196, Table 1.
    """
    sigmoid = parse_activation("sigmoid")
    posed = Problem(N=2, d_out=1, activation=sigmoid)
    linear = Problem(N=2, d_out=1, activation=sigmoid, output="linear")
    (counted, agrees), (flat, also) = _counted(posed), _counted(linear)
    certified = accepted_bound(posed)
    return {
        "their_layers": layers,
        "their_heads": heads,
        "layers": counted.layers,
        "linear_layers": flat.layers,
        "paper_layers": next(one.value for one in built(posed, "paper") if one.quantity == "layers"),
        "heads": counted.heads,
        "K": posed.K,
        "d": posed.d,
        "d_out": posed.d_out,
        "n": posed.n,
        "certified": certified,
        "shows": agrees and also and counted.layers < layers and counted.heads > heads,
    }


def tangent_derivative(order: int) -> int:
    """The derivative of tanh of this order at 0, from tanh' = 1 - tanh^2 on polynomials in tanh.

    >>> [tangent_derivative(order) for order in range(1, 8)]
    [1, 0, -2, 0, 16, 0, -272]
    """
    polynomial = [0, 1]  # tanh itself; coefficients in ascending order
    for _ in range(order):
        slope = [power * value for power, value in enumerate(polynomial)][1:]
        polynomial = [a - b for a, b in zip([*slope, 0, 0], [0, 0, *slope], strict=True)]
    return polynomial[0]


def one_sum() -> Numbers:
    """What Lemma 7 asks of one sum of ReLUs in all variables of a step, at the least, beside our plan.

    g(w, x, y) = (p - y) r'(z) a is an entry of the gradient at one example, for the squared loss and tanh: of
    the weight t of the output layer, where z = t a and all other weights of that row are 0.  Its s-th
    derivative in t at t = 0 is a^(s+1) times that of (r - y) r' = -(r'' / 2) - y r', as r r' = -r''/2.
    """
    posed = Problem()
    k = posed.D_w + posed.d + posed.d_out
    s = math.ceil((k - 1) / 2) + 1
    a = posed.B_x
    for _ in range(posed.N - 1):  # through the first unit of each layer, by rows (B_v, 0, ..., 0)
        a = math.tanh(posed.B_v * a) * (1 - 1e-15)
    largest = abs(tangent_derivative(s + 2)) / 2 + posed.B_y * abs(tangent_derivative(s + 1))
    radius = max(posed.B_v, posed.B_x, posed.B_y, 1.0)
    mass = largest * a ** (s + 1) * radius**s * (1 - 1e-12)
    made = plan(posed)
    return {
        "variables": k,
        "weights": posed.D_w,
        "derivatives": s,
        "mass": mass,
        "relus": mass**2 * math.log1p(mass / posed.eps) / posed.eps**2,
        "units": made.units,
        "eps": posed.eps,
        "certified": accepted_bound(posed),
        "shows": posed.activation.name == "tanh" and posed.loss.name == "squared" and mass > 1,
    }


def without_products(tolerances: tuple[float, ...] = (0.05, 0.005)) -> Numbers:
    """The step error of `lean`, which has attention and MLPs only, at two tolerances, by certificate."""
    coarse, fine = (Problem(eps=eps) for eps in tolerances)
    bounds = [accepted_bound(posed) for posed in (coarse, fine)]
    made = plan(coarse)
    counted, agrees = _counted(coarse)
    units = sum(coarse.dims[term.layer] * product.units for term, product in made.products.items())
    return {
        "layers": counted.layers,
        "coarse": tolerances[0],
        "fine": tolerances[1],
        "coarse_certified": bounds[0],
        "fine_certified": bounds[1],
        "units": made.units,
        "product_units": units,
        "fine_units": plan(fine).units,
        "shows": agrees and all(b <= eps for b, eps in zip(bounds, tolerances, strict=True)),
    }


def fewest_pieces() -> Numbers:
    """The ReLUs of the default plan, and the certified lower bound at the same tolerances."""
    made = plan(Problem())
    return {
        "units": made.units,
        "fewest": made.fewest_units,
        "share": made.units / made.fewest_units - 1,
        "shows": made.fewest_units <= made.units,
    }
