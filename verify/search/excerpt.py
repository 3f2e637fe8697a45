"""Very long prompts and runs, judged within bounds of time and memory: on few examples, for some steps.

The error of a step is a mean over examples, and only the factor (n+1)/(2n) of a construction depends on n.
So searches and properties take the same plan assembled for few examples; the worst prompt that they meet is
then repeated to all n examples and measured on the transformer for n, which decides.
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
"""Examples of a prompt that is searched over, or on which a property is judged."""

MOST_NUMBERS = 1 << 21
"""Numbers of a batch of prompts that are followed: their tensors take a few dozen bytes a number."""

STEPS = 1000
"""Steps of a run that are followed."""

TOKENS = 1 << 26
"""Numbers that the tokens of a followed prompt may hold where each has all of w, as with softmax."""

_RUN = 1 << 26
"""Numbers that all steps of a run may compute, over all tokens."""

_PATH = 1 << 24
"""Numbers that the iterates of a run may hold."""


Planned = TypeVar("Planned", Plan, SoftmaxPlan)


def excerpt(made: Planned) -> Planned:
    """The same plan for at most EXAMPLES examples."""
    problem = made.problem
    return made if problem.n <= MOST_EXAMPLES else replace(made, problem=replace(problem, n=MOST_EXAMPLES))


def repeated(prompt: Prompt, n: int) -> Prompt:
    """The prompt with its examples repeated, one round after the other, until there are n."""
    if prompt.n == n:
        return prompt
    order = torch.arange(n, device=prompt.x.device) % prompt.n
    return replace(prompt, x=prompt.x[:, order], y=prompt.y[:, order])


def once(prompt: Prompt) -> Prompt:
    """The examples of a repeated prompt, at most EXAMPLES of them, or the prompt as it is."""
    for n in range(1, min(MOST_EXAMPLES, prompt.n - 1) + 1):
        few = replace(prompt, x=prompt.x[:, :n], y=prompt.y[:, :n])
        whole = repeated(few, prompt.n)
        if torch.equal(whole.x, prompt.x) and torch.equal(whole.y, prompt.y):
            return few
    return prompt


def followed(problem: Problem, wanted: int) -> int:
    """How many prompts of all n examples are followed, at most so many as are wanted."""
    return max(1, min(wanted, MOST_NUMBERS // ((problem.n + 1) * (problem.d + problem.d_out))))


def steps(problem: Problem, batch: int, wanted: int | None = None, *, each: int | None = None) -> int:
    """How many steps of a run on a batch of prompts are followed, at most L or so many as are wanted.

    each: numbers that a step computes for a token; None: for a block that holds w once a prompt.
    """
    longest = min(STEPS, problem.L if wanted is None else wanted)
    tokens = batch * (problem.n + 1) * (8 + problem.units if each is None else each)
    return max(1, min(longest, _PATH // (batch * problem.D_w), _RUN // tokens))


def part_of(count: int, whole: int) -> str:
    """So many, and of how many where these are more.

    >>> part_of(5, 5), part_of(1000, 10**6)
    ('5', '1,000 of 1,000,000')
    """
    return f"{count:,}" if count >= whole else f"{count:,} of {whole:,}"
