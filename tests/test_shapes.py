"""Shapes that signatures declare are held while tests run."""

from dataclasses import dataclass

import pytest
import torch
from jaxtyping import Float, TypeCheckError
from torch import Tensor

from icgd.construct.prompt import Prompt
from tests.shapes import checked, where_declared

held = where_declared(typechecker=checked)


@held
def product(A: Float[Tensor, "m n"], b: "Float[Tensor, ' n']", scale: int) -> Float[Tensor, " m"]:
    return A @ b * scale if scale else b


@held
@dataclass
class Pair:
    a: Float[Tensor, " n"]
    b: Float[Tensor, " n"]


def test_wrong_shapes_are_refused_in_arguments_results_and_fields():
    A, b = torch.ones(3, 2), torch.ones(2)
    assert product(A, b, 1.5).tolist() == [3.0, 3.0, 3.0]  # types are mypy's
    for make in (lambda: product(A, A[:, 0], 1), lambda: product(A, b, 0), lambda: Pair(b, A[:, 0])):
        with pytest.raises(TypeCheckError):
            make()
    with pytest.raises(TypeCheckError):  # and the hook has seen to ours
        Prompt(torch.ones(4, 3, 2), torch.ones(4, 3, 1), torch.ones(4, 1), torch.ones(4, 5))


def test_a_function_without_shapes_is_left_as_it_is():
    def plain(x: int) -> str:
        return str(x)

    assert held(plain) is plain
