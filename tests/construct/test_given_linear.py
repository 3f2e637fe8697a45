"""Linear attention from any layout computes what its tokens do, one after another, in plain numpy."""

import numpy as np
import pytest
import torch

from icgd.bounds.letters import ProblemError
from icgd.construct.given_linear import GivenLinear, descent, holds_linear, read_linear
from tests.numpy_linear_attention import descended, prediction, states

RNG = np.random.default_rng(0)


def prompt(d=3, n=5):
    return RNG.normal(size=(n, d)), RNG.normal(size=n), RNG.normal(size=d)


def predicted(given, x, y, query):
    batch = (torch.from_numpy(part)[None] for part in (x, y, query))
    return given(*batch).item()


def normal(*shape):
    return 0.4 * RNG.normal(size=shape)


def layouts(d=3):
    """Tensors by name, what metadata or options say, and the same as P, Q by layer and head."""
    D = d + 1
    P, Q = normal(2, 3, D, D), normal(2, 3, D, D)
    yield {"P": P, "Q": Q}, {}, {}, (P, Q, {})
    yield {"P": P[:, 0], "Q": Q[:, 0]}, {"M": "I"}, {}, (P[:, :1], Q[:, :1], {"masked": False})
    yield {"P": P[0, 0], "Q": Q[0, 0]}, {}, {"sign": 1}, (P[:1, :1], Q[:1, :1], {"sign": 1})
    two = {"layer.00.P": P[0], "layer.00.Q": Q[0], "layer.01.P": P[1, 0], "layer.01.Q": Q[1, 0]}
    yield two, {"divisor": "n+1"}, {}, ([P[0], P[1, :1]], [Q[0], Q[1, :1]], {"divisor": 6})
    parts = {"Q": normal(2, 5, D), "K": normal(2, 5, D), "V": normal(2, 6, D), "O": normal(2, D, 6)}
    heads = [[o @ v for o, v in zip(parts["O"], parts["V"], strict=True)]]
    scores = [[k.T @ q for k, q in zip(parts["K"], parts["Q"], strict=True)]]
    named = {f"layer.00.{name}": one for name, one in parts.items()}
    yield named, {}, {"divisor": "1"}, (heads, scores, {"divisor": 1})
    named["layer.00.P"] = named.pop("layer.00.O")
    yield named, {}, {"mask": False}, (heads, scores, {"masked": False})
    # The repository of arXiv 2306.00297: tokens are rows, token N gets sum_M (z_N Q z_M) P z_M, the label's
    # corner of P is 1 and Q has no row for it; so Q is the transpose of the paper's.
    small = normal(2, 2, 2, d, d)
    P, Q = np.zeros((2, 2, 2, D, D))
    P[..., :d, :d], P[..., d, d], Q[..., :d, :d] = small[:, :, 0], 1.0, small[:, :, 1]
    yield {"allparam": small}, {}, {}, (P, Q.swapaxes(2, 3), {})
    full = normal(2, 1, 2, D, D)
    yield {"allparam": full}, {}, {"d": d}, (full[:, :, 0], full[:, :, 1].swapaxes(2, 3), {})


def test_every_layout_predicts_what_its_tokens_do():
    for tensors, metadata, options, (P, Q, said) in layouts():
        given = read_linear(
            {name: torch.from_numpy(one) for name, one in tensors.items()}, metadata, **options
        )
        assert holds_linear({name: one.shape for name, one in tensors.items()})
        for _ in range(3):
            x, y, query = prompt()
            assert predicted(given, x, y, query) == pytest.approx(
                prediction(P, Q, x, y, query, **said), 1e-11
            )


def by_rows(allparam, Z):
    """What the repository of arXiv 2306.00297 computes: Z has one token a row, the query last."""
    n, d = Z.shape[0] - 1, Z.shape[1] - 1
    for heads in allparam:
        update = np.zeros_like(Z)
        for P, Q in heads:
            full = np.block([[P, np.zeros((d, 1))], [np.zeros((1, d)), np.ones((1, 1))]])
            for at, token in enumerate(Z):
                update[at] += sum((token[:d] @ Q @ seen[:d]) * (full @ seen) for seen in Z[:n]) / n
        Z = Z + update
    return -Z[-1, -1]


def test_allparam_is_read_as_its_repository_runs_it():
    allparam = normal(3, 2, 2, 2, 2)
    given = read_linear({"allparam": torch.from_numpy(allparam)}, {})
    x, y, query = prompt(d=2)
    Z = np.column_stack([np.vstack([x, query]), np.append(y, 0.0)])
    assert predicted(given, x, y, query) == pytest.approx(by_rows(allparam, Z), 1e-11)


