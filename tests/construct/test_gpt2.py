"""The GPT-2 of a state dict against one in numpy that shares no code with it, and what it refuses."""

import json

import numpy as np
import pytest
import torch

from icgd.bounds.letters import ProblemError
from icgd.construct.gpt2 import GPT2
from icgd.construct.gpt2_state import GPT2Settings, is_gpt2
from tests.numpy_gpt2 import predicted, random_state

SETTINGS = [
    ({"n_head": 2}, {}),
    ({"n_head": 4, "activation_function": "gelu"}, {"bend": "gelu"}),
    ({"n_head": 1, "activation_function": "relu"}, {"bend": "relu"}),
    ({"n_head": 2, "activation_function": "silu", "layer_norm_epsilon": 1e-2}, {"bend": "silu", "eps": 1e-2}),
    ({"n_head": 2, "scale_attn_weights": False}, {"scaled": False}),
    ({"n_head": 2, "scale_attn_by_inverse_layer_idx": True}, {"by_layer": True}),
    ({"n_head": 2, "attention_function": "relu"}, {"relu": "keys"}),
    ({"n_head": 4, "attention_function": "relu", "attention_divisor": "positions"}, {"relu": 17}),
    ({"n_head": 2, "attention_function": "relu", "attention_divisor": "1"}, {"relu": 1}),
    ({"n_head": 2, "attention_function": "relu", "token_format": "joint"}, {"relu": "keys", "joint": True}),
]


def torched(state, dtype=torch.float64):
    return {name: torch.tensor(one, dtype=dtype) for name, one in state.items()}


def prompts(B=3, n=4, d=2, dtype=torch.float64):
    made = torch.Generator().manual_seed(1)
    shapes = (B, n, d), (B, n), (B, d)
    return [torch.randn(*shape, generator=made, dtype=torch.float64).to(dtype) for shape in shapes]


def test_predictions_are_those_of_the_formulas_under_every_setting():
    """Hugging Face's own classes (transformers 4.46.3, eager attention) agree to 1.3e-14 and 2.8e-6."""
    for seed, (config, words) in enumerate(SETTINGS):
        size = 4 if words.get("joint") else 2
        state = random_state(d=size, seed=seed, inner=None if seed % 2 else 12)
        x, y, query = prompts()
        wanted = [
            predicted(state, *one, config["n_head"], **words)
            for one in zip(x.numpy(), y.numpy(), query.numpy(), strict=True)
        ]
        model = GPT2(torched(state), config)
        assert model.dtype == torch.float64
        assert np.abs(model(x, y, query).numpy() - wanted).max() < 1e-12 * (1 + np.abs(wanted).max())
        rough = model.in_precision(torch.float32)(x.float(), y.float(), query.float())
        assert rough.dtype == torch.float32
        assert np.abs(rough.numpy() - wanted).max() < 1e-4 * (1 + np.abs(wanted).max())


def test_names_of_other_layouts_mean_the_same_model():
    state, (x, y, query) = torched(random_state()), prompts()
    wanted = GPT2(state, {"n_head": 2})(x, y, query)
    for body, ends in (("transformer.", ""), ("", ""), ("module._backbone.", "module._"), ("model.gpt.", "")):
        renamed = {
            name.replace("_backbone.", body) if "_backbone" in name else ends + name.removeprefix("_"): one
            for name, one in state.items()
        }
        renamed |= {f"{body}h.0.attn.bias": torch.ones(1, 1, 17, 17, dtype=torch.bool)}
        renamed |= {"lm_head.weight": torch.zeros(5, 8), f"{body}h.1.attn.masked_bias": torch.tensor(-1e4)}
        assert is_gpt2(renamed)
        assert torch.equal(GPT2(renamed, {"n_head": 2})(x, y, query), wanted)


def test_many_prompts_are_run_in_batches_with_the_same_result(monkeypatch):
    model, (x, y, query) = GPT2(torched(random_state()), {"n_head": 2}), prompts(B=7)
    wanted = model(x, y, query)
    monkeypatch.setattr("icgd.construct.gpt2._AT_ONCE", 3 * model._bytes_for(4))
    assert torch.allclose(model(x, y, query), wanted, rtol=1e-12, atol=1e-13)


