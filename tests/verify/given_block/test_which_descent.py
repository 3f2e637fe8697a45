"""What the factors of a step are read as: a known mistake, or nothing."""

import pytest

from icgd.bounds.problem import Problem
from icgd.construct.block.given_block import GivenBlock
from icgd.construct.relu_icgd import build
from icgd.verify.given_block.which_descent import Factor, factor_grid, factors_in_words

EIGHT = Problem(N=1, K=1, d=1, n=8, eps=0.5)


@pytest.mark.parametrize(
    ("factor", "unexplained", "reading"),
    [
        (8 / 9, 1e-6, "the factor (n+1)/n of the mean over n+1 tokens is missing"),
        (9 / 8, 1e-6, "the factor (n+1)/n of the mean over n+1 tokens stands twice"),
        (-1.0, 0.02, "the sign of the step is wrong"),
        (2.0, 0.02, "as for a loss with 1/n instead of 1/(2n)"),
        (0.5, 0.02, "half a step"),
        (1.0, 0.02, "a step of descent"),
        (0.0, 0.0, "it does not move"),
        (0.926, 0.039, ""),  # a step of descent with an error that eps = 0.3 allows, and no mistake
        (0.3, 1e-6, ""),
    ],
)
def test_a_factor_is_read_as_a_mistake_only_where_little_else_explains_it(factor, unexplained, reading):
    block = GivenBlock.of_block(build(EIGHT))
    assert factor_grid(block, (Factor(1, factor, unexplained),)).rows[0][3] == reading


def test_a_matrix_that_stays_is_said_to():
    assert factors_in_words(8, (Factor(2, 0.0, 0.0),)) == "V2 does not move"
    assert "(half a step)" in factors_in_words(8, (Factor(1, 0.5, 0.0),))
