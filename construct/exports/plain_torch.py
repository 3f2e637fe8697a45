"""The format `torch`: the weights beside one file that runs them with torch alone."""

from __future__ import annotations

import json
from pathlib import Path

from icgd.bounds.letters import ProblemError
from icgd.construct.block.weights import write_tensors
from icgd.construct.exports import forward
from icgd.construct.exports.read_weights import ReadWeights
from icgd.construct.machine.files import write_atomically

TORCH_FILES = ("model.safetensors", "forward.py")
"""What the folder of this format holds."""


def write_plain_torch(weights: ReadWeights, folder: Path) -> tuple[Path, ...]:
    """Write `model.safetensors` and `forward.py` into a folder; returns both paths."""
    check_formulas(weights)
    made = folder / TORCH_FILES[0]
    write_tensors(made, weights.tensors, weights.metadata)
    return made, write_forward(folder)


def write_forward(folder: Path) -> Path:
    """Write `forward.py` alone, which runs the weights that a file beside it holds; returns its path."""
    code = folder / TORCH_FILES[1]
    write_atomically(code, Path(forward.__file__).read_text(encoding="utf-8"))
    return code


def check_formulas(weights: ReadWeights) -> None:
    """Raises ProblemError for a kernel that `forward.py` does not know."""
    try:
        formulas = dict(json.loads(weights.metadata.get("formulas", "{}")))
    except (ValueError, TypeError, RecursionError):
        raise ProblemError("formulas", weights.path, "these metadata are no formulas by name") from None
    for name, formula in formulas.items():
        if formula not in forward.KERNELS_BY_FORMULA:
            known = ", ".join(forward.KERNELS_BY_FORMULA)
            raise ProblemError("kernel", f"{name} = {formula}", f"the kernels {known} are exported")
