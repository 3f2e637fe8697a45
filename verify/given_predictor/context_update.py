"""Context as a rank-one update of the next MLP: the identity of arXiv 2507.16003, with its rounding.

Let a = A(C, x) be what the first matrix W of an MLP reads at the query, and a_0 = A(x) the same without
context.  With dA = a - a_0 and dW = (W dA) a_0^T / |a_0|^2, (W + dW) a_0 = W a: the MLP with W + dW answers
without context what the one with W answers with it.  Where the stream h passes around the MLP, too, the
last bias is moved by dh = h(C, x) - h(x).  In accounts of the paper's theorem both paths carry the same A;
a GPT-2 normalises what the MLP reads, so here dA is a difference after the normalisation and dh one before
it, by the same proof.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from icgd.bounds.step_error.rounding import gamma
from icgd.construct.gpt2 import GPT2, refuse_bytes
from icgd.construct.gpt2_state import GPT2_ACTIVATIONS
from icgd.verify.given_predictor.regression_task import RegressionPrompts
from icgd.verify.verdict import Verdict

CONTEXT_CLAIM = "judge/context-update"
CONTEXT_PROMPTS = 16
"""The identity is tried on so many prompts: for each, an updated copy of a matrix is made."""

_STEEPEST = 1.13
"""No activation of `GPT2_ACTIVATIONS` has a larger slope: gelu has 1.1290, silu 1.0999."""

_ROUNDED = 16
"""Roundings, in units of u |z|, of an activation at z whose tanh, erf or exp is right to 4 ulps."""

_EVALUATED = 1.01
"""Covers the rounding of the allowances themselves."""


@dataclass(frozen=True)
class FirstLayer:
    """The first layer of an MLP, z = W a + b, and the activation after it by name."""

    weight: Float[Tensor, "hidden E"]
    bias: Float[Tensor, "hidden"]
    activation: str


def context_update(
    weight: Float[Tensor, "hidden E"], alone: Float[Tensor, "B E"], whole: Float[Tensor, "B E"]
) -> Float[Tensor, "B hidden E"]:
    """dW for what the MLP reads without context and with it; `alone` must not be zero."""
    moved = (whole - alone) @ weight.T
    return moved[:, :, None] * alone[:, None, :] / alone.square().sum(dim=1)[:, None, None]


def first_layer_allowance(
    layer: FirstLayer, alone: Float[Tensor, "B E"], whole: Float[Tensor, "B E"]
) -> Float[Tensor, "B hidden"]:
    """How far W a + b and (W + dW) a_0 + b may differ by rounding, barring underflow.

    Each term W_ij dA_j a_0k^2 / |a_0|^2 is rounded at most 4E + 5 times on its way (dA 1, its sum E, times
    a_0 1, |a_0|^2 2E with its inverse, the division 1, W + dW 1, the last sum E + 1); each W_ij a_0j, W_ij
    a_j and b_i at most E + 2 times.
    """
    size, u = layer.weight.abs(), torch.finfo(layer.weight.dtype).eps / 2
    E = layer.weight.shape[1]
    moved = gamma(4 * E + 5, u) * (whole - alone).abs() @ size.T
    read = gamma(E + 2, u) * ((alone.abs() + whole.abs()) @ size.T + 2 * layer.bias.abs())
    return _EVALUATED * (moved + read)


@dataclass(frozen=True, eq=False)
class UpdatedBlock:
    """One block at the query with context, and without context but with updated weights.

    allowed: how far the outputs may differ by rounding.  size: |dW| over |W|, in Frobenius norms.
    """

    whole: Float[Tensor, "B E"]
    updated: Float[Tensor, "B E"]
    allowed: Float[Tensor, "B E"]
    size: Float[Tensor, "B"]


def update_block(model: GPT2, layer: int, H: Float[Tensor, "B T E"]) -> UpdatedBlock:
    """A block of a GPT-2 at the last token of a stream; without context, that token keeps its position."""
    stream = model.attended(layer, H)[:, -1]
    bare = model.attended(layer, H, alone=True)[:, -1]
    whole, alone = model.mlp_input(layer, stream), model.mlp_input(layer, bare)
    first = FirstLayer(
        model.part(layer, "mlp.c_fc.weight").T,
        model.part(layer, "mlp.c_fc.bias"),
        model.settings.activation,
    )
    last, bias = model.part(layer, "mlp.c_proj.weight"), model.part(layer, "mlp.c_proj.bias")
    bend = GPT2_ACTIVATIONS[first.activation]
    refuse_bytes(3.0 * H.dtype.itemsize * len(H) * first.weight.numel(), "the updated matrices")
    change = context_update(first.weight, alone, whole)
    z = torch.einsum("bhe,be->bh", first.weight + change, alone) + first.bias
    shift = stream - bare
    updated = bare + (bend(z) @ last + (bias + shift))
    direct = whole @ first.weight.T + first.bias
    u = torch.finfo(H.dtype).eps / 2
    hidden = _STEEPEST * first_layer_allowance(first, alone, whole) + _ROUNDED * u * (z.abs() + direct.abs())
    summed = gamma(len(last) + 2, u) * (bend(z).abs() + bend(direct).abs()) @ last.abs()
    around = gamma(4, u) * (stream.abs() + bare.abs() + shift.abs() + 2 * bias.abs())
    return UpdatedBlock(
        model.after_mlp(layer, stream, whole),
        updated,
        _EVALUATED * (hidden @ last.abs() + summed + around),
        torch.linalg.matrix_norm(change) / torch.linalg.matrix_norm(first.weight),
    )


def judge_context_update(model: GPT2, prompts: RegressionPrompts) -> Verdict:
    """Whether the identity holds in the first block of a GPT-2, within rounding, on these prompts."""
    found = []
    for dtype in (torch.float32, torch.float64):
        ready = model.in_precision(dtype)
        H = ready.embedded(*(part.to(dtype) for part in (prompts.x, prompts.y, prompts.query)))
        alone = ready.mlp_input(0, ready.attended(0, H, alone=True)[:, -1])
        if bool((alone == 0).all(dim=1).any()):
            why = "without context the MLP reads 0 at a query, and the update divides by its length"
            return Verdict(CONTEXT_CLAIM, "inapplicable", why, about="given")
        both = update_block(ready, 0, H)
        apart = (both.whole - both.updated).abs()
        found.append((dtype, float(apart.max()), float((apart / both.allowed).max()), both.size))
    told = ", ".join(
        f"{str(dtype).removeprefix('torch.')} at most {apart:.2g} apart, {share:.1%} of what rounding allows"
        for dtype, apart, share, _ in found
    )
    size = found[-1][3]
    evidence = (
        "the first block without context, its first MLP matrix moved by a matrix of rank one "
        f"({size.min():.2g} to {size.max():.2g} of its size) and its last bias by the change of the stream, "
        f"on {len(prompts)} prompts of {prompts.n} examples: {told}"
    )
    kept = all(share <= 1 for _, _, share, _ in found)
    return Verdict(CONTEXT_CLAIM, "held" if kept else "failed", evidence, about="given")
