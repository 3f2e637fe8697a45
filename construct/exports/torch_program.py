"""The format `torch-program`: what `torch.export` makes of weights, which torch runs without Python code."""

from __future__ import annotations

import io
import json
from pathlib import Path

import torch
from torch.export import Dim

from icgd.construct.exports.forward import PredictionInContext, StepInContext
from icgd.construct.exports.read_weights import ReadWeights
from icgd.construct.machine.files import write_atomically

METADATA_FILE = "metadata.json"
"""The file within a program that holds the metadata of the weights: slots, letters, kinds."""


def write_torch_program(weights: ReadWeights, path: Path) -> tuple[Path, ...]:
    """Write a program (.pt2) from tokens to tokens, for any number of prompts and of tokens.

    A block takes H (B, tokens, D), a token a row; attention that predicts takes Z (B, d + 1, n + 1), a token
    a column, of at least two examples, and goes through its layers once.
    """
    tensors, metadata = dict(weights.tensors), dict(weights.metadata)
    batch = Dim("batch", min=1)
    if weights.kind == "block":
        step = StepInContext(tensors, metadata)
        made = torch.export.export(
            step, (_example(2, 3, step.width),), dynamic_shapes={"H": {0: batch, 1: Dim("tokens", min=2)}}
        )
    else:
        layers = PredictionInContext(tensors, metadata)
        width = next(iter(tensors.values())).shape[-1]
        made = torch.export.export(
            layers, (_example(2, width, 3),), dynamic_shapes={"Z": {0: batch, 2: Dim("tokens", min=3)}}
        )
    written = io.BytesIO()
    torch.export.save(made, written, extra_files={METADATA_FILE: json.dumps(metadata)})
    write_atomically(path, written.getvalue())
    return (path,)


def _example(*shape: int) -> torch.Tensor:
    return torch.full(shape, 0.5, dtype=torch.float64)
