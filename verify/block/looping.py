"""Checks that a transformer is looped: L steps are one block applied L times, and no weight depends on L."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from icgd.bounds.problem import Problem
from icgd.construct.block.dense import DenseTransformer, dense_bytes
from icgd.construct.block.literal import Sparse
from icgd.construct.block.transformer import Transformer
from icgd.construct.prompt import Prompt
from icgd.verify.search.excerpt import part_of
from icgd.verify.verdict import Verdict

LOOPED = ("one-block", "free-of-L")
"""The claims that `check_looped` judges, in its order."""

APPLIED = 20
"""At most how many applications of the block are compared."""

LITERAL_LIMIT = 1 << 28
"""Full matrices of at most this many bytes are also written out and looped."""


def check_looped(
    theorem: str,
    transformer: Transformer,
    prompt: Prompt,
    *,
    rebuild: Callable[[Problem], Transformer] | None = None,
) -> list[Verdict]:
    """Whether a run of L steps is one block applied L times, with weights that do not depend on L.

    transformer: any construction.  prompt: a small batch.  rebuild: builds such a transformer from a
    problem; the blocks built for L and for another number of steps are compared entry by entry.
    Only the first APPLIED steps of a long run are compared.
    """
    problem = transformer.problem
    L = problem.L
    applied = min(L, APPLIED)
    simulated, w = transformer.simulate(prompt, applied)[-1], prompt.w
    for _ in range(applied):
        w = transformer.step(prompt.with_weights(w))
    same = bool(torch.equal(simulated, w))
    evidence = (
        f"{part_of(applied, L)} steps against the same number of applications of one block: "
        f"{'equal bit for bit' if same else 'DIFFERENT'}"
    )
    if dense_bytes(transformer) <= LITERAL_LIMIT:
        dense = DenseTransformer(transformer).to(prompt.x.device)
        H = transformer.stream.pack(transformer.stream.open(prompt))
        for _ in range(applied):
            H = dense.block(H)
        literal = H[..., transformer.stream.weights]  # in every token
        apart = float((literal - simulated[:, None]).abs().max())
        same = same and apart <= 1e-9 * (1 + float(simulated.abs().max()))
        evidence += f"; the literal block applied {applied} times differs by {apart:.2g}"
    looped = Verdict(f"{theorem}/one-block", "held" if same else "failed", evidence)
    if rebuild is None:
        unknown = "only one transformer was given, and nothing says how to build it for another L"
        return [looped, Verdict(f"{theorem}/free-of-L", "inapplicable", unknown)]
    other = 2 * L + 1 if L <= APPLIED else L // 2  # the L of a problem has an upper limit
    longer = rebuild(replace(problem, L=other))
    equal = _same_block(transformer, longer)
    what = "every entry of the literal block is the same" if equal else "the literal blocks DIFFER"
    evidence = f"built for L = {L} and for L = {other}: {what}"
    return [looped, Verdict(f"{theorem}/free-of-L", "held" if equal else "failed", evidence)]


def _equal(p: Sparse, q: Sparse) -> bool:
    parts = ((getattr(p, name), getattr(q, name)) for name in ("rows", "columns", "values"))
    return p.shape == q.shape and all(np.array_equal(a, b) for a, b in parts)


def _same_block(one: Transformer, other: Transformer) -> bool:
    """Whether all literal matrices are equal, entry by entry."""
    layers = [list(transformer.literal()) for transformer in (one, other)]
    if len(layers[0]) != len(layers[1]):
        return False
    for a, b in zip(*layers, strict=True):
        if len(a.heads) != len(b.heads) or a.diagonal != b.diagonal:
            return False
        pairs = [(a.W1, b.W1), (a.W2, b.W2)]
        for first, second in zip(a.heads, b.heads, strict=True):
            pairs += [(first.Q, second.Q), (first.K, second.K), (first.V, second.V)]
        if not all(_equal(p, q) for p, q in pairs):
            return False
    return True
