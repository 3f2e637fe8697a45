"""Hypothesis strategies for problems and prompts, for the tests of this project and of its users."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor

from icgd.bounds.activation import ACTIVATIONS, parse_activation
from icgd.bounds.loss import LOSSES, parse_loss
from icgd.bounds.problem import Problem
from icgd.construct.prompt import Prompt, box
from icgd.verify.search.prompts import into_domain, random_prompts


def problems(
    *,
    max_N: int = 3,
    max_K: int = 4,
    max_d: int = 3,
    max_n: int = 6,
    max_L: int = 3,
    max_eta: float = 1.0,
    min_eps: float = 1e-3,
    max_radius: float = 2.0,
    activations: Sequence[str] | None = None,
    losses: Sequence[str] | None = None,
    outputs: Sequence[str] = ("activated", "linear"),
) -> st.SearchStrategy[Problem]:
    """Valid problems over all letters, shrinking to the smallest sizes and to the first activation and loss.

    activations, losses: names or formulas; None takes all that are known by name when this is called.

    >>> from hypothesis import find
    >>> find(problems(), lambda problem: problem.N > 1).dims
    (1, 1, 1)
    """

    def up_to(largest: int) -> st.SearchStrategy[int]:
        return st.integers(1, largest)

    def between(low: float, high: float) -> st.SearchStrategy[float]:
        return st.floats(low, high, allow_subnormal=False)

    functions, slopes = activations or [*ACTIVATIONS], losses or [*LOSSES]
    radius = between(min(0.1, max_radius), max_radius)
    return st.builds(
        Problem,
        N=up_to(max_N),
        K=up_to(max_K),
        d=up_to(max_d),
        d_out=up_to(max_d),
        n=up_to(max_n),
        L=up_to(max_L),
        eta=between(min(1e-3, max_eta), max_eta),
        eps=between(min_eps, max(1.0, min_eps)),
        B_x=radius,
        B_y=radius,
        B_v=radius,
        activation=st.sampled_from([parse_activation(name) for name in functions]),
        loss=st.sampled_from([parse_loss(name) for name in slopes]),
        output=st.sampled_from(list(outputs)),
    )


def _unit_cube(*shape: int) -> st.SearchStrategy[Tensor]:
    # By default Hypothesis fills most of a large array with one number, which is cheap and shrinks well.
    elements = st.floats(-1, 1, allow_subnormal=False)
    return hnp.arrays(np.float64, shape, elements=elements).map(torch.from_numpy)


def _within(problem: Problem, x: Tensor, y: Tensor, query: Tensor, w: Tensor) -> Prompt:
    """A prompt in the theorem's domain from numbers in [-1, 1]."""
    scaled = Prompt(x * problem.B_x, y * problem.B_y, query * problem.B_x, w * box(problem, w))
    return into_domain(problem, scaled)


def _detail(part: Tensor, scale: Tensor | float, detail: str) -> Tensor:
    """The part in full, as zeros, or truncated towards 0 to quarters of `scale`, so it stays in bounds."""
    if detail == "full":
        return part
    return torch.trunc(4 * part / scale) / 4 * scale if detail == "quarters" else torch.zeros_like(part)


def _seeded(problem: Problem, batch: int, seed: int, x: str, y: str, query: str, w: str) -> Prompt:
    prompt = random_prompts(problem, batch, torch.Generator().manual_seed(seed))
    return Prompt(
        _detail(prompt.x, problem.B_x, x),
        _detail(prompt.y, problem.B_y, y),
        _detail(prompt.query, problem.B_x, query),
        _detail(prompt.w, box(problem, prompt.w), w),
    )


def prompts(problem: Problem, batch: int = 1) -> st.SearchStrategy[Prompt]:
    """Batches of prompts inside the radii: entry by entry, or from a seed; both shrink towards zeros.

    Entries find unusual prompts (ties, tiny numbers); seeds find generic ones, from the mixture of
    `icgd.verify.search.prompts.random_prompts`, each part of which shrinks to quarters of its radius and then
    to 0.
    """
    entries = st.builds(
        lambda x, y, query, w: _within(problem, x, y, query, w),
        _unit_cube(batch, problem.n, problem.d),
        _unit_cube(batch, problem.n, problem.d_out),
        _unit_cube(batch, problem.d),
        _unit_cube(batch, problem.D_w),
    )
    detail = st.sampled_from(["zero", "quarters", "full", "full"])
    seeds = st.integers(0, 2**32 - 1)
    seeded = st.builds(
        _seeded, st.just(problem), st.just(batch), seeds, x=detail, y=detail, query=detail, w=detail
    )
    return st.one_of(entries, seeded)
