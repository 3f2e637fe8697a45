"""Formulas on tensors: values and slopes against mpmath, kinks, precision, and what is refused."""

import mpmath
import pytest
import sympy
import torch

from icgd.bounds.activation import ACTIVATIONS, parse_activation
from icgd.bounds.functions.scalar import Scalar, t
from icgd.bounds.letters import ProblemError
from icgd.construct.block.elementwise import torch_callable

FORMULAS = [
    *ACTIVATIONS,
    "t/(1+exp(-t))",
    "sqrt(1+t**2) - 1/3",
    "sin(t)*cos(2*t) + atan(t)**3 - pi",
    "log(2+sinh(t)**2)/cosh(t)",
    "Max(t, -1)*Min(2, t)",
    "Max(-t, t/3, t - 1)",
    "Abs(t - 1/3)",
    "relu(t)**2 + erf(t)",
    "7/3",
]
POINTS = [-2.7, -1.3, -0.2, 0.1, 0.45, 1.9]


@pytest.mark.parametrize("text", FORMULAS)
def test_torch_callables_agree_with_mpmath(text):
    scalar = parse_activation(text).r
    x = torch.tensor(POINTS, dtype=torch.float64, requires_grad=True)
    value = torch_callable(scalar)(x)
    (slope,) = torch.autograd.grad(value.sum(), x)
    assert value.dtype == torch.float64 and value.shape == x.shape

    def exact(z):
        return mpmath.mpf(scalar.expr.subs(t, z).evalf(40))

    with mpmath.workdps(40):
        for i, point in enumerate(POINTS):
            assert value[i].item() == pytest.approx(float(exact(mpmath.mpf(point))), abs=1e-13)
            h = mpmath.mpf("1e-12")
            difference = (exact(mpmath.mpf(point) + h) - exact(mpmath.mpf(point) - h)) / (2 * h)
            assert slope[i].item() == pytest.approx(float(difference), abs=1e-11)


def test_kinks_take_the_slope_of_the_expression_not_torchs():
    z = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(torch_callable(ACTIVATIONS["relu"].r)(z).sum(), z)
    assert slope.item() == 0.0  # torch.maximum(0, t) would say 0.5
    assert torch_callable(ACTIVATIONS["relu"].derivative)(z).item() == 0.0


def test_second_derivatives_pass_through_kinked_functions():
    z = torch.tensor([-1.0, 2.0], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(
        torch_callable(parse_activation("relu(t)**2").r)(z).sum(), z, create_graph=True
    )
    (curvature,) = torch.autograd.grad(slope.sum(), z)
    assert slope.tolist() == [0.0, 4.0] and curvature.tolist() == [0.0, 2.0]


def test_a_piecewise_of_numbers_keeps_all_its_digits():
    third = sympy.Rational(1, 3)
    step = Scalar(sympy.Piecewise((third, t < 0), (t, t < 1), (2 * third, True)), kinks=(0.0, 1.0))
    flat = Scalar(sympy.Piecewise((third, t < 0), (2 * third, True)), kinks=(0.0,))
    z = torch.tensor([-1.0, 0.5, 2.0], dtype=torch.float64)
    assert torch_callable(step)(z).tolist() == [1 / 3, 0.5, 2 / 3]
    assert torch_callable(flat)(z).tolist() == [1 / 3, 2 / 3, 2 / 3]
    assert torch_callable(flat)(z.float()).dtype == torch.float32


def test_callables_are_cached():
    assert torch_callable(Scalar(t**2)) is torch_callable(Scalar(t**2))


def test_what_torch_has_no_function_for_is_refused_in_one_sentence():
    with pytest.raises(
        ProblemError, match=r"^formula = acosh\(t\): it cannot be run: construct/ has no acosh for tensors$"
    ):
        torch_callable(Scalar(sympy.acosh(t)))
