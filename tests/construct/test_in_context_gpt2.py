"""The trainable GPT-2 against one in numpy that shares no code with it, and against the judged one."""

import json

import pytest
import torch

from icgd.bounds.letters import ProblemError
from icgd.construct.gpt2 import GPT2
from icgd.construct.in_context_gpt2 import InContextGPT2, InContextSizes
from tests.numpy_gpt2 import predicted


def random_model(**changed):
    made = torch.Generator().manual_seed(2)
    model = InContextGPT2(
        InContextSizes(**{"d": 3, "examples": 5, "blocks": 2, "heads": 2, "width": 8, "inner": 12} | changed)
    ).double()
    for one in model.parameters():
        one.data += 0.3 * torch.randn(one.shape, generator=made, dtype=torch.float64)
    return model, torch.randn(2, 6, 3, generator=made).double(), torch.randn(2, 6, generator=made).double()


@pytest.mark.parametrize("attention", ["softmax", "relu"])
@pytest.mark.parametrize("tokens", ["interleaved", "joint"])
def test_every_prediction_is_the_formula_of_the_examples_before_it(attention, tokens):
    model, x, y = random_model(attention=attention, tokens=tokens)
    assert sum(one.numel() for one in model.parameters()) == model.sizes.weights
    found = model(x, y).detach()
    state = {name: one.detach().numpy() for name, one in model.state_dict().items()}
    words = {"relu": "keys" if attention == "relu" else 0, "joint": tokens == "joint"}
    judged = GPT2(model.state_dict(), json.loads(model.sizes.as_metadata()["config"]))
    assert (judged.d, judged.most_examples) == (3, 5)
    for k in range(6):
        for row in range(2):
            wanted = predicted(
                state, *(one.numpy() for one in (x[row, :k], y[row, :k], x[row, k])), 2, **words
            )
            assert abs(float(found[row, k]) - wanted) < 1e-12
        if k:
            assert (judged(x[:, :k], y[:, :k], x[:, k]) - found[:, k]).abs().max() < 1e-12


def test_the_two_attentions_begin_with_the_same_weights_and_a_gpt2_with_its_deviations():
    sizes = {"d": 20, "examples": 40, "blocks": 2, "heads": 4, "width": 64, "inner": 256}
    softmax, relu = (
        InContextGPT2(InContextSizes(**sizes, attention=attention), seed=3).state_dict()
        for attention in ("softmax", "relu")
    )
    assert all(torch.equal(softmax[name], relu[name]) for name in softmax)
    # Of 16,384 normal numbers the deviation is known within 0.6 %; four times that is allowed.
    for name, deviation in (("c_attn", 0.02), ("c_proj", 0.01)):
        assert float(softmax[f"_backbone.h.0.attn.{name}.weight"].std()) == pytest.approx(
            deviation, rel=0.025
        )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("heads", 3),
        ("attention", "sigmoid"),
        ("divisor", "n"),
        ("tokens", "words"),
        ("d", 0),
        ("blocks", 1.5),
    ],
)
def test_impossible_sizes_are_refused(field, value):
    with pytest.raises(ProblemError, match=field):
        InContextSizes(**{"d": 3, "examples": 5, "heads": 2, "width": 8} | {field: value})
