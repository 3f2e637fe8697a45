"""The format `torch`: the weights beside one file that runs them with torch alone."""

from __future__ import annotations

from pathlib import Path

from icgd.construct.block.weights import write_tensors
from icgd.construct.exports import forward
from icgd.construct.exports.read_weights import ReadWeights
from icgd.construct.machine.files import write_atomically


def write_plain_torch(weights: ReadWeights, folder: Path) -> tuple[Path, ...]:
    """Write `model.safetensors` and `forward.py` into a folder; returns both paths."""
    made, code = folder / "model.safetensors", folder / "forward.py"
    write_tensors(made, weights.tensors, weights.metadata)
    write_atomically(code, Path(forward.__file__).read_text(encoding="utf-8"))
    return made, code
