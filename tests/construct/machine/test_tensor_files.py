"""Files of tensors from any source: read back exactly, or refused in one sentence before anything is read."""

import json
import struct
from contextlib import suppress

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save
from safetensors.torch import save as save_torch

from icgd.bounds.letters import ProblemError
from icgd.construct.machine import tensor_files
from icgd.construct.machine.tensor_files import MOST_HEADER, read_header, read_tensors

ONE = {"dtype": "F64", "shape": [2], "data_offsets": [0, 16]}


def raw(header, data=b"\0" * 16, length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def written(tmp_path, data):
    path = tmp_path / "model.safetensors"
    path.write_bytes(data)
    return path


def test_tensors_and_metadata_are_read_back_exactly(tmp_path):
    rng = np.random.default_rng(0)
    made = {
        "b": rng.normal(size=(2, 3)),
        "a": rng.normal(size=4).astype(np.float32),
        "none": np.zeros((0, 3)),
    }
    path = written(tmp_path, save(made, {"stream": "{}"}))
    header = read_header(path, "weights")
    assert header.metadata == {"stream": "{}"}
    found = read_tensors(path, "weights", header)
    assert {name: one.dtype for name, one in found.items()} == dict.fromkeys(made, torch.float64)
    for name, one in made.items():
        assert np.array_equal(found[name].numpy(), one.astype(np.float64))


def test_lower_precisions_are_read_exactly(tmp_path):
    values = torch.randn(3, 4)
    made = {str(dtype): values.to(dtype) for dtype in (torch.float16, torch.bfloat16, torch.bool)}
    path = written(tmp_path, save_torch(made))
    found = read_tensors(path, "weights", read_header(path, "weights"))
    assert all(torch.equal(found[name], one.to(torch.float64)) for name, one in made.items())


def test_a_header_whose_length_begins_like_a_pickle_is_read(tmp_path):
    """Headers are padded to multiples of 8 bytes: one file in 32 begins with the byte 0x80."""
    for length in (0x180, 0x280, 0x480):
        header = json.dumps({"a": ONE}).encode().ljust(length)
        for trusted in (False, True):
            found = read_header(written(tmp_path, raw(header)), "weights", trust_pickle=trusted)
            assert found.shapes == {"a": (2,)}


def pickled(tmp_path, value, **options):
    torch.save(value, tmp_path / "model.pt", **options)
    return tmp_path / "model.pt"


def test_a_trusted_checkpoint_of_torch_is_opened_and_its_state_dict_found(tmp_path):
    made = {"allparam": torch.randn(2, 1, 2, 3, 3), "half": torch.randn(3).to(torch.bfloat16)}
    nested = {"model_state_dict": {f"module.{name}": one for name, one in made.items()}, "step": 7}
    for value, options in ((made, {}), (nested, {}), (nested, {"_use_new_zipfile_serialization": False})):
        path = pickled(tmp_path, value, **options)
        with pytest.raises(ProblemError, match="give --trust-pickle to open it"):
            read_header(path, "weights")
        header = read_header(path, "weights", trust_pickle=True)
        assert header.shapes == {"allparam": (2, 1, 2, 3, 3), "half": (3,)}
        found = read_tensors(path, "weights", header)
        assert all(torch.equal(found[name], one.to(torch.float64)) for name, one in made.items())


class _Code:
    def __reduce__(self):
        return exec, ("raise SystemExit('it ran')",)


def test_a_trusted_pickle_runs_no_code_and_is_limited(tmp_path, monkeypatch):
    cases = {
        "torch does not open it with weights_only": {"a": _Code()},
        "it holds one Tensor, and tensors by name": torch.ones(2),
        "step is a int, and tensors by name": {"a": torch.ones(2), "step": 3},
        "a is int64": {"a": torch.ones(2, dtype=torch.int64)},
        "a is float32 .sparse_coo": {"a": torch.eye(2).to_sparse()},
    }
    for words, value in cases.items():
        with pytest.raises(ProblemError, match=words) as error:
            read_header(pickled(tmp_path, value), "weights", trust_pickle=True)
        assert "\n" not in str(error.value) and len(str(error.value)) < 300
    path = pickled(tmp_path, {"a": torch.zeros(1).expand(1 << 22, 1 << 22)})  # 128 TiB in a few bytes
    header = read_header(path, "weights", trust_pickle=True)
    with pytest.raises(ProblemError, match=r"its tensors would take about .* is free"):
        read_tensors(path, "weights", header)
    data = bytearray(path.read_bytes())
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ProblemError, match="torch does not open it"):
        read_header(path, "weights", trust_pickle=True)


