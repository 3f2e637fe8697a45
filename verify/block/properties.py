"""Checks of a simulated step other than its error: tokens agree, scratch is cleared, the query is masked."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from icgd.bounds.step_error.domain import face_slack
from icgd.construct.block.dense import DenseTransformer, dense_bytes
from icgd.construct.block.transformer import Transformer
from icgd.construct.prompt import Prompt, box, stack_weights
from icgd.verify.verdict import Status, Verdict

PROPERTIES = (
    "readings-agree",
    "tokens-agree",
    "scratch-clear",
    "data-kept",
    "query-masked",
    "order-free",
    "stays-in-W",
)
"""The properties that `step_properties` judges, in its order."""

DENSE_LIMIT = 1 << 29
"""Literal matrices of at most this many bytes are written out for the checks that need them."""

_ROUNDING = 1e-12
"""How far two orders of summation may differ, relative to the largest number involved."""


def step_properties(theorem: str, transformer: Transformer, prompt: Prompt) -> Iterator[Verdict]:
    """One verdict for each property, on the literal matrices where they fit and on the structured reading.

    prompt: a small batch.  The literal reading keeps a copy of w in every token, so agreement of the tokens
    and cleared scratch are facts about the matrices, not about the way they are run.  Its attention compares
    every token with every other, so it is left out where the scores would not fit in memory.
    """
    stream = transformer.stream
    state = stream.open(prompt)
    after = transformer.run(state)
    fast = stream.pack(after)
    size = dense_bytes(transformer) + 8 * prompt.batch * (prompt.n + 1) ** 2
    block: Callable[[Tensor], Tensor] | None = None
    if size <= DENSE_LIMIT:
        block = DenseTransformer(transformer).to(prompt.x.device).block
    readings = {"structured": fast}
    if block is not None:
        readings["literal"] = block(stream.pack(state))
    where = " and ".join(readings) + (
        "" if block else f" reading only: literal matrices and scores would take {size / 2**30:.3g} GiB"
    )
    judged_on = f"{prompt.batch} prompts of {prompt.n:,} examples, {where}"
    problem = transformer.problem
    slack = max(face_slack(problem, j) for j in range(1, problem.N + 1))
    # Before the projection a step may lie far outside W, and it is rounded at that size.
    rounding = _ROUNDING * (1.0 + float(fast.abs().max())) + 16 * slack

    def verdict(name: str, worst: float, allowed: float, what: str) -> Verdict:
        status: Status = "held" if worst <= allowed else "failed"
        evidence = f"{what}: at most {worst:.2g} (allowed {allowed:.2g}) on {judged_on}"
        told = {"largest": worst, "allowed": allowed, "prompts": prompt.batch}
        return Verdict(f"{theorem}/{name}", status, evidence, numbers=told)

    apart = float((readings.get("literal", fast) - fast).abs().max())
    agree = verdict("readings-agree", apart, rounding, "structured minus literal stream")
    yield agree if block else Verdict(agree.claim, "inapplicable", f"not compared: {where}")

    weights = {name: H[..., stream.weights] for name, H in readings.items()}
    apart = max(float((w - w[:, :1]).abs().max()) for w in weights.values())
    # Equal sums, but a matrix product may add them up in another order for another row.
    yield verdict("tokens-agree", apart, rounding, "difference of w between tokens")

    scratch = slice(stream.weights.stop, stream["one"].start)
    left = max(
        (float(H[..., scratch].abs().max()) for H in readings.values() if H[..., scratch].numel()),
        default=0.0,
    )
    yield verdict("scratch-clear", left, 0.0, "value left in scratch slots")

    kept = torch.cat([fast[..., : stream.weights.start], fast[..., stream["one"].start :]], dim=-1)
    before = stream.pack(state)
    given = torch.cat([before[..., : stream.weights.start], before[..., stream["one"].start :]], dim=-1)
    yield verdict("data-kept", float((kept - given).abs().max()), 0.0, "change of x, y, 1 and t")

    elsewhere = Prompt(prompt.x, prompt.y, -0.5 * prompt.query.flip(-1), prompt.w)
    moved = float((_weights(transformer, elsewhere) - _weights(transformer, prompt)).abs().max())
    if block is not None:
        changed = block(stream.pack(stream.open(elsewhere)))[..., stream.weights]
        moved = max(moved, float((changed - weights["literal"]).abs().max()))
    yield verdict("query-masked", moved, rounding, "change of w when the query changes")

    order = torch.arange(prompt.n - 1, -1, -1, device=prompt.x.device)
    permuted = Prompt(prompt.x[:, order], prompt.y[:, order], prompt.query, prompt.w)
    moved = float((_weights(transformer, permuted) - _weights(transformer, prompt)).abs().max())
    yield verdict("order-free", moved, rounding, "change of w when the examples are reversed")

    faces = box(transformer.problem, prompt.w)
    outside = max(float((w[:, 0].abs() - faces).max()) for w in weights.values())
    yield verdict("stays-in-W", max(outside, 0.0), slack, "distance of w outside the box W")


def _weights(transformer: Transformer, prompt: Prompt) -> Float[Tensor, "B D_w"]:
    after = transformer.run(transformer.stream.open(prompt))
    return stack_weights([after.shared[f"V{j}"] for j in range(1, transformer.problem.N + 1)])
