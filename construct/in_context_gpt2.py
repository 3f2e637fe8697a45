"""The GPT-2 of arXiv 2208.01066 to be trained: numbers in, a prediction at every input of the prompt.

Its tensors have the names by which `icgd judge` reads a GPT-2.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import gelu, layer_norm

from icgd.bounds.letters import ProblemError, whole
from icgd.construct.gpt2_attention import (
    ATTENTION_DIVISORS,
    ATTENTION_FUNCTIONS,
    TOKEN_FORMATS,
    attention_weights,
    interleaved_tokens,
    joint_tokens,
)

_EPSILON = 1e-5
_DEVIATION = 0.02
"""The standard deviation of the random first weights of a GPT-2."""


@dataclass(frozen=True)
class InContextSizes:
    """What a trainable GPT-2 is made of.  examples: in the longest prompt.  inner: width of its MLPs.

    attention: "softmax" or "relu", of Q K^T / sqrt(width of a head); divisor: by what the latter is divided.
    tokens: of `TOKEN_FORMATS`.  Raises ProblemError.
    """

    d: int
    examples: int
    blocks: int = 12
    heads: int = 8
    width: int = 256
    inner: int = 256
    attention: str = "softmax"
    divisor: str = "keys"
    tokens: str = "interleaved"

    def __post_init__(self) -> None:
        for name in ("d", "examples", "blocks", "heads", "width", "inner"):
            whole(name, getattr(self, name), 1, 10**5, "a positive whole number is needed")
        if self.width % self.heads:
            raise ProblemError("heads", self.heads, f"the width {self.width} is no multiple of it")
        for name, known in (
            ("attention", ATTENTION_FUNCTIONS),
            ("divisor", ATTENTION_DIVISORS),
            ("tokens", TOKEN_FORMATS),
        ):
            if getattr(self, name) not in tuple(known):
                raise ProblemError(name, getattr(self, name), f"the known ones are {', '.join(known)}")

    @property
    def positions(self) -> int:
        """How many positions there are to learn."""
        return self.examples + 1 if self.tokens == "joint" else 2 * self.examples + 1

    @property
    def weights(self) -> int:
        """How many numbers are trained."""
        E, inner = self.width, self.inner
        block = 4 * E * E + 2 * E * inner + 9 * E + inner
        read = self.d + 2 * (self.tokens == "joint")
        return self.blocks * block + E * (self.positions + read + 4) + 1

    def forward_operations(self, examples: int) -> float:
        """Floating-point operations to predict every label of a prompt, a sum and a product each counted."""
        T = 2 * examples + 1
        block = 2 * T * (4 * self.width**2 + 2 * self.width * self.inner) + 4 * T * T * self.width
        return float(self.blocks * block + 2 * T * self.width * (self.d + 1))

    def as_config(self) -> dict[str, Any]:
        """The settings by the names of `GPT2Settings.read`."""
        return {
            "n_head": self.heads,
            "n_embd": self.width,
            "n_layer": self.blocks,
            "n_inner": self.inner,
            "activation_function": "gelu_new",
            "layer_norm_epsilon": _EPSILON,
            "attention_function": self.attention,
            "attention_divisor": self.divisor,
            "token_format": self.tokens,
        }

    def as_metadata(self) -> dict[str, str]:
        """The metadata of a file of its tensors, with which `icgd judge` needs no option."""
        return {"config": json.dumps(self.as_config(), sort_keys=True)}


class _Affine(nn.Module):
    """x W + b, with W as (inputs, outputs): what Hugging Face calls Conv1D."""

    def __init__(self, inputs: int, outputs: int, deviation: float, generator: torch.Generator) -> None:
        super().__init__()
        self.weight = nn.Parameter(deviation * torch.randn(inputs, outputs, generator=generator))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, a: Tensor) -> Tensor:
        return a @ self.weight + self.bias


class _Linear(nn.Module):
    """W x + b with uniform first weights, as torch's own, of a given generator."""

    def __init__(self, inputs: int, outputs: int, generator: torch.Generator) -> None:
        super().__init__()
        bound = 1 / math.sqrt(inputs)
        drawn = [2 * torch.rand(*shape, generator=generator) - 1 for shape in ((outputs, inputs), (outputs,))]
        self.weight, self.bias = (nn.Parameter(bound * one) for one in drawn)

    def forward(self, a: Tensor) -> Tensor:
        return a @ self.weight.T + self.bias


class _Normal(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, H: Tensor) -> Tensor:
        return layer_norm(H, self.weight.shape, self.weight, self.bias, _EPSILON)


