"""All models of a study: equal steps in limited time, answers as the judge reads them, refusals."""

import json
import re
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from icgd.bounds.letters import ProblemError
from icgd.bounds.progress import Progress
from icgd.construct.gpt2 import GPT2
from icgd.construct.in_context_gpt2 import InContextSizes
from icgd.construct.machine.locks import locked
from icgd.construct.machine.tensor_files import read_header
from icgd.verify.study.network_judging import read_answers
from icgd.verify.study.network_scales import SCALES, find_scale
from icgd.verify.study.network_task import NetworkTask
from icgd.verify.study.train_cells import (
    CellFiles,
    answered_step,
    main,
    open_training,
    train_cells,
    trained_steps,
)
from icgd.verify.study.training import TrainingSettings

SMALLEST = replace(
    find_scale("tiny"),
    sizes=InContextSizes(d=2, examples=4, blocks=1, heads=2, width=8, inner=8),
    training=TrainingSettings(steps=12, batch=4, examples=3, rate=1e-2, chunk=2),
    task=NetworkTask(N=3, d=2, width=4),
    depths=(3, 4),
    at=(0, 1, 4),
    prompts=6,
    judged=(5, (1, 3)),
    slow=(4, (1, 3)),
    marks=(0, 4, 12),
    every=4,
)


class Clock:
    """A second passes whenever it is asked."""

    def __init__(self):
        self.now = 0

    def __call__(self):
        self.now += 1
        return self.now


def test_answers_are_those_of_the_judged_file_and_cells_share_prompts_and_first_weights(tmp_path):
    assert train_cells(SMALLEST, tmp_path)
    cells = SMALLEST.cells
    assert [cell.name for cell in cells] == ["softmax-3", "relu-3", "softmax-4", "relu-4"]
    for cell in cells:
        files = CellFiles(tmp_path, cell)
        model = GPT2.read(files.weights, json.loads(read_header(files.weights, "w").metadata["config"]))
        with np.load(files.answers) as held:
            assert int(held["step"]) == 12 and len(held["losses"]) == 6
            assert {name for name in held if name.startswith("judged")} == {
                f"judged-{step}" for step in (0, 4, 12)
            }
            assert ("test parameters N(.5,I)" in held) == (cell.N == 4)
            prompts = SMALLEST.test_prompts(cell.N, SMALLEST.conditions(cell.N)[1], seed=0)
            assert np.array_equal(held["labels share 0.9"], prompts.y[:, [0, 1, 4]])
            for column, k in ((1, 1), (2, 4)):
                found = model(prompts.x[:, :k], prompts.y[:, :k], prompts.x[:, k])
                assert np.abs(found.numpy() - held["test share 0.9"][:, column]).max() < 1e-5
            judged = SMALLEST.judged_prompts(cell.N, seed=0)
            found = model(judged.x[:, :3], judged.y[:, :3], judged.x[:, 3])
            assert np.abs(found.numpy() - held["judged-12"][:, 1]).max() < 1e-5
    softmax, relu = (open_training(SMALLEST, cell, tmp_path) for cell in cells[:2])
    assert torch.equal(softmax.generator.get_state(), relu.generator.get_state())
    pairs = zip(softmax.model.parameters(), relu.model.parameters(), strict=True)
    assert not any(torch.equal(a, b) for a, b in pairs)


def test_in_limited_time_all_cells_end_at_the_same_step_and_go_on_from_there(tmp_path):
    said = []
    assert not train_cells(
        SMALLEST, tmp_path, seconds=35, even=True, half=True, clock=Clock(), say=said.append
    )
    steps = [open_training(SMALLEST, cell, tmp_path).step for cell in SMALLEST.cells]
    assert steps == [steps[0]] * 4 and 0 < steps[0] < 12 and steps[0] in SMALLEST.stops
    weights = CellFiles(tmp_path, SMALLEST.cells[0]).weights
    assert {one.dtype for one in read_header(weights, "w").tensors.values()} == {torch.bfloat16}
    assert not train_cells(SMALLEST, tmp_path, seconds=8, clock=Clock(), say=said.append)
    assert "run it again" in said[-1]
    reached = {cell: open_training(SMALLEST, cell, tmp_path).step for cell in SMALLEST.cells}
    assert trained_steps(SMALLEST, tmp_path) == reached and min(reached.values()) > 0
    assert set(trained_steps(SMALLEST, tmp_path / "nowhere").values()) == {0}
    left = sum(12 - step for step in reached.values())
    told = {}

    @contextmanager
    def begin(what, total, seconds):
        told[what] = [total, 0]

        def advance(done):
            told[what][1] += done

        yield advance

    assert train_cells(SMALLEST, tmp_path, progress=Progress(begin))
    # As many units as are left: of steps made earlier no time is known, and the time left would be too short.
    assert told["train"] == [left, left] and 0 < left < 48
    whole = tmp_path / "whole"
    assert train_cells(SMALLEST, whole)
    for cell in SMALLEST.cells:
        one, other = (open_training(SMALLEST, cell, folder) for folder in (tmp_path, whole))
        pairs = zip(one.model.parameters(), other.model.parameters(), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs) and one.losses == other.losses
        assert answered_step(CellFiles(tmp_path, cell).answers) == 12


