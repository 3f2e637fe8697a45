"""A network of the task's depth, trained on the prompt: what arXiv 2411.16549 compares its transformers with.

The paper states width 200, squared loss and 100 epochs (Appendix F.1); optimiser and step size are open.
We take those of Garg et al., arXiv 2208.01066, for the same purpose: Adam with 5e-3 on all examples at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

PROMPT_WIDTH, EPOCHS, RATE = 200, 100, 5e-3
PEEKING = ("by test", "each by test")
"""The choices of an epoch that look at the answer."""
HELD_OUT = 5
"""One in so many examples, the last ones, is held out where the epoch is chosen by validation."""
_AT_ONCE = 32


def epochs_of_answers(
    x: Float[Tensor, "B n d"],
    y: Float[Tensor, "B n"],
    asked: Float[Tensor, "B q d"],
    N: int,
    generator: torch.Generator,
    width: int = PROMPT_WIDTH,
    epochs: int = EPOCHS,
    rate: float = RATE,
) -> Float[Tensor, "B q {epochs}"]:
    """What a network trained on each prompt answers at the asked inputs, after each epoch."""
    answers = []
    for start in range(0, x.shape[0], _AT_ONCE):
        here = slice(start, start + _AT_ONCE)
        layers = _new_networks(len(x[here]), x, N, width, generator)
        optimiser = torch.optim.Adam([part for layer in layers for part in layer], lr=rate, fused=True)
        seen = []
        for _ in range(epochs):
            optimiser.zero_grad()
            # A sum over prompts: every network has its own loss, and Adam treats every number by itself.
            (_answer(layers, x[here]) - y[here]).square().mean(1).sum().backward()
            optimiser.step()
            with torch.no_grad():
                seen.append(_answer(layers, asked[here]))
        answers.append(torch.stack(seen, dim=-1))
    return torch.cat(answers)


def _new_networks(
    count: int, like: Tensor, N: int, width: int, generator: torch.Generator
) -> list[tuple[Tensor, Tensor]]:
    """Weights and biases, uniform up to one over the root of the number of inputs, as torch starts them."""
    sizes = (like.shape[-1], *[width] * (N - 1), 1)
    layers = []
    for rows, columns in zip(sizes[1:], sizes[:-1], strict=True):
        drawn = torch.rand((count, rows, columns + 1), generator=generator, dtype=like.dtype)
        drawn = ((2 * drawn - 1) / math.sqrt(columns)).to(like.device)
        layers.append((drawn[..., :-1].clone().requires_grad_(), drawn[..., -1].clone().requires_grad_()))
    return layers


def _answer(layers: Sequence[tuple[Tensor, Tensor]], x: Float[Tensor, "B q d"]) -> Float[Tensor, "B q"]:
    value = x
    for index, (weights, biases) in enumerate(layers, start=1):
        value = torch.baddbmm(biases.unsqueeze(1), value, weights.mT)
        if index < len(layers):
            value = value.relu()
    return value[..., 0]


def trained_on_prompt(
    x: Float[Tensor, "B T d"],
    y: Float[Tensor, "B T"],
    at: Sequence[int],
    N: int,
    seed: int,
    choices: Iterable[str],
    width: int = PROMPT_WIDTH,
) -> dict[str, Float[Tensor, "B A"]]:
    """Predictions of y_k by a network trained on the first k examples, for each choice of the epoch.

    "by test": the epoch with the best R^2 on these very predictions; "each by test": each prompt's own best
    epoch; "last"; "validated": the best on examples held out.  The first two peek at the answer.
    """
    found: dict[str, list[Tensor]] = {choice: [] for choice in choices}
    for k in at:
        if k == 0:
            for answers in found.values():
                answers.append(torch.zeros_like(y[:, 0]))
            continue
        generator = torch.Generator().manual_seed(seed)
        chosen: dict[str, Tensor] = {}
        if set(found) - {"validated"} or k == 1:
            epochs = epochs_of_answers(x[:, :k], y[:, :k], x[:, k : k + 1], N, generator, width)[:, 0]
            errors = (epochs - y[:, k, None]).square()
            chosen = {
                "by test": epochs[:, errors.sum(0).argmin()],
                "each by test": epochs.gather(1, errors.argmin(1, keepdim=True))[:, 0],
                "last": epochs[:, -1],
                "validated": epochs[:, -1],
            }
        if "validated" in found and k > 1:
            chosen = chosen | {"validated": _validated(x, y, k, N, generator, width)}
        for choice, answers in found.items():
            answers.append(chosen[choice])
    return {name: torch.stack(answers, dim=1) for name, answers in found.items()}


def _validated(
    x: Float[Tensor, "B T d"], y: Float[Tensor, "B T"], k: int, N: int, generator: torch.Generator, width: int
) -> Float[Tensor, " B"]:
    kept = k - max(1, k // HELD_OUT)
    epochs = epochs_of_answers(x[:, :kept], y[:, :kept], x[:, kept : k + 1], N, generator, width)
    errors = (epochs[:, :-1] - y[:, kept:k, None]).square().mean(1)
    return epochs[:, -1].gather(1, errors.argmin(1, keepdim=True))[:, 0]