class _Attention(nn.Module):
    def __init__(self, sizes: InContextSizes, generator: torch.Generator) -> None:
        super().__init__()
        self.sizes, E = sizes, sizes.width
        self.c_attn = _Affine(E, 3 * E, _DEVIATION, generator)
        self.c_proj = _Affine(E, E, _DEVIATION / math.sqrt(2 * sizes.blocks), generator)

    def forward(self, a: Tensor, seen: Tensor) -> Tensor:
        B, T, E = a.shape
        heads, each = self.sizes.heads, E // self.sizes.heads
        Q, K, V = (part.view(B, T, heads, each).transpose(1, 2) for part in self.c_attn(a).split(E, dim=-1))
        products = Q @ K.mT
        if products.dtype == torch.bfloat16:  # of autocast; too coarse for weights
            products = products.float()
        scores = products / math.sqrt(each)
        weights = attention_weights(
            scores, seen, self.sizes.attention, self.sizes.divisor, self.sizes.positions
        )
        mixed: Tensor = self.c_proj((weights.to(V.dtype) @ V).transpose(1, 2).reshape(B, T, E))
        return mixed


class _MLP(nn.Module):
    def __init__(self, sizes: InContextSizes, generator: torch.Generator) -> None:
        super().__init__()
        self.c_fc = _Affine(sizes.width, sizes.inner, _DEVIATION, generator)
        last = _DEVIATION / math.sqrt(2 * sizes.blocks)
        self.c_proj = _Affine(sizes.inner, sizes.width, last, generator)

    def forward(self, a: Tensor) -> Tensor:
        out: Tensor = self.c_proj(gelu(self.c_fc(a), approximate="tanh"))
        return out


class _Block(nn.Module):
    def __init__(self, sizes: InContextSizes, generator: torch.Generator) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = _Normal(sizes.width), _Normal(sizes.width)
        self.attn, self.mlp = _Attention(sizes, generator), _MLP(sizes, generator)

    def forward(self, H: Tensor, seen: Tensor) -> Tensor:
        H = H + self.attn(self.ln_1(H), seen)
        out: Tensor = H + self.mlp(self.ln_2(H))
        return out


class _Body(nn.Module):
    def __init__(self, sizes: InContextSizes, generator: torch.Generator) -> None:
        super().__init__()
        self.wpe = nn.Module()
        places = _DEVIATION * torch.randn(sizes.positions, sizes.width, generator=generator)
        self.wpe.weight = nn.Parameter(places)
        self.h = nn.ModuleList(_Block(sizes, generator) for _ in range(sizes.blocks))
        self.ln_f = _Normal(sizes.width)

    def forward(self, H: Tensor, places: Tensor, seen: Tensor) -> Tensor:
        table: Tensor = self.wpe.weight  # type: ignore[assignment]
        H = H + table[places]
        for block in self.h:
            H = block(H, seen)
        out: Tensor = self.ln_f(H)
        return out


class InContextGPT2(nn.Module):
    """A GPT-2 that predicts each label of a prompt from the examples before it.

    Source: arXiv 2208.01066, Section 3, and arXiv 2411.16549, Section 5.  seed: of its random weights, which
    do not depend on the attention function.
    """

    def __init__(self, sizes: InContextSizes, seed: int = 0) -> None:
        super().__init__()
        self.sizes, generator = sizes, torch.Generator().manual_seed(seed)
        self._read_in = _Linear(sizes.d + 2 * (sizes.tokens == "joint"), sizes.width, generator)
        self._backbone = _Body(sizes, generator)
        self._read_out = _Linear(sizes.width, 1, generator)

    def forward(self, x: Float[Tensor, "B T d"], y: Float[Tensor, "B T"]) -> Float[Tensor, "B T"]:
        """Predictions of y[:, k] from x[:, : k + 1] and y[:, :k] alone."""
        T = x.shape[1]
        if self.sizes.tokens == "joint":
            tokens = joint_tokens(x[:, :-1], y[:, :-1], x)
            places, seen = self._places(T, x.device), self._seen(T, x.device)
        else:
            tokens = interleaved_tokens(x, y[:, :-1])
            places = torch.arange(2 * T - 1, device=x.device)
            seen = torch.ones(2 * T - 1, 2 * T - 1, dtype=torch.bool, device=x.device).tril()
        H = self._backbone(self._read_in(tokens), places, seen)
        read = H[:, T - 1 :] if self.sizes.tokens == "joint" else H[:, ::2]
        out: Tensor = self._read_out(read)[..., 0]
        return out.to(y.dtype)

    @staticmethod
    def _places(T: int, device: torch.device) -> Int[Tensor, "S"]:
        at = torch.arange(T, device=device)
        return torch.cat([at[:-1], at])

    @staticmethod
    def _seen(T: int, device: torch.device) -> Bool[Tensor, "S S"]:
        """Examples see examples up to themselves; a query sees the examples before it, and itself."""
        n = T - 1
        seen = torch.ones(n + T, n + T, dtype=torch.bool, device=device)
        seen[:n, :n] = seen[:n, :n].tril()
        seen[n:, :n] = seen[n:, :n].tril(-1)
        seen[:n, n:] = False
        seen[n:, n:] = seen[n:, n:].tril().triu()
        return seen
