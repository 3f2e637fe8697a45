"""The saved weights file, read with numpy alone by the code in docs/weights.md."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from icgd.bounds.letters import ProblemError
from icgd.bounds.preconditioned import PreconditionedProblem
from icgd.bounds.problem import Problem
from icgd.construct.block.given_block import GivenBlock
from icgd.construct.block.layer_names import two_digits
from icgd.construct.block.weights import save_weights, write_tensors
from icgd.construct.functional import FunctionalTransformer
from icgd.construct.machine import memory
from icgd.construct.preconditioned import build as build_linear_attention
from icgd.construct.prompt import split_weights
from icgd.construct.relu_icgd import build
from icgd.construct.softmax_icgd import build as build_softmax
from icgd.verify.descent import descend
from icgd.verify.search.prompts import random_prompts

PAGE = Path(__file__).parents[3] / "docs" / "weights.md"


def documented(index):
    return re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)[index]


@pytest.mark.parametrize("construction", ["lean", "paper", "softmax"])
def test_the_documented_lines_take_a_gradient_step(construction, tmp_path, monkeypatch):
    problem = Problem(N=2, K=3, d=2, d_out=1, n=4, eps=0.2)
    transformer = build_softmax(problem) if construction == "softmax" else build(problem, construction)
    save_weights(transformer, tmp_path / "model.safetensors")
    monkeypatch.chdir(tmp_path)
    code, scope = documented(0), {}
    exec(code, scope)
    prompt = random_prompts(problem, 1, torch.Generator().manual_seed(1))
    width = max(stop.stop for stop in scope["slot"].values())
    H = np.zeros((problem.n + 1, width))
    H[:-1, scope["slot"]["x"]], H[-1, scope["slot"]["x"]] = prompt.x[0], prompt.query[0]
    H[:-1, scope["slot"]["y"]] = prompt.y[0]
    for j, v in enumerate(split_weights(problem, prompt.w), start=1):
        H[:, scope["slot"][f"V{j}"]] = v[0].reshape(-1)
    H[:, scope["slot"]["one"]] = 1
    H[:-1, scope["slot"]["t"]] = 1
    after = scope["block"](H)
    w = np.concatenate([after[:, scope["slot"][f"V{j}"]] for j in (1, 2)], axis=1)
    expected = transformer.step(prompt)[0].numpy()
    assert np.abs(w - expected).max() < 1e-13
    assert np.abs(w - prompt.w[0].numpy()).max() > 1e-3  # the step does move
    rest = [name for name in scope["slot"] if not name.startswith("V")]
    assert all(np.array_equal(after[:, scope["slot"][name]], H[:, scope["slot"][name]]) for name in rest)


def test_the_documented_lines_run_linear_attention(tmp_path, monkeypatch):
    model = build_linear_attention(PreconditionedProblem(d=3, n=7, L=2, S="2,1,1/2"))
    model.save(tmp_path / "pq.safetensors")
    monkeypatch.chdir(tmp_path)
    scope = {}
    exec(documented(1), scope)
    generator = np.random.default_rng(0)
    Z = generator.normal(size=(4, 8))
    Z[-1, -1] = 0
    x, y, query = (
        torch.from_numpy(part) for part in (Z[None, :-1, :-1].mT, Z[None, -1, :-1], Z[None, :-1, -1])
    )
    assert scope["predict"](Z) == pytest.approx(model(x, y, query).item(), rel=1e-12)


@pytest.mark.parametrize("normaliser", ["examples", "tokens"])
def test_the_documented_lines_run_attention_with_a_kernel(normaliser, tmp_path, monkeypatch):
    made = FunctionalTransformer(("softmax", "exp", "linear"), [0.02] * 101, 2, normaliser=normaliser)
    made.save(tmp_path / "functional.safetensors")
    monkeypatch.chdir(tmp_path)
    scope = {}
    exec(documented(2), scope)
    assert list(scope["W"])[-1] == "layer.100.Q" and scope["meta"]["layers"] == "101"
    assert ("before" in scope["meta"]["normaliser"]) == (normaliser == "examples")
    generator = np.random.default_rng(0)
    Z = generator.normal(size=(3, 6))
    Z[-1, -1] = 0
    x, y, query = (
        torch.from_numpy(part) for part in (Z[None, :-1, :-1].mT, Z[None, -1, :-1], Z[None, :-1, -1])
    )
    found = scope["layers"](Z, over_all=normaliser == "tokens")
    assert found == pytest.approx(made.predict(x, y, query)[-1].item(), rel=1e-11)
    assert scope["layers"](Z, over_all=normaliser != "tokens") != pytest.approx(found, rel=1e-4)
    H = torch.from_numpy(Z.T.copy())[None]
    assert -made(H)[0, -1, -1].item() == pytest.approx(found, rel=1e-11)  # the literal reading, too
    with pytest.raises(ProblemError, match="normaliser = none: it is examples or tokens"):
        FunctionalTransformer(("softmax",), [0.1], 2, normaliser="none")


def test_the_step_of_weights_built_for_another_n_is_what_the_metadata_say(tmp_path):
    problem = Problem(N=1, K=2, d=2, n=8, eps=1e-3)
    for made in (build(problem), build_softmax(problem)):
        save_weights(made, tmp_path / "model.safetensors")
        with safe_open(tmp_path / "model.safetensors", "np") as file:
            said = file.metadata()["examples"]
        assert said.startswith("8: with m other than 8 examples, the step is m (8 + 1) / ((m + 1) 8) times")
        few, eta = replace(problem, n=3), 0.1 * (2 if made.name == "softmax" else 1)
        prompt = random_prompts(few, 50, torch.Generator().manual_seed(1))
        prompt = prompt.with_weights(prompt.w / 2)
        exact = descend(replace(few, eta=eta), prompt, 1)[1] - prompt.w
        step = made.step(prompt) - prompt.w
        ratio = float((step * exact).sum() / exact.square().sum())
        assert ratio == pytest.approx(3 * 9 / (4 * 8), rel=1e-3)


def test_tensors_that_share_memory_or_are_turned_are_saved(tmp_path):
    whole = torch.arange(24.0).reshape(2, 3, 4)
    tensors = {"a": whole, "b": whole, "c": whole.permute(2, 0, 1), "d": whole[0].T, "e": whole[:, ::2]}
    write_tensors(tmp_path / "all.safetensors", tensors, {})
    for name, tensor in load_file(tmp_path / "all.safetensors").items():
        assert torch.equal(tensor, tensors[name])


def test_layers_beyond_a_hundred_are_in_order_and_read_back_either_way(tmp_path):
    block = build(Problem(N=50, K=1, d=1, d_out=1, n=1, eps=0.9, activation="identity"))
    save_weights(block, tmp_path / "deep.safetensors")
    tensors = load_file(tmp_path / "deep.safetensors")
    numbers = [int(name.split(".")[1]) for name in sorted(tensors)]
    assert numbers == sorted(numbers) and numbers[-1] == 100
    padded = GivenBlock.read(tmp_path / "deep.safetensors")
    plain = {two_digits(name): tensor for name, tensor in tensors.items()}
    again = GivenBlock(plain, padded.problem, padded.declaration)
    prompt = random_prompts(block.problem, 1, torch.Generator().manual_seed(1))
    assert torch.equal(padded.step(prompt), again.step(prompt))
    assert padded.step(prompt) == pytest.approx(block.step(prompt), abs=1e-12)
    with pytest.raises(ProblemError, match="the file has this layer twice"):
        GivenBlock({**plain, "layer.003.W1": plain["layer.03.W1"]}, padded.problem, padded.declaration)


def test_matrices_that_would_not_fit_are_refused_with_their_size(tmp_path, monkeypatch):
    transformer = build(Problem(N=1, K=1, d=1), "lean")
    monkeypatch.setattr(memory, "available_bytes", lambda: 100)
    with pytest.raises(ProblemError, match=r"literal matrices would take about .* KiB and 100 B is free"):
        save_weights(transformer, tmp_path / "model.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_the_same_weights_are_the_same_bytes(tmp_path):
    made = build(Problem(N=1, K=2, eps=0.5))
    files = set()
    for index in range(6):
        save_weights(made, tmp_path / f"{index}.safetensors")
        files.add((tmp_path / f"{index}.safetensors").read_bytes())
    (written,) = files
    with safe_open(tmp_path / "0.safetensors", "np") as file:
        names, metadata = list(file.keys()), file.metadata()
        tensors = {name: file.get_tensor(name) for name in names}
    assert list(metadata) and set(metadata) >= {"attention", "diagonal", "layers", "problem", "stream"}
    for index, layer in enumerate(made.literal()):
        if layer.hidden:
            assert np.array_equal(tensors[f"layer.{index:02d}.W1"], layer.W1.dense().numpy())
    assert int.from_bytes(written[:8], "little") % 8 == 0  # so that tensors are aligned
