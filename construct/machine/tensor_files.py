"""Files of tensors from any source: safetensors, whose header is checked first, or pickles if trusted."""

from __future__ import annotations

import json
import math
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as field_of
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from icgd.bounds.estimate import bytes_text
from icgd.bounds.letters import ProblemError
from icgd.construct.machine.files import regular_file
from icgd.construct.machine.memory import refuse_tensors
from icgd.construct.machine.training_history import chosen_state

MOST_HEADER = 1 << 20
"""The largest header that is read, in bytes: names, shapes and metadata."""

_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "BOOL": torch.bool,
    "U8": torch.uint8,
}
"""What is read: all of it fits into float64 exactly."""

_NESTED = ("model_state_dict", "state_dict", "model")
"""Where checkpoints keep the tensors of a model, besides optimisers and counters."""

_PREFIXES = ("module.", "_orig_mod.")
"""What wrappers of torch put before every name."""
_PICKLES = (b"PK\x03\x04", b"\x80")
_FIELDS = {"dtype", "shape", "data_offsets"}


@dataclass(frozen=True)
class Declared:
    """A tensor as a header declares it.  start: its first byte in the file."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    start: int

    @property
    def entries(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class TensorHeader:
    """What a file says that it holds, checked against its size: tensors by name, and metadata.

    loaded: the tensors themselves, of a pickle, which has no header to read first.
    """

    tensors: Mapping[str, Declared]
    metadata: Mapping[str, str]
    loaded: Mapping[str, Tensor] | None = field_of(default=None, compare=False, repr=False)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each tensor by its name."""
        return {name: one.shape for name, one in self.tensors.items()}


def read_header(
    path: Path, field: str, *, trust_pickle: bool = False, state: str | None = None
) -> TensorHeader:
    """The header of a file of tensors; raises ProblemError, which names `field`, where it is not one.

    In safetensors the tensors fill the file without gaps or overlaps.  trust_pickle: whether a pickle of
    torch is opened as well, with weights_only, by which torch admits tensors and plain containers only.
    state: which one of a pickle that keeps every state of a training; see `chosen_state`.
    """
    with regular_file(path, field) as file:
        if trust_pickle and _is_pickle(file.read(9)):
            return _unpickled(file, path, field, state)
        if state is not None:
            raise ProblemError("state", state, "only a pickle that --trust-pickle opens keeps states")
        file.seek(0)
        return _header(file, path, field)


def read_tensors(path: Path, field: str, header: TensorHeader) -> dict[str, Tensor]:
    """Every tensor in float64; raises ProblemError for a file that changed, or a non-finite entry."""
    refuse_tensors(16 * sum(one.entries for one in header.tensors.values()), path)
    found = {}
    if header.loaded is not None:
        for name, tensor in header.loaded.items():
            found[name] = tensor.detach().to(torch.float64).contiguous()
            check_finite(name, found[name])
        return found
    with regular_file(path, field) as file:
        if _header(file, path, field) != header:
            raise ProblemError(field, path, "the file changed while it was read")
        for name, one in header.tensors.items():
            file.seek(one.start)
            data = np.fromfile(file, np.uint8, one.entries * one.dtype.itemsize)
            if data.size != one.entries * one.dtype.itemsize:
                raise ProblemError(field, path, f"the file ends within the tensor {name}")
            read = torch.empty(one.entries, dtype=one.dtype)
            read.view(torch.uint8).numpy()[:] = data
            found[name] = read.to(torch.float64).reshape(one.shape)
            check_finite(name, found[name])
    return found


def real_tensor(name: str, given: Any) -> Tensor:
    """A tensor, an array or lists of numbers as a tensor without rounding; raises ProblemError for others."""
    try:
        found = given if isinstance(given, Tensor) else torch.as_tensor(np.asarray(given))
    except (TypeError, ValueError, RuntimeError):
        why = "a tensor or an array of real numbers is needed"
        raise ProblemError(name, type(given).__name__, why) from None
    whole = not (found.is_floating_point() or found.is_complex())
    if found.dtype not in _DTYPES.values() and not (whole and bool((found.abs() <= 2**53).all())):
        kind = str(found.dtype).removeprefix("torch.")
        raise ProblemError(name, kind, "real numbers are needed that float64 holds exactly")
    return found


def check_finite(name: str, tensor: Tensor) -> None:
    """Raises ProblemError, with the index of the first entry of a tensor that is not a finite number."""
    wrong = (~torch.isfinite(tensor)).nonzero()
    if len(wrong):
        index = wrong[0].tolist()
        value = float(tensor[tuple(index)])
        raise ProblemError(f"{name}{index}", value, "every entry must be a finite number")


def _is_pickle(start: bytes) -> bool:
    """Whether a file that begins with these 9 bytes is a pickle.

    The first 8 bytes of safetensors are the length of the header, whose lowest byte may be that of a pickle;
    the 9th is the brace that opens the header.
    """
    return start.startswith(_PICKLES) and start[8:] != b"{"