def test_the_weight_of_a_layer_is_the_regression_that_its_tokens_lie_on():
    P, Q = normal(3, 2, 4, 4), normal(3, 2, 4, 4)
    for masked in (True, False):
        given = GivenLinear.of(torch.from_numpy(P), torch.from_numpy(Q), masked=masked)
        x, y, query = prompt(n=7)
        held = given.weights(*(torch.from_numpy(part)[None] for part in (x, y, query)))[:, 0].numpy()
        found = states(P, Q, x, y, query, masked=masked)
        for l, Z in enumerate(found):  # labels are linear in the first tokens, by least squares over columns
            row = np.linalg.lstsq(found[0].T, Z[-1], rcond=None)[0]
            assert np.abs(row @ found[0] - Z[-1]).max() < 1e-9 * np.abs(Z).max()
            assert held[l] == pytest.approx(-row[:-1], rel=1e-8, abs=1e-10)


def test_descent_and_loops_are_steps_on_the_examples():
    A = normal(3, 2, 2)
    x, y, query = prompt(d=2)
    wanted = descended(A, x, y) @ query
    assert predicted(descent(torch.from_numpy(A)), x, y, query) == pytest.approx(wanted, 1e-12)
    looped = descent(torch.from_numpy(A[:1])).looped(4)
    assert predicted(looped, x, y, query) == pytest.approx(descended([A[0]] * 4, x, y) @ query, 1e-12)
    turn = np.linalg.qr(normal(2, 2))[0]
    other = descent(torch.from_numpy(A)).turned([[*map(float, row)] for row in turn])
    assert predicted(other, x @ turn, y, query @ turn) == pytest.approx(wanted, 1e-10)


def test_products_of_heads_are_not_rounded():
    tiny = {"Q": [[1.0, 2.0**-60]], "K": [[1.0, 2.0**-60]], "V": [[1.0, 1.0]], "O": [[1.0], [1.0]]}
    given = read_linear({f"layer.00.{name}": torch.tensor(one) for name, one in tiny.items()}, {})
    assert given.exact[0][0][1][1][1] * 2**120 == 1


BAD = {
    "P and Q = shapes (1, 1, 3, 3) and (1, 1, 2, 2)": ({"P": (3, 3), "Q": (2, 2)}, {}, {}),
    "P = shape (3,)": ({"P": (3,), "Q": (3,)}, {}, {}),
    "d+1 = 1": ({"P": (1, 1), "Q": (1, 1)}, {}, {}),
    "layers = 13: linear attention is read with 1 to 12": ({"P": (13, 3, 3), "Q": (13, 3, 3)}, {}, {}),
    "allparam = shape (2, 2, 3, 3)": ({"allparam": (2, 2, 3, 3)}, {}, {}),
    "d = 4: the matrices are for d = 3": ({"allparam": (2, 1, 2, 3, 3)}, {}, {"d": 4}),
    "layers = 0, 2: they count up": ({f"layer.{l}.{p}": (3, 3) for l in ("00", "02") for p in "PQ"}, {}, {}),
    "tensor = layer.00: P: a layer has": ({"layer.00.P": (3, 3)}, {}, {}),
    "tensor = norm.weight": ({"layer.00.P": (3, 3), "layer.00.Q": (3, 3), "norm.weight": (3,)}, {}, {}),
    "layer.00.K = heads of shape (2, 4)": (
        {f"layer.00.{p}": (2, 4 if p == "K" else 3) for p in "QKVO"},
        {},
        {},
    ),
    "layer.00 = 1, 2 heads": ({"layer.00.P": (1, 3, 3), "layer.00.Q": (2, 3, 3)}, {}, {}),
    "layers = 2 of different widths": (
        {f"layer.{l:02d}.{p}": (3 + l, 3 + l) for l in (0, 1) for p in "PQ"},
        {},
        {},
    ),
    "attention = softmax": ({"P": (3, 3), "Q": (3, 3)}, {"attention": "softmax"}, {}),
    "M = diag": ({"P": (3, 3), "Q": (3, 3)}, {"M": "diag"}, {}),
    "kernels = [": ({"P": (3, 3), "Q": (3, 3)}, {"kernels": '["exp"]'}, {}),
    "divide-by = 2": ({"P": (3, 3), "Q": (3, 3)}, {}, {"divisor": "2"}),
}


def test_what_does_not_fit_is_said_in_one_sentence():
    for words, (shapes, metadata, options) in BAD.items():
        with pytest.raises(ProblemError) as error:
            read_linear({name: torch.zeros(shape) for name, shape in shapes.items()}, metadata, **options)
        assert words in str(error.value) and "\n" not in str(error.value), (words, str(error.value))
    with pytest.raises(ProblemError, match=r"P = an entry of size 1e\+07: entries up to 1e\+06 are read"):
        read_linear({"P": torch.full((2, 2), 1e7), "Q": torch.zeros(2, 2)}, {})
    with pytest.raises(ProblemError, match=r"P\[0, 1\] = nan"):
        read_linear({"P": torch.tensor([[0.0, torch.nan], [0, 0]]), "Q": torch.zeros(2, 2)}, {})
