"""Context as a rank-one update: exact in rationals, within its rounding bound in floats, not otherwise."""

from fractions import Fraction

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from icgd.construct.gpt2 import GPT2
from icgd.construct.gpt2_state import GPT2_ACTIVATIONS
from icgd.verify.given_predictor import context_update as module
from icgd.verify.given_predictor.context_update import (
    FirstLayer,
    context_update,
    first_layer_allowance,
    judge_context_update,
    update_block,
)
from icgd.verify.given_predictor.regression_task import RegressionTask, draw
from icgd.verify.search.prompts import seeded
from tests.numpy_gpt2 import normal, random_state, tanh_gelu

INTEGERS = st.integers(-9, 9)


@st.composite
def layers(draw_from):
    hidden, E = draw_from(st.integers(1, 4)), draw_from(st.integers(1, 4))
    rows = st.lists(INTEGERS, min_size=E, max_size=E)
    weight = draw_from(st.lists(rows, min_size=hidden, max_size=hidden))
    return weight, draw_from(rows.filter(any)), draw_from(rows)


@given(layers())
def test_the_identity_holds_in_rationals_and_the_update_is_the_papers(found):
    weight, alone, whole = found
    length = sum(Fraction(a) ** 2 for a in alone)
    moved = [sum(Fraction(w) * (b - a) for w, a, b in zip(row, alone, whole, strict=True)) for row in weight]
    change = [[m * a / length for a in alone] for m in moved]
    for row, delta in zip(weight, change, strict=True):
        updated = sum((w + c) * a for w, c, a in zip(row, delta, alone, strict=True))
        assert updated == sum(Fraction(w) * b for w, b in zip(row, whole, strict=True))
    as_tensors = [torch.tensor(part, dtype=torch.float64) for part in (weight, [alone], [whole])]
    ours = context_update(*as_tensors)[0]
    assert np.allclose(ours.numpy(), np.array(change, dtype=float), rtol=1e-13, atol=1e-12)
    assert torch.linalg.matrix_rank(ours) <= 1


def differences(layer, alone, whole):
    moved = torch.einsum("bhe,be->bh", layer.weight + context_update(layer.weight, alone, whole), alone)
    return (moved + layer.bias - (whole @ layer.weight.T + layer.bias)).abs()


def test_rounding_stays_within_its_bound_which_is_near_what_happens():
    """In both precisions, over widths and scales, also where context changes nearly everything."""
    made = torch.Generator().manual_seed(0)
    for dtype in (torch.float32, torch.float64):
        worst = 0.0
        for E, hidden in ((1, 3), (3, 8), (32, 128), (200, 40)):
            for scale in (1e-4, 1.0, 1e4):
                weight, bias, alone, whole = (
                    torch.randn(*shape, generator=made, dtype=torch.float64).to(dtype)
                    for shape in ((hidden, E), (hidden,), (50, E), (50, E))
                )
                layer = FirstLayer(weight, bias, "relu")
                share = differences(layer, alone, scale * whole) / first_layer_allowance(
                    layer, alone, scale * whole
                )
                worst = max(worst, float(share.max()))
        assert 0.005 < worst <= 1, (dtype, worst)


def test_a_wrong_update_is_outside_the_bound(monkeypatch):
    made = torch.Generator().manual_seed(1)
    model = GPT2({name: torch.tensor(one) for name, one in random_state().items()}, {"n_head": 2})
    prompts = draw(RegressionTask(d=2, n=4, prompts=32), 4, seeded(0))[:8]
    assert judge_context_update(model, prompts).status == "held"
    right = module.context_update
    wrong = {
        "divided by the length, not its square": lambda W, a, b: (
            right(W, a, b) * a.norm(dim=1)[:, None, None]
        ),
        "a sign": lambda W, a, b: -right(W, a, b),
        "with and without context exchanged": lambda W, a, b: right(W, b, a),
        "a bit of noise": lambda W, a, b: (
            right(W, a, b) * (1 + 1e-3 * torch.rand(1, generator=made).to(W.dtype))
        ),
        "none": lambda W, a, b: 0 * right(W, a, b),
    }
    for words, change in wrong.items():
        monkeypatch.setattr(module, "context_update", change)
        assert judge_context_update(model, prompts).status == "failed", words


def test_blocks_are_those_of_numpy_and_activations_are_no_steeper_than_said():
    state = random_state(layers=1)
    model = GPT2({name: torch.tensor(one) for name, one in state.items()}, {"n_head": 2})
    prompts = draw(RegressionTask(d=2, n=4, prompts=32), 4, seeded(0))[:3]
    H = model.embedded(prompts.x, prompts.y, prompts.query)
    found = update_block(model, 0, H)
    assert torch.allclose(found.whole, model.block(0, H)[:, -1], atol=1e-12)
    part = {name.removeprefix("_backbone.h.0."): one for name, one in state.items()}
    for row in range(3):
        # Alone, a token's attention is its own value: softmax over one score is 1.
        h = H[row, -1].numpy()
        value = (part["attn.c_attn.weight"].T @ normal(h, part["ln_1.weight"], part["ln_1.bias"], 1e-5))[16:]
        value = value + part["attn.c_attn.bias"][16:]
        bare = h + part["attn.c_proj.weight"].T @ value + part["attn.c_proj.bias"]
        alone = normal(bare, part["ln_2.weight"], part["ln_2.bias"], 1e-5)
        stream = model.attended(0, H)[row, -1].numpy()
        whole = normal(stream, part["ln_2.weight"], part["ln_2.bias"], 1e-5)
        W = part["mlp.c_fc.weight"].T
        updated = W + np.outer(W @ (whole - alone), alone) / (alone @ alone)
        hidden = tanh_gelu(updated @ alone + part["mlp.c_fc.bias"])
        out = bare + part["mlp.c_proj.weight"].T @ hidden + part["mlp.c_proj.bias"] + (stream - bare)
        assert np.allclose(found.updated[row].numpy(), out, atol=1e-11)
    z = torch.linspace(-20, 20, 400_001, dtype=torch.float64)
    for bend in GPT2_ACTIVATIONS.values():
        assert float((bend(z).diff().abs() / z.diff()).max()) <= module._STEEPEST


def test_without_context_an_mlp_that_reads_zero_has_no_update():
    state = {name: torch.tensor(one) for name, one in random_state().items()}
    for name in ("ln_2.weight", "ln_2.bias"):
        state[f"_backbone.h.0.{name}"] = torch.zeros(8, dtype=torch.float64)
    prompts = draw(RegressionTask(d=2, n=4, prompts=32), 4, seeded(0))[:2]
    verdict = judge_context_update(GPT2(state, {"n_head": 2}), prompts)
    assert verdict.status == "inapplicable" and "the MLP reads 0" in verdict.evidence
