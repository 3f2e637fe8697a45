"""Signs of print: what is a minus, a prime, an apostrophe or a product, and what stays as it was typed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icgd.reports.mathematics.mathml import worded
from icgd.reports.mathematics.print_signs import printed


@pytest.mark.parametrize(
    ("typed", "set"),
    [
        ("r'(z) and relu' differ", "r′(z) and relu′ differ"),
        (
            "the paper's lemma, the authors' words, Lemma 2's",
            "the paper’s lemma, the authors’ words, Lemma 2’s",
        ),
        ("eta*eps, 2 * K, w* and C(k) * 3", "eta·eps, 2·K, w* and C(k)·3"),
        ("w - A grad on [-R_1, -0.5], x-1", "w − A grad on [−R_1, −0.5], x−1"),
        (
            "--eta -0.1 of relu-icgd, a non-convex loss, 1e-12",
            "--eta −0.1 of relu-icgd, a non-convex loss, 1e-12",
        ),
        ("p(j-1), (N-1)K, lemma-2-interval, K-2-x, S^-1", "p(j−1), (N−1)K, lemma-2-interval, K-2-x, S^-1"),
        ("our `lean`", "our lean"),
        ('it says "for all"', "it says “for all”"),
        ("t/(1+exp(-t)), -x_i", "t/(1+exp(−t)), −x_i"),
        ("labels w.x, entry -w'.x, x_q . w* apart", "labels w·x, entry −w′·x, x_q·w* apart"),
        ("w.xlsx, new.x and Fig. 2", "w.xlsx, new.x and Fig. 2"),
    ],
)
def test_signs(typed, set):
    assert printed(typed) == set and printed(set) == set


@given(st.text(alphabet="abr'\"*- 12()", max_size=40))
def test_only_signs_change(text):
    back = printed(text)
    for sign, key in (("′", "'"), ("’", "'"), ("“", '"'), ("”", '"'), ("−", "-"), ("·", "*")):
        back = back.replace(sign, key)
    assert "".join(back.split()) == "".join(text.split())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("B_v", "<math><msub><mi>B</mi><mi>v</mi></msub></math>"),
        ("1/n", '<math><mn>1</mn><mo lspace="0" rspace="0">/</mo><mi>n</mi></math>'),
        ("x <= b", "<math><mi>x</mi><mo>≤</mo><mi>b</mi></math>"),
        ("<td>", "&lt;td&gt;"),
        ("1e-12", "<math><msup><mn>10</mn><mrow><mo>−</mo><mn>12</mn></mrow></msup></math>"),
        ("their size == the claim <= all", "their size = the claim ≤ all"),
        ("caf\u00e9", "caf\u00e9"),
    ],
)
def test_mathematics_on_a_page(text, shown):
    assert worded(text) == shown
