"""Where the config of a GPT-2 comes from, and which prompts it is judged on."""

import json

import pytest
import torch
from safetensors.torch import save_file

import icgd
from icgd.bounds.letters import ProblemError
from icgd.construct.machine.tensor_files import read_header
from icgd.verify.given_predictor.given_gpt2 import gpt2_from, gpt2_task
from tests.numpy_gpt2 import random_state
from tests.trained_gpt2 import SmallGPT2


@pytest.fixture(scope="module")
def state():
    return {name: torch.tensor(one) for name, one in random_state(layers=1).items()}


def test_the_config_is_found_where_it_is_said(state, tmp_path):
    bare, other = tmp_path / "a" / "m.safetensors", tmp_path / "b" / "m.safetensors"
    for path in (bare, other):
        path.parent.mkdir()
    save_file(state, bare)

    def heads(path, *config, **options):
        return gpt2_from(path, *config, header=read_header(path, "weights"), **options).settings.heads

    with pytest.raises(ProblemError, match="tensors do not show the number of heads"):
        heads(bare)
    assert (
        heads(bare, heads=4) == 4
        and heads(bare, {"n_head": 2}) == 2
        and heads(bare, {"n_head": 2}, heads=1) == 1
    )
    (bare.parent / "config.json").write_text(json.dumps({"n_head": 8, "n_layer": 1}), encoding="utf-8")
    assert heads(bare) == 8 and heads(bare, {"n_head": 2}) == 2
    save_file(state, other, {"config": json.dumps({"n_head": 4})})
    assert heads(other) == 4
    save_file(state, other, {"n_head": "2"})
    assert heads(other) == 2
    for text in ("{", "[1]"):
        save_file(state, other, {"config": text})
        with pytest.raises(ProblemError, match="these metadata are not an object"):
            heads(other)
    (bare.parent / "config.json").write_text(json.dumps({"n_head": 8, "n_layer": 3}), encoding="utf-8")
    with pytest.raises(ProblemError, match="config: layers = 3: the tensors show 1"):
        heads(bare)


def test_a_module_brings_its_own_config():
    """As classes of Hugging Face do: an attribute config, with n_head and to_dict."""
    module = SmallGPT2(2, 8, 1, 4, 20)
    module._backbone.config = type("Config", (), {"n_head": 4, "to_dict": lambda self: {"n_head": 4}})()
    assert gpt2_from(module).settings.heads == 4
    assert icgd.judge(module, n=2, prompts=32).name == "<GPT-2: 1 layers, width 8, 4 heads, d = 2>"
    with pytest.raises(ProblemError, match="config = none"):
        gpt2_from(SmallGPT2(2, 8, 1, 4, 20))


def test_prompts_fit_the_model(state):
    model = gpt2_from(state, heads=2)
    assert model.most_examples == 8 and gpt2_task(model, {}).as_dict() == {
        "d": 2, "n": 8, "noise": 0.0, "prompts": 512,
    }  # fmt: skip
    for letters, words in (
        ({"n": 9}, "for at most 8 examples"),
        ({"d": 3}, "the model reads inputs of size 2"),
    ):
        with pytest.raises(ProblemError, match=words):
            gpt2_task(model, letters)
    short = gpt2_from(
        {name: one[:2] if name.endswith("wpe.weight") else one for name, one in state.items()}, heads=2
    )
    with pytest.raises(ProblemError, match="not even one example"):
        gpt2_task(short, {})
