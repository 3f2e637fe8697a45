"""Text as LaTeX: no text of a user or a check can break a document."""

import itertools
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from icgd.reports.latex.typeset import typeset
from icgd.reports.mathematics.allowed import is_mathematics
from icgd.reports.mathematics.notation import Tex, code, escape, quantity, statement, symbol, tidy

NASTY = (
    "C:\\people_50%\\a~b^c#1&{x}$.csv 'quoted' \"twice\" `ticks` [0.1, 2] * -- --- << >> ,, ?` !` "
    "± ≤ − Λ ε ∈ ℝ x² n₁ é Ł ß ﬁ ☃ 🙂 中 … “a” n\u0303 \u200b\u00a0| t/(1+exp(-t)) "
    "norm2(v_jk - w(l)) <= eta*eps lambda_min S^-1"
)
SAFE = re.compile(
    r"""(?:
      [A-Za-z0-9 .:;()/@=+!?,\]-]                       # characters as they are, some of them only in {}
    | \\[{}$&#%_]                                       # escaped
    | \\(?:textbackslash|textasciicircum|textasciitilde|textless|textgreater|textbar|icgdquote
        |textasciigrave|textdegree|textendash|textemdash|textquoteleft|textquoteright|textquotedblleft
        |textquotedblright|dots|textbullet|texteuro|pounds|ss|ae|AE|oe|OE|o|O|l|L|i|S|P|allowbreak)\{\}
    | \\symbol\{34\} | \\mbox\{-\} | \{[\[\]*]\} | \{\}
    | (?:\\[`'^~="rHvcu.]\{)+[A-Za-z]\}+                # accents
    | \\texttt\{U\+[0-9A-F]+\}
    )*""",
    flags=re.VERBOSE,
)


MATRIX = re.compile(r"\\(?:begin|end)\{smallmatrix\}|&|\\\\")
"""What else is in a matrix, and in no other formula."""


def parted(latex):
    """LaTeX without its formulas, and the formulas; a brace in a formula has its partner there."""
    left, *parts = latex.split(r"\ensuremath{")
    formulas = []
    for part in parts:
        depths = itertools.accumulate({"{": 1, "}": -1}.get(sign, 0) for sign in re.sub(r"\\.", "..", part))
        end = list(depths).index(-1)
        formulas.append(part[:end])
        left += part[end + 1 :]
    return left, formulas


@given(text=st.text())
@example(text=NASTY)
@example(text="a_" * 40)
def test_only_harmless_ascii_is_left(text):
    for made in (escape(text), code(text).removeprefix(r"\texttt{").removesuffix("}")):
        made, formulas = parted(made)
        assert SAFE.fullmatch(made), made[SAFE.match(made).end() :][:40]
        assert all(is_mathematics(MATRIX.sub("", one)) and one.isascii() for one in formulas)
        assert "--" not in made and ",," not in made


@given(words=st.lists(st.from_regex(r"[A-Za-z0-9]{1,30}", fullmatch=True)))
def test_words_and_numbers_stay_as_they_are(words):
    text = " ".join(words)
    short = re.search(r"\b(?:eta|eps|epsilon|lambda|Lambda|mu|kappa|rho|\d*[A-Za-z]{1,2}|\d+[eE]\d+)\b", text)
    assert escape(text).replace(r"\allowbreak{}", "") == text or short
    assert code(text).replace(r"\allowbreak{}", "") == rf"\texttt{{{text}}}"


@given(word=st.from_regex(r"[A-Za-z0-9/_.=-]{40,80}", fullmatch=True))
def test_long_words_can_be_broken(word):
    for made in (parted(escape(word))[0], code(word)):
        runs = re.split(r"\\allowbreak\{\}|-", made.replace(r"\_", "_"))
        assert max(len(re.sub(r"\\\w+|[{}]", "", run)) for run in runs) <= 24


def test_numbers_in_evidence_are_printed_as_they_are():
    evidence = "largest 0.00243 of 0.005 over 20,000 prompts; 1.1e-16 (allowed 2e-12), 0.719548^10, -2.557"
    plain = escape(evidence).replace("{}", "").replace(r"\mbox{-}", "-").replace(r" \times 10^{", "e")
    assert re.sub(r"\\ensuremath\{([^{}]*)\}?\}", r"\1", plain.replace("^{10}", "^10")) == evidence


