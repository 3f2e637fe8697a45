"""What is measured on a block that others built: its step error, and properties that a step must have."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import torch
from jaxtyping import Float
from torch import Tensor

from icgd.bounds.problem import Problem
from icgd.construct.block.given_block import GivenBlock
from icgd.construct.block.given_layer import GivenLayer
from icgd.construct.machine.memory import refuse_prompts
from icgd.construct.prompt import Prompt, box
from icgd.verify.descent import gradient
from icgd.verify.relu_icgd import resolution

LOOPS = 5
"""The most steps that the measure `loop` takes."""

FACE_ROOM = 2.0**-30
"""The largest share of W by which its projection may be onto a smaller box."""

_NUMBERS_AT_ONCE = 1 << 22
_UNIT = 2.0**-53


@dataclass(frozen=True)
class Measure:
    """A number for every prompt, which must be at most `allowed`.

    what: the number in words.  exact: whether it is 0 up to rounding; otherwise eta*eps is allowed.
    """

    what: str
    amounts: Callable[[GivenBlock, Prompt], Float[Tensor, " B"]]
    exact: bool = True


def error_within(problem: Problem, prompt: Prompt, reached: Float[Tensor, "B D_w"]) -> Float[Tensor, " B"]:
    """The least norm2(err), where err = reached - Proj(w - eta grad L_n(w)), over the boxes Proj may be onto.

    As `icgd.verify.descent.step_error`, but the box may be W, that of our own blocks, which keep room for
    rounding, one between these, or one smaller by a share of FACE_ROOM: what others choose need not be ours.
    """
    target = prompt.w.detach() - problem.eta * gradient(problem, prompt)
    inner, outer = box(problem, target) * (1 - FACE_ROOM), widest(problem, target)
    ends = target.clamp(-inner, inner), target.clamp(-outer, outer)
    low, high = torch.minimum(*ends), torch.maximum(*ends)
    norm: Tensor = torch.linalg.vector_norm(reached - reached.clamp(low, high), dim=-1)
    return norm


def _step_error(block: GivenBlock, prompt: Prompt) -> Float[Tensor, " B"]:
    return error_within(block.problem, prompt, block.step(prompt))


def _loop(block: GivenBlock, prompt: Prompt) -> Float[Tensor, " B"]:
    """The largest step error of several steps, where each starts from all that the last one left."""
    H, found = block.pack(prompt), torch.zeros_like(prompt.w[:, 0])
    for _ in range(min(LOOPS, block.problem.L)):
        before = prompt.with_weights(block.weights(H)[:, -1])
        H = block(H)
        error = error_within(block.problem, before, block.weights(H)[:, -1])
        found = torch.maximum(found, error.nan_to_num(nan=torch.inf))
    return found


def _tokens_agree(block: GivenBlock, prompt: Prompt) -> Float[Tensor, " B"]:
    w = block.weights(block(block.pack(prompt)))
    return (w - w[:, -1:]).abs().amax(dim=(1, 2))


def _scratch_clear(block: GivenBlock, prompt: Prompt) -> Float[Tensor, " B"]:
    places = block.stream.scratch
    left = block(block.pack(prompt))[..., places].abs()
    return left.amax(dim=(1, 2)) if places else torch.zeros_like(prompt.w[:, 0])


def _data_kept(block: GivenBlock, prompt: Prompt) -> Float[Tensor, " B"]:
    at, H = block.stream, block.pack(prompt)
    places = [*at.x, *at.y, at.one, at.t]
    return (block(H) - H)[..., places].abs().amax(dim=(1, 2))


def _query_masked(block: GivenBlock, prompt: Prompt) -> Float[Tensor, " B"]:
    """The change of w in the query's and in the first token when the query is another one."""
    before = block.weights(block(block.pack(prompt)))
    found = torch.zeros_like(prompt.w[:, 0])
    d = prompt.query.shape[-1]
    for query in (-prompt.query, torch.full_like(prompt.query, block.problem.B_x / math.sqrt(d) * 0.9)):
        after = block.weights(block(block.pack(replace(prompt, query=query))))
        found = torch.maximum(found, (after - before)[:, [0, -1]].abs().amax(dim=(1, 2)))
    return found


def _order_free(block: GivenBlock, prompt: Prompt) -> Float[Tensor, " B"]:
    before, found = block.step(prompt), torch.zeros_like(prompt.w[:, 0])
    for x, y in ((prompt.x.flip(1), prompt.y.flip(1)), (prompt.x.roll(1, 1), prompt.y.roll(1, 1))):
        found = torch.maximum(found, (block.step(replace(prompt, x=x, y=y)) - before).abs().amax(dim=1))
    return found


def _stays_in_W(block: GivenBlock, prompt: Prompt) -> Float[Tensor, " B"]:
    w = block.weights(block(block.pack(prompt)))
    return (w.abs() - widest(block.problem, w)).amax(dim=(1, 2)).clamp(min=0.0)


def widest(problem: Problem, like: Tensor) -> Float[Tensor, " D_w"]:
    """Half the sides of W itself, without the room that our blocks keep for rounding."""
    layers = range(1, problem.N + 1)
    sizes = [problem.dims[j] * problem.dims[j - 1] for j in layers]
    return torch.cat(
        [like.new_full((size,), problem.half_width(j)) for j, size in zip(layers, sizes, strict=True)]
    )


