"""Printed formulas, evaluated from their LaTeX alone, have the value of the claim."""

import json
import re
from pathlib import Path

import mpmath
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from icgd.reports.mathematics.formulas import WIDE, formula
from icgd.reports.mathematics.notation import symbol

DOCUMENT = json.loads((Path(__file__).parents[1] / "data" / "document_latex.json").read_text())
CLAIMS = {key: claim for part in DOCUMENT["theorems"].values() for key, claim in part["bounds"].items()}


class Reader:
    """Evaluates the LaTeX that the printer makes, in mpmath: sums, products, fractions, maxima, no more."""

    def __init__(self, tex, values):
        for layout in (
            r"\left",
            r"\right",
            r"\;",
            r"\quad",
            r"\begin{aligned}",
            r"\end{aligned}",
            "&",
        ):
            tex = tex.replace(layout, " ")
        tex = tex.replace(r"\\", " ").replace("{}", " ")
        self.values = list(values.values())
        names = sorted(values, key=len, reverse=True)
        order = {name: list(values).index(name) for name in names}
        known = "|".join(re.escape(name) + r"(?![A-Za-z])" * name[-1].isalpha() for name in names)
        tex = re.sub(
            r"(\\(?:frac|sqrt|max|min|ln|cdot|lfloor|rfloor|lceil|rceil)\b)|(" + (known or "(?!)") + ")",
            lambda found: found[1] or f"@{order[found[2]]}@",
            tex,
        )
        self.tokens = re.findall(r"@\d+@|\\[a-zA-Z]+|\\[{}]|\d+(?:\.\d+)?|\S", tex)
        self.at = 0

    def peek(self):
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def take(self, expected=None):
        token = self.peek()
        assert expected is None or token == expected, (token, expected, self.tokens[self.at - 5 :])
        self.at += 1
        return token

    def total(self):
        value = self.term()
        while self.peek() in ("+", "-"):
            value = value + self.term() if self.take() == "+" else value - self.term()
        return value

    def term(self):
        if self.peek() == "-":
            self.take()
            return -self.term()
        value = self.power()
        while self.peek() not in (None, "+", "-", ",", ")", "}", r"\}", r"\rfloor", r"\rceil"):
            if self.peek() == "/":
                self.take()
                value /= self.power()
            else:
                value *= self.power()
        return value

    def power(self):
        value = self.atom()
        if self.peek() == "^":
            self.take()
            value **= self.group()
        return value

    def group(self, left="{", right="}"):
        self.take(left)
        value = self.total()
        self.take(right)
        return value

    def atom(self):
        token = self.take()
        match token:
            case r"\cdot":
                return self.power()
            case r"\frac":
                return self.group() / self.group()
            case r"\sqrt":
                return mpmath.sqrt(self.group())
            case r"\ln":
                return mpmath.log(self.atom())
            case "e":
                return +mpmath.e
            case "(":
                self.at -= 1
                return self.group("(", ")")
            case r"\lfloor" | r"\lceil":
                value = self.total()
                self.take("\\r" + token[2:])
                return mpmath.floor(value) if token == r"\lfloor" else mpmath.ceil(value)
            case r"\max" | r"\min":
                self.take(r"\{")
                found = [self.total()]
                while self.peek() == ",":
                    self.take()
                    found.append(self.total())
                self.take(r"\}")
                return max(found) if token == r"\max" else min(found)
        if token.startswith("@"):
            return self.values[int(token.strip("@"))]
        return mpmath.mpf(token)


def evaluated(made, values):
    values = dict(values)
    waiting = list(made.named)
    while waiting:
        name, lines = waiting.pop(0)
        needs = {other for other, _ in made.named if other in " ".join(lines)}
        if needs <= values.keys():
            values[name] = Reader(" ".join(lines), values).total()
        else:
            waiting.append((name, lines))
    reader = Reader(" ".join(made.lines), values)
    value = reader.total()
    assert reader.peek() is None
    return value


@pytest.mark.parametrize("room", [WIDE, 120.0])
@pytest.mark.parametrize("key", CLAIMS)
def test_the_printed_formula_has_the_value_of_the_claim(key, room):
    claim = CLAIMS[key]
    made = formula(claim["expression"], claim["constants"], claim["latex"], room=room)
    assert not made.plain
    values = {symbol(name): constant["value"] for name, constant in claim["constants"].items()}
    assert evaluated(made, values) == pytest.approx(claim["value"], rel=1e-9)