def without(name):
    return lambda state: {key: one for key, one in state.items() if not key.endswith(name)}


def with_shape(name, change):
    return lambda state: {key: change(one) if key.endswith(name) else one for key, one in state.items()}


BAD = [
    (without("h.1.ln_2.bias"), {}, "_backbone.h.1.ln_2.bias: it is missing"),
    (without("_read_in.weight"), {}, "a GPT-2 of words takes no numbers"),
    (without("h.0.ln_1.weight"), {}, "exactly one tensor named ...h.0.ln_1.weight"),
    (lambda s: s | {"_backbone.h.0.crossattention.c_attn.weight": s["_read_in.bias"]}, {}, "crossattention"),
    (lambda s: s | {"_backbone.h.7.ln_1.weight": s["_read_in.bias"]}, {}, "h.2.ln_1.weight: it is missing"),
    (with_shape("h.0.mlp.c_fc.weight", lambda t: t.T), {}, "h.0.mlp.c_fc.weight = shape (32, 8): (8, 32)"),
    (with_shape("h.1.mlp.c_fc.weight", lambda t: t.T), {}, "(8, 32) is needed, inputs first (as in Conv1D)"),
    (with_shape("_read_out.bias", lambda t: t[None]), {}, "_read_out.bias = shape (1, 1): (1,) is needed"),
    (with_shape("wpe.weight", lambda t: t * torch.nan), {}, "_backbone.wpe.weight[0, 0] = nan"),
    (with_shape("ln_f.bias", lambda t: t.long()), {}, "floating-point numbers are needed"),
    (None, {"n_head": 3}, "n_head = 3: the width 8 is no multiple of it"),
    (None, {"n_head": None}, "n_head = None: a number of heads is needed"),
    (None, {"n_embd": 16}, "config: width = 16: the tensors show 8"),
    (None, {"n_layer": 2.5}, "n_layer = 2.5"),
    (None, {"activation_function": "softplus"}, "the known activations are gelu_new"),
    (None, {"layer_norm_epsilon": "small"}, "layer_norm_epsilon = small"),
    (None, {"scale_attn_weights": 1}, "scale_attn_weights = 1: true or false is needed"),
    (None, {"add_cross_attention": True}, "without cross attention"),
    (None, {"family": "relu_attn"}, "family = relu_attn: only gpt2 is run"),
    (None, {"model_type": "gpt_neo"}, "model_type = gpt_neo: only gpt2 is run"),
]


def test_what_does_not_fit_is_named():
    for damage, config, words in BAD:
        state = torched(random_state())
        with pytest.raises(ProblemError) as refused:
            GPT2(damage(state) if damage else state, {"n_head": 2} | config)
        assert words in str(refused.value), (words, str(refused.value))
    with pytest.raises(ProblemError, match="n_head = missing"):
        GPT2(torched(random_state()), {"n_layer": 2})
    model, (x, y, query) = GPT2(torched(random_state(positions=8)), {"n_head": 2}), prompts()
    assert model.most_examples == 3
    with pytest.raises(ProblemError, match="n = 4: there are 8 positions, enough for 3 examples"):
        model(x, y, query)


def test_a_config_is_read_from_a_file(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"model": {"n_head": 2, "n_positions": 8}, "n_head": 5}), encoding="utf-8")
    assert GPT2Settings.read(path) == GPT2Settings(heads=2)
    path.write_text("model:\n  n_head: 2\n", encoding="utf-8")
    with pytest.raises(ProblemError, match="it is not a small JSON file"):
        GPT2Settings.read(path)


def test_a_model_too_large_for_memory_is_refused_before_it_is_copied(monkeypatch):
    monkeypatch.setattr("icgd.construct.gpt2.available_bytes", lambda: 1000)
    with pytest.raises(ProblemError, match="the weights would take about"):
        GPT2(torched(random_state()), {"n_head": 2})
