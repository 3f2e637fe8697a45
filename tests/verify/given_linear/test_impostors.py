"""Impostors of a descent are told apart, each by its own name."""

import numpy as np
import torch

from icgd.construct.given_linear import GivenLinear
from icgd.verify.given_linear.impostors import beyond_descent, remarks, told_apart
from icgd.verify.given_linear.layer_form import descent_of
from tests.numpy_linear_attention import descent_matrices

N = 10
RNG = np.random.default_rng(4)
A = 0.5 * np.eye(3) + 0.1 * RNG.normal(size=(3, 3, 3))
P, Q = descent_matrices(A)


def made(P=P, Q=Q, **said):
    return GivenLinear.of(torch.from_numpy(np.array(P)), torch.from_numpy(np.array(Q)), **said)


def with_entry(matrices, place, amount):
    changed = np.array(matrices)
    changed[place] += amount
    return changed


def with_steps(*steps):
    return made(*descent_matrices(np.array(steps)))


def gd_plus_plus(gamma=0.1):
    """GD++ moves the inputs as well: P has a block on them, too."""
    moved = P.copy()
    moved[:, 0, :3, :3] = -gamma * np.eye(3)
    return made(moved, Q)


MUTANTS = {
    "the sign of step 1 is wrong": with_steps(A[0], -A[1], A[2]),
    "the sign of every step is wrong: it ascends": made(P, -Q),
    "the prediction has the other sign": made(sign=1),
    "layers 0 and 1 are swapped": with_steps(A[1], A[0], A[2]),
    "layers 0 and 2 are swapped": with_steps(A[2], A[1], A[0]),
    "the layers stand in the order 1, 2, 0": with_steps(A[1], A[2], A[0]),
    "layer 1 is left out": with_steps(A[0], A[2]),
    "layer 2 stands twice": with_steps(*A, A[2]),
    "it has 2 layers, and the other 3": with_steps(A[0], 0.3 * A[1]),
    "the mask is missing: the query is among its own examples": made(masked=False),
    "it divides by n+1 in place of n": made(divisor="n+1"),
    "it divides by n in place of n+1": made(P, Q * (N + 1) / N),
    "it divides by n+1 in place of n, in layer 1 alone": with_steps(A[0], A[1] * N / (N + 1), A[2]),
    "it takes a sum in place of a mean": made(divisor="1"),
    "it divides by n twice": made(P, Q / N),
    "every step is twice as long, as for a loss with 1/n in place of 1/(2n)": made(P, 2 * Q),
    "every step is half as long": made(P / 2, Q),
    "step 1 is 1.3 times as long": with_steps(A[0], 1.3 * A[1], A[2]),
    "the sign of step 1 is wrong, and it is 0.857143 times as long": with_steps(A[0], -6 / 7 * A[1], A[2]),
    "A_0 is transposed": with_steps(A[0].T, A[1], A[2]),
    "every A_l is transposed": made(P, Q.swapaxes(2, 3)),
    "P and Q are exchanged": made(Q, P),
    "the label stands first in every token": made(np.roll(P, 1, (2, 3)), np.roll(Q, 1, (2, 3))),
    "P of layer 0 differs in one entry, [3, 1], by 0.001": made(with_entry(P, (0, 0, 3, 1), 1e-3)),
    "P of layer 1 differs in one entry, [0, 2], by 0.001": made(with_entry(P, (1, 0, 0, 2), 1e-3)),
    "Q of layer 2 differs in one entry, [1, 1], by -0.001": made(P, with_entry(Q, (2, 0, 1, 1), -1e-3)),
    "Q of layer 1 differs in one entry, [3, 3], by 0.001": made(P, with_entry(Q, (1, 0, 3, 3), 1e-3)),
    "it is a step of GD++: the inputs are transformed, too, in layer 0, 1": gd_plus_plus(),
    "the inputs are moved, too, in layer 0, and not as by GD++": made(
        with_entry(with_entry(P, (0, 0, 0, 3), 0.1), (0, 0, 1, 3), 0.1)
    ),
    "the labels' own second moment moves the weight, in layer 0 (up to 0.2, in layer 0)": made(
        P, with_entry(with_entry(Q, (0, 0, 3, 0), 0.2), (0, 0, 3, 1), 0.1)
    ),
    "labels are rescaled by what is in the prompt, in layer 0, 2 (up to 0.1, in layer 0)": made(
        P, with_entry(with_entry(Q, (0, 0, 3, 3), 0.1), (2, 0, 3, 3), 0.1)
    ),
    "A_1 differs, most in [2, 0], by 0.2": with_steps(
        A[0], A[1] + np.array([[0, 0, 0], [0, 0.1, 0], [0.2, 0, 0]]), A[2]
    ),
    "it is for d = 2, and the other for d = 3": made(*descent_matrices(A[:, :2, :2])),
}


def test_every_impostor_is_told_apart_by_its_own_name():
    assert len(MUTANTS) >= 30
    for name, one in MUTANTS.items():
        assert told_apart(one, made(), N) == name


def test_what_predicts_the_same_is_not_told_apart():
    last = P.copy()
    last[-1, 0, :3] = 1.0
    for one in (made(), made(4 * P, Q / 4), made(last, Q), made(3 * P, Q / 3)):
        assert told_apart(one, made(), N) is None


def test_a_small_entry_is_told_apart_beside_large_ones():
    E = np.eye(2)
    for name, left, right in (
        ("the sign of step 1 is wrong", (1e5 * E, 1e-5 * E), (1e5 * E, -1e-5 * E)),
        (
            "Q of layer 0 differs in one entry, [1, 1], by -2e-06",
            (np.diag([1e4, 1e-6]),),
            (np.diag([1e4, -1e-6]),),
        ),
        ("step 0 is 1.0000000005 times as long", (E * (1 + 5e-10),), (E,)),
    ):
        assert told_apart(with_steps(*left), with_steps(*right), N) == name


def test_what_nothing_reads_later_is_no_difference():
    """The inputs move in a layer after which only zeros would read them."""
    still, Q = descent_matrices(np.array([0.5, 0.0])[:, None, None] * np.eye(2))
    moved = still.copy()
    moved[0, 0, :2, :2] = -0.3 * np.eye(2)
    assert told_apart(made(moved, Q), made(still, Q), N) is None
    assert beyond_descent(made(moved, Q), N) == [] and descent_of(made(moved, Q), N) is not None
    Q[1, 0, 0, 0] = 1.0
    assert beyond_descent(made(moved, Q), N) and descent_of(made(moved, Q), N) is None


def test_without_a_reference_what_is_no_descent_is_named():
    assert beyond_descent(made(), N) == []
    assert beyond_descent(gd_plus_plus(), N) == [
        "it is a step of GD++: the inputs are transformed, too, in layer 0, 1"
    ]
    assert beyond_descent(made(masked=False, sign=1), N) == [
        "the prediction has the other sign",
        "the mask is missing: the query is among its own examples",
    ]
    symmetric = with_steps(-np.eye(3), np.eye(3))
    assert remarks(symmetric, N) == ["step 0 ascends: A_0 is negative definite"]
    assert remarks(with_steps(np.eye(3) + np.eye(3, k=1)), N)[0].startswith(
        "A_0 is not symmetric: [0, 1] is 1"
    )
