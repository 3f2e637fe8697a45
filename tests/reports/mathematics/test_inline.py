"""Formulas in plain text: which are found, how they are written, and that all else stays text as it was."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icgd.reports.mathematics.allowed import is_mathematics
from icgd.reports.mathematics.inline import formulas
from icgd.reports.mathematics.letters import Tex
from icgd.reports.mathematics.notation import as_typed, spelled
from icgd.reports.mathematics.print_signs import printed

READ = {
    "w - A^T ∇R(w)": r"w - A^{T}\,\nabla R(w)",
    "w_GD^(l+1) = w_GD^l - eta*∇_w L_n(w_GD^l)": r"w_{\mathrm{GD}}^{l+1} = w_{\mathrm{GD}}^{l} - "
    r"\eta\cdot\nabla_{w}\,L_{n}(w_{\mathrm{GD}}^{l})",
    "max(√K, √d)": r"\max(\sqrt{K}, \sqrt{d})",
    "norm2(s_i(n+1))": r"\Vert s_{i}(n+1)\Vert_{2}",
    "Q = -[[A, 0], [0, 0]]": r"Q = -\bigl[\begin{smallmatrix}A & 0 \\ 0 & 0\end{smallmatrix}\bigr]",
    "B_r' = max |r'|": r"B_{r'} = \max|r'|",
    "C_l = N P^(3/2) B_r E_s^l": r"C_{l} = N\,P^{3/2}\,B_{r}\,E_{s}^{l}",
    "(1 + nL_f)^l ε": r"(1 + n L_{f})^{l}\,\varepsilon",
    "ν^⊤ K̂^-1 Ŷ": r"\nu^{\top}\,\hat{K}^{-1}\,\hat{Y}",
    "2.3×10¹³": r"2.3 \times 10^{13}",
    "2e-12": r"2 \times 10^{-12}",
    "1e-09": r"10^{-9}",
    "R² = 1": r"R^{2} = 1",
    "[0, B_x]^(d×n)": r"[0, B_{x}]^{d \times n}",
    "Õ(NK²) + D_w": r"\tilde{O}(N K^{2}) + D_{w}",
    "w ∼ N(0, S^-1)": r"w \sim N(0, S^{-1})",
    "eps_r' / eta": r"\varepsilon_{r'} / \eta",
    "sqrt n -+ (sqrt d + t)": r"\sqrt{n} \mp(\sqrt{d} + t)",
    "x^1/3": r"x^{1/3}",
    "w^2/2": r"w^{2}/2",
    "Proj_W = MLP_θ": r"\mathrm{Proj}_{W} = \mathrm{MLP}_{\theta}",
    "L D L^T": r"L\,D\,L^{T}",
    "ceil(2 R_i / ε)": r"\lceil 2\,R_{i} / \varepsilon\rceil",
}

LEFT = (
    "a step of 2 in an N-layer network", "Appendix C.6, (B.14) and Section E", "n_x.csv and a/b_c.txt",
    "L-BFGS took 3 s", "relu-icgd/lean is 10% (940 of 2,000)", "the 2-norm of 1,048,576 tokens", "(1/2, 0)",
    "s1[0] of H200", "e.g. this, i.e. that", "the authors' code", "torch 2.13.0+cpu, 1..3", "A sum of ReLUs",
)  # fmt: skip


def pieces_of(text):
    return list(formulas(as_typed(spelled(printed(text)))))


@pytest.mark.parametrize(("typed", "latex"), READ.items())
def test_a_formula_is_read_whole_also_within_a_sentence(typed, latex):
    assert pieces_of(typed) == [latex]
    assert pieces_of(f"It is {typed}, in a word") == ["It is ", latex, ", in a word"]
    assert is_mathematics(without_matrix(latex))


def without_matrix(latex):
    """The formula without the signs between the entries of a matrix, which no other formula may have."""
    return re.sub(r"\\(begin|end)\{smallmatrix\}|&|\\\\", "", latex)


def test_words_numbers_names_and_keys_stay_text():
    for text in LEFT:
        assert not any(isinstance(one, Tex) for one in pieces_of(text)), text


def test_what_is_said_of_a_letter_is_told_from_an_article():
    shown = "".join(
        f"<{one}>" if isinstance(one, Tex) else one for one in pieces_of("For a w, a = 3/5; A, A step")
    )
    assert shown == "For a <w>, <a = 3/5>; <A>, A step"
    letter = [one for one in pieces_of("With a symmetric A that commutes") if isinstance(one, Tex)]
    assert [str(one) for one in letter] == ["A"]


SIGNS = [*"aAnwKεη012.,;:()[]{}|‖√'′^_+-−=<≤*·/ ²ⁿ₁\u0302∇∑", "max", "norm2(", "exp", "s ", "r'", "^{", "_("]


@given(st.lists(st.sampled_from(SIGNS), max_size=30))
def test_any_text_keeps_its_words_and_gives_formulas_that_tex_can_set(signs):
    plain = as_typed(spelled("".join(signs)))
    found = list(formulas(plain))
    for one in found:
        if isinstance(one, Tex):
            assert one.count("{") == one.count("}") and not re.search(
                r"[_^]\{[^{}]*\}\s*([_^])\{[^{}]*\}\s*\1", one
            )
            assert is_mathematics(without_matrix(one)), one
            assert not re.search(r"[\u0080-\uffff$%#~]", one)
    words = "".join(one for one in found if not isinstance(one, Tex))
    letters = iter(plain)
    assert all(sign in letters for sign in words)  # in their order; nothing is added
