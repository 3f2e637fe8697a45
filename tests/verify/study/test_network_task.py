"""The task of the published study: labels by a second route, inputs in the asked shares, what is refused."""

import numpy as np
import pytest
import torch

from icgd.bounds.letters import ProblemError
from icgd.verify.study.network_task import NetworkTask

READINGS = [
    NetworkTask(1, d=3),
    NetworkTask(3, d=4, width=5),
    NetworkTask(4, d=4, width=5, biases=True, activated=True),
    NetworkTask(3, d=2, width=6, biases=True, scaled=False, mean=0.5),
]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def by_hand(matrices, x, biases, activated):
    """One network on one input, in numpy, unit by unit."""
    value = list(x)
    for layer, matrix in enumerate(matrices):
        sums = [
            sum(row[c] * value[c] for c in range(len(value))) + (row[-1] if biases else 0) for row in matrix
        ]
        last = layer == len(matrices) - 1
        value = [s if last and not activated else max(s, 0) for s in sums]
    return value[0]


@pytest.mark.parametrize("task", READINGS, ids=str)
def test_labels_are_the_outputs_of_each_prompts_network(task):
    networks = task.networks(3, seeded(1), dtype=torch.float64)
    x = task.inputs(3, 4, 0.5, seeded(2), dtype=torch.float64)
    found = task.labels(networks, x)
    assert sum(one[0].numel() for one in networks) == task.parameters
    for b in range(3):
        matrices = [one[b].numpy() for one in networks]
        wanted = [by_hand(matrices, row, task.biases, task.activated) for row in x[b].numpy()]
        np.testing.assert_allclose(found[b].numpy(), wanted, rtol=1e-12, atol=1e-12)


def test_one_seed_gives_the_same_prompts_and_every_prompt_another_network():
    task = NetworkTask(3, d=3, width=4)
    one, again = (task.prompts(5, 6, 1.0, seeded(3)) for _ in range(2))
    assert torch.equal(one.x, again.x) and torch.equal(one.y, again.y)
    assert one.x.shape == (5, 7, 3) and one.y.shape == (5, 7) and (one.count, one.examples) == (5, 6)
    assert len({float(row.var()) for row in one.y}) == 5


def test_parameters_and_inputs_have_the_stated_moments():
    """Means and variances within five standard errors; the scale is one over the root of the fan in."""
    task = NetworkTask(2, d=4, width=50, biases=True, mean=0.5)
    first, last = task.networks(400, seeded(4), dtype=torch.float64)
    for matrix, columns in ((first, 4), (last, 50)):
        raw = matrix * columns**0.5
        error = 5 / raw.numel() ** 0.5
        assert abs(raw.mean() - 0.5) < error and abs(raw.var() - 1) < 2 * error
    assert torch.equal(
        NetworkTask(2, d=4, width=50, biases=True, scaled=False).networks(2, seeded(5))[1] / 50**0.5,
        NetworkTask(2, d=4, width=50, biases=True).networks(2, seeded(5))[1],
    )
    shares = {share: task.inputs(2000, 3, share, seeded(6)) for share in (1.0, 0.7, 0.5)}
    for share, x in shares.items():
        inputs = x.reshape(-1, 4)
        below = (inputs.mean(1) < 0).double().mean()  # centres are eight standard deviations apart
        assert abs(below - share) < 5 * 0.5 / 6000**0.5 and abs(inputs.abs().mean() - 2.017) < 0.05
    same = (shares[1.0] == shares[0.5]).all(-1)
    assert 0.4 < same.double().mean() < 0.6  # the noise is the same at every share


def test_without_biases_the_scale_is_one_factor_of_all_labels():
    """So no R^2 depends on it: the table of readings holds it once."""
    scaled, raw = (
        NetworkTask(3, d=4, width=9, scaled=scaled).prompts(3, 5, 1.0, seeded(7), dtype=torch.float64)
        for scaled in (True, False)
    )
    np.testing.assert_allclose((raw.y / scaled.y).numpy(), (4 * 9 * 9) ** 0.5, rtol=1e-12)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: NetworkTask(0), "N = 0: it is a whole number from 1"),
        (lambda: NetworkTask(3, width=2.5), "width = 2.5"),
        (lambda: NetworkTask(3, mean=float("nan")), "mean = nan: it is a finite number"),
        (lambda: NetworkTask(3).prompts(2, 3, 1.5, seeded()), "share = 1.5: it is a number from 0 to 1"),
        (lambda: NetworkTask(3).prompts(0, 3, 1.0, seeded()), "count = 0: it is at least 1"),
        (lambda: NetworkTask(3).prompts(1, -1, 1.0, seeded()), "examples = -1: it is at least 0"),
    ],
)
def test_what_is_refused_is_said_in_a_sentence(wrong, said):
    with pytest.raises(ProblemError, match=said):
        wrong()
