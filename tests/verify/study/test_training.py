"""Training: what one step does, by a second route; a killed run ends in the same weights, bit by bit."""

import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from icgd.bounds.letters import ProblemError
from icgd.construct.in_context_gpt2 import InContextSizes
from icgd.verify.study.network_task import NetworkTask
from icgd.verify.study.training import InContextTraining, TrainingSettings
from tests.numpy_gpt2 import predicted

SIZES = InContextSizes(d=2, examples=3, blocks=1, heads=2, width=8, inner=8, attention="relu")
SETTINGS = TrainingSettings(steps=1000, batch=4, examples=3, rate=1e-2, warmup=5, chunk=2)
TASK = NetworkTask(N=3, d=2, width=4)

pytestmark = pytest.mark.usefixtures("one_thread")


def same(one, other):
    return (
        one.step == other.step
        and one.losses == other.losses
        and all(
            torch.equal(a, b)
            for a, b in zip(one.model.state_dict().values(), other.model.state_dict().values(), strict=True)
        )
    )


def test_a_step_is_adam_on_the_squared_error_at_every_position():
    settings = replace(SETTINGS, chunk=1, warmup=0)
    run = InContextTraining(SIZES, TASK, settings, seed=3)
    first = {name: one.detach().clone() for name, one in run.model.named_parameters()}
    generator = torch.Generator()
    generator.set_state(run.generator.get_state())
    run.advance(1)
    prompts = TASK.prompts(4, 3, 1.0, generator)
    state = {name: one.double().numpy() for name, one in first.items()}
    errors = [
        predicted(
            state, x[:k].double().numpy(), y[:k].double().numpy(), x[k].double().numpy(), 2, relu="keys"
        )
        - float(y[k])
        for x, y in zip(prompts.x, prompts.y, strict=True)
        for k in range(4)
    ]
    # Sixteen float32 terms, through layers that normalise: a thousand roundings are allowed.
    assert run.losses[0] == pytest.approx(sum(e * e for e in errors) / len(errors), rel=1e-4)
    for name, one in run.model.named_parameters():
        g = one.grad
        step = settings.rate * g / (g.abs() + 1e-8)  # of Adam, the first
        assert torch.allclose(first[name] - step, one, atol=1e-6), name


def test_it_learns_and_counts_the_rate_of_its_warmup():
    run = InContextTraining(SIZES, NetworkTask(N=1, d=2), replace(SETTINGS, batch=32, chunk=10), seed=1)
    assert run.advance(120)
    assert len(run.losses) == 12 and run.losses[-1] < 0.5 * run.losses[0]
    assert [SETTINGS.rate_at(step) for step in (0, 4, 5, 900)] == pytest.approx([2e-3, 1e-2, 1e-2, 1e-2])


KILLED = """
import sys
from icgd.verify.study.training import InContextTraining, TrainingSettings
from icgd.construct.in_context_gpt2 import InContextSizes
from icgd.verify.study.network_task import NetworkTask
from pathlib import Path
run = InContextTraining({sizes!r}, {task!r}, {settings!r}, seed=3)
for stop in range(2, 1000, 2):
    run.advance(stop)
    run.save(Path(sys.argv[1]))
    print(stop, flush=True)
"""


def test_a_run_that_was_killed_ends_in_the_same_weights(tmp_path):
    kept = tmp_path / "checkpoint.pt"
    code = KILLED.format(sizes=SIZES, task=TASK, settings=SETTINGS)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", code, str(kept)], stdout=subprocess.PIPE, env=environment, text=True
    ) as process:
        for _ in range(5):
            assert process.stdout.readline()
        process.send_signal(signal.SIGKILL)  # while it trains, or writes
    resumed, whole = (InContextTraining(SIZES, TASK, SETTINGS, seed=3) for _ in range(2))
    resumed.load(kept)
    assert resumed.step >= 10
    until = resumed.step + 6
    assert resumed.advance(until) and whole.advance(until) and same(resumed, whole)
    for a, b in zip(*(run.optimiser.state_dict()["state"].values() for run in (resumed, whole)), strict=True):
        assert all(torch.equal(a[name], b[name]) for name in a)
    other = InContextTraining(SIZES, TASK, SETTINGS, seed=4)
    other.advance(until)
    assert not same(other, whole)


def test_stopping_between_chunks_changes_nothing(tmp_path):
    def stops():
        yield from (False, True)

    run, whole = (InContextTraining(SIZES, TASK, SETTINGS, seed=3) for _ in range(2))
    answers = stops()
    assert not run.advance(7, lambda: next(answers)) and run.step == 2
    run.save(tmp_path / "x.pt")
    again = InContextTraining(SIZES, TASK, SETTINGS, seed=3)
    again.load(tmp_path / "x.pt")
    assert again.advance(7) and whole.advance(7) and same(again, whole)


def test_what_is_no_checkpoint_of_this_run_is_refused_in_a_sentence(tmp_path):
    run = InContextTraining(SIZES, TASK, SETTINGS, seed=3)
    run.save(tmp_path / "x.pt")
    with pytest.raises(ProblemError, match="other settings, seed or device"):
        InContextTraining(SIZES, TASK, SETTINGS, seed=4).load(tmp_path / "x.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "x.pt").read_bytes()[:1000])
    for path, why in (("cut.pt", "no checkpoint of icgd"), ("none.pt", "no such file")):
        with pytest.raises(ProblemError, match=why):
            run.load(tmp_path / path)
    with pytest.raises(ProblemError, match="positions for 3"):
        InContextTraining(SIZES, TASK, replace(SETTINGS, examples=4))
    with pytest.raises(ProblemError, match="lower the rate"):
        InContextTraining(SIZES, replace(TASK, N=1, mean=1e30), SETTINGS).advance(2)
