"""forward.py runs every kind of weights where there is no icgd, as the literal reading does."""

import subprocess
import sys

import pytest
import torch

from icgd.bounds.letters import ProblemError
from icgd.construct.block.weights import write_tensors
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


def test_what_forward_does_not_know_is_refused(exported_cases, tmp_path):
    for of, change, said in (
        ("lean", {"attention": "linear"}, "attention = linear: blocks with relu and softmax are exported"),
        ("lean", {"stream": None}, "its metadata have no stream; docs/weights.md says what it is"),
        (
            "over tokens",
            {"formulas": '{"exp": "exp(2*s)"}'},
            r"kernel = exp = exp\(2\*s\): the kernels s, exp",
        ),
        ("over tokens", {"formulas": "[1]"}, "these metadata are no formulas by name"),
    ):
        first = read_weights(exported_cases[of]["file"])
        said_of_it = {name: text for name, text in (first.metadata | change).items() if text is not None}
        write_tensors(tmp_path / "x.safetensors", first.tensors, said_of_it)
        for name, out in (("torch", tmp_path / "out"), ("torch-program", tmp_path / "out.pt2")):
            with pytest.raises(ProblemError, match=said):
                export_weights(read_weights(tmp_path / "x.safetensors"), name, out)
    assert [one.name for one in tmp_path.iterdir()] == ["x.safetensors"]
