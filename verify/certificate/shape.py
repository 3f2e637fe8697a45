"""The shape of certificates: their fields, how they nest, and which of them are finite numbers.

No proof relies on this file, because the checkers refuse whatever they cannot read.  A refusal from this file
names the field and says what it should be.  Entries of a list are counted from 0, as in JSON.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Shape = Callable[[Any, str], str | None]
"""(part, place) -> what the part at that place should be but is not, as a sentence; or None."""

MOST_CELLS, MOST_UNITS, MOST_MULTIPLIERS = 1 << 16, 1 << 17, 64
"""Limits on entries of the tree of cells, units of one sum, multipliers of one quantity: none needs more."""

ALL_NODES, ALL_UNITS = 1 << 21, 1 << 20
"""Limits on entries of the tree times layers, and on units of all sums: minutes of checking."""


def _finite(part: Any) -> bool:
    """Whether this is a number that a checker can compute with."""
    return isinstance(part, int | float) and not isinstance(part, bool) and abs(part) < 1e300


def finites(part: Any, least: int = 0, one: Callable[[Any], bool] = _finite) -> bool:
    """Whether this is a list of at least `least` finite numbers, or of parts that are right by `one`."""
    return isinstance(part, list) and least <= len(part) and all(map(one, part))


def leaf(what: str, holds: Callable[[Any], bool]) -> Shape:
    """A part without fields, described by `what`."""
    return lambda part, at: None if holds(part) else f"{at} is {what}"


def at_most(most: int, what: str, shape: Shape) -> Shape:
    """The same shape for a list whose length is limited; the length is checked first."""

    def flaw(part: Any, at: str) -> str | None:
        long = isinstance(part, list) and len(part) > most
        return f"{at} has at most {most:,} {what}, not {len(part):,}" if long else shape(part, at)

    return flaw


def _some(what: str, one: Callable[[Any], bool]) -> Shape:
    each = leaf(f"a list of one or more {what}", lambda x: finites(x, 1, one))
    return at_most(MOST_MULTIPLIERS, "entries", each)


def maybe(shape: Shape) -> Shape:
    """The same shape, or null."""
    return lambda part, at: None if part is None else shape(part, at)


def one_a_layer(shape: Shape, N: int) -> Shape:
    """A list of N parts of this shape."""

    def flaw(part: Any, at: str) -> str | None:
        if not isinstance(part, list) or len(part) != N:
            return f"{at} has one entry a layer"
        return next(filter(None, (shape(one, f"{at}[{j}]") for j, one in enumerate(part))), None)

    return flaw


def record(fields: Mapping[str, Shape]) -> Shape:
    """An object with exactly these fields."""

    def flaw(part: Any, at: str) -> str | None:
        if not isinstance(part, Mapping):
            return f"{at or 'the certificate'} is an object with named fields"
        within = f" in {at}" if at else ""
        for name in part:
            if name not in fields:
                return f"there is no field {repr(name)[:60]}{within}"
        for name, shape in fields.items():
            if name not in part:
                return f"there is a field {name!r}{within}"
            if reason := shape(part[name], f"{at}.{name}" if at else name):
                return reason
        return None

    return flaw


def _sum(part: Any, at: str) -> str | None:
    units = at_most(MOST_UNITS, "units", _NUMBERS)
    if reason := record({"a": units, "b": units, "c": units, "constant": _NUMBER})(part, at):
        return reason
    if not len(part["a"]) == len(part["b"]) == len(part["c"]):
        return f"a, b and c of {at} are equally long"
    for name in "ac":
        if 0 in part[name]:
            return f"every unit of {at} does something, and {name}[{part[name].index(0)}] is 0"
    return None


def numbers(names: str) -> dict[str, Shape]:
    """Fields that are finite numbers; `names` are separated by spaces."""
    return dict.fromkeys(names.split(), _NUMBER)


def indexed(shape: Shape, N: int) -> Shape:
    """Any fields named like the errors and lemmas of one of N layers, such as z[1]."""

    def of_a_layer(name: Any) -> bool:
        found = re.fullmatch(r"(?:z|g|r|dr|u|product|update)\[([1-9][0-9]{0,8})\]", str(name))
        return found is not None and int(found[1]) <= N

    def flaw(part: Any, at: str) -> str | None:
        names = filter(of_a_layer, part) if isinstance(part, Mapping) else ()
        return record(dict.fromkeys(names, shape))(part, at)

    return flaw


ANY: Shape = lambda part, at: None  # noqa: E731
_NUMBER, _NUMBERS = leaf("a finite number", _finite), leaf("a list of finite numbers", finites)
TEXT = leaf("a text", lambda x: isinstance(x, str))
TRUTH = leaf("true or false", lambda x: isinstance(x, bool))
LETTER = leaf("a finite number or a text", lambda x: _finite(x) or isinstance(x, str))
PAIR = leaf("a pair of finite numbers", lambda x: finites(x, 2) and len(x) == 2)
LAMBDAS = _some("finite numbers", _finite)
PAIRS = _some("pairs of finite numbers", lambda x: finites(x, 2) and len(x) == 2)
SQUARE = numbers("a b") | {"square": maybe(_sum)}
LAYER = numbers("face") | {"r": maybe(_sum), "dr": maybe(_sum)}
LAYER |= {"product": maybe(record(numbers("centre") | SQUARE))}
RELU_LAYER = LAYER | numbers("above_z above_g above_s")
SOFTMAX_LAYER = LAYER | {"z": maybe(record(SQUARE)), "g": maybe(record(SQUARE))}
SOFTMAX_LAYER |= {"update": maybe(record(SQUARE | numbers("offset")))}
RANGES = numbers("p_in z r curvature dr_low dr_high g s s_norm jerk")
NAMED_LOSSES = "squared", "logistic", "huber"
"""The losses that certificates refer to by name; all others are given by their formula."""

_HEADER = dict.fromkeys(("format", "construction", "arithmetic", "statement", "weights"), TEXT)


def body(N: int, layer: Mapping[str, Shape], logistic: bool, written: bool) -> dict[str, Shape]:
    """The fields about N layers.  logistic: the loss slope is a sum of ReLUs, and its steepness is given.

    written: the loss is given by a formula, and the Lipschitz constant of its slope is given.
    """
    loss = numbers("rho sigma") | {"linear": maybe(_NUMBER), "from_z": TRUTH}
    loss |= {"relus": _sum if logistic else maybe(_sum)}
    program = {"construction": TEXT, "output": TEXT} | numbers("N K d d_out n eta")
    program |= {"loss": record(loss), "layers": one_a_layer(record(layer), N)}
    split = leaf(
        f"a list of whole numbers from 0 to {N}",
        lambda x: isinstance(x, list) and all(type(i) is int and 0 <= i <= N for i in x),
    )
    return {
        "program": record(program),
        "lemmas": indexed(record(numbers("reach error")), N),
        "layers": one_a_layer(record(RANGES), N),
        "errors": indexed(_NUMBER, N),
        "steepness": _NUMBER if logistic else maybe(_NUMBER),
        **({"lip": _NUMBER} if written else {}),
        "multipliers": one_a_layer(record(dict.fromkeys(("slope", "slope2", "bend2"), LAMBDAS)), N),
        "joint": maybe(record(dict.fromkeys(("signal", "drift"), PAIRS))),
        "root": one_a_layer(PAIR, N),
        "splits": at_most(MOST_CELLS, "entries", split),
        "certified": _NUMBER,
    }


def flaw(
    found: Mapping[str, Any], posed: Mapping[str, Any], construction: str, layer: Mapping[str, Shape]
) -> str | None:
    """What the first malformed field of a certificate should be, in one sentence, or None.

    posed: every letter.  layer: the fields of a layer in that construction's programs, such as RELU_LAYER.
    A certificate for another construction or another problem is left to its checker.
    """
    N, loss, problem = posed["N"], posed["loss"], record(dict.fromkeys(posed, LETTER))
    fields = body(N, layer, loss == "logistic", loss not in NAMED_LOSSES)
    reason = record(_HEADER | {"problem": problem} | dict.fromkeys(fields, ANY))(found, "")
    if reason or found["construction"] != construction or found["problem"] != posed:
        return reason
    return record(_HEADER | {"problem": ANY} | fields)(found, "") or excess(found)


def sums(program: Any) -> Iterator[Mapping[str, Any]]:
    """Every sum of ReLUs of a program."""
    nested = isinstance(program, Mapping | list)
    for part in (program.values() if isinstance(program, Mapping) else program) if nested else ():
        yield from sums(part)
    if isinstance(program, Mapping) and "constant" in program:
        yield program


def excess(found: Mapping[str, Any]) -> str | None:
    """Which total of a well-formed certificate is more than a checker takes, in one sentence, or None."""
    units = sum(len(relus["a"]) for relus in sums(found["program"]))
    if units > ALL_UNITS:
        return f"the sums of program have at most {ALL_UNITS:,} units together, not {units:,}"
    nodes = len(found["splits"]) * len(found["layers"])
    return None if nodes <= ALL_NODES else f"splits times layers is at most {ALL_NODES:,}, not {nodes:,}"
