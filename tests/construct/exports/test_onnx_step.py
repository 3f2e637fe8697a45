"""The graph of ONNX, run by onnxruntime, does what the literal reading does."""

import sys

import numpy as np
import onnx
import onnxruntime
import pytest

from icgd.bounds.letters import ProblemError
from icgd.construct.exports import onnx_graph
from icgd.construct.exports.formats import export_weights
from icgd.construct.exports.forward import StepInContext
from icgd.construct.exports.read_weights import read_weights

BLOCKS = ("lean", "paper", "softmax", "alone")


def test_onnxruntime_agrees_with_the_literal_reading(exported_cases, tmp_path):
    for name in BLOCKS:
        case = exported_cases[name]
        weights = read_weights(case["file"])
        (path,) = export_weights(weights, "onnx", tmp_path / f"{name}.onnx")
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        (found,) = session.run(None, {"H": case["into"].numpy()})
        assert found.dtype == np.float64
        assert np.abs(found - case["out"].detach().numpy()).max() <= 1e-12, name
        assert np.abs(found - case["into"].numpy()).max() > 1e-3, name
        more = case["into"][:2].repeat_interleave(2, dim=1)  # another number of tokens, and so another mean
        (longer,) = session.run(None, {"H": more.numpy()})
        by_torch = StepInContext(dict(weights.tensors), dict(weights.metadata))(more)
        assert np.abs(longer - by_torch.numpy()).max() <= 1e-12, name
        model = onnx.load(path)
        assert {one.key: one.value for one in model.metadata_props} == dict(weights.metadata)
        assert {one.data_type for one in model.graph.initializer} <= {
            onnx.TensorProto.DOUBLE,
            onnx.TensorProto.INT64,
        }
        again = export_weights(weights, "onnx", tmp_path / "again.onnx")[0]
        assert again.read_bytes() == path.read_bytes()


def test_what_onnx_cannot_hold_is_refused(exported_cases, tmp_path, monkeypatch):
    out = tmp_path / "x.onnx"
    with pytest.raises(ProblemError, match=r"it takes block weights, and .* holds kernel weights"):
        export_weights(read_weights(exported_cases["over tokens"]["file"]), "onnx", out)
    with pytest.raises(ProblemError, match=r"the name of such a file ends in \.onnx"):
        export_weights(read_weights(exported_cases["lean"]["file"]), "onnx", tmp_path / "x.pt2")
    monkeypatch.setattr(onnx_graph, "MOST_ONNX", 1000)
    with pytest.raises(ProblemError, match="a file of ONNX holds at most 2 GiB"):
        export_weights(read_weights(exported_cases["lean"]["file"]), "onnx", out)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ProblemError, match=r"the package onnx is needed: pip install 'icgd\[onnx\]'"):
        export_weights(read_weights(exported_cases["lean"]["file"]), "onnx", out)
    assert not list(tmp_path.iterdir())
