"""Files of tensors from any source, as safetensors: nothing is allocated before the header is checked."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from icgd.bounds.estimate import bytes_text
from icgd.bounds.letters import ProblemError
from icgd.construct.machine.files import regular_file

MOST_HEADER = 1 << 20
"""The largest header that is read, in bytes: names, shapes and metadata."""

_SIZES = {"F64": 8, "F32": 4}
_OTHERS = {"F16": "float16", "BF16": "bfloat16", "F8_E4M3": "float8", "F8_E5M2": "float8", "BOOL": "boolean"}
_PICKLES = (b"PK\x03\x04", b"\x80")
_FIELDS = {"dtype", "shape", "data_offsets"}


@dataclass(frozen=True)
class Declared:
    """A tensor as a header declares it.  dtype: float32 or float64.  start: its first byte in the file."""

    dtype: str
    shape: tuple[int, ...]
    start: int

    @property
    def entries(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class TensorHeader:
    """What a file says that it holds, checked against its size: tensors by name, and metadata."""

    tensors: Mapping[str, Declared]
    metadata: Mapping[str, str]


def read_header(path: Path, field: str) -> TensorHeader:
    """The header of a safetensors file; raises ProblemError, which names `field`, where it is not one.

    Every tensor is float32 or float64, and the tensors fill the file without gaps or overlaps.
    """
    with regular_file(path, field) as file:
        return _header(file, path, field)


def read_tensors(path: Path, field: str, header: TensorHeader) -> dict[str, Tensor]:
    """Every tensor in float64; raises ProblemError for a file that changed, or a non-finite entry."""
    found = {}
    with regular_file(path, field) as file:
        if _header(file, path, field) != header:
            raise ProblemError(field, path, "the file changed while it was read")
        for name, one in header.tensors.items():
            file.seek(one.start)
            data = np.fromfile(file, "<f8" if one.dtype == "float64" else "<f4", one.entries)
            if data.size != one.entries:
                raise ProblemError(field, path, f"the file ends within the tensor {name}")
            found[name] = torch.from_numpy(data.astype(np.float64, copy=False).reshape(one.shape))
            check_finite(name, found[name])
    return found


def check_finite(name: str, tensor: Tensor) -> None:
    """Raises ProblemError, with the index of the first entry of a tensor that is not a finite number."""
    wrong = (~torch.isfinite(tensor)).nonzero()
    if len(wrong):
        index = wrong[0].tolist()
        value = float(tensor[tuple(index)])
        raise ProblemError(f"{name}{index}", value, "every entry must be a finite number")


def _header(file: BinaryIO, path: Path, field: str) -> TensorHeader:
    size, start = os.fstat(file.fileno()).st_size, file.read(8)
    if start.startswith(_PICKLES):
        why = "it is a pickle, which can run code when it is opened; save the tensors as safetensors"
        raise ProblemError(field, path, why)
    length = int.from_bytes(start, "little")
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
            end += one.entries * (8 if one.dtype == "float64" else 4)
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
    if dtype not in _SIZES:
        raise ValueError(
            f"{name[:60]} is {_OTHERS.get(str(dtype), str(dtype)[:20])}, and float32 and float64 are read"
        )
    for part, what in ((shape, "shape"), (offsets, "data_offsets")):
        if not isinstance(part, list) or not all(map(_count, part)) or len(part) > 8:
            raise ValueError(f"the {what} of {name[:60]} are not a few whole numbers")
    entries = math.prod(shape)
    if len(offsets) != 2 or offsets[1] - offsets[0] != entries * _SIZES[dtype]:
        raise ValueError(f"the tensor {name[:60]} does not have the size of its shape")
    return Declared("float64" if dtype == "F64" else "float32", tuple(shape), data + offsets[0])