BAD = {
    "an empty file": (b"", "it is not a safetensors file"),
    "a header longer than the file": (raw({}, b"", 99), "it is not a safetensors file"),
    "a pickle": (b"\x80\x02" + b"\0" * 30, "it is a pickle, which can run code"),
    "a zip of pickles": (b"PK\x03\x04" + b"\0" * 30, "it is a pickle"),
    "no JSON": (raw(b"{nonsense"), "its header is not JSON"),
    "no UTF-8": (raw(b"\xff\xfe"), "its header is not text in UTF-8"),
    "a list": (raw([1]), "its header is not an object"),
    "a deep header": (raw(b"[" * 100_000), "is nested too deeply|is not JSON"),
    "a name twice": (raw(b'{"a": 1, "a": 2}'), "names something twice"),
    "metadata that are no texts": (raw({"__metadata__": {"a": 1}}, b""), "its metadata are not texts"),
    "a quarter precision": (raw({"a": ONE | {"dtype": "F8_E4M3"}}), "a is F8_E4M3, and F64, F32, F16, BF16"),
    "integers": (raw({"a": ONE | {"dtype": "I64"}}), "a is I64, and F64"),
    "a list of types": (raw({"a": ONE | {"dtype": ["F64"]}}), "a is .'F64'., and F64"),
    "a negative size": (raw({"a": ONE | {"shape": [-2]}}), "the shape of a are not"),
    "true as a size": (raw({"a": ONE | {"shape": [True, 2]}}), "the shape of a are not"),
    "a shape of another size": (raw({"a": ONE | {"shape": [3]}}), "does not have the size of its shape"),
    "a huge shape": (raw({"a": ONE | {"shape": [2**52, 2**52]}}), "does not have the size of its shape"),
    "a field more": (raw({"a": ONE | {"more": 1}}), "is not declared by data_offsets, dtype, shape"),
    "an overlap": (raw({"a": ONE, "b": ONE}), "a gap or an overlap before the tensor b"),
    "a gap": (raw({"a": ONE | {"data_offsets": [8, 24]}}, b"\0" * 24), "a gap or an overlap before"),
    "more data": (raw({"a": ONE}, b"\0" * 17), "declares .* bytes, and the file has"),
    "less data": (raw({"a": ONE}, b"\0" * 15), "declares .* bytes, and the file has"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_file_that_is_not_one_is_refused_in_one_sentence(name, tmp_path):
    data, words = BAD[name]
    with pytest.raises(ProblemError, match=words) as error:
        read_header(written(tmp_path, data), "weights")
    assert "\n" not in str(error.value) and len(str(error.value)) < 300


def test_a_header_larger_than_the_limit_is_not_read(tmp_path, monkeypatch):
    path = written(tmp_path, raw(b" " * (MOST_HEADER + 1), b""))
    monkeypatch.setattr(tensor_files.json, "loads", None)
    with pytest.raises(ProblemError, match=r"at most 1 MiB is read"):
        read_header(path, "weights")


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_an_entry_that_is_not_finite_is_named_with_its_index(wrong, tmp_path):
    matrix = np.zeros((2, 3))
    matrix[1, 2] = wrong
    path = written(tmp_path, save({"layer.00.Q": matrix}))
    with pytest.raises(ProblemError, match=r"layer.00.Q\[1, 2\] = -?(nan|inf): every entry must be"):
        read_tensors(path, "weights", read_header(path, "weights"))


def test_what_is_no_file_is_said(tmp_path):
    for path, words in ((tmp_path, "it is a folder"), (tmp_path / "none", "there is no such file")):
        with pytest.raises(ProblemError, match=words):
            read_header(path, "weights")


@given(data=st.binary(max_size=200), length=st.integers(0, 60))
def test_any_bytes_are_read_or_refused(tmp_path_factory, data, length):
    path = tmp_path_factory.mktemp("any") / "x"
    for content in (data, struct.pack("<Q", length) + data):
        path.write_bytes(content)
        with suppress(ProblemError):
            read_header(path, "weights")
