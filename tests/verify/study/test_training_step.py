"""What a CPU can run of a step on a GPU: it steps without a graph, and warming up leaves no trace."""

import pytest
import torch

from icgd.construct.in_context_gpt2 import InContextGPT2, InContextSizes
from icgd.verify.study.training_step import GraphStep, PlainStep, squared_error

SIZES = InContextSizes(d=2, examples=3, blocks=1, heads=2, width=8, inner=8)


def made(rate):
    """Beside this eps the rounding in gradients that are 0, of the biases of keys, counts for nothing."""
    model = InContextGPT2(SIZES, seed=1)
    return model, torch.optim.Adam(model.parameters(), lr=rate, eps=1e-3)


@pytest.mark.filterwarnings("ignore:CUDA is not available")
def test_where_no_graph_can_be_captured_steps_are_those_without_one(monkeypatch, capsys):
    def fails(self):
        for _ in range(3):
            self._run()
        raise RuntimeError("no graph\nhere")

    monkeypatch.setattr(GraphStep, "_capture", fails)
    monkeypatch.setattr("icgd.verify.study.training_step._compiled", lambda: squared_error)
    drawn = torch.Generator().manual_seed(2)
    batches = [(torch.randn(4, 4, 2, generator=drawn), torch.randn(4, 4, generator=drawn)) for _ in range(4)]
    (model, optimiser), (other, plainly) = made(torch.tensor(0.1)), made(0.1)
    stepping, plain = GraphStep(model, optimiser, (4, 4, 2)), PlainStep(other, plainly)
    assert "_plain_graph: RuntimeError: no graph here" in capsys.readouterr().err
    for number, (x, y) in enumerate(batches):
        stepping.take(x, y, 0.01 / (number + 1))
        plain.take(x, y, 0.01 / (number + 1))
        assert stepping.summed() == pytest.approx(plain.summed(), rel=1e-5)
    for one, wanted in zip(model.parameters(), other.parameters(), strict=True):
        # Four steps of at most 0.01; the rate is a float32 in one and a float in the other.
        assert torch.allclose(one, wanted, rtol=0, atol=0.04e-3)