def test_text_that_is_safe_is_not_escaped_again():
    assert escape(Tex("$x_1$")) == "$x_1$" and escape(escape("50%")) == "50\\%"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("norm2(w(l) - w*) <= 3", r"\ensuremath{\Vert w(l) - w^{\star}\Vert_{2} \le 3}"),
        ("w_GD(l)", r"\ensuremath{w_{\mathrm{GD}}(l)}"),
        ("lambda_max of A^T", r"\ensuremath{\lambda_{\max}} of \ensuremath{A^{T}}"),
        ("h < 2/Lambda", r"\ensuremath{h < 2/\Lambda}"),
        ("U S^-1/2", r"\ensuremath{U\,S^{-1/2}}"),
        ("w^2/2", r"\ensuremath{w^{2}/2}"),
        ("exp(Omega(T)), claim == 7", r"\ensuremath{\exp(\Omega(T))},{} claim \ensuremath{=} 7"),
        ("r is C^4", r"\ensuremath{r} is \ensuremath{C^{4}}"),
        ("(ab)^2", r"(ab)\ensuremath{^{2}}"),
        ("is C⁴ in x₁", r"is \ensuremath{C^{4}} in \ensuremath{x_{1}}"),
        ("10⁻³", r"\ensuremath{10^{-3}}"),
        ("|r\u0304|", r"\ensuremath{|\bar{r}|}"),
        ("e_1^T", r"\ensuremath{e_{1}^{T}}"),
    ],
)
def test_mathematics_in_plain_text_is_set_as_such(text, shown):
    assert escape(text).replace("-{}", "-").endswith(shown)


@pytest.mark.parametrize("text", ["--eta 0.1", "a_b.csv", "my_data_1", "beta.eta.txt", "epsilon-greedy"])
def test_options_and_file_names_are_left_alone(text):
    assert "ensuremath" not in escape(text)


@pytest.mark.parametrize(
    ("name", "shown"),
    [("ell", r"\ell"), ("nu_u", r"\nu_{u}"), ("k_max", r"k_{\max}"), ("A_{rN}", "A_{r,N}"), ("x_2", "x_{2}"),
     ("m_x3", r"m_{\times,3}"), ("D_w", "D_{w}"), ("radius", r"\mathrm{radius}"), ("B_%", r"B_{\mathrm{}}")],
)  # fmt: skip
def test_symbols_read_as_in_the_papers(name, shown):
    assert symbol(name) == shown


def test_quantities():
    assert quantity("step_error") == r"\text{step error}" and quantity("lambda_max") == r"\lambda_{\max}"


def test_statements_that_are_not_latex_are_escaped():
    assert statement("50% & {") == r"50\% \& \{"
    assert statement(r"\min_{P} L_n") == r"$\min_{P} L_n$"
    assert statement(r"at most $\epsilon_{*}$") == r"at most $\varepsilon_{*}$"
    assert statement("for all inputs") == "for all inputs"
    assert tidy(r"\log{\left(2 \right)} k_{max}") == r"\ln 2 k_{\max}"


@pytest.mark.needs("latexmk")
def test_nasty_text_compiles_without_a_warning(tmp_path):
    tex = tmp_path / "nasty.tex"
    tex.write_text(
        r"\documentclass{article}\usepackage[T1]{fontenc}\usepackage{lmodern,amsmath,array}\let\icgdquote\textquotesingle"
        r"\begin{document}\raggedright "
        rf"\section{{{escape(NASTY)}}} {code(NASTY)} \begin{{tabular}}{{>{{\raggedright}}p{{3cm}}l}}a & b \\ "
        rf"{escape('[1] * ' + 40 * 'x')} & c \\ {escape('* [2]')} & {code('a' * 10)}"
        r"\end{tabular}\end{document}"
    )
    made = typeset(tex)
    assert made.pdf is not None, made.message
    assert made.warnings == ()
