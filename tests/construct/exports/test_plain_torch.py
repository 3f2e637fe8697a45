"""forward.py runs every kind of weights where there is no icgd, as the literal reading does."""

import subprocess
import sys

import pytest
import torch

from icgd.construct.exports.formats import export_weights
from icgd.construct.exports.read_weights import read_weights

ALONE = """
import runpy, sys
sys.modules.update(dict.fromkeys(("icgd", "safetensors", "numpy"), None))  # to import one of them is an error
import torch
cases, outcomes = torch.load(sys.argv[1]), {}
for name, (folder, parts, into, loops) in cases.items():
    sys.path.insert(0, folder)
    sys.modules.pop("forward", None)
    from forward import load_weights
    model = load_weights(f"{folder}/model.safetensors", **({"loops": loops} if loops else {}))
    if len(parts) == 4:
        outcomes[name] = model.tokens(*parts), model(into), model.weights(model(into))
    else:
        outcomes[name] = into, model.predict(*parts), model(into)
    del sys.path[0]
torch.save(outcomes, sys.argv[2])
sys.argv = ["forward.py", f"{folder}/model.safetensors"]
runpy.run_path(f"{folder}/forward.py", run_name="__main__")
"""


def test_forward_runs_without_icgd_as_the_literal_reading_does(exported_cases, tmp_path):
    posed = {}
    for name, case in exported_cases.items():
        folder = tmp_path / name
        export_weights(read_weights(case["file"]), "torch", folder)
        posed[name] = str(folder), case["parts"], case["into"], 3 if name == "looped" else 0
    torch.save(posed, tmp_path / "cases.pt")
    command = [sys.executable, "-c", ALONE, str(tmp_path / "cases.pt"), str(tmp_path / "found.pt")]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "a random prompt of 6 examples: the prediction is" in ran.stdout
    found = torch.load(tmp_path / "found.pt")
    assert set(found) == set(exported_cases)
    for name, case in exported_cases.items():
        into, out, more = found[name]
        assert torch.equal(into, case["into"]), name
        # Entries are at most 1, and sums over at most 8 terms may be added up in another order.
        assert (out - case["out"]).abs().max() <= 4 * 2.0**-52, name
        assert not torch.allclose(out, torch.zeros_like(out), atol=1e-3), name
        if len(case["parts"]) == 4:
            w = read_weights(case["file"]).block().stream.w
            assert torch.equal(more, out[..., w]), name


@pytest.mark.parametrize("stem", ["forward.py", "model.safetensors"])
def test_the_files_of_the_folder(stem, exported_cases, tmp_path):
    paths = export_weights(read_weights(exported_cases["lean"]["file"]), "torch", tmp_path)
    assert tmp_path / stem in paths
    if stem.endswith("safetensors"):  # the matrices are those of the file, bit by bit, and so is what is said
        again, first = read_weights(tmp_path / stem), read_weights(exported_cases["lean"]["file"])
        assert again.metadata == first.metadata
        assert all(torch.equal(again.tensors[name], first.tensors[name]) for name in first.tensors)
