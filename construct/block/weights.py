"""The file of weights: the literal matrices of a block, as safetensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch

from icgd.bounds.estimate import bytes_text
from icgd.bounds.letters import Letters
from icgd.construct.block.attention import attention
from icgd.construct.block.dense import dense_bytes
from icgd.construct.block.literal import Block
from icgd.construct.machine.files import write_atomically
from icgd.construct.machine.memory import refuse

CERTIFICATE = "certificate"
"""The metadata entry that holds the SHA-256 of the certificate with which weights were saved."""


def problem_metadata(problem: Letters | None) -> dict[str, str]:
    """The metadata entry `problem`, all letters as JSON; empty if there is no problem."""
    return {} if problem is None else {"problem": json.dumps(problem.as_dict())}


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> None:
    """Write named tensors with their metadata, atomically: every file of weights is written here.

    The same tensors and metadata give the same bytes: safetensors leaves the order of metadata to chance.
    """
    made = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    written = safetensors.torch.save(made, dict(metadata))
    end = 8 + int.from_bytes(written[:8], "little")
    header = json.loads(written[8:end])
    header["__metadata__"] = dict(sorted(metadata.items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    write_atomically(path, b"".join([len(text).to_bytes(8, "little"), text, memoryview(written)[end:]]))


def save_weights(block: Block, path: Path, certificate: str | None = None) -> None:
    """Write every matrix of one block, in full, as safetensors, atomically.

    Tensors `layer.00.Q`, `.K`, `.V` (M, D, D) and `.W1` (hidden, D), `.W2` (D, hidden), layer by layer;
    layers without heads or without hidden units have no such tensors.  Metadata: `attention` is relu (over
    the number of tokens) or softmax; `diagonal` lists the layers in which each token attends to itself only;
    `stream` gives [start, stop) of every slot; `problem` the letters, for the loss with 1/(2n);
    `certificate` the SHA-256 of a certificate of these matrices, where one is given.
    Raises ProblemError, with the size, if the matrices would not fit in memory.
    """
    size = dense_bytes(block)
    # The file is assembled in memory before it is written.
    refuse(3.5 * size, f"writing {bytes_text(size)} of literal matrices", block.problem)
    tensors: dict[str, torch.Tensor] = {}
    diagonal = []
    index = -1
    for index, layer in enumerate(block.literal()):
        name = f"layer.{index:02d}"
        if layer.heads:
            for part in "QKV":
                tensors[f"{name}.{part}"] = torch.stack([getattr(head, part).dense() for head in layer.heads])
        if layer.hidden:
            tensors[f"{name}.W1"], tensors[f"{name}.W2"] = layer.W1.dense(), layer.W2.dense()
        if layer.diagonal:
            diagonal.append(name)
    metadata = {
        **problem_metadata(block.problem),
        "construction": block.name,
        "attention": attention(block.attention).name,
        "layers": str(index + 1),
        "diagonal": json.dumps(diagonal),
        "stream": json.dumps({name: [slot.start, slot.stop] for name, slot in block.stream.slots.items()}),
        **({CERTIFICATE: certificate} if certificate else {}),
    }
    write_tensors(path, tensors, metadata)
