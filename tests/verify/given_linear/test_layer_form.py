"""A step of descent is recognised behind every change that no prediction sees, and behind no other."""

from fractions import Fraction

import numpy as np
import torch

from icgd.construct.given_linear import GivenLinear, descent, rationals
from icgd.verify.given_linear.layer_form import descent_of
from tests.numpy_linear_attention import descended, descent_matrices, prediction

RNG = np.random.default_rng(1)


def given(P, Q, **said):
    return GivenLinear.of(torch.from_numpy(np.array(P)), torch.from_numpy(np.array(Q)), **said)


def steps(L, d=2):
    """A_l with short binary digits, so that sums of a few of them are not rounded."""
    return RNG.integers(-16, 17, size=(L, d, d)) / 32


def test_descent_is_recognised_behind_what_no_prediction_sees():
    for L in (1, 2, 3):
        A = steps(L)
        P, Q = descent_matrices(A)
        same = {"itself": given(P, Q)}
        same["P scaled against Q"] = given(4 * P, Q / 4)
        same["two heads that add up"] = given(np.concatenate([P, P], 1), np.concatenate([3 * Q, -2 * Q], 1))
        same["a head that does nothing"] = given(np.concatenate([P, 0 * P], 1), np.concatenate([Q, Q + 1], 1))
        last = P.copy()
        last[-1, 0, :-1] = RNG.normal(size=(2, 3))
        same["the inputs moved in the last layer"] = given(last, Q)
        if L == 1:
            label = Q.copy()
            label[:, :, :, -1] = RNG.normal(size=3)
            same["the label of the query read while it is 0"] = given(P, label)
            same["no mask in one layer"] = given(P, Q, masked=False)
            same["the other sign, twice"] = given(P, -Q, sign=1)
            n_plus = given(P, Q * 10, divisor="1")  # 1/n as a matrix entry, for n = 10 alone
            assert descent_of(n_plus, 10) == [
                [[100 * v for v in row] for row in rationals(torch.from_numpy(A[0]))]
            ]
        for name, one in same.items():
            assert descent_of(one, 10) == [rationals(torch.from_numpy(step)) for step in A], (L, name)
    # b = (1/n) sum y_i x_i is symmetric in x and y, so the label may be the key and the input the value.
    A = steps(1)[0]
    P, Q = np.zeros((2, 3, 3)), np.zeros((2, 3, 3))
    P[:, 2, :2] = np.eye(2)
    Q[:, 2, :2] = -A.T
    assert descent_of(given([P], [Q]), 4) == [rationals(torch.from_numpy(A))]


def test_what_predicts_otherwise_is_no_descent():
    for L in (1, 2):
        P, Q = descent_matrices(steps(L))
        assert descent_of(given(P, Q, divisor="n+1"), 4) != descent_of(given(P, Q), 4)
        for l, part, place in (
            *((l, "P", (2, 0)) for l in range(L)),
            *((l, "Q", (2, 1)) for l in range(L)),
            *((l, "P", (0, 1)) for l in range(L - 1)),
            *((l, "P", (0, 2)) for l in range(L - 1)),
            *((l, "Q", (0, 2)) for l in range(L if L > 1 else 0)),
        ):
            changed = {"P": P.copy(), "Q": Q.copy()}
            changed[part][(l, 0, *place)] += 2.0**-40
            assert descent_of(given(**changed), 4) is None, (L, l, part, place)
        if L > 1:
            assert descent_of(given(P, Q, masked=False), 4) is None
            assert descent_of(given(P, Q, sign=1), 4) is None


def test_the_preconditioner_found_is_the_one_of_the_predictions():
    A = steps(2, d=3)
    found = descent_of(descent(torch.from_numpy(A)), 6)
    assert all(isinstance(value, Fraction) for step in found for row in step for value in row)
    x, y, query = RNG.normal(size=(6, 3)), RNG.normal(size=6), RNG.normal(size=3)
    wanted = prediction(*descent_matrices(A), x, y, query)
    assert abs(descended(np.array(found, dtype=float), x, y) @ query - wanted) < 1e-12 * (1 + abs(wanted))
