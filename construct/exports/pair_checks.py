"""What is asked of a file of pairs P and Q before it is exported: its shapes, and what its metadata say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from icgd.bounds.letters import ProblemError
from icgd.construct.exports import forward
from icgd.construct.given_linear import read_linear
from icgd.construct.machine.tensor_files import TensorHeader


def check_pairs(header: TensorHeader, path: Path) -> None:
    """Raises ProblemError, in one sentence, where P, Q and metadata do not say what a layer does."""
    said = header.metadata
    heads = _heads(header.shapes)
    kernels = _texts(said, "kernels", path)
    normalised = _texts(said, "normalised", path)
    formulas = _json(said, "formulas", "{}", path)
    if not isinstance(formulas, dict) or not all(isinstance(one, str) for one in formulas.values()):
        raise ProblemError("formulas", path, "these metadata are no formulas by name")
    for name, formula in formulas.items():
        if formula not in forward.KERNELS_BY_FORMULA:
            known = ", ".join(forward.KERNELS_BY_FORMULA)
            raise ProblemError("kernel", f"{name} = {formula}", f"the kernels {known} are exported")
    if "kernels" in said and len(kernels) != heads:
        raise ProblemError("kernels", said["kernels"], f"a kernel is needed for each of {heads} heads")
    for name in [*kernels, *normalised]:
        if name not in formulas:
            raise ProblemError("formulas", path, f"these metadata have no formula of the kernel {name[:40]}")
    # One layer of zeros: mask, division and sign are checked by the code that reads them, sizes are not.
    one = torch.zeros(1, 2, 2, dtype=torch.float64)
    read_linear({"P": one, "Q": one}, {name: text for name, text in said.items() if name != "kernels"})


def _heads(shapes: Mapping[str, tuple[int, ...]]) -> int:
    """How many heads each layer has; raises ProblemError for a layer without P or Q, or for other shapes."""
    layers: dict[str, dict[str, tuple[int, ...]]] = {}
    for name, shape in shapes.items():
        layer, _, part = name.rpartition(".")
        layers.setdefault(layer, {})[part] = shape
    first = next(iter(shapes.values()))
    most, needed = (3, "(heads, d+1, d+1)") if "" not in layers else (4, "(layers, heads, d+1, d+1)")
    for layer, parts in layers.items():
        prefix = f"{layer}." if layer else ""
        for part in "PQ":
            if part not in parts:
                raise ProblemError("tensor", f"{prefix}{part}", "it is missing, and its other half is there")
            shape = parts[part]
            if not 2 <= len(shape) <= most or shape[-1] != shape[-2] or shape[-1] < 2 or not all(shape):
                why = f"{needed} or, of one head each, without heads, is needed"
                raise ProblemError(f"{prefix}{part}", f"shape {shape}", why)
            if shape != first:
                why = f"every P and Q has the same shape, and another has {first}"
                raise ProblemError(f"{prefix}{part}", f"shape {shape}", why)
    return first[-3] if len(first) == most else 1


def _json(said: Mapping[str, str], name: str, usual: str, path: Path) -> Any:
    try:
        return json.loads(said.get(name, usual))
    except (ValueError, RecursionError):
        raise ProblemError(name, path, "these metadata are not JSON") from None


def _texts(said: Mapping[str, str], name: str, path: Path) -> list[str]:
    found = _json(said, name, "[]", path)
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise ProblemError(name, said[name], "a list of names of kernels is needed")
    return found
