"""The list of the zoo says what is built; certificates are accepted, and exact steps are proved."""

from dataclasses import asdict

import pytest
import torch

from icgd import cli
from icgd.bounds.letters import ProblemError
from icgd.construct.block.given_block import GivenBlock
from icgd.construct.exports.read_weights import read_weights
from icgd.verify.descent import step_error
from icgd.verify.search.prompts import random_prompts
from icgd.verify.zoo.built_model import build_model, model_places
from icgd.verify.zoo.models import ZOO, zoo_model
from icgd.verify.zoo.sizes import zoo_sizes


def is_as_listed(model, folder, capsys):
    """Builds one, compares it with the list and its files with the matrices; the certificate is checked."""
    built = build_model(model)
    listed = zoo_sizes()[model.name]
    assert asdict(built.size) | {"error": 0} == asdict(listed) | {"error": 0}
    assert built.size.error == pytest.approx(listed.error, rel=1e-9, abs=0)
    written = built.write(folder)
    assert set(written) == set(model_places(model, folder))
    assert all(path.stat().st_size > 100 for path in written)
    if model.exact:
        assert built.certificate is None and listed.error == 0
        return
    words = ["check", str(folder / "certificate.json"), *model.options().split()]
    assert cli.main([*words, "--weights", str(folder / "model.safetensors")]) == cli.KEPT
    assert "is its program, entry by entry" in capsys.readouterr().out.replace("\n", " ")
    weights = read_weights(folder / "model.safetensors")
    assert weights.metadata["certificate"] == built.digest
    # A second route to the sizes: counted in the file.
    shapes = [(name.rpartition(".")[2], tuple(one.shape)) for name, one in weights.tensors.items()]
    assert listed.heads == max(shape[0] for part, shape in shapes if part == "Q")
    assert listed.units == max(shape[0] for part, shape in shapes if part == "W1")
    assert listed.layers == len({name[:8] for name in weights.tensors})
    assert {shape[-1] for part, shape in shapes if part != "W2"} == {listed.width}
    assert listed.parameters == sum(int((one != 0).sum()) for one in weights.tensors.values())
    # No prompt exceeds the bound, and the bound is no empty one.
    block = GivenBlock.read(folder / "model.safetensors")
    prompt = random_prompts(block.problem, 500, torch.Generator().manual_seed(3))
    worst = float(step_error(block.problem, prompt, block.step(prompt)).max())
    assert 0.05 * listed.error < worst <= listed.error


def test_a_model_of_exact_steps_is_as_listed(tmp_path, capsys):
    is_as_listed(ZOO["looped"], tmp_path, capsys)
    assert {one.name for one in tmp_path.iterdir()} >= {"model.safetensors", "forward.py", "transformer_lens"}


@pytest.mark.slow
def test_all_models_are_as_listed(tmp_path, capsys):
    assert list(zoo_sizes()) == list(ZOO)
    for name, model in ZOO.items():
        is_as_listed(model, tmp_path / name, capsys)


@pytest.mark.slow
def test_exact_steps_are_proved_in_exact_arithmetic():
    for model in ZOO.values():
        if model.exact:
            verdicts = model.of.verify(model.problem()).verdicts
            (found,) = (one for one in verdicts if one.claim == model.exact)
            assert (found.status, found.means) == ("proved", "exact")


def test_a_model_that_is_not_there_is_refused():
    with pytest.raises(ProblemError, match=r"model = gpt2: the zoo has softmax-1, .*, preconditioned"):
        zoo_model("gpt2")
