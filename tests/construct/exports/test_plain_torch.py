"""forward.py runs every kind of weights where there is no icgd, as the literal reading does."""

import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file

from icgd.bounds.letters import ProblemError
from icgd.construct.block.weights import write_tensors
from icgd.construct.exports.formats import export_weights
from icgd.construct.exports.forward import load_weights, read_safetensors
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
    slots = json.loads(read_weights(exported_cases["lean"]["file"]).metadata["stream"])
    bare = {"problem": None}

    def stream(**changed):
        moved = {name: ends for name, ends in (slots | changed).items() if ends}
        return {"stream": json.dumps(moved)}

    for of, change, said in (
        ("lean", {"attention": "linear"}, "attention = linear: blocks with relu and softmax are exported"),
        ("lean", {"stream": None}, "its metadata have no stream; docs/weights.md says what it is"),
        (
            "over tokens",
            {"formulas": '{"exp": "exp(2*s)"}'},
            r"kernel = exp = exp\(2\*s\): the kernels s, exp",
        ),
        ("over tokens", {"formulas": "[1]"}, "these metadata are no formulas by name"),
        ("over tokens", {"formulas": "{}"}, "these metadata have no formula of the kernel softmax"),
        ("over tokens", {"kernels": '["exp"]'}, "a kernel is needed for each of 5 heads"),
        ("over tokens", {"kernels": "["}, "kernels = .*: these metadata are not JSON"),
        ("over tokens", {"kernels": "5"}, "kernels = 5: a list of names of kernels is needed"),
        ("over tokens", {"normalised": "{"}, "normalised = .*: these metadata are not JSON"),
        ("over tokens", {"normalised": '["none"]'}, "these metadata have no formula of the kernel none"),
        ("over tokens", {"problem": '{"n": "many"}'}, "problem = n = many: the number of examples is"),
        ("looped", {"divisor": "7"}, r"divide-by = 7: a layer divides by n, n\+1, 1"),
        ("looped", {"M": "some"}, "M = some: it is I or"),
        ("looped", {"normalised": "{"}, "normalised = .*: these metadata are not JSON"),
        ("lean", {"problem": "{"}, "these metadata are not JSON"),
        ("lean", stream(x=[0, 999]), r"stream.x = 0:999: it needs 2 coordinates \(d\)"),
        ("lean", stream(x=[0, 999]) | bare, "stream.x = 0:999: the matrices have 25 coordinates"),
        ("lean", stream(x=None) | bare, "the slots x, y, V1, V2, ..., one and t are needed"),
        ("lean", stream(V1=None) | bare, "the slots x, y, V1, V2, ..., one and t are needed"),
        ("lean", stream(V1=None, V2=None) | bare, "the slots x, y, V1, V2, ..., one and t are needed"),
        ("lean", stream(t=[3, 5]) | bare, "stream.t = 3:5: it needs coordinates; one and t have one each"),
        ("lean", stream(y=[1, 2]) | bare, "stream.y = 1:2: it overlaps the slot x"),
    ):
        first = read_weights(exported_cases[of]["file"])
        said_of_it = {name: text for name, text in (first.metadata | change).items() if text is not None}
        write_tensors(tmp_path / "x.safetensors", first.tensors, said_of_it)
        for name, out in (("torch", tmp_path / "out"), ("torch-program", tmp_path / "out.pt2")):
            with pytest.raises(ProblemError, match=said):
                export_weights(read_weights(tmp_path / "x.safetensors"), name, out)
    assert [one.name for one in tmp_path.iterdir()] == ["x.safetensors"]


def test_pairs_of_other_shapes_are_refused(exported_cases, tmp_path):
    first, path = read_weights(exported_cases["looped"]["file"]), tmp_path / "x.safetensors"
    made = {
        shape: torch.zeros(shape, dtype=torch.float64) for shape in ((2, 3, 3), (2, 3, 2), (2, 4, 4), (3, 3))
    }
    square, narrow, wide, flat = made.values()
    for tensors, said in (
        ({"P": square, "Q": narrow}, r"Q = shape \(2, 3, 2\): \(layers, heads, d\+1, d\+1\) or"),
        ({"P": square, "Q": wide}, r"Q = shape \(2, 4, 4\): every P and Q has the same shape"),
        ({"P": flat[0], "Q": flat[0]}, r"P = shape \(3,\): "),
        ({"layer.00.P": flat, "layer.01.Q": flat}, "tensor = layer.00.Q: it is missing"),
        ({"layer.00.P": flat, "layer.00.Q": square}, "layer.00.Q = shape .*: every P and Q has the same"),
    ):
        write_tensors(path, {name: one.clone() for name, one in tensors.items()}, first.metadata)
        with pytest.raises(ProblemError, match=said):
            read_weights(path)
    # One layer without its axis runs as the same layer does.
    pair = {name: torch.randn(3, 3, generator=torch.Generator().manual_seed(1)).double() for name in "PQ"}
    Z, found = torch.ones(1, 3, 4, dtype=torch.float64), []
    stacked = {name: one[None] for name, one in pair.items()}
    for name, tensors, said in (
        ("flat", pair, {"update": "Z + sum_m P_m Z M Z^T Q_m Z"}),
        ("stacked", stacked, {"divisor": "1"}),
    ):
        write_tensors(path, tensors, said)
        export_weights(read_weights(path), "torch", tmp_path / name)
        found.append(load_weights(str(tmp_path / name / "model.safetensors"))(Z))
    assert torch.equal(*found) and not torch.equal(found[0], Z)


def test_tensors_of_every_precision_are_read_as_they_are(tmp_path):
    held = torch.tensor([[1.5, -2.0]], dtype=torch.float64)
    for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
        save_file({"P": held.to(dtype)}, tmp_path / "x.safetensors")
        assert torch.equal(read_safetensors(str(tmp_path / "x.safetensors"))[0]["P"], held)


def test_no_two_buffers_share_their_memory(exported_cases):
    """torch.export warns of such buffers."""
    held = list(load_weights(str(exported_cases["preconditioned"]["file"])).buffers())
    assert len({one.untyped_storage().data_ptr() for one in held}) == len(held) == 4
