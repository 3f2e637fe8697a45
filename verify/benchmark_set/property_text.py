"""Properties in VNN-LIB 2.0: what is written about a network, and what a written one says of numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import prod
from pathlib import Path
from typing import Any

import flint
import numpy as np
import numpy.typing as npt
from flint import arb, fmpq

from icgd.bounds.letters import ProblemError
from icgd.construct.machine.files import regular_file
from icgd.verify.benchmark_set.ball_run import BALL_BITS

VERSION = "2.0"
"""The version of the standard whose syntax is written and read."""

MOST_PROPERTY = 1 << 22
"""The longest property that is read, in bytes."""

Expression = str | list[Any]
Certainly = bool | None
"""True or False where balls decide, None where they are too wide."""

_TOKEN = re.compile(r'\s*(?:;[^\n]*\n|([()])|(\w+\s*\[[\d\s,]*\]|"[^"]*"|[^\s()\[\];"]+|\[[\d\s,]*\]))')
_NUMBER = re.compile(r"-?\d+(\.\d+)?", re.ASCII)
_TYPED = re.compile(r"(\w+)\s*(\[[\d\s,]*\])", re.ASCII)
_ELEMENT = re.compile(r"(\w+)\s*\[([\d\s,]*)\]", re.ASCII)


@dataclass(frozen=True)
class DeclaredTensor:
    """An input or output of the network: its name, its element type (float64 or real), its shape."""

    name: str
    kind: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Property:
    """A query about one network with one input and one output: is there an input that makes all claims true?

    claims: of the input alone, then those that speak of the output.
    """

    given: DeclaredTensor
    found: DeclaredTensor
    claims: tuple[Expression, ...]

    @property
    def domain(self) -> tuple[Expression, ...]:
        """The claims that speak of the input alone."""
        return tuple(one for one in self.claims if self.found.name not in set(_names(one)))

    def holds(self, claims: Sequence[Expression], values: Mapping[str, npt.NDArray[Any]]) -> Certainly:
        """Whether all these claims are true of values, floats or balls, in ball arithmetic.

        A number of the text is the float64 nearest to it for float64, and itself for real.
        """
        reader = _Reader(values, nearest=self.given.kind != "real")
        with flint.ctx.workprec(BALL_BITS):
            return _all(reader.truth(claim) for claim in claims)


def decimal_text(value: float | Fraction) -> str:
    """A number as VNN-LIB writes it, without an exponent; a float by its shortest decimals.

    >>> decimal_text(1e-05), decimal_text(2.0)
    ('0.00001', '2.0')
    """
    text = format(Decimal(repr(value)) if isinstance(value, float) else Decimal(str(value)), "f")
    return text if "." in text else f"{text}.0"


def property_text(
    kind: str,
    ends: Sequence[tuple[str, str]],
    outputs: int,
    forbidden: str,
    why: Sequence[str],
    also: str = "",
) -> str:
    """A query about X (1, inputs) -> E (1, outputs), whose comments say why its answer is known.

    ends: the least and the largest value of each input, as decimals.  forbidden: what E must not be.
    also: another claim about the input.
    """
    lines = [f"; {line}" for line in why]
    lines += [
        f"(vnnlib-version <{VERSION}>)",
        "(declare-network error",
        f"  (declare-input X {kind} [1,{len(ends)}])",
        f"  (declare-output E {kind} [1,{outputs}])",
        ")",
    ]
    for index, (low, high) in enumerate(ends):
        lines += [f"(assert (>= X[0,{index}] {low}))", f"(assert (<= X[0,{index}] {high}))"]
    lines += [f"(assert {also})"] if also else []
    return "\n".join([*lines, f"(assert {forbidden})", ""])


def beyond_box(outputs: int, least: str) -> str:
    """Some entry of E is at least so large, in absolute value."""
    parts = [f"(>= E[0,{i}] {least}) (<= E[0,{i}] -{least})" for i in range(outputs)]
    return f"(or {' '.join(parts)})"


def beyond_ball(outputs: int, least_square: str) -> str:
    """The 2-norm of E, squared, is at least so large."""
    return f"(>= {square_sum('E', range(outputs))} {least_square})"


def square_sum(name: str, places: Sequence[int]) -> str:
    """The sum of the squares of these entries."""
    squares = [f"(* {name}[0,{i}] {name}[0,{i}])" for i in places]
    return f"(+ {' '.join(squares)})" if len(squares) > 1 else squares[0]


def read_property(path: Path) -> Property:
    """The property of a file; raises ProblemError where it is not of the kind that is written here."""
    with regular_file(path, "instance") as file:
        data = file.read(MOST_PROPERTY + 1)
    if len(data) > MOST_PROPERTY:
        raise ProblemError("instance", path, "it is longer than 4 MiB")
    try:
        parts = _parse(data.decode("utf-8"))
        (version, about), asserted = parts[:2], parts[2:]
        if version != ["vnnlib-version", f"<{VERSION}>"] or about[0] != "declare-network":
            raise ValueError(f"one network of VNN-LIB {VERSION} is needed")
        (given,), (found,) = (
            [_declared(one) for one in about[2:] if one[0] == word]
            for word in ("declare-input", "declare-output")
        )
        if len(about) != 4 or given.kind != found.kind or not all(one[0] == "assert" for one in asserted):
            raise ValueError("one input and one output of the same type are needed, then assertions")
        claims = tuple(claim for _, claim in asserted)
        shapes = {one.name: one.shape for one in (given, found)}
        for claim in claims:
            _check_claim(claim, shapes)
        return Property(given, found, claims)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as wrong:
        why = f"it is not a property that is read here ({wrong})"
        raise ProblemError("instance", path, why) from None


def _parse(text: str) -> list[Any]:
    stack: list[list[Any]] = [[]]
    at = 0
    text = text.strip() + "\n"
    while at < len(text) and text[at:].strip():
        found = _TOKEN.match(text, at)
        if not found:
            raise ValueError(f"{text[at : at + 20]!r} is not understood")
        at = found.end()
        if found[1] == "(":
            stack.append([])
        elif found[1] == ")":
            done = stack.pop()
            stack[-1].append(done)
        elif found[2]:
            stack[-1].append(found[2])
    (parts,) = stack
    return parts


def _declared(part: list[str]) -> DeclaredTensor:
    _, name, typed = part
    kind, shape = _TYPED.fullmatch(typed).groups()  # type: ignore[union-attr]
    sizes = tuple(int(word) for word in shape.strip("[] ").split(",") if word.strip())
    if kind not in ("float64", "real") or prod(sizes) < 1:
        raise ValueError(f"{name} is {kind} {shape}, and float64 and real are read")
    return DeclaredTensor(name, kind, sizes)


def _names(claim: Expression) -> Iterator[str]:
    if isinstance(claim, str):
        yield claim.partition("[")[0].strip()
    else:
        for part in claim[1:]:
            yield from _names(part)


_COMPARED = {"<=", ">=", "<", ">"}
_COMBINED = {"+", "-", "*"}


def _check_claim(claim: Expression, shapes: Mapping[str, tuple[int, ...]]) -> None:
    if isinstance(claim, str) or claim[0] not in {"and", "or", *_COMPARED} or len(claim) < 2:
        raise ValueError(f"{claim} is no claim")
    if claim[0] in ("and", "or"):
        for part in claim[1:]:
            _check_claim(part, shapes)
        return
    if len(claim) != 3:
        raise ValueError(f"{claim[0]} compares two numbers")
    for part in claim[1:]:
        _check_number(part, shapes)


def _check_number(part: Expression, shapes: Mapping[str, tuple[int, ...]]) -> None:
    if isinstance(part, list):
        if part[0] not in _COMBINED or len(part) < 2:
            raise ValueError(f"{part[0]} is no operation")
        for one in part[1:]:
            _check_number(one, shapes)
    elif not _NUMBER.fullmatch(part):
        found = _ELEMENT.fullmatch(part)
        if not found or found[1] not in shapes:
            raise ValueError(f"{part} is neither a number nor an entry of input or output")
        index, shape = _index(found[2]), shapes[found[1]]
        if len(index) != len(shape) or any(i >= size for i, size in zip(index, shape, strict=True)):
            raise ValueError(f"{part} is not within {list(shape)}")


def _index(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in text.split(","))


@dataclass(frozen=True)
class _Reader:
    values: Mapping[str, npt.NDArray[Any]]
    nearest: bool

    def truth(self, claim: Any) -> Certainly:
        word, *parts = claim
        if word in ("and", "or"):
            truths = map(self.truth, parts)
            return _all(truths) if word == "and" else _any(truths)
        left, right = map(self.number, parts)
        found: tuple[bool, bool] = {
            "<=": (bool(left <= right), bool(left > right)),
            ">=": (bool(left >= right), bool(left < right)),
            "<": (bool(left < right), bool(left >= right)),
            ">": (bool(left > right), bool(left <= right)),
        }[word]
        return True if found[0] else False if found[1] else None

    def number(self, part: Any) -> arb:
        if isinstance(part, list):
            word, *rest = part
            first, *others = map(self.number, rest)
            if word == "-" and not others:
                return -first
            operation: Callable[[arb, arb], arb] = {
                "+": lambda a, b: a + b,
                "-": lambda a, b: a - b,
                "*": lambda a, b: a * b,
            }[word]
            for one in others:
                first = operation(first, one)
            return first
        if _NUMBER.fullmatch(part):
            exact = Fraction(part)
            return arb(float(exact)) if self.nearest else arb(fmpq(exact.numerator, exact.denominator))
        name, index = _ELEMENT.fullmatch(part).groups()  # type: ignore[union-attr]
        value = self.values[name][_index(index)]
        return value if isinstance(value, arb) else arb(float(np.float64(value)))


def _all(truths: Iterator[Certainly]) -> Certainly:
    found = list(truths)
    return False if False in found else None if None in found else True


def _any(truths: Iterator[Certainly]) -> Certainly:
    found = list(truths)
    return True if True in found else None if None in found else False