MEASURES: Mapping[str, Measure] = MappingProxyType(
    {
        "step-error": Measure("norm2(err) of one step", _step_error, exact=False),
        "loop": Measure("norm2(err) of each of several steps, on what the last one left", _loop, exact=False),
        "tokens-agree": Measure("difference of w between tokens", _tokens_agree),
        "scratch-clear": Measure("what is left in coordinates that no slot names", _scratch_clear),
        "data-kept": Measure("change of x, y, one and t", _data_kept),
        "query-masked": Measure("change of w when the query changes", _query_masked),
        "order-free": Measure("change of w when the examples change places", _order_free),
        "stays-in-W": Measure("distance of w outside W", _stays_in_W),
    }
)
"""Every measure by the name of its claim, in the order of the table."""


def measured(block: GivenBlock, name: str, prompt: Prompt) -> Float[Tensor, " B"]:
    """A measure of every prompt, in batches; inf where it is not a number."""
    rows = rows_at_once(block)
    parts = [prompt[first : first + rows] for first in range(0, prompt.batch, rows)]
    with torch.no_grad():
        found = torch.cat([MEASURES[name].amounts(block, part) for part in parts])
    return torch.nan_to_num(found, nan=torch.inf, posinf=torch.inf)


def rows_at_once(block: GivenBlock) -> int:
    """How many prompts are run at once; raises ProblemError if not even one fits in memory."""
    T = block.problem.n + 1
    each = max(
        T * (3 * heads * rows + hidden + 4 * block.stream.D) + 2 * heads * T * (1 if diagonal else T)
        for heads, rows, hidden, diagonal in map(_sizes, _layers(block))
    )
    refuse_prompts(32.0 * each)
    return max(1, _NUMBERS_AT_ONCE // each)


def _layers(block: GivenBlock) -> list[GivenLayer]:
    return [layer for layer in block.layers if isinstance(layer, GivenLayer)]


def _sizes(layer: GivenLayer) -> tuple[int, int, int, bool]:
    """Heads, rows of each that are used, hidden units, and whether a token attends to itself alone."""
    heads, rows = (layer.q.shape[0], max(layer.q.shape[1], layer.v.shape[1])) if layer.has_heads else (0, 0)
    return heads, rows, layer.W1.shape[0] if layer.has_hidden else 0, layer.diagonal


def numbers_for(block: GivenBlock) -> float:
    """Multiplications that one prompt takes, for estimates of time."""
    T, D = block.problem.n + 1, block.stream.D
    return sum(
        T * D * (3.0 * heads * rows + 2.0 * hidden) + 2.0 * heads * rows * T * (1 if diagonal else T)
        for heads, rows, hidden, diagonal in map(_sizes, _layers(block))
    )


def allowances(block: GivenBlock, prompt: Prompt) -> dict[str, float]:
    """What each measure may be: eta*eps, or what rounding explains on these prompts, to first order."""
    problem = block.problem
    approximate, exact = problem.eta * problem.eps + resolution(problem), rounding(block, prompt)
    return {name: exact if measure.exact else approximate for name, measure in MEASURES.items()}


def rounding(block: GivenBlock, prompt: Prompt) -> float:
    """How far sums in another order may take one number of the stream, to first order, on these prompts.

    In each layer gamma_k times the sum of the absolute values of the terms, k roundings for each term.
    """
    total = 0.0
    with torch.no_grad():
        H = block.pack(prompt)
        for layer in _layers(block):
            sizes, terms = _absolute(layer, H)
            total += terms * _UNIT * float(sizes.max().nan_to_num(0.0))
            H = layer(H)
    return total


def _absolute(layer: GivenLayer, H: Float[Tensor, "B T D"]) -> tuple[Float[Tensor, "B T D"], int]:
    """The sums of the absolute values of all terms of a layer, and how often a term is rounded."""
    (_, T, D), terms, size = H.shape, 8, H.abs()
    if layer.has_heads:
        bare = size
        query, key, value = (
            torch.einsum("btd,mrd->bmtr", bare, part.to(H).abs()) for part in (layer.q, layer.k, layer.v)
        )
        scores = (query * key).sum(-1, keepdim=True) if layer.diagonal else query @ key.mT
        if layer.kind.scoring.normalised:  # weights are at most 1, and as exact as the scores
            added = (1 + scores) * value if layer.diagonal else (1 + scores) @ value
        else:
            weights = layer.kind.weights(scores).abs()
            added = weights * value if layer.diagonal else weights @ value / layer.kind.divisor(T)
        size = size.index_add(2, layer.heads_add, added.transpose(1, 2).flatten(2))
        terms += 3 * D + 2 * T + layer.q.shape[0]
    if layer.has_hidden:
        hidden = size[..., layer.reads] @ layer.W1.to(H).abs().T
        size = size.index_add(2, layer.hidden_adds, hidden @ layer.W2.to(H).abs().T)
        terms += D + layer.W1.shape[0]
    return size, terms
