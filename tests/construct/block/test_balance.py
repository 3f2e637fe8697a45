"""Balanced layers: the least norm by formulas against a numerical search, and the map against numpy's own."""

import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest
import safetensors.torch
import scipy.optimize
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from icgd.bounds.letters import ProblemError
from icgd.bounds.problem import Problem
from icgd.construct.block.balance import (
    LayerNorms,
    balanced,
    balanced_layer,
    in_units,
    least_attention,
    norm_above,
)
from icgd.construct.block.census import census
from icgd.construct.block.dense import DenseLayer, DenseTransformer
from icgd.construct.block.literal import Head, LiteralLayer, Sparse
from icgd.construct.block.weights import save_weights
from icgd.construct.relu_icgd import build
from icgd.verify.search.prompts import random_prompts, seeded
from tests.rounding import gamma

D = 4
_LINEAR = {"N": 2, "K": 2, "d": 2, "n": 4, "eps": 0.3, "output": "linear", "loss": "logistic"}
BUILT = [
    ("paper", Problem(N=2, K=2, d=1, d_out=2, n=4, eps=0.5)),
    ("lean", Problem(N=2, K=3, d=2, d_out=1, n=4, eps=0.3)),
    ("lean", Problem.parse(_LINEAR)),
    ("exact", Problem.parse({"N": 3, "K": 2, "d": 2, "n": 4, "activation": "relu", "loss": "huber"})),
]
orders = st.sampled_from([1, 2])


def sparse(full):
    return Sparse(full.shape, [(i, k, full[i, k]) for i, k in np.ndindex(full.shape) if full[i, k]])


def full_matrices(layer):
    """The heads (Q, K, V), W1 and W2 of a layer as numpy arrays."""
    heads = [tuple(part.dense().numpy() for part in (head.Q, head.K, head.V)) for head in layer.heads]
    return heads, layer.W1.dense().numpy(), layer.W2.dense().numpy()


@st.composite
def layers(draw):
    """A random layer of several scales; some of its matrices, rows and columns are 0."""
    heads, hidden = draw(st.integers(0, 3)), draw(st.integers(0, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))

    def part(*shape):
        filled = rng.choice([0.0, 0.4, 1.0], p=[0.1, 0.5, 0.4])
        return sparse(rng.standard_normal(shape) * 10.0 ** rng.integers(-3, 4) * (rng.random(shape) < filled))

    made = tuple(Head(part(D, D), part(D, D), part(D, D)) for _ in range(heads))
    return LiteralLayer(made, part(hidden, D), part(D, hidden), draw(st.booleans()))


def norm_of(matrices, order):
    """(B.1) with numpy's norms."""

    def size(matrix):
        return np.linalg.norm(matrix, order) if matrix.size else 0.0

    heads, W1, W2 = matrices
    reach = max((max(size(Q), size(K)) for Q, K, _ in heads), default=0.0)
    return reach + sum(size(V) for *_, V in heads) + size(W1) + size(W2)


def rescaled(matrices, logs):
    """The same map: exp(logs) are two factors a head, then one for each hidden unit, or one for them all."""
    heads, W1, W2 = matrices
    (a, c), b = np.exp(logs[: 2 * len(heads)]).reshape(2, -1), np.exp(logs[2 * len(heads) :])
    b = np.broadcast_to(b, len(W1))
    return (
        [(s * Q, r * K, V / (s * r)) for s, r, (Q, K, V) in zip(a, c, heads, strict=True)],
        b[:, None] * W1,
        W2 / b,
    )


def run(matrices, diagonal, H, sign=np.positive):
    """A layer on H, one column a token, in numpy.  sign: np.abs for the sizes of what is added up."""
    heads, W1, W2 = matrices
    H, T = sign(H), H.shape[1]
    added = np.zeros_like(H)
    for Q, K, V in heads:
        scores = np.maximum((sign(Q) @ H).T @ (sign(K) @ H), 0)  # [i, j]: query token i, key token j
        added += (sign(V) @ H) @ (np.diag(np.diag(scores)) if diagonal else scores / T).T
    H = H + added
    return H + sign(W2) @ np.maximum(sign(W1) @ H, 0)


def of_balance(matrices, H):
    """How far a balanced layer, evaluated in float64, may be from the original, entry by entry.

    Every product of entries of a head is off by 8 roundings: each factor takes two or three, and each entry
    one; a hidden unit by fewer.  Both evaluations round once a term, on the way through the scores, the mean
    over tokens, the sums over heads and hidden units.  All are relative to the sum without signs.
    """
    heads, W1, _ = matrices
    steps = 8 + 2 * (4 * len(H) + H.shape[1] + len(heads) + len(W1) + 8)
    return float(2 * gamma(steps)) * run(matrices, False, H, np.abs) * (1 if H.size else 0)


