r"""Safety check of the LaTeX in a document, which anyone may have edited: only mathematics is allowed."""

from __future__ import annotations

import re

_WORDS = """
alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi pi rho sigma tau
upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega ell
pm mp times div cdot cdots dots ldots le leq ge geq ne neq approx equiv sim propto ll gg infty sum prod int
partial nabla in notin subset subseteq cup cap emptyset forall exists to mapsto circ top perp otimes oplus
wedge vee neg prime dagger preceq succeq prec succ mid
frac tfrac dfrac sqrt max min sup inf log ln exp sin cos tan sinh cosh tanh arctan det lim
left right big Big bigl bigr Bigl Bigr langle rangle lfloor rfloor lceil rceil lvert rvert lVert rVert Vert
vert text textstyle displaystyle mathrm mathbf mathbb mathcal mathsf operatorname
hat widehat tilde widetilde bar overline underline vec dot quad qquad
"""
_COMMANDS = frozenset(_WORDS.split())
"""Commands that print a symbol or change its style; none reads, writes, defines or loops."""

_TOKEN = re.compile(
    r"\\(?P<command>[A-Za-z]+)|\\[ ,;:!|{}_%$#&]|(?P<sign>[{}$])"
    r"|[A-Za-z0-9 +\-*/=<>()\[\],.;:!?'|_@~]|\^(?!\^)"
)


def is_mathematics(latex: str) -> bool:
    r"""Whether a formula, or a text with formulas between dollars, contains only mathematics.

    >>> is_mathematics(r"$\frac{1}{2} \le \|x\|$"), is_mathematics(r"\input{/etc/hostname}")
    (True, False)
    >>> is_mathematics(r"^^5cinput{x}"), is_mathematics("K}{"), is_mathematics(r"a \\% b")
    (False, False, False)
    """
    at, depth, dollars = 0, 0, 0
    while at < len(latex):
        found = _TOKEN.match(latex, at)
        if found is None or (found["command"] and found["command"] not in _COMMANDS):
            return False
        depth += {"{": 1, "}": -1}.get(found["sign"] or "", 0)
        dollars += found["sign"] == "$"
        if depth < 0:
            return False
        at = found.end()
    return depth == 0 and dollars % 2 == 0
