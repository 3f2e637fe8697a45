"""The instances of the benchmark set: what each asks, its answer, and why that is known."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np

from icgd.verify.benchmark_set.certified_networks import CERTIFIED_NETWORKS, INPUT_SEED, CertifiedNetwork
from icgd.verify.benchmark_set.error_network import Floats
from icgd.verify.benchmark_set.planted import PlantedBlock, float_only_block, spiked_block
from icgd.verify.benchmark_set.property_text import (
    beyond_ball,
    beyond_box,
    decimal_text,
    property_text,
    square_sum,
)

NEAR_HALF = 0.001
"""Half the side of the small boxes."""

SHARE = 0.9
"""Of the largest error found, what a false property says is never reached."""

SPIKE_HEIGHT, SPIKE_INPUT = 0.05, 0.123
FLOAT_INPUT = 0.02
"""2^48 + 0.02 is 2^48 in float64: the planted error is 0.02 there."""

SPIKES: Mapping[str, tuple[str, str]] = {
    "tiny-spike-query": ("tiny", "query"),
    "tiny-spike-weight": ("tiny", "w"),
    "deep-spike-weight": ("deep", "w"),
    "softmax-spike-query": ("softmax", "query"),
}
"""Networks with a spike -> what they are made of, and the part of the input at which the spike stands."""

FLOAT_ONLY: Mapping[str, str] = {"tiny-float-only": "tiny", "deep-float-only": "deep"}
"""Networks with an error that only floats have -> what they are made of."""

WHOLE_DOMAIN = "every prompt in the largest box within the radii and every w in W"


@dataclass(frozen=True, eq=False)
class KnownInstance:
    """A query with its answer.

    network: the stem of its file.  kind: of the query, float64 or real.  answer: sat if there is an input
    that makes all assertions true.  why: how that is known.  counterexample: such an input.
    """

    name: str
    network: str
    kind: Literal["float64", "real"]
    answer: Literal["sat", "unsat"]
    why: str
    text: str
    counterexample: Floats | None = None


def planted_blocks(made: Mapping[str, CertifiedNetwork]) -> dict[str, tuple[str, PlantedBlock]]:
    """Name of a network -> the certified one that it is made of, where it is there, and with what planted."""
    found = {}
    for name, (of, part) in SPIKES.items():
        if of in made:
            block = made[of].block
            weight = part == "w"
            reads = block.stream.w[0] if weight else block.stream.x[0]
            layer = 0 if weight else len(block.layers) - 1
            found[name] = of, spiked_block(block, reads, SPIKE_INPUT, layer, SPIKE_HEIGHT)
    for name, of in FLOAT_ONLY.items():
        if of in made:
            found[name] = of, float_only_block(made[of].block, made[of].block.stream.x[0])
    return found


def instances(made: Mapping[str, CertifiedNetwork]) -> Iterator[KnownInstance]:
    """All instances about these certified networks, and about those with planted errors made of them."""
    for network in made.values():
        yield from _certified(network)
    for name, (of, part) in SPIKES.items():
        if of in made:
            yield _spiked(name, made[of], part)
    for name, of in FLOAT_ONLY.items():
        if of in made:
            yield from _float_only(name, made[of])


def _up(value: float, digits: int = 6) -> Fraction:
    """The least decimal of so many digits above a number."""
    return _cut(value, digits, 1)


def _cut(value: float, digits: int, more: int = 0) -> Fraction:
    """A positive number cut to so many digits, and units of the last one more."""
    scale = Fraction(10) ** (digits - 1 - math.floor(math.log10(value)))
    return (math.floor(Fraction(value) * scale) + more) / scale


def _ends(low: Floats, high: Floats) -> list[tuple[str, str]]:
    return [(decimal_text(float(a)), decimal_text(float(b))) for a, b in zip(low, high, strict=True)]


def _text(value: Fraction) -> str:
    places = 40
    digits = f"{value.numerator * 10**places // value.denominator:0{places + 1}d}"
    return f"{digits[:-places]}.{digits[-places:]}".rstrip("0")


def _certified(one: CertifiedNetwork) -> Iterator[KnownInstance]:
    letters = ", ".join(f"{name} = {value}" for name, value in CERTIFIED_NETWORKS[one.name][1].items())
    posed = f"{one.construction} transformer for {letters}, d_out = 1"
    least, D_w, ends = _text(_up(one.least)), one.problem.D_w, one.ends()
    proved = (
        f"norm2(err) <= {_text(_up(one.bound, 10))} by certificates/{one.name}.json, for every order of "
        "summation in float64, with room for the rounding of the exact step"
    )
    about = [posed, f"unsat: {proved}"]
    whole = property_text("float64", _ends(-ends, ends), D_w, beyond_box(D_w, least), about)
    yield KnownInstance(f"{one.name}-whole", one.name, "float64", "unsat", f"{proved}; {WHOLE_DOMAIN}", whole)
    if one.problem.d > 1:
        yield _in_ball(one, about, proved)
    center = np.round(np.random.default_rng(INPUT_SEED).uniform(-1, 1, len(ends)) * (ends - NEAR_HALF), 3)
    low, high = np.clip(center - NEAR_HALF, -ends, ends), np.clip(center + NEAR_HALF, -ends, ends)
    near = property_text("float64", _ends(low, high), D_w, beyond_box(D_w, least), about)
    why = f"{proved}; a box of side {2 * NEAR_HALF} around one prompt"
    yield KnownInstance(f"{one.name}-near", one.name, "float64", "unsat", why, near)
    reached = one.largest_entry(one.worst_input)
    below = _text(_up(SHARE * reached))
    why = f"an input with an entry of at least {_text(_cut(reached, 6))} is known; {WHOLE_DOMAIN}"
    false = property_text("float64", _ends(-ends, ends), D_w, beyond_box(D_w, below), [posed, f"sat: {why}"])
    yield KnownInstance(f"{one.name}-false", one.name, "float64", "sat", why, false, one.worst_input[None])


def _in_ball(one: CertifiedNetwork, about: list[str], proved: str) -> KnownInstance:
    """The certified statement itself: a 2-norm of E, on prompts whose x_i have a 2-norm within B_x."""
    ends, places, d = one.ends(ball=True), one.layout.parts, one.problem.d
    rows = [places["x"][i * d : (i + 1) * d] for i in range(one.problem.n)] + [places["query"]]
    radius = decimal_text(math.floor(one.problem.B_x**2 * 999_999) / 10**6)
    inside = " ".join(f"(<= {square_sum('X', row)} {radius})" for row in rows)
    square = _text(_up(one.norm_least**2))
    text = property_text(
        "float64",
        _ends(-ends, ends),
        one.problem.D_w,
        beyond_ball(one.problem.D_w, square),
        about,
        f"(and {inside})",
    )
    why = f"{proved}; every prompt with norm2(x_i) below B_x, every w in W, and the 2-norm of E"
    return KnownInstance(f"{one.name}-norm", one.name, "float64", "unsat", why, text)


def _spiked(name: str, one: CertifiedNetwork, part: str) -> KnownInstance:
    D_w, ends, least = one.problem.D_w, one.ends(), _text(_up(one.least))
    x = np.zeros((1, one.layout.size))
    x[0, one.layout.parts[part][0]] = SPIKE_INPUT
    why = f"a spike of width 2e-9 at {SPIKE_INPUT} in one input; without it the property would be true"
    text = property_text("float64", _ends(-ends, ends), D_w, beyond_box(D_w, least), [f"sat: {why}"])
    return KnownInstance(name, name, "float64", "sat", why, text, x)


def _float_only(name: str, one: CertifiedNetwork) -> Iterator[KnownInstance]:
    """False in float64; over the reals, where the planted error is 0, the same is true.

    Of `tiny` a small box around the counterexample, so that whoever reasons over the reals may prove it.
    """
    D_w, ends, least = one.problem.D_w, one.ends(), _text(_up(one.least))
    x = np.zeros(one.layout.size)
    x[one.layout.parts["query"][0]] = FLOAT_INPUT
    low, high, forbidden = -ends, ends, beyond_box(D_w, least)
    if one.name == "tiny":
        low, high = x - NEAR_HALF, x + NEAR_HALF
    why = "it adds ((x + 2^48) - 2^48) - x, up to 2^-5 in float64"
    text = property_text("float64", _ends(low, high), D_w, forbidden, [f"sat: {why}"])
    yield KnownInstance(name, name, "float64", "sat", why, text, x[None])
    if one.name == "tiny":
        proof = f"certificates/{one.name}.json"
        why = f"it adds ((x + 2^48) - 2^48) - x, 0 over the reals; the rest is proved by {proof}"
        text = property_text("real", _ends(low, high), D_w, forbidden, [f"unsat: {why}"])
        yield KnownInstance(f"{name}-real", name, "real", "unsat", why, text)
