"""The transformer: one block of layers, looped once per gradient step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from icgd.bounds.problem import Problem
from icgd.construct.block.heads import Aggregate, AttentionPart
from icgd.construct.block.hidden import Ridge, literal_mlp, run_hidden
from icgd.construct.block.literal import LiteralLayer
from icgd.construct.block.stream import OneLine, State, Stream
from icgd.construct.block.tape import Tape, tape_for
from icgd.construct.prompt import Prompt, check_prompt, iterates, split_weights, stack_weights

_CHUNK = 1 << 16
"""The target size, in numbers, of temporaries of the structured reading: they then stay in the cache."""

_DEVICE_CHUNK = 1 << 24
"""The same on an accelerator, which is idle while it waits for small pieces."""

_WORTH = 1 << 16
"""Prompts with fewer numbers than this in their widest slot are not worth loading a compiler for."""


class Layer(nn.Module):
    """Attention parts, then the ridges of an MLP; either list may be empty.

    diagonal: whether the attention is the paper's EWML, each token attending to itself alone.
    """

    def __init__(
        self, attention: Sequence[AttentionPart], hidden: Sequence[Ridge] = (), *, diagonal: bool = False
    ) -> None:
        super().__init__()
        self.attention, self.hidden = nn.ModuleList(attention), nn.ModuleList(hidden)
        self.diagonal = diagonal

    @property
    def heads(self) -> list[AttentionPart]:
        """The attention parts, with their type."""
        return cast(list[AttentionPart], list(self.attention))

    @property
    def ridges(self) -> list[Ridge]:
        """The parts of the MLP, with their type."""
        return cast(list[Ridge], list(self.hidden))

    def literal(self, stream: Stream) -> LiteralLayer:
        """The matrices of this layer as the theorem writes them."""
        heads = tuple(head for part in self.heads for head in part.literal(stream))
        W1, W2 = literal_mlp(self.ridges, stream)
        return LiteralLayer(heads, W1, W2, self.diagonal)


class Transformer(OneLine, nn.Module):
    """A block of layers that performs one step of gradient descent in context; looping it gives L.

    Every token-local part acts on slots of the stream; the only sum over tokens is in the
    `Aggregate` heads of the last attention layer.  So the structured reading can process
    the tokens of a prompt in pieces: its cost and memory are linear in n, and no D x D matrix is formed.
    """

    attention = "relu"
    compiles = False
    """Whether `step` goes through torch.compile: slow at first, then much faster on an accelerator."""

    def __init__(self, name: str, problem: Problem, stream: Stream, layers: Sequence[Layer]) -> None:
        super().__init__()
        self.name, self.problem, self.stream = name, problem, stream
        self.layers = nn.ModuleList(layers)
        sums = [
            i for i, layer in enumerate(layers) if any(isinstance(part, Aggregate) for part in layer.heads)
        ]
        if len(sums) != 1:
            raise ValueError(f"exactly one layer sums over examples, not {len(sums)}")
        self._sums_at = sums[0]

    def layer(self, index: int) -> Layer:
        """Layer `index` of the block, from 0."""
        found = self.layers[index]
        assert isinstance(found, Layer)
        return found

    def literal(self) -> Iterator[LiteralLayer]:
        """The literal matrices, layer by layer, of the block that every step repeats."""
        for index in range(len(self.layers)):
            yield self.layer(index).literal(self.stream)

    def run(self, state: State) -> State:
        """One block on a whole state, scratch included; the given state is not changed."""
        state = State(dict(state.tokens), dict(state.shared))
        totals = self._tokens(state)
        return self._weights(state, totals, state.tokens["x"].shape[1])

    def forward(self, H: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        """L blocks on a literal stream: the structured reading between `unpack` and `pack`."""
        state = self.stream.unpack(H)
        for _ in range(self.problem.L):
            state = self.run(state)
        return self.stream.pack(state)

    def step(self, prompt: Prompt) -> Float[Tensor, "B D_w"]:
        """The weights after one block, at a cost linear in B*n and memory that does not grow with n.

        Large prompts on a CPU go through machine code (`Tape`) where numba is installed and no gradient is
        wanted; with `compiles`, through torch.compile. All ways are the same step, up to rounding.
        """
        check_prompt(prompt)
        widest = max(slot.size for slot in self.stream.slots.values() if slot.shared is None)
        tape, T = self._tape(prompt, widest), prompt.n + 1
        chunk = tape.CHUNK if tape else _CHUNK if prompt.x.device.type == "cpu" else _DEVICE_CHUNK
        budget = max(64, chunk // widest)
        prompts, tokens = max(1, budget // T), math.ceil(T / math.ceil(T / budget))  # pieces of one size
        compiled = _by_torch_compile if self.compiles else _as_it_is
        local, weights = (partial(compiled(function), self) for function in (_on_tokens, _on_weights))
        run = tape.on(prompt.x.new_empty(tape.width * min(prompts, prompt.batch) * tokens)) if tape else local
        totals: dict[str, list[Tensor]] = {}
        for start in range(0, prompt.batch, prompts):
            some = prompt[start : start + prompts]
            pieces = [run(self.stream.open(some, begin, begin + tokens)) for begin in range(0, T, tokens)]
            for name, first in pieces[0].items():
                totals.setdefault(name, []).append(sum((piece[name] for piece in pieces[1:]), first))
        matrices = split_weights(self.problem, prompt.w)
        shared = {f"V{j}": v for j, v in enumerate(matrices, start=1)}
        return weights(shared, {name: torch.cat(found) for name, found in totals.items()}, T)

    def _tape(self, prompt: Prompt, widest: int) -> Tape | None:
        """Machine code for this step, where there is any and it pays."""
        if prompt.batch * (prompt.n + 1) * widest < _WORTH:
            return None
        layers = (self.layer(index) for index in range(len(self.layers)))
        parts = [
            (layer.heads, [ridge for ridge in layer.ridges if not self._is_weight(ridge)]) for layer in layers
        ]
        return tape_for(self.stream, parts, (prompt.x, prompt.y, prompt.query, prompt.w))

    def simulate(self, prompt: Prompt, steps: int | None = None) -> Float[Tensor, "iterates B D_w"]:
        """The iterates w(0), ..., w(steps), from the prompt's own w; steps defaults to L."""
        return iterates(self.step, prompt, self.problem.L if steps is None else steps)

    def _tokens(self, state: State) -> dict[str, Tensor]:
        """Every token-local part, in place; returns the sums over these tokens, by weight matrix."""
        totals: dict[str, Tensor] = {}
        for index in range(len(self.layers)):
            layer = self.layer(index)
            increments: list[tuple[str, Tensor]] = []
            for part in layer.heads:
                if isinstance(part, Aggregate):
                    totals[part.target] = part.finish(part.partial(state), 1)
                else:
                    increments.append((part.target, part.increment(state)))
            for target, increment in increments:
                old = state.tokens.get(target)
                state.tokens[target] = increment if old is None else old + increment
            run_hidden([ridge for ridge in layer.ridges if not self._is_weight(ridge)], state.tokens)
        return totals

    def _weights(self, state: State, totals: dict[str, Tensor], tokens: int) -> State:
        """The update of w from the sums over all tokens, then the ridges that act on w."""
        for name, total in totals.items():
            state.shared[name] = state.shared[name] + total / tokens
        for index in range(self._sums_at, len(self.layers)):
            run_hidden([ridge for ridge in self.layer(index).ridges if self._is_weight(ridge)], state.shared)
        return state

    def _is_weight(self, ridge: Ridge) -> bool:
        return self.stream[ridge.target].shared is not None


def _on_tokens(transformer: Transformer, state: State) -> dict[str, Tensor]:
    """`Transformer._tokens` without a change to the given state, so that no scratch need be kept."""
    return transformer._tokens(State(dict(state.tokens), dict(state.shared)))


def _on_weights(
    transformer: Transformer, shared: Mapping[str, Tensor], totals: dict[str, Tensor], tokens: int
) -> Float[Tensor, "B D_w"]:
    """The weights after the sums over all tokens have been taken."""
    after = transformer._weights(State({}, dict(shared)), totals, tokens)
    return stack_weights([after.shared[f"V{j}"] for j in range(1, transformer.problem.N + 1)])


def _as_it_is(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


@cache
def _by_torch_compile(function: Callable[..., Any]) -> Callable[..., Any]:
    """One of the two above, compiled for each transformer, and again where a part of one is replaced."""
    found: Callable[..., Any] = torch.compile(function)
    return found
