"""Training a GPT-2 to predict in context: resumable, on a CPU the same to the bit however often it stops."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from icgd.bounds.letters import ProblemError
from icgd.bounds.progress import Progress, silent
from icgd.construct.in_context_gpt2 import InContextGPT2, InContextSizes
from icgd.construct.machine.files import regular_file, write_atomically
from icgd.verify.study.network_task import NetworkTask
from icgd.verify.study.training_step import GraphStep, PlainStep

_FORMAT = 1
"""Of the checkpoints."""


@dataclass(frozen=True)
class TrainingSettings:
    """How a model is trained: Adam on the mean squared error at every position, data made on the fly.

    rate: the learning rate, constant after `warmup` steps of linear growth.  examples: in every prompt.
    chunk: steps whose prompts are drawn at once; checkpoints lie between chunks.  share: of inputs from
    N(-2, I).
    """

    steps: int
    batch: int = 64
    examples: int = 50
    rate: float = 1e-4
    warmup: int = 0
    chunk: int = 100
    share: float = 1.0

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "examples", "chunk"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise ProblemError(name, value, "a positive whole number is needed")
        if not 0 < self.rate < 1:
            raise ProblemError("rate", self.rate, "a small positive number is needed")

    def rate_at(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        return self.rate * min(1.0, (step + 1) / self.warmup) if self.warmup else self.rate


class InContextTraining:
    """One training run: model, optimiser, the generator of its prompts, and its losses, chunk by chunk.

    seed: of the first weights, and with the task's N of the prompts, so that models that differ in their
    attention alone begin alike and see the same prompts.  records: whatever is to be kept with it, tensors by
    name.  Raises ProblemError.
    """

    def __init__(
        self,
        sizes: InContextSizes,
        task: NetworkTask,
        settings: TrainingSettings,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        if settings.examples > sizes.examples:
            why = f"the model has positions for {sizes.examples}"
            raise ProblemError("examples", settings.examples, why)
        self.sizes, self.task, self.settings, self.seed = sizes, task, settings, seed
        self.device = torch.device(device)
        self.model = InContextGPT2(sizes, seed).to(self.device)
        on_cuda = self.device.type == "cuda"
        rate: Any = torch.tensor(settings.rate_at(0), device=self.device) if on_cuda else settings.rate_at(0)
        self.optimiser = torch.optim.Adam(
            self.model.parameters(), lr=rate, capturable=on_cuda, fused=on_cuda or None
        )
        self.generator = torch.Generator(self.device).manual_seed(1_000_003 * (seed + 1) + task.N)
        self.step = 0
        self.losses: list[float] = []
        self.records: dict[str, Tensor] = {}
        self._stepping: PlainStep | GraphStep | None = None

    @property
    def posed(self) -> dict[str, Any]:
        """What the run is a run of; two runs with the same are the same run.  `steps` may grow."""
        settings = {name: value for name, value in asdict(self.settings).items() if name != "steps"}
        return {
            "format": _FORMAT,
            "sizes": asdict(self.sizes),
            "task": asdict(self.task),
            "settings": settings,
            "seed": self.seed,
            "device": self.device.type,
        }

    def advance(
        self, until: int, stop: Callable[[], bool] = lambda: False, progress: Progress = silent
    ) -> bool:
        """Train to step `until`, or to the first chunk after which `stop` says so; whether it was reached."""
        until = min(until, self.settings.steps)
        if self.step >= until:
            return True
        self._stepping = self._stepping or self._first_step()
        with progress(f"train {self.sizes.attention}, N = {self.task.N}", until - self.step) as advanced:
            while self.step < until:
                if stop():
                    return False
                many = min(self.settings.chunk, until - self.step)
                self._chunk(many)
                advanced(many)
        return True

    def _first_step(self) -> PlainStep | GraphStep:
        shape = (self.settings.batch, self.settings.examples + 1, self.task.d)
        if self.device.type == "cuda":
            return GraphStep(self.model, self.optimiser, shape)
        return PlainStep(self.model, self.optimiser)

    def _chunk(self, many: int) -> None:
        """`many` steps; their prompts are drawn at once."""
        stepping, settings = self._stepping, self.settings
        assert stepping is not None
        drawn = self.task.prompts(
            many * settings.batch,
            settings.examples,
            settings.share,
            self.generator,
            device=self.device,
            dtype=torch.float32,
        )
        for number in range(many):
            rows = slice(number * settings.batch, (number + 1) * settings.batch)
            stepping.take(drawn.x[rows], drawn.y[rows], settings.rate_at(self.step + number))
        loss = stepping.summed() / many
        if not math.isfinite(loss):
            why = f"the loss is {loss} at step {self.step:,} of {self.sizes.attention}, N = {self.task.N}"
            raise ProblemError("rate", settings.rate, f"{why}; lower the rate, or scale the parameters")
        self.step += many
        self.losses.append(loss)

    def save(self, path: Path) -> None:
        """Write everything that the run needs to go on, as a whole or not at all."""
        held = {
            "posed": repr(self.posed),
            "step": self.step,
            "losses": self.losses,
            "records": self.records,
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "generator": self.generator.get_state(),
        }
        buffer = io.BytesIO()
        torch.save(held, buffer)
        write_atomically(path, buffer.getvalue())

    def load(self, path: Path) -> None:
        """Go on from a checkpoint; raises ProblemError where it is of another run, or is no checkpoint."""
        with regular_file(path, "checkpoint") as file:
            try:
                held: Mapping[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
                posed = held["posed"]
            except Exception as wrong:  # torch documents no list of what a malformed file raises
                why = f"it is no checkpoint of icgd ({type(wrong).__name__}); remove it to begin again"
                raise ProblemError("checkpoint", path, why) from None
        if posed != repr(self.posed):
            why = "it is of a run with other settings, seed or device; choose another --out, or remove it"
            raise ProblemError("checkpoint", path, why)
        assert self._stepping is None, "a captured graph would train what it was captured with"
        self.step, self.losses = int(held["step"]), list(held["losses"])
        self.records = dict(held["records"])
        self.model.load_state_dict(held["model"])
        self.optimiser.load_state_dict(held["optimiser"])
        if self.device.type == "cuda":  # a graph reads the rate where it was captured, on the device
            for group in self.optimiser.param_groups:
                group["lr"] = torch.tensor(float(group["lr"]), device=self.device)
        self.generator.set_state(held["generator"])

    @torch.no_grad()
    def answers(self, x: Tensor, y: Tensor, at: tuple[int, ...], rows: int = 256) -> Tensor:
        """Predictions (B, len(at)) of y[:, k] from the first k examples, for each k of `at`, in float32.

        x (B, n + 1, d), y (B, n + 1); `rows` prompts at a time.
        """
        found = [
            self.model(some.to(self.device), labels.to(self.device))[:, list(at)].float().cpu()
            for some, labels in zip(x.split(rows), y.split(rows), strict=True)
        ]
        return torch.cat(found)
