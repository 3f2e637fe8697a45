"""The file of weights: the literal matrices of a block, as safetensors."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import safetensors.torch
import torch

from icgd.bounds.estimate import bytes_text
from icgd.bounds.letters import Letters
from icgd.construct.block.attention import attention
from icgd.construct.block.dense import dense_bytes
from icgd.construct.block.layer_names import layer_names
from icgd.construct.block.literal import Block
from icgd.construct.machine.files import write_atomically
from icgd.construct.machine.memory import refuse

CERTIFICATE = "certificate"
"""The metadata entry that holds the SHA-256 of the certificate with which weights were saved."""


_EXAMPLES = "{n}: with m other than {n} examples, the step is m ({n} + 1) / ((m + 1) {n}) times as long"
"""The metadata entry `examples`: the number of tokens is divided by in the layer that sums over them."""


def problem_metadata(problem: Letters | None) -> dict[str, str]:
    """The metadata entry `problem`, all letters as JSON; empty if there is no problem."""
    return {} if problem is None else {"problem": json.dumps(problem.as_dict())}


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> None:
    """Write named tensors with their metadata, atomically: every file of weights is written here.

    The same tensors and metadata give the same bytes: safetensors leaves the order of metadata to chance.
    """
    made = dict(_apart(tensors))
    written = safetensors.torch.save(made, dict(metadata))
    end = 8 + int.from_bytes(written[:8], "little")
    header = json.loads(written[8:end])
    header["__metadata__"] = dict(sorted(metadata.items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    write_atomically(path, b"".join([len(text).to_bytes(8, "little"), text, memoryview(written)[end:]]))


def _apart(tensors: Mapping[str, torch.Tensor]) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors in the order of their indices, none in the memory of another, which safetensors refuses."""
    taken: set[int] = set()
    for name, tensor in tensors.items():
        plain = tensor.detach().cpu().contiguous()
        if plain.untyped_storage().data_ptr() in taken:
            plain = plain.clone()
        taken.add(plain.untyped_storage().data_ptr())
        yield name, plain


def save_weights(block: Block, path: Path, certificate: str | None = None) -> None:
    """Write every matrix of one block, in full, as safetensors, atomically.

    Tensors `layer.00.Q`, `.K`, `.V` (M, D, D) and `.W1` (hidden, D), `.W2` (D, hidden), layer by layer;
    layers without heads or without hidden units have no such tensors.  Metadata: `attention` is relu (over
    the number of tokens) or softmax; `diagonal` lists the layers in which each token attends to itself only;
    `stream` gives [start, stop) of every slot; `problem` the letters, for the loss with 1/(2n);
    `examples` the n that is built in, as relu and softmax weights have one;
    `certificate` the SHA-256 of a certificate of these matrices, where one is given.
    Raises ProblemError, with the size, if the matrices would not fit in memory.
    """
    size = dense_bytes(block)
    # The file is assembled in memory before it is written.
    refuse(3.5 * size, f"writing {bytes_text(size)} of literal matrices", block.problem)
    tensors: dict[str, torch.Tensor] = {}
    diagonal = []
    layers = list(block.literal())
    names = layer_names(len(layers))
    for name, layer in zip(names, layers, strict=True):
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
        "layers": str(len(layers)),
        "examples": _EXAMPLES.format(n=block.problem.n),
        "diagonal": json.dumps(diagonal),
        "stream": json.dumps({name: [slot.start, slot.stop] for name, slot in block.stream.slots.items()}),
        **({CERTIFICATE: certificate} if certificate else {}),
    }
    write_tensors(path, tensors, metadata)
