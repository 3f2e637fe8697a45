"""The table of formats in which `icgd export` writes weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from icgd.bounds.letters import ProblemError
from icgd.bounds.open_table import OpenTable
from icgd.construct.exports.onnx_step import write_onnx_step
from icgd.construct.exports.plain_torch import TORCH_FILES, write_plain_torch
from icgd.construct.exports.read_weights import WEIGHT_KINDS, ReadWeights
from icgd.construct.exports.torch_program import write_torch_program
from icgd.construct.exports.transformer_lens import LENS_FILES, LENS_KINDS, write_transformer_lens


@dataclass(frozen=True)
class ExportFormat:
    """A format that some tool reads.

    says: what is written, in one sentence.  kinds: the weights that it takes, of `WEIGHT_KINDS`.
    ending: of the file's name; empty where a folder is written.
    write: writes there, atomically, and returns the files; raises ProblemError for what it cannot write.
    files: the names of all that is written into a folder; empty where a file is written.
    """

    name: str
    says: str
    kinds: tuple[str, ...]
    ending: str
    write: Callable[[ReadWeights, Path], tuple[Path, ...]]
    files: tuple[str, ...] = ()

    def places(self, out: Path) -> tuple[Path, ...]:
        """Every file that is written for this path."""
        return tuple(out / name for name in self.files) or (out,)


FORMATS = OpenTable(
    "a format",
    [
        ExportFormat(
            "torch",
            "a folder with the weights and forward.py, which runs them with torch alone",
            tuple(WEIGHT_KINDS),
            "",
            write_plain_torch,
            TORCH_FILES,
        ),
        ExportFormat(
            "transformer-lens",
            "a folder with config and state dict for TransformerLens, and lens_model.py, which loads them",
            LENS_KINDS,
            "",
            write_transformer_lens,
            LENS_FILES,
        ),
        ExportFormat(
            "torch-program",
            "what torch.export makes of the weights, for torch.export.load",
            tuple(WEIGHT_KINDS),
            ".pt2",
            write_torch_program,
        ),
        ExportFormat(
            "onnx",
            "a graph of ONNX in float64, from tokens to tokens",
            ("block",),
            ".onnx",
            write_onnx_step,
        ),
    ],
)
"""The formats by name; `FORMATS.register` adds one."""


def export_weights(weights: ReadWeights, chosen: str, out: Path) -> tuple[Path, ...]:
    """Write weights in the format of that name; raises ProblemError where they do not go together."""
    found = find_format(chosen, out)
    if weights.kind not in found.kinds:
        takes = " and ".join(found.kinds)
        why = f"it takes {takes} weights, and {weights.path} holds {weights.kind} weights"
        raise ProblemError("to", chosen, why)
    return found.write(weights, out)


def find_format(chosen: str, out: Path) -> ExportFormat:
    """The format of that name for a path; raises ProblemError for an unknown one or another ending."""
    try:
        found = FORMATS.find(chosen)
    except ValueError:
        raise ProblemError("to", chosen, f"the formats are {FORMATS.names}") from None
    if found.ending and (not out.name.endswith(found.ending) or out.name == found.ending):
        raise ProblemError(
            "out", out, f"the name of such a file ends in {found.ending}, such as step{found.ending}"
        )
    if not found.ending and out.is_file():
        raise ProblemError("out", out, "it is a file, and this format is a folder")
    return found
