"""The format `transformer-lens`: config and state dict, slots as named directions, a file that loads them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from icgd.bounds.letters import ProblemError
from icgd.construct.block.attention import ATTENTIONS
from icgd.construct.block.given_block import GivenBlock
from icgd.construct.block.layer_names import two_digits
from icgd.construct.block.literal import Head, LiteralLayer, Sparse
from icgd.construct.block.weights import write_tensors
from icgd.construct.exports import lens_model
from icgd.construct.exports.lens_state import LensState
from icgd.construct.exports.named_slots import (
    NamedSlots,
    block_directions,
    block_slots,
    linear_directions,
    linear_slots,
)
from icgd.construct.exports.read_weights import ReadWeights
from icgd.construct.given_linear import GivenLinear, read_linear
from icgd.construct.machine.files import write_atomically

LENS_KINDS = ("block", "linear")
"""The kinds of weights that this format takes."""

LENS_FILES = ("config.json", "model.safetensors", "lens_model.py")
"""What the folder of this format holds."""

_KERNELS = ("softmax", "relu", "linear")
_OVER = {"n": "examples", "n+1": "tokens", "1": "nothing"}
_TOKENS = 512
"""How many tokens linear attention is given room for: its matrices work for any number."""


@dataclass(frozen=True, eq=False)
class _Described:
    """A model, and what the metadata say of it beyond the file that it is from."""

    state: LensState
    slots: NamedSlots
    directions: list[str]
    pattern: Mapping[str, object]
    logits: str


def write_transformer_lens(weights: ReadWeights, folder: Path) -> tuple[Path, ...]:
    """Write `config.json`, `model.safetensors` and `lens_model.py` into a folder; returns their paths.

    Raises ProblemError for attention that is neither softmax nor relu nor linear, or for too much memory.
    """
    block = weights.block() if weights.kind == "block" else None
    described, problem = (_of_block(block), block.problem) if block else (_of_linear(weights), None)
    added = {name: getattr(described, name) for name in ("slots", "directions", "pattern")}
    metadata = {name: json.dumps(value) for name, value in added.items()} | {"logits": described.logits}
    config, tensors, code = (folder / name for name in LENS_FILES)
    write_tensors(tensors, described.state.tensors(problem), {**weights.metadata, **metadata})
    write_atomically(config, json.dumps(described.state.config(), indent=2) + "\n")
    write_atomically(code, Path(lens_model.__file__).read_text(encoding="utf-8"))
    return config, tensors, code


def _of_block(block: GivenBlock) -> _Described:
    kind, alone = ATTENTIONS.find(block.attention), {two_digits(one) for one in block.declaration.diagonal}
    if kind.kernel not in _KERNELS or (kind.kernel == "softmax" and alone):
        shown = f"{kind.name}, diagonal in {len(alone)} layers" if alone else kind.name
        raise ProblemError("attention", shown, "TransformerLens is given softmax, relu and linear attention")
    D = block.stream.D
    state = LensState(
        list(block.literal()), block.problem.n + 1, torch.eye(D, dtype=torch.float64)[:, block.stream.w]
    )
    pattern = {
        "kernel": kind.kernel,
        "over": kind.over,
        "query_is_seen": True,
        "alone": [index for index in range(len(state.layers)) if f"layer.{index:02d}" in alone],
    }
    logits = "w after the step, V1, V2, ..., row after row, as each token holds it"
    return _Described(state, block_slots(block), block_directions(block), pattern, logits)


def _of_linear(weights: ReadWeights) -> _Described:
    given = read_linear(weights.tensors, weights.metadata)
    readout = torch.zeros(given.d + 1, 1, dtype=torch.float64)
    readout[-1, 0] = given.sign
    pattern = {
        "kernel": "linear",
        "over": _OVER[given.divisor],
        "query_is_seen": not given.masked,
        "alone": [],
    }
    logits = "the prediction at the last token, the query"
    state = LensState(_linear_layers(given), _TOKENS, readout)
    return _Described(state, linear_slots(given.d, given.sign), linear_directions(given.d), pattern, logits)


def _linear_layers(given: GivenLinear) -> list[LiteralLayer]:
    """Scores z_i^T Q z_j are heads with key I, and P is what they do with values."""
    D = given.d + 1
    same, nothing = Sparse((D, D), [(i, i, 1.0) for i in range(D)]), (Sparse((0, D), []), Sparse((D, 0), []))
    return [
        LiteralLayer(
            tuple(Head(_entered(q), same, _entered(p)) for p, q in zip(P, Q, strict=True)),
            *nothing,
            diagonal=False,
        )
        for P, Q in zip(given.P, given.Q, strict=True)
    ]


def _entered(matrix: Float[Tensor, "D D"]) -> Sparse:
    places = matrix.nonzero().tolist()
    return Sparse((len(matrix), len(matrix)), [(i, j, matrix[i, j].item()) for i, j in places])