@settings(deadline=None, max_examples=50)
@given(layers(), orders)
def test_no_rescaling_that_a_search_finds_is_below_the_closed_form(layer, order):
    matrices, least = full_matrices(layer), LayerNorms.of(layer, order).least
    free = 2 * len(layer.heads) + (layer.hidden if order == 1 else 1)
    rng = np.random.default_rng(0)
    for start in (np.zeros(free), rng.normal(0, 3, free)):
        if free:
            found = scipy.optimize.minimize(
                lambda logs: norm_of(rescaled(matrices, np.clip(logs, -40, 40)), order),
                start,
                method="Powell",
                options={"maxfev": 1000},
            )
            assert found.fun >= least * (1 - float(gamma(100)))


@settings(deadline=None, max_examples=150)
@given(layers(), orders)
def test_the_balanced_layer_has_the_least_norm(layer, order):
    least, made = LayerNorms.of(layer, order).least, balanced_layer(layer, order)
    assert norm_of(full_matrices(made), order) == pytest.approx(least, rel=float(gamma(200)))
    again = LayerNorms.of(made, order)
    assert again.built == pytest.approx(least, rel=float(gamma(200)))
    assert again.least == pytest.approx(least, rel=float(gamma(200)))
    assert least <= LayerNorms.of(layer, order).built * (1 + float(gamma(100)))


@settings(deadline=None, max_examples=150)
@given(layers(), orders, st.integers(1, 5), st.integers(0, 2**32))
def test_the_balanced_layer_is_the_same_map(layer, order, tokens, seed):
    H = np.random.default_rng(seed).standard_normal((D, tokens))
    matrices = full_matrices(layer)
    before = run(matrices, layer.diagonal, H)
    after = run(full_matrices(balanced_layer(layer, order)), layer.diagonal, H)
    scale = tokens if layer.diagonal else 1  # EWML is not divided by the number of tokens
    assert (np.abs(after - before) <= scale * of_balance(matrices, H)).all()


@settings(deadline=None, max_examples=100)
@given(layers())
def test_norms_are_bounded_with_rounding(layer):
    """(B.1) exactly in the 1-norm, and by 40 digits of singular values in the 2-norm."""
    exact = Fraction(0)
    for matrix in (head.V for head in layer.heads):
        exact += exact_column_sum(matrix)
    exact += max((exact_column_sum(part) for head in layer.heads for part in (head.Q, head.K)), default=0)
    exact += exact_column_sum(layer.W1) + exact_column_sum(layer.W2)
    above = Fraction(norm_above(layer, 1))
    assert exact <= above <= exact * (1 + 20 * gamma(1))
    with mpmath.workdps(40):
        sizes = [[largest(part) for part in (head.Q, head.K, head.V)] for head in layer.heads]
        true = max((max(one[:2]) for one in sizes), default=mpmath.mpf(0)) + sum(one[2] for one in sizes)
        true += largest(layer.W1) + largest(layer.W2)
        assert true <= norm_above(layer, 2) <= true * (1 + mpmath.mpf(10) ** -11)


def exact_column_sum(matrix):
    sums = [Fraction(0)] * matrix.shape[1]
    for column, value in zip(matrix.columns.tolist(), matrix.values.tolist(), strict=True):
        sums[column] += abs(Fraction(value))
    return max(sums, default=Fraction(0))


def largest(matrix):
    if not matrix.nonzeros:
        return mpmath.mpf(0)
    return max(mpmath.svd_r(mpmath.matrix(matrix.dense().numpy()), compute_uv=False))


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize(("construction", "problem"), BUILT)
def test_what_is_built_has_the_least_norm(construction, problem, order):
    transformer = build(problem, construction)
    counted, sizes = census(transformer), []
    for before, after in zip(transformer.literal(), balanced(transformer, order).literal(), strict=True):
        least = LayerNorms.of(before, order).least
        assert norm_of(full_matrices(after), order) == pytest.approx(least, rel=1e-12)
        assert least <= norm_above(after, order) * (1 + float(gamma(100))) <= least * (1 + 1e-10)
        sizes.append((LayerNorms.of(before, order).built, least))
    built, least = (max(column) for column in zip(*sizes, strict=True))
    assert (built, least) == (
        (counted.norm_1, counted.least_norm_1) if order == 1 else (counted.norm, counted.least_norm)
    )
    assert least < built


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize(("construction", "problem"), BUILT)
def test_what_is_built_is_the_same_map(construction, problem, order):
    """The whole block on real prompts: differences of one layer go through the next without signs."""
    transformer = build(problem, construction)
    H = transformer.stream.pack(transformer.stream.open(random_prompts(problem, 1, seeded(1))))[0].numpy().T
    before = after = H
    apart = np.zeros_like(H)
    for layer, made in zip(transformer.literal(), balanced(transformer, order).literal(), strict=True):
        matrices = full_matrices(layer)
        scale = H.shape[1] if layer.diagonal else 1

        def without_signs(values, matrices=matrices, scale=scale):
            return scale * run(matrices, False, values, np.abs)

        reach = np.abs(before) + apart
        carried = without_signs(reach) - without_signs(before)
        apart = carried + of_balance(matrices, reach) * scale
        before, after = run(matrices, layer.diagonal, before), run(full_matrices(made), made.diagonal, after)
        assert (np.abs(after - before) <= apart).all()


