"""Limits for very long prompts and runs: how many examples are searched and how many steps are followed.

The error of a step is a mean over examples, and only the factor (n+1)/(2n) of a construction depends on n.
So searches and property checks use the same plan assembled for few examples; the worst prompt found is then
repeated to n examples and measured on the transformer for n, and this measurement decides.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import torch

from icgd.bounds.problem import Problem
from icgd.bounds.softmax_icgd import SoftmaxPlan
from icgd.bounds.step_error.plan import Plan
from icgd.construct.prompt import Prompt

MOST_EXAMPLES = 32
"""The most examples of a prompt in a search or a property check."""

MOST_NUMBERS = 1 << 21
"""The most numbers in a batch of followed prompts; their tensors take a few dozen bytes per number."""

STEPS = 1000
"""The most steps of a run that are followed."""

TOKENS = 1 << 26
"""The most numbers in the tokens of a followed prompt where each token has all of w, as with softmax."""

_RUN = 1 << 26
"""The most numbers that all steps of a run may compute, over all tokens."""

_PATH = 1 << 24
"""The most numbers in the iterates of a run."""


Planned = TypeVar("Planned", Plan, SoftmaxPlan)


def excerpt(planned: Planned) -> Planned:
    """The same plan for at most MOST_EXAMPLES examples."""
    problem = planned.problem
    return (
        planned if problem.n <= MOST_EXAMPLES else replace(planned, problem=replace(problem, n=MOST_EXAMPLES))
    )


def repeated(prompt: Prompt, n: int) -> Prompt:
    """The prompt with its sequence of examples repeated until there are n."""
    if prompt.n == n:
        return prompt
    order = torch.arange(n, device=prompt.x.device) % prompt.n
    return replace(prompt, x=prompt.x[:, order], y=prompt.y[:, order])


def once(prompt: Prompt) -> Prompt:
    """The inverse of `repeated` for sequences of at most MOST_EXAMPLES; else the same prompt."""
    for n in range(1, min(MOST_EXAMPLES, prompt.n - 1) + 1):
        part = replace(prompt, x=prompt.x[:, :n], y=prompt.y[:, :n])
        whole = repeated(part, prompt.n)
        if torch.equal(whole.x, prompt.x) and torch.equal(whole.y, prompt.y):
            return part
    return prompt


def followed(problem: Problem, wanted: int) -> int:
    """How many prompts of n examples are followed, at most `wanted`."""
    return max(1, min(wanted, MOST_NUMBERS // ((problem.n + 1) * (problem.d + problem.d_out))))


def steps(problem: Problem, batch: int, wanted: int | None = None, *, each: int | None = None) -> int:
    """How many steps of a run on a batch of prompts are followed, at most `wanted` (default: L).

    each: numbers that a step computes per token; None: for a block that stores w once per prompt.
    """
    longest = min(STEPS, problem.L if wanted is None else wanted)
    tokens = batch * (problem.n + 1) * (8 + problem.units if each is None else each)
    return max(1, min(longest, _PATH // (batch * problem.D_w), _RUN // tokens))


def part_of(count: int, whole: int) -> str:
    """A count in words, with the total where that is larger.

    >>> part_of(5, 5), part_of(1000, 10**6)
    ('5', '1,000 of 1,000,000')
    """
    return f"{count:,}" if count >= whole else f"{count:,} of {whole:,}"
