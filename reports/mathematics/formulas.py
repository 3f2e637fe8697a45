"""Typesets the expression of a bound as displayed LaTeX, in the papers' letters, with line breaks."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from icgd.reports.mathematics.notation import Tex, displayed, symbol

WIDE = 350.0
"""Width of a line in points, by a rough estimate; \\icgdfit in the preamble shrinks what is too wide."""

_OPERATOR, _PAREN, _LETTER, _SMALL = 11.0, 8.0, 6.0, 4.2
_SUM, _PRODUCT, _POWER, _ATOM = range(4)
_FUNCTIONS = ("Max", "Min", "sqrt", "log", "exp", "floor", "ceiling", "Abs")
_ABBREVIATIONS = "STQUHZG"


@dataclass(frozen=True)
class Formula:
    """A displayed formula in lines.

    named: each abbreviation in it, with the lines of its definition.
    plain: whether the printer did not know the expression, so that the lines are sympy's LaTeX.
    """

    lines: tuple[Tex, ...]
    named: tuple[tuple[Tex, tuple[Tex, ...]], ...] = ()
    plain: bool = False


@dataclass(frozen=True)
class _Box:
    tex: str
    width: float
    level: int = _ATOM
    tall: bool = False


@dataclass
class _Printer:
    """depth: in how many fractions and exponents it is; inside one, fractions are written with a slash."""

    symbols: dict[str, Tex]
    letter: str
    definitions: list[tuple[str, ast.expr]] = field(default_factory=list)
    known: dict[str, str] = field(default_factory=dict)
    depth: int = 0

    def name(self, node: ast.expr) -> ast.Name:
        """The abbreviation for a node; equal nodes get the same one."""
        dump = ast.dump(node)
        if dump not in self.known:
            name = f"short{len(self.known)}"
            self.known[dump] = name
            self.symbols[name] = Tex(f"{self.letter}_{{@{len(self.known)}}}")
            self.definitions.append((name, node))
        return ast.Name(self.known[dump])

    def box(self, node: ast.expr) -> _Box:
        match node:
            case ast.Constant(value=int() | float() as value):
                return _Box(str(value), _LETTER * len(str(value)))
            case ast.Name(id=name):
                tex = self.symbols[name]
                small = len(re.sub(r"\\mathrm|\\[a-z]+", "x", tex.partition("_")[2]).strip("{}"))
                # A power of a letter with an upper index would have two.
                return _Box(tex, _LETTER + _SMALL * small, _POWER if "^" in tex else _ATOM)
            case ast.BinOp(op=ast.Add() | ast.Sub()) | ast.UnaryOp(op=ast.USub()):
                return self._sum(node)
            case ast.BinOp(op=ast.Mult() | ast.Div()):
                return self._product(node)
            case ast.BinOp(left=base, op=ast.Pow(), right=exponent):
                low, high = self._at(base, _ATOM), self._inline(exponent)
                return _Box(f"{low.tex}^{{{high.tex}}}", low.width + 0.7 * high.width, _POWER, low.tall)
            case ast.Call(func=ast.Name(id=function), args=arguments) if function in _FUNCTIONS:
                return self._call(function, arguments)
        raise ValueError(ast.dump(node))

    def _sum(self, node: ast.expr) -> _Box:
        boxes = [(sign, self._at(term, _PRODUCT)) for sign, term in _terms(node)]
        tex = _joined((sign, box.tex) for sign, box in boxes)
        width = sum(box.width + _OPERATOR for _, box in boxes) - (_OPERATOR if boxes[0][0] == "+" else 0)
        return _Box(tex, width, _SUM, any(box.tall for _, box in boxes))

    def _product(self, node: ast.expr) -> _Box:
        above, below = _factors(node)
        small = [*map(_integer, above)] == [1] and len(below) == 1 and not self.depth
        if small and re.fullmatch("10+", str(_integer(below[0]))):
            return _Box(f"10^{{-{len(str(_integer(below[0]))) - 1}}}", 4 * _LETTER, _POWER)
        if not below:
            return self._row(above)
        self.depth += 1
        over, under = self._row(above), self._row(below)
        line = f"{self._bracketed(above, _PRODUCT)}/{self._bracketed(below, _POWER)}"
        self.depth -= 1
        if self.depth:
            return _Box(line, over.width + under.width + _PAREN, _PRODUCT)
        width = max(over.width, under.width) + 4
        return _Box(rf"\frac{{{over.tex}}}{{{under.tex}}}", width, _PRODUCT, tall=True)

    def _row(self, factors: Sequence[ast.expr]) -> _Box:
        if len(factors) == 1:
            return self.box(factors[0])
        made, width, tall = "", 0.0, False
        for factor in sorted(factors, key=_order):
            box = self._at(factor, _PRODUCT if isinstance(factor, ast.BinOp) else _POWER)
            gap = r" \cdot " if made[-1:].isdigit() and box.tex[0].isdigit() else " " if made else ""
            made, width, tall = made + gap + box.tex, width + box.width + 2, tall or box.tall
        return _Box(made, width, _PRODUCT, tall)

    def _inline(self, node: ast.expr) -> _Box:
        """The node for an exponent."""
        self.depth += 1
        box = self._sum(node)
        self.depth -= 1
        return box

    def _bracketed(self, factors: Sequence[ast.expr], level: int) -> str:
        """A product on one line, in brackets if its precedence is below the level."""
        if not factors:
            return ""
        box = self._row(factors)
        return box.tex if box.level >= level else _around("(", box.tex, ")", box.tall)

    def _call(self, function: str, arguments: Sequence[ast.expr]) -> _Box:
        boxes = [self.box(one) for one in arguments]
        inner, width = ", ".join(box.tex for box in boxes), sum(box.width + 6 for box in boxes)
        tall = any(box.tall for box in boxes)
        first = boxes[0]
        match function:
            case "sqrt":
                return _Box(rf"\sqrt{{{inner}}}", width + 8, tall=tall)
            case "exp":
                high = self._inline(arguments[0])
                return _Box(rf"e^{{{high.tex}}}", _LETTER + 0.7 * high.width, _POWER)
            case "log" if first.level == _ATOM:
                return _Box(rf"\ln {inner}", width + 12, _POWER)
            case "floor" | "ceiling":
                kind = function.removesuffix("ing")
                return _Box(_around(rf"\l{kind}", inner, rf"\r{kind}", tall), width + _PAREN, tall=tall)
            case "Abs":
                return _Box(_around(r"\lvert", inner, r"\rvert", tall), width + _PAREN, tall=tall)
        word = {"Max": r"\max", "Min": r"\min", "log": r"\ln"}[function]
        braces = ("(", ")") if function == "log" else (r"\{", r"\}")
        return _Box(word + _around(braces[0], inner, braces[1], tall), width + 22 + _PAREN, tall=tall)

    def _at(self, node: ast.expr, level: int) -> _Box:
        box = self.box(node)
        if box.level >= level:
            return box
        return _Box(_around("(", box.tex, ")", box.tall), box.width + _PAREN, tall=box.tall)

    def lines(self, node: ast.expr, room: float) -> list[_Box]:
        """The node in lines within `room`: sums and maxima are broken, other wide parts abbreviated."""
        while (box := self.box(node)).width > room:
            match node:
                case ast.BinOp(op=ast.Add() | ast.Sub()) | ast.UnaryOp():
                    return self._filled(node, room)
                case ast.Call(func=ast.Name(id="Max" | "Min" as function), args=arguments):
                    return [self._column(function, arguments, room)]
            widest = max(_parts(node), key=lambda part: self.box(part).width, default=None)
            if widest is None or isinstance(widest, ast.Name | ast.Constant):
                break
            node = _replaced(node, {ast.dump(widest): self.name(widest)})
        return [box]

    def _filled(self, node: ast.expr, room: float) -> list[_Box]:
        made: list[_Box] = []
        for sign, term in _terms(node):
            box, *more = self.lines(term, room - 20)
            if more:
                box = self.box(self.name(term))
            if not made:
                made.append(_Box(_joined([(sign, box.tex)]), box.width))
            elif made[-1].width + _OPERATOR + box.width > room:
                made.append(_Box(rf"\quad {{}} {sign} {box.tex}", box.width + 20 + _OPERATOR))
            else:
                made[-1] = _Box(f"{made[-1].tex} {sign} {box.tex}", made[-1].width + _OPERATOR + box.width)
        return made

    def _column(self, function: str, arguments: Sequence[ast.expr], room: float) -> _Box:
        rows: list[str] = []
        left = 0.0
        for one in arguments:
            first, *more = self.lines(one, room - 50)
            if not more and first.width + 15 < left:
                rows[-1] += rf",\; {first.tex}"
                left -= first.width + 15
            else:
                rows.append(r" \\ & ".join(line.tex for line in (first, *more)))
                left = 0.0 if more else room - 50 - first.width
        column = r", \\ & ".join(rows)
        inside = rf"\begin{{aligned}} & {column} \end{{aligned}}" if r"\\" in column else column
        return _Box(rf"\{function.lower()} \left\{{ {inside} \right\}}", room, tall=True)


def formula(expression: str, names: Iterable[str], latex: str, *, room: float = WIDE) -> Formula:
    r"""The displayed formula of a bound.

    expression, latex: its text and LaTeX from sympy.  names: its symbols, the keys of the claim's constants.

    >>> formula("Max(2*K, d_{out}*log(2)/epsilon**2)", ["K", "d_{out}", "epsilon"], "").lines[0]
    '\\max\\left\\{2 K, \\frac{d_{\\mathrm{out}} \\ln 2}{\\varepsilon^{2}}\\right\\}'
    """
    return _formula(expression, tuple(sorted(names, key=len, reverse=True)), latex, room)


@lru_cache(maxsize=2000)  # a report shows a formula in its section and in the fragments for papers
def _formula(expression: str, names: tuple[str, ...], latex: str, room: float) -> Formula:
    try:
        tree, symbols = _parsed(expression, names)
        printer = _Printer(symbols, _free_letter(names))
        if printer.box(tree).width > room:
            tree = _abbreviated(printer, tree)
        lines = [line.tex for line in printer.lines(tree, room)]
        named: dict[str, Sequence[str]] = {
            printer.symbols[name]: [line.tex for line in printer.lines(node, room)]
            for name, node in _growing(printer.definitions)
        }
    except (SyntaxError, ValueError, KeyError, RecursionError, MemoryError):
        return Formula((displayed(latex),), plain=True)
    return _numbered(lines, named)


def _numbered(lines: Sequence[str], named: Mapping[str, Sequence[str]]) -> Formula:
    """The formula with its abbreviations numbered in the order of first use."""
    order: list[str] = []
    waiting = [*lines]
    while waiting:
        for name in re.findall(r"[A-Z]_\{@\d+\}", waiting.pop(0)):
            if name not in order:
                order.append(name)
                waiting += named[name]

    def settle(tex: str) -> Tex:
        return Tex(
            re.sub(r"[A-Z]_\{@\d+\}", lambda found: f"{found[0][0]}_{{{order.index(found[0]) + 1}}}", tex)
        )

    return Formula(
        tuple(map(settle, lines)), tuple((settle(name), tuple(map(settle, named[name]))) for name in order)
    )


def _growing(definitions: list[tuple[str, ast.expr]]) -> Iterator[tuple[str, ast.expr]]:
    """The definitions, including those added while earlier ones are printed."""
    here = 0
    while here < len(definitions):
        yield definitions[here]
        here += 1


def _parsed(expression: str, names: Sequence[str]) -> tuple[ast.expr, dict[str, Tex]]:
    symbols = {f"symbol{index}": symbol(name) for index, name in enumerate(names)}
    if names:
        places = {name: f"symbol{index}" for index, name in enumerate(names)}
        known = re.compile(r"(?<![\w}])(" + "|".join(map(re.escape, names)) + r")(?!\w)")
        expression = known.sub(lambda found: places[found[1]], expression)
    return ast.parse(expression, mode="eval").body, symbols | {
        "pi": Tex(r"\pi"),
        "E": Tex("e"),
        "oo": Tex(r"\infty"),
    }


def _free_letter(names: Iterable[str]) -> str:
    taken = {name[0] for name in names}
    return next((letter for letter in _ABBREVIATIONS if letter not in taken), "Y")


def _abbreviated(printer: _Printer, tree: ast.expr) -> ast.expr:
    """The tree with every repeated wide sum or product replaced by an abbreviation, the widest first."""
    while True:
        seen: Counter[str] = Counter()
        nodes: dict[str, ast.expr] = {}
        trees = [tree, *(node for _, node in printer.definitions)]
        for node in (node for one in trees for node in ast.walk(one)):
            if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub | ast.Mult | ast.Div):
                seen[ast.dump(node)] += 1
                nodes[ast.dump(node)] = node
        repeated = [nodes[dump] for dump, count in seen.items() if count > 1 and dump not in printer.known]
        wide = [node for node in repeated if printer.box(node).width > 60]
        if not wide:
            return tree
        chosen = max(wide, key=lambda node: printer.box(node).width)
        name = {ast.dump(chosen): printer.name(chosen)}
        tree = _replaced(tree, name)
        printer.definitions[:-1] = [(of, _replaced(node, name)) for of, node in printer.definitions[:-1]]


def _replaced(node: ast.expr, names: dict[str, ast.Name]) -> ast.expr:
    class Replace(ast.NodeTransformer):
        def visit(self, node: ast.AST) -> ast.AST:
            return names.get(ast.dump(node)) or self.generic_visit(node)

    copy = ast.parse(ast.unparse(node), mode="eval").body
    made = Replace().visit(copy)
    assert isinstance(made, ast.expr)
    return made


def _parts(node: ast.expr) -> list[ast.expr]:
    match node:
        case ast.BinOp(op=ast.Mult() | ast.Div()):
            above, below = _factors(node)
            return [_under(part) for part in (*above, *below)]
        case ast.BinOp(left=base, op=ast.Pow()):
            return [base]
        case ast.Call(args=arguments):
            return list(arguments)
    return []


def _under(node: ast.expr) -> ast.expr:
    return node.left if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow) else node


def _terms(node: ast.expr, sign: str = "+") -> list[tuple[str, ast.expr]]:
    """Signed terms of a sum, a positive one first if there is one."""
    terms = list(_signed(node, sign))
    if terms[0][0] == "-":
        terms.sort(key=lambda term: term[0] == "-")
    return terms


def _signed(node: ast.expr, sign: str) -> Iterator[tuple[str, ast.expr]]:
    other = "-" if sign == "+" else "+"
    match node:
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() as op, right=right):
            yield from _signed(left, sign)
            yield from _signed(right, sign if isinstance(op, ast.Add) else other)
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            yield from _signed(inner, other)
        # sympy writes -x*y/2, which Python reads as ((-x)*y)/2.
        case ast.BinOp(left=left, op=ast.Mult() | ast.Div() as op, right=right) if _negative(left):
            ((_, positive),) = _signed(left, "+")
            yield other, ast.BinOp(positive, op, right)
        case _:
            yield sign, node


def _negative(node: ast.expr) -> bool:
    match node:
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            return not isinstance(inner, ast.BinOp) or not isinstance(inner.op, ast.Add | ast.Sub)
        case ast.BinOp(left=left, op=ast.Mult() | ast.Div()):
            return _negative(left)
    return False


def _factors(node: ast.expr) -> tuple[list[ast.expr], list[ast.expr]]:
    """The factors of the numerator and of the denominator of a product."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult | ast.Div):
        above, below = _factors(node.left)
        more, less = _factors(node.right)
        if isinstance(node.op, ast.Div):
            more, less = less, more
        above, below = above + more, below + less
        if len(above) > 1 and any(_integer(one) == 1 for one in above):
            above = [one for one in above if _integer(one) != 1]
        return above or [ast.Constant(1)], below
    return [node], []


def _integer(node: ast.expr) -> int | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, int) else None


def _order(node: ast.expr) -> int:
    """Sort key of a factor: numbers, then letters, then brackets, then logarithms."""
    under = _under(node)
    if isinstance(under, ast.Constant):
        return 0
    if isinstance(under, ast.Call):
        return 3 if isinstance(under.func, ast.Name) and under.func.id == "log" else 2
    return 1 if isinstance(under, ast.Name) else 2


def _joined(terms: Iterable[tuple[str, str]]) -> str:
    made = ""
    for sign, tex in terms:
        made = (tex if sign == "+" else f"-{tex}") if not made else f"{made} {sign} {tex}"
    return made


def _around(left: str, inner: str, right: str, tall: bool) -> str:
    gap = " " if left[-1].isalpha() else ""  # separates a command's name from a letter after it
    if tall:
        return rf"\left{left}{gap}{inner}\right{right}"
    return f"{left}{gap}{inner}{gap}{right}"