@pytest.mark.parametrize(("construction", "problem"), BUILT)
def test_other_units_of_the_scratch_do_not_change_a_bit(construction, problem):
    """Powers of two make no rounding: every layer maps E H to E times what it maps H to."""
    transformer = build(problem, construction)
    stream = transformer.stream
    chosen = {name: 2.0 ** (3 * i - 5) for i, (name, _) in enumerate(stream.scratch)}
    units = np.ones(stream.D)
    for name, unit in chosen.items():
        units[stream[name].start : stream[name].stop] = unit
    H = stream.pack(stream.open(random_prompts(problem, 3, seeded(2))))
    E = torch.from_numpy(units)
    for layer, made in zip(transformer.literal(), balanced(transformer, 1, chosen).literal(), strict=True):
        after = DenseLayer(layer, stream.D)(H)
        assert torch.equal(DenseLayer(in_units(layer, units), stream.D)(H * E), after * E)
        expected = LayerNorms.of(in_units(layer, units), 1).least
        assert norm_of(full_matrices(made), 1) == pytest.approx(expected, rel=1e-12)
        H = after
    scratch = H[..., stream.weights.stop : stream["one"].start]
    assert not scratch.any(), "the scratch ends at 0, whatever its units"


def test_a_balanced_block_is_written_and_evaluated_like_any_other(tmp_path):
    transformer = build(Problem(N=1, K=1, d=1, n=2, eps=0.5), "paper")
    made = balanced(transformer, 2)
    save_weights(made, tmp_path / "balanced.safetensors")
    tensors = safetensors.torch.load_file(tmp_path / "balanced.safetensors")
    first = next(made.literal())
    assert torch.equal(tensors["layer.00.Q"], torch.stack([head.Q.dense() for head in first.heads]))
    H = transformer.stream.pack(transformer.stream.open(random_prompts(transformer.problem, 4, seeded(3))))
    one, other = DenseTransformer(transformer)(H), DenseTransformer(made)(H)
    # L steps; how near they are by right is asked in the test of whole blocks.
    torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_attention_by_hand():
    """Two heads with q k v = 1 and 3: S = 4, so all heads are brought to t = 2, and 2 + 4/4 is left."""
    assert least_attention(4.0) == 3.0
    heads = [Head.of(1, [(0, 0, q)], [(0, 0, k)], [(0, 0, v)]) for q, k, v in [(0.5, 1, 2), (1, 1, 3)]]
    layer = LiteralLayer(tuple(heads), Sparse((0, 1), []), Sparse((1, 0), []), False)
    made = balanced_layer(layer, 1)
    assert [(head.Q.values[0], head.K.values[0], head.V.values[0]) for head in made.heads] == [
        (2, 2, 0.25),
        (2, 2, 0.75),
    ]
    assert made.norm(1) == made.norm(2) == 3.0


def test_units_of_an_mlp_by_hand():
    """Units (4, 0) -> 1 and (0, 1) -> 9: A = 9, 2 sqrt(9) = 6; with one factor, 2 sqrt(36) = 12."""
    layer = LiteralLayer(
        (), Sparse((2, 2), [(0, 0, 4.0), (1, 1, 1.0)]), Sparse((2, 2), [(0, 0, 1.0), (1, 1, 9.0)]), False
    )
    assert LayerNorms.of(layer, 1).least == 6.0
    assert LayerNorms.of(layer, 2).least == 12.0
    made = balanced_layer(layer, 1)
    assert made.W1.dense().tolist() == [[4 / 3, 0], [0, 3]] and made.W2.dense().tolist() == [[3, 0], [0, 3]]


def test_what_cannot_be_rescaled_is_refused():
    transformer = build(Problem(N=1, K=1, d=1, n=2, eps=0.5))
    with pytest.raises(ProblemError, match="scratch"):
        balanced(transformer, 1, {"x": 2.0})
    with pytest.raises(ProblemError, match="positive"):
        balanced(transformer, 1, {transformer.stream.scratch[0][0]: math.inf})
    transformer.attention = "softmax"
    with pytest.raises(ProblemError, match="only heads of relu and linear"):
        balanced(transformer)
    huge = LiteralLayer((), Sparse((1, 1), [(0, 0, 1e300)]), Sparse((1, 1), [(0, 0, 1e-300)]), False)
    assert balanced_layer(huge, 1).norm(1) == 2.0
    far = Head.of(1, [(0, 0, 1e-200)], [(0, 0, 1e-200)], [(0, 0, 1e100)])
    with pytest.raises(ProblemError, match="float64"):
        balanced_layer(LiteralLayer((far,), Sparse((0, 1), []), Sparse((1, 0), []), False), 1)
