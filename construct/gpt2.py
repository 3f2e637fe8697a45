"""GPT-2 that predicts a label in context, rebuilt from a state dict: its forward pass, and its parts.

Sources: the model of Radford et al. (2019) as Hugging Face names its tensors; the tokens of
Garg et al. (arXiv 2208.01066), whose code is github.com/dtsip/in-context-learning.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import layer_norm

from icgd.bounds.estimate import bytes_text
from icgd.bounds.letters import ProblemError
from icgd.construct.gpt2_attention import attention_weights, interleaved_tokens, joint_tokens
from icgd.construct.gpt2_state import GPT2_ACTIVATIONS, GPT2_BLOCK, GPT2Settings, check_state
from icgd.construct.machine.memory import available_bytes
from icgd.construct.machine.tensor_files import TensorHeader, check_finite, read_header, read_tensors
from icgd.construct.regression_tokens import check_prompt_shapes

_AT_ONCE = 2.0**28
"""Bytes of activations that one batch may take; more prompts are run one batch after another."""


class GPT2:
    """A GPT-2 with a linear layer before it and one after it, called on regression prompts.

    The tokens are x_1, y_1, ..., x_n, y_n, x_query, with a label as the vector (y, 0, ..., 0), or those of
    another of `TOKEN_FORMATS`; the prediction is read at the last one.  Differentiable in y and the query.
    float32 or float64.
    Raises ProblemError, naming the tensor or the setting, where state dict and config do not fit together.
    """

    def __init__(
        self,
        state: Mapping[str, Tensor],
        config: GPT2Settings | Mapping[str, Any] | Path | str,
        dtype: torch.dtype | None = None,
    ) -> None:
        settings = config if isinstance(config, GPT2Settings) else GPT2Settings.read(config)
        shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
        self.settings, (self.sizes, homes) = settings, check_state(shapes, settings)
        refuse_bytes(8.0 * self.sizes.weights, "the weights")
        kept = {name: state[home].detach() for name, home in homes.items()}
        for name, tensor in kept.items():
            if not tensor.is_floating_point():
                raise ProblemError(homes[name], tensor.dtype, "floating-point numbers are needed")
            check_finite(homes[name], tensor)
        double = all(tensor.dtype == torch.float64 for tensor in kept.values())
        self.dtype = dtype or (torch.float64 if double else torch.float32)
        self.tensors = {name: tensor.to("cpu", self.dtype) for name, tensor in kept.items()}
        if self.d < 1:
            raise ProblemError(
                "token_format", settings.tokens, f"_read_in takes tokens of size {self.sizes.d}"
            )

    @classmethod
    def read(
        cls,
        path: Path,
        config: GPT2Settings | Mapping[str, Any] | Path | str,
        header: TensorHeader | None = None,
        *,
        trust_pickle: bool = False,
    ) -> GPT2:
        """The model of a file of tensors; names, shapes and sizes are checked before any is read.

        header: of the file, if it was read before.  It computes in float64 if the file does, else in float32.
        """
        settings = config if isinstance(config, GPT2Settings) else GPT2Settings.read(config)
        header = header or read_header(path, "weights", trust_pickle=trust_pickle)
        sizes, homes = check_state(header.shapes, settings)
        refuse_bytes(16.0 * sizes.weights, "the weights")
        double = all(header.tensors[home].dtype == torch.float64 for home in homes.values())
        found = read_tensors(path, "weights", header)
        return cls(found, settings, torch.float64 if double else torch.float32)

    @property
    def d(self) -> int:
        """The size of x."""
        return self.sizes.d - 2 * (self.settings.tokens == "joint")

    @property
    def most_examples(self) -> int:
        """The longest prompt for which there are positions."""
        each = 1 if self.settings.tokens == "joint" else 2
        return (self.sizes.positions - 1) // each

    def in_precision(self, dtype: torch.dtype) -> GPT2:
        """The same model in another precision."""
        return GPT2(self.tensors, self.settings, dtype)

    def __repr__(self) -> str:
        s = self.sizes
        return f"<GPT-2: {s.layers} layers, width {s.width}, {self.settings.heads} heads, d = {s.d}>"

    def __call__(
        self, x: Float[Tensor, "B n d"], y: Float[Tensor, "B n"], query: Float[Tensor, "B d"]
    ) -> Float[Tensor, "B"]:
        """The prediction for each query.  Raises ProblemError for wrong shapes or too long prompts."""
        check_prompt_shapes(self.d, x, y, query)
        given = [part.to(self.dtype) for part in (x, y, query)]
        each = self._bytes_for(x.shape[1])
        rows = max(1, min(len(x), int(_AT_ONCE / each)))
        held = (y.requires_grad or query.requires_grad) and torch.is_grad_enabled()
        refuse_bytes(each * (len(x) * self.sizes.layers if held else rows), "the activations")
        chunks = zip(*(part.split(rows) for part in given), strict=True)
        return torch.cat([self._predicted(*chunk) for chunk in chunks]).to(x.dtype)

    def _predicted(self, x: Tensor, y: Tensor, query: Tensor) -> Tensor:
        H = self.embedded(x, y, query)
        for layer in range(self.sizes.layers):
            H = self.block(layer, H)
        last = self._normal("ln_f", H[:, -1])
        return (last @ self.tensors["read_out.weight"].T + self.tensors["read_out.bias"])[:, 0]

    def _bytes_for(self, n: int) -> float:
        """What the activations of one layer take for one prompt, about."""
        T, s = 2.0 * n + 1, self.sizes
        return self.dtype.itemsize * (T * (12 * s.width + 4 * s.inner) + 3 * self.settings.heads * T * T)

    def embedded(
        self, x: Float[Tensor, "B n d"], y: Float[Tensor, "B n"], query: Float[Tensor, "B d"]
    ) -> Float[Tensor, "B T E"]:
        """The residual stream before the first block: every token with its position."""
        if self.settings.tokens == "joint":
            tokens = joint_tokens(x, y, query[:, None])
        else:
            tokens = interleaved_tokens(torch.cat([x, query[:, None]], dim=1), y)
        T, places = tokens.shape[1], self.tensors["wpe.weight"]
        if len(places) < T:
            why = f"there are {len(places)} positions, enough for {self.most_examples} examples and a query"
            raise ProblemError("n", x.shape[1], why)
        return tokens @ self.tensors["read_in.weight"].T + self.tensors["read_in.bias"] + places[:T]

    def block(self, layer: int, H: Float[Tensor, "B T E"]) -> Float[Tensor, "B T E"]:
        """One block: attention, then the MLP, each added to the stream."""
        H = self.attended(layer, H)
        return self.after_mlp(layer, H, self.mlp_input(layer, H))

    def attended(self, layer: int, H: Float[Tensor, "B T E"], alone: bool = False) -> Float[Tensor, "B T E"]:
        """The stream after attention.  alone: each token sees only itself, at the position that it has."""
        B, T, E = H.shape
        heads = self.settings.heads
        joint = self._affine(layer, "attn.c_attn", self._normal(f"h.{layer}.ln_1", H))
        Q, K, V = (part.view(B, T, heads, E // heads).transpose(1, 2) for part in joint.split(E, dim=-1))
        scores = Q @ K.transpose(2, 3)
        if self.settings.scale_attention:
            scores = scores / math.sqrt(E // heads)
        if self.settings.scale_by_layer:
            scores = scores / (layer + 1)
        seen = torch.ones(T, T, dtype=torch.bool).tril()
        seen = torch.eye(T, dtype=torch.bool) if alone else seen
        settings = self.settings
        weights = attention_weights(scores, seen, settings.attention, settings.divisor, self.sizes.positions)
        mixed = (weights @ V).transpose(1, 2).reshape(B, T, E)
        return H + self._affine(layer, "attn.c_proj", mixed)

    def mlp_input(self, layer: int, H: Float[Tensor, "*B E"]) -> Float[Tensor, "*B E"]:
        """What the MLP reads of the stream after attention."""
        return self._normal(f"h.{layer}.ln_2", H)

    def after_mlp(
        self, layer: int, H: Float[Tensor, "*B E"], a: Float[Tensor, "*B E"]
    ) -> Float[Tensor, "*B E"]:
        """The stream with the MLP's output on `a` added."""
        hidden = GPT2_ACTIVATIONS[self.settings.activation](self._affine(layer, "mlp.c_fc", a))
        return H + self._affine(layer, "mlp.c_proj", hidden)

    def part(self, layer: int, name: str) -> Tensor:
        """A tensor of a block, such as "mlp.c_fc.weight", whose rows belong to inputs (`GPT2_BLOCK`)."""
        assert name in GPT2_BLOCK
        return self.tensors[f"h.{layer}.{name}"]

    def _affine(self, layer: int, name: str, a: Tensor) -> Tensor:
        return a @ self.part(layer, f"{name}.weight") + self.part(layer, f"{name}.bias")

    def _normal(self, name: str, H: Tensor) -> Tensor:
        scale, shift = self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"]
        return layer_norm(H, (self.sizes.width,), scale, shift, self.settings.epsilon)


def refuse_bytes(needed: float, what: str) -> None:
    """Raises ProblemError if `needed` bytes exceed the free memory."""
    free = available_bytes()
    if needed > 0.9 * free:
        why = f"{what} would take about {bytes_text(needed)} and {bytes_text(free)} is free"
        raise ProblemError("size", bytes_text(needed), f"{why}; take a smaller model, or fewer prompts")