def test_less_time_than_a_start_takes_trains_a_chunk_each_time_and_comes_to_the_end(tmp_path):
    scale = replace(SMALLEST, training=replace(SMALLEST.training, steps=4), marks=(0, 4), depths=(3,))
    trained, total = [0], 4 * len(scale.cells)
    while trained[-1] < total:
        train_cells(scale, tmp_path, seconds=0, clock=Clock())
        trained.append(sum(trained_steps(scale, tmp_path).values()))
        assert trained[-1] == trained[-2] + scale.training.chunk
    assert train_cells(scale, tmp_path, seconds=0, clock=Clock())


def test_answers_of_other_weights_are_refused(tmp_path):
    train_cells(SMALLEST, tmp_path)
    cell = SMALLEST.cells[0]
    files = CellFiles(tmp_path, cell)
    whole = files.weights.read_bytes()
    state = load(whole)
    files.weights.write_bytes(save(dict(reversed(state.items())), {"another": "metadata"}))
    assert read_answers(SMALLEST, cell, tmp_path, seed=0).step == 12
    name, one = next(iter(state.items()))
    renamed = {f"{key}." if key == name else key: value for key, value in state.items()}
    reshaped = {**state, name: one[None]}
    for other in (save(renamed), save(reshaped), save({**state, name: one + 1e-6}), whole[:-1], b""):
        files.weights.write_bytes(other)
        with pytest.raises(ProblemError, match="has answers of other weights; remove it and this file"):
            read_answers(SMALLEST, cell, tmp_path, seed=0)
    files.weights.unlink()
    files.answers.unlink()
    train_cells(SMALLEST, tmp_path)  # as it is told to
    with np.load(files.answers) as held:
        arrays = dict(held)
    labels = arrays["labels share 0.9"]
    for moved in (0.9e-3, 1.1e-3, 1.0):  # as a share of the largest: sums in another order move labels less
        arrays["labels share 0.9"] = labels + moved * np.abs(labels).max() * (labels == labels.flat[0])
        np.savez(files.answers, **arrays)
        if moved < 1e-3:
            assert read_answers(SMALLEST, cell, tmp_path, seed=0).step == 12
        else:
            with pytest.raises(ProblemError, match="to prompts that are not drawn here; train again"):
                read_answers(SMALLEST, cell, tmp_path, seed=0)


def test_other_runs_and_unknown_scales_are_refused(tmp_path, capsys):
    train_cells(SMALLEST, tmp_path, seconds=0, clock=Clock())
    with pytest.raises(ProblemError, match="other settings"):
        train_cells(SMALLEST, tmp_path, seed=1)
    with (
        locked(tmp_path / "training"),
        pytest.raises(ProblemError, match="another run trains in this folder"),
    ):
        train_cells(SMALLEST, tmp_path)
    assert main(["--scale", "huge", "--out", str(tmp_path)]) == 2
    assert "the scales are tiny, small, paper" in capsys.readouterr().err


def test_every_scale_tests_what_was_published():
    for scale in SCALES.values():
        assert {cell.name for cell in scale.cells} == {
            f"{a}-{N}" for a in ("softmax", "relu") for N in (3, 4, 6)
        }
        assert len(scale.conditions(4)) == 6 and len(scale.conditions(3)) == 4
        assert scale.stops[0] == 0 and scale.stops[-1] == scale.training.steps
        assert set(scale.marks) <= set(scale.stops) and max(scale.at) <= scale.sizes.examples
    paper = SCALES["paper"]
    assert (paper.sizes.blocks, paper.sizes.heads, paper.sizes.width) == (12, 8, 256)
    assert (paper.training.steps, paper.training.batch, paper.training.rate) == (500_000, 64, 1e-4)


def test_a_model_whose_loss_is_no_number_is_given_up_and_the_others_go_on(tmp_path, monkeypatch):
    real = open_training

    def opened(scale, cell, *rest):
        run = real(scale, cell, *rest)
        if cell.name == "relu-4":
            run.model._read_out.bias.data.fill_(1e30)
        return run

    monkeypatch.setattr("icgd.verify.study.train_cells.open_training", opened)
    said = []
    assert not train_cells(SMALLEST, tmp_path, say=said.append)
    assert sum("relu-4 is given up: rate = 0.01: the loss is inf" in line for line in said) == 1
    left = [cell.name for cell in SMALLEST.cells if CellFiles(tmp_path, cell).answers.exists()]
    assert left == ["softmax-3", "relu-3", "softmax-4"]


def test_training_needs_no_more_than_the_page_says():
    """In a process of its own: what is imported beside torch, numpy and what those import."""
    page = (Path(__file__).parents[3] / "docs" / "studies.md").read_text(encoding="utf-8")
    (said,) = re.findall(r"It needs ([\w, ]+) and (\w+)\s+alone", " ".join(page.split()))
    code = (
        "import sys, torch, numpy; known = set(sys.modules); import icgd.verify.study.train_cells; "
        "print(*{one.split('.')[0] for one in set(sys.modules) - known} - set(sys.stdlib_module_names))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    told = {*said[0].split(", "), said[1]}
    assert {*done.stdout.split(), "torch", "numpy"} == told | {"icgd"}
