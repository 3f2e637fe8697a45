"""The format `torch`: the weights beside one file that runs them with torch alone."""

from __future__ import annotations

from pathlib import Path

from icgd.construct.block.weights import write_tensors
from icgd.construct.exports import forward
from icgd.construct.exports.read_weights import ReadWeights
from icgd.construct.machine.files import write_atomically

TORCH_FILES = ("model.safetensors", "forward.py")
"""What the folder of this format holds."""


def write_plain_torch(weights: ReadWeights, folder: Path) -> tuple[Path, ...]:
    """Write `model.safetensors` and `forward.py` into a folder; returns both paths."""
    made = folder / TORCH_FILES[0]
    write_tensors(made, weights.tensors, weights.metadata)
    return made, write_forward(folder)


def write_forward(folder: Path) -> Path:
    """Write `forward.py` alone, which runs the weights that a file beside it holds; returns its path."""
    code = folder / TORCH_FILES[1]
    write_atomically(code, Path(forward.__file__).read_text(encoding="utf-8"))
    return code