@pytest.mark.parametrize("room", [WIDE, 120.0])
def test_no_fraction_is_smaller_than_another(room):
    for claim in CLAIMS.values():
        made = formula(claim["expression"], claim["constants"], claim["latex"], room=room)
        for line in (*made.lines, *(line for _, lines in made.named for line in lines)):
            assert "style" not in line
            assert (r"\begin{aligned}" in line) == (r"\\" in line)
            for start in (found.end() for found in re.finditer(r"\\frac", line)):
                assert r"\frac" not in line[start : _end(line, _end(line, start))], line


def _end(tex, start):
    """Where the group in braces that begins here ends."""
    here, depth = start, 0
    while here == start or depth:
        depth += {"{": 1, "}": -1}.get(tex[here], 0) if tex[here - 1] != "\\" else 0
        here += 1
    return here


K, d_out, eta, m, E = sympy.symbols("K d_{out} eta m_r1 E_s^{r'}", positive=True)
VALUES = {K: 3, d_out: 2, eta: sympy.Rational(1, 4), m: 7, E: 5}
expressions = st.recursive(
    st.sampled_from([K, d_out, eta, m, E, sympy.Integer(2), sympy.Integer(10)]),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda pair: pair[0] + pair[1]),
        st.tuples(inner, inner).map(lambda pair: pair[0] - pair[1]),
        st.tuples(inner, inner).map(lambda pair: pair[0] * pair[1]),
        inner.map(lambda one: one / (one**2 + 1)),
        inner.map(lambda one: sympy.sqrt(one**2 + 1)),
        inner.map(lambda one: sympy.exp(-(one**2) / (one**2 + 2))),
        inner.map(lambda one: sympy.log(one**2 + 2)),
        st.tuples(inner, inner).map(lambda pair: sympy.Max(*pair)),
        inner.map(lambda one: sympy.floor(one + sympy.Rational(1, 3))),
    ),
    max_leaves=8,
)


@settings(deadline=None, max_examples=60)
@given(expression=expressions, room=st.sampled_from([60.0, 150.0, WIDE]))
def test_any_expression_is_printed_with_its_value(expression, room):
    expected = expression.subs(VALUES).evalf(50)
    made = formula(str(expression), [str(one) for one in VALUES], sympy.latex(expression), room=room)
    assert not made.plain
    values = {symbol(str(name)): mpmath.mpf(float(value)) for name, value in VALUES.items()}
    with mpmath.workdps(60):  # of numbers below 10^8, and their squares
        assert abs(evaluated(made, values) - mpmath.mpf(str(expected))) < 1e-30


@pytest.mark.parametrize("letter", ["K + 1/2", "K + K**2/3", "exp(K/3) + 1/2"])
def test_a_letter_after_a_delimiter_is_no_part_of_its_name(letter):
    expression = sympy.floor(sympy.sympify(letter))
    made = formula(str(expression), ["K", "e"], sympy.latex(expression))
    assert re.search(r"\\lfloor(?![A-Za-z])", made.lines[0])


def test_what_the_printer_does_not_know_is_left_to_sympy():
    made = formula("Sum(x, (k, 1, n))", ["x", "n"], r"\sum_{k=1}^{n} \epsilon_{max}")
    assert made.plain and made.lines == (r"\sum_{k=1}^{n} \varepsilon_{\max}",)


def test_a_power_of_a_letter_with_an_upper_index_is_not_a_second_index():
    assert formula("E_s^{r'}**2", ["E_s^{r'}"], "").lines == (r"(E_{s}^{r'})^{2}",)


def test_names_that_are_parts_of_others_are_told_apart():
    made = formula("epsilon_**K + epsilon", ["epsilon_*", "epsilon", "K"], "")
    assert made.lines == (r"\varepsilon_{*} K + \varepsilon",)


def test_repeated_parts_of_a_wide_formula_get_names_in_the_order_of_reading():
    claim = CLAIMS["convergence/lipschitz"]
    made = formula(claim["expression"], claim["constants"], claim["latex"])
    assert [name for name, _ in made.named] == [f"S_{{{i}}}" for i in range(1, len(made.named) + 1)]
    assert re.findall(r"S_\{(\d)\}", " ".join(made.lines))[0] == "1"
    taken = formula(claim["expression"].replace("P_1", "S_1"), {**claim["constants"], "S_1": 0}, "")
    assert {name[0] for name, _ in taken.named} == {"T"}
