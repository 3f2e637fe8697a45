"""The cost of the baselines of the study of networks that are measured on every prompt.

CPU seconds of all threads together are in `extra_info`: they depend little on what else runs.
"""

import time

import pytest
import torch

from icgd.verify.study.baselines.table import baseline_predictions
from icgd.verify.study.network_task import NetworkTask

PROMPTS, EXAMPLES = 6400, 75


@pytest.mark.slow
@pytest.mark.benchmark(group="baselines")
def test_ridge_and_kernel_on_the_published_test(benchmark):
    """6,400 prompts at all 76 numbers of examples; goal: a minute on two cores, 120 CPU seconds."""
    prompts = NetworkTask(6).prompts(PROMPTS, EXAMPLES, 1.0, torch.Generator().manual_seed(0))
    spent = {}

    def both():
        for name in ("ridge", "kernel"):
            began = time.process_time()
            found = baseline_predictions(prompts, range(EXAMPLES + 1), [name])[name]
            spent[f"{name}, CPU seconds"] = time.process_time() - began
            assert found.shape == (PROMPTS, EXAMPLES + 1) and bool(found.isfinite().all())

    benchmark.pedantic(both, rounds=1)
    benchmark.extra_info.update(spent, goal="at most 120 together")
