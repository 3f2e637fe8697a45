"""How large the study of networks in context is: what is trained, on how much, and what is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType
from typing import Any

import torch

from icgd.bounds.letters import ProblemError
from icgd.construct.in_context_gpt2 import InContextSizes
from icgd.verify.study.network_task import NetworkPrompts, NetworkTask
from icgd.verify.study.training import TrainingSettings

_TEST, _JUDGED = 7_000_003, 9_000_011
"""Offsets of the seeds of prompts that no model is trained on."""


@dataclass(frozen=True)
class PromptCondition:
    """Prompts unlike those of training, or like them.  share: of N(-2, I); mean: of the parameters."""

    name: str
    share: float = 1.0
    mean: float = 0.0


CONDITIONS = (
    PromptCondition("share 1.0"),
    PromptCondition("share 0.9", share=0.9),
    PromptCondition("share 0.7", share=0.7),
    PromptCondition("share 0.5", share=0.5),
    PromptCondition("parameters N(-.5,I)", mean=-0.5),
    PromptCondition("parameters N(.5,I)", mean=0.5),
)
"""The tests of arXiv 2411.16549, Figures 3 to 6, by the names in the table of published values."""
MEANS_AT = 4
"""Shifted parameters are tested at this depth alone, as published."""


@dataclass(frozen=True)
class NetworkScale:
    """A size of the study.  words: what it shows, and what it cannot.

    depths: N.  at: the numbers of examples at which predictions are kept.  prompts: tested under each
    condition.  judged: prompts, and at how many examples each, on which answers are kept during
    training.  slow: the same for baselines that train or run something on every prompt.
    marks: steps at which these are kept; every: steps between checkpoints.
    seconds: of one step on an H100, for estimates.
    """

    name: str
    words: str
    sizes: InContextSizes
    training: TrainingSettings
    depths: tuple[int, ...]
    at: tuple[int, ...]
    prompts: int
    judged: tuple[int, tuple[int, ...]]
    slow: tuple[int, tuple[int, ...]]
    marks: tuple[int, ...]
    every: int
    seconds: float
    task: NetworkTask = field(default_factory=lambda: NetworkTask(N=3))

    @property
    def cells(self) -> tuple[NetworkCell, ...]:
        """Every model that is trained: both attentions at every depth."""
        return tuple(NetworkCell(attention, N) for N in self.depths for attention in ("softmax", "relu"))

    @property
    def stops(self) -> tuple[int, ...]:
        """The steps at which checkpoints lie."""
        steps = self.training.steps
        found = {*self.marks, *range(0, steps, self.every), steps}
        return tuple(sorted(step for step in found if step <= steps))

    def task_of(self, N: int, mean: float = 0.0) -> NetworkTask:
        """The task at a depth."""
        return replace(self.task, N=N, mean=mean)

    def conditions(self, N: int) -> tuple[PromptCondition, ...]:
        """The tests at a depth."""
        return tuple(one for one in CONDITIONS if one.mean == 0 or N == MEANS_AT)

    def test_prompts(self, N: int, condition: PromptCondition, seed: int) -> NetworkPrompts:
        """The prompts of a test; the same on every machine."""
        generator = torch.Generator().manual_seed(_TEST * (seed + 1) + 100 * N + CONDITIONS.index(condition))
        task = self.task_of(N, condition.mean)
        return task.prompts(self.prompts, max(self.at), condition.share, generator)

    def judged_prompts(self, N: int, seed: int) -> NetworkPrompts:
        """The prompts on which answers are kept during training; the same on every machine."""
        generator = torch.Generator().manual_seed(_JUDGED * (seed + 1) + N)
        count, at = self.judged
        return self.task_of(N).prompts(count, max(at), self.training.share, generator)

    def as_dict(self) -> dict[str, Any]:
        """What is trained, and tested on how much, as plain values."""
        return {
            "scale": self.name,
            "model": asdict(self.sizes),
            "training": asdict(self.training),
            "task": asdict(self.task),
            "depths": list(self.depths),
            "at": list(self.at),
            "prompts": self.prompts,
        }


@dataclass(frozen=True)
class NetworkCell:
    """One model of the study: its attention function, and the depth of the networks that it is trained on."""

    attention: str
    N: int

    @property
    def name(self) -> str:
        """As it stands in the names of files, such as softmax-3."""
        return f"{self.attention}-{self.N}"


_PUBLISHED = InContextSizes(d=20, examples=75, blocks=12, heads=8, width=256, inner=256)
_AT = (0, 1, 2, 3, 5, 7, 10, 15, 20, 25, 30, 40, 45, 50, 60, 75)

SCALES: Mapping[str, NetworkScale] = {
    scale.name: scale
    for scale in (
        NetworkScale(
            "tiny",
            "two blocks of width 64, trained for some thousand steps on prompts of 20 examples: it shows the "
            "machinery, the baselines, and what the measures tell apart; it cannot show what the published "
            "models, 12 blocks and 500,000 steps, have learned",
            InContextSizes(d=20, examples=20, blocks=2, heads=2, width=64, inner=64),
            TrainingSettings(steps=1_500, examples=20, rate=2e-3, warmup=100, chunk=50),
            (3, 4, 6),
            (0, 1, 2, 5, 10, 15, 20),
            1_000,
            (512, (5, 20)),
            (256, (5, 20)),
            (0, 100, 250, 500, 1_000, 1_500),
            250,
            0.03,
        ),
        NetworkScale(
            "small",
            "six blocks of width 256, trained for minutes on one GPU: the published width, heads, prompts "
            "and tests, with half of the blocks and a small part of the steps at a larger rate",
            replace(_PUBLISHED, blocks=6),
            TrainingSettings(steps=40_000, rate=5e-4, warmup=1_000),
            (3, 4, 6),
            _AT,
            6_400,
            (512, (10, 50)),
            (128, (10, 50)),
            (0, 250, 500, 1_000, 2_000, *range(4_000, 40_001, 4_000)),
            4_000,
            0.0024,
        ),
        NetworkScale(
            "paper",
            "12 blocks, 8 heads, width 256 and 500,000 steps at rate 1e-4, as published where that is stated",
            _PUBLISHED,
            TrainingSettings(steps=500_000),
            (3, 4, 6),
            _AT,
            6_400,
            (512, (10, 50)),
            (128, (10, 50)),
            (0, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, *range(100_000, 500_001, 100_000)),
            5_000,
            0.0045,
        ),
    )
}
"""The sizes of the study, by name."""


CHANGES: Mapping[str, tuple[str, str, Callable[[str], Any]]] = {
    "blocks": ("sizes", "blocks", int),
    "tokens": ("sizes", "tokens", str),
    "divisor": ("sizes", "divisor", str),
    "steps": ("training", "steps", int),
    "rate": ("training", "rate", float),
    "networks": ("task", "width", int),
    "biases": ("task", "biases", {"yes": True, "no": False}.__getitem__),
    "scaled": ("task", "scaled", {"yes": True, "no": False}.__getitem__),
    "activated": ("task", "activated", {"yes": True, "no": False}.__getitem__),
}
"""What can be changed in a scale, by name: its part, the field there, and how its value is read."""


def find_scale(name: str, changes: Mapping[str, str] = MappingProxyType({})) -> NetworkScale:
    """The scale of that name, changed; raises ProblemError for another, or an impossible change.

    >>> find_scale("tiny").cells[0].name, find_scale("tiny", {"blocks": "4"}).sizes.blocks
    ('softmax-3', 4)
    """
    if name not in SCALES:
        raise ProblemError("scale", name, f"the scales are {', '.join(SCALES)}")
    found = SCALES[name]
    for change, value in changes.items():
        if change not in CHANGES:
            raise ProblemError("with", change, f"what can be changed is {', '.join(CHANGES)}")
        part, letter, read = CHANGES[change]
        try:
            changed = replace(getattr(found, part), **{letter: read(value)})
        except (KeyError, ValueError) as wrong:
            if isinstance(wrong, ProblemError):
                raise
            kind = "yes or no" if isinstance(wrong, KeyError) else "a number"
            raise ProblemError(f"with {change}", value, f"{kind} is needed") from None
        found = replace(found, **{part: changed})
    return found