def _header(file: BinaryIO, path: Path, field: str) -> TensorHeader:
    size, start = os.fstat(file.fileno()).st_size, file.read(9)
    if _is_pickle(start):
        why = (
            "it is a pickle, which can run code when it is opened; save the tensors as safetensors, or give "
            "--trust-pickle to open it with torch's weights_only"
        )
        raise ProblemError(field, path, why)
    file.seek(8)
    length = int.from_bytes(start[:8], "little")
    if len(start) < 8 or length > size - 8:
        raise ProblemError(field, path, "it is not a safetensors file")
    if length > MOST_HEADER:
        why = f"its header has {bytes_text(length)}, and at most {bytes_text(MOST_HEADER)} is read"
        raise ProblemError(field, path, why)
    try:
        declared = json.loads(file.read(length).decode("utf-8"), object_pairs_hook=_once)
        if not isinstance(declared, dict):
            raise ValueError("its header is not an object")
        metadata = declared.pop("__metadata__", {})
        if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
            raise ValueError("its metadata are not texts by name")
        tensors = {name: _declared(name, one, 8 + length) for name, one in declared.items()}
        end = 8 + length
        for name, one in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].entries)):
            if one.start != end:
                raise ValueError(f"there is a gap or an overlap before the tensor {name}")
            end += one.entries * one.dtype.itemsize
        if end != size:
            raise ValueError(f"its header declares {end:,} bytes, and the file has {size:,}")
    except UnicodeDecodeError:
        raise ProblemError(field, path, "its header is not text in UTF-8") from None
    except json.JSONDecodeError:
        raise ProblemError(field, path, "it is not a safetensors file: its header is not JSON") from None
    except RecursionError:
        raise ProblemError(field, path, "its header is nested too deeply") from None
    except ValueError as wrong:
        raise ProblemError(field, path, f"it is not a safetensors file that is read: {wrong}") from None
    return TensorHeader(tensors, metadata)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("its header names something twice")
    return found


def _count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**53


def _declared(name: str, one: Any, data: int) -> Declared:
    """One entry of a header; raises ValueError where it is malformed."""
    if not isinstance(one, dict) or set(one) != _FIELDS:
        raise ValueError(f"the tensor {name[:60]} is not declared by {', '.join(sorted(_FIELDS))}")
    dtype, shape, offsets = one["dtype"], one["shape"], one["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise ValueError(f"{name[:60]} is {str(dtype)[:20]}, and {', '.join(_DTYPES)} are read")
    for part, what in ((shape, "shape"), (offsets, "data_offsets")):
        if not isinstance(part, list) or not all(map(_count, part)) or len(part) > 8:
            raise ValueError(f"the {what} of {name[:60]} are not a few whole numbers")
    entries = math.prod(shape)
    if len(offsets) != 2 or offsets[1] - offsets[0] != entries * _DTYPES[dtype].itemsize:
        raise ValueError(f"the tensor {name[:60]} does not have the size of its shape")
    return Declared(_DTYPES[dtype], tuple(shape), data + offsets[0])


def _unpickled(file: BinaryIO, path: Path, field: str, state: str | None) -> TensorHeader:
    """What a pickle of torch holds; its size is checked before, and the sizes of its tensors after."""
    size = os.fstat(file.fileno()).st_size
    file.seek(0)
    try:
        if zipfile.is_zipfile(file):
            records = zipfile.ZipFile(file).infolist()
            if any(record.compress_type != zipfile.ZIP_STORED for record in records):
                raise ProblemError(field, path, "its records are compressed, as torch never writes them")
            size = max(size, sum(record.file_size for record in records))
        refuse_tensors(3 * size, path)
        file.seek(0)
        found = torch.load(file, map_location="cpu", weights_only=True)
    except ProblemError:
        raise
    except Exception as wrong:  # torch documents no list of what a malformed file raises
        said = " ".join(str(wrong).split())[:120]
        why = f"torch does not open it with weights_only ({type(wrong).__name__}: {said})"
        raise ProblemError(field, path, why) from None
    while isinstance(found, Mapping) and any(isinstance(found.get(name), Mapping) for name in _NESTED):
        found = next(found[name] for name in _NESTED if isinstance(found.get(name), Mapping))
    metadata: dict[str, str] = {}
    history = chosen_state(found, state, path)
    if history is not None:
        found, metadata["state"] = history
    if not isinstance(found, Mapping) or not found:
        why = f"it holds one {type(found).__name__}, and tensors by name, such as a state dict, are needed"
        raise ProblemError(field, path, why)
    for name, one in found.items():
        if not isinstance(name, str) or not isinstance(one, Tensor):
            what = type(one).__name__
            raise ProblemError(field, path, f"{str(name)[:60]} is a {what}, and tensors by name are needed")
        if one.dtype not in _DTYPES.values() or one.layout != torch.strided or one.device.type != "cpu":
            kind = f"{one.dtype} ({one.layout}, {one.device})".replace("torch.", "")
            raise ProblemError(field, path, f"{name[:60]} is {kind}, and {', '.join(_DTYPES)} are read")
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in found):
            found = {name.removeprefix(prefix): one for name, one in found.items()}
    tensors = {name: Declared(one.dtype, tuple(one.shape), 0) for name, one in found.items()}
    return TensorHeader(tensors, metadata, dict(found))
