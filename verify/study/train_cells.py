"""Trains the models of the study of networks, cell by cell, and keeps their answers to the test prompts.

    python -m icgd.verify.study.train_cells --scale small --out out/study --device cuda --minutes 8

It stops at a checkpoint after so many minutes, and goes on there.  It runs on machines that have nothing but
torch, numpy, jaxtyping, filelock and safetensors, so no module that it imports needs more.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load, save

from icgd.bounds.letters import ProblemError
from icgd.bounds.progress import Progress, silent
from icgd.construct.machine.files import write_atomically
from icgd.construct.machine.locks import locked
from icgd.verify.study.network_scales import NetworkCell, NetworkScale, find_scale
from icgd.verify.study.network_task import NetworkPrompts
from icgd.verify.study.training import InContextTraining

Say = Callable[[str], None]


@dataclass(frozen=True)
class CellFiles:
    """The files of a cell below the folder of a run."""

    folder: Path
    cell: NetworkCell

    @property
    def checkpoint(self) -> Path:
        return self.folder / f"{self.cell.name}.checkpoint.pt"

    @property
    def weights(self) -> Path:
        return self.folder / f"{self.cell.name}.safetensors"

    @property
    def answers(self) -> Path:
        return self.folder / f"{self.cell.name}.answers.npz"


def open_training(
    scale: NetworkScale, cell: NetworkCell, folder: Path, seed: int = 0, device: str = "cpu"
) -> InContextTraining:
    """The training of a cell, as far as it got; raises ProblemError where the folder holds another run."""
    sizes = replace(scale.sizes, attention=cell.attention)
    found = InContextTraining(sizes, scale.task_of(cell.N), scale.training, seed, device)
    checkpoint = CellFiles(folder, cell).checkpoint
    if checkpoint.exists():
        found.load(checkpoint)
    return found


def train_cells(
    scale: NetworkScale,
    folder: Path,
    seed: int = 0,
    device: str = "cpu",
    *,
    seconds: float | None = None,
    even: bool = False,
    half: bool = False,
    progress: Progress = silent,
    say: Say = lambda line: None,
    clock: Callable[[], float] = time.monotonic,
) -> bool:
    """Train every cell to the last step, all to each stop in turn; whether all got there.

    seconds: after which it stops at a checkpoint, but not before one chunk is trained.  even: leave out stops
    that all cells would not reach in that time, and keep answers of what they have reached.  half: weights in
    bfloat16.
    A model whose loss is no number is given up, without answers.  Raises ProblemError, also where none is
    left, and where another process trains in the folder.
    """
    began = clock()
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        runs = {cell: open_training(scale, cell, folder, seed, device) for cell in scale.cells}
        opened, first = list(runs.values()), [run.step for run in runs.values()]

        def out_of_time() -> bool:  # less time than a start takes must bring a run to its end, too
            trained = [run.step for run in opened] != first
            return trained and seconds is not None and clock() - began > seconds

        judged = {N: scale.judged_prompts(N, seed) for N in scale.depths}
        reached, taken = min(run.step for run in runs.values()), 0.0
        left = sum(scale.training.steps - run.step for run in runs.values())
        with progress("train", left) as advance:
            for stop in (one for one in scale.stops if one >= reached):
                round_began, before = clock(), {cell: run.step for cell, run in runs.items()}
                ahead = stop * len(runs) - sum(before.values())
                if even and seconds is not None and clock() - began + 1.15 * taken * ahead > seconds:
                    break
                for cell, run in list(runs.items()):
                    try:
                        there = _advance(run, stop, scale, judged[cell.N], out_of_time, progress)
                    except ProblemError as error:  # the others go on: hours may be in them
                        say(f"{cell.name} is given up: {error}")
                        del runs[cell]
                        if not runs:
                            raise
                        continue
                    run.save(CellFiles(folder, cell).checkpoint)
                    if not there:
                        say(f"stopped at step {run.step:,} of {cell.name}; run it again to go on")
                        return False
                done = sum(run.step - before[cell] for cell, run in runs.items())
                advance(float(done))
                # The first round compiles, so that its time tells little; later ones decide.
                taken = (clock() - round_began) / done if done else 0.0
                last = ", ".join(
                    f"{cell.name} {run.losses[-1]:.4g}" for cell, run in runs.items() if run.losses
                )
                say(f"step {stop:,} after {clock() - began:.0f} s: losses {last}")
        for cell, run in runs.items():
            _keep_answers(scale, cell, run, folder, seed, half)
    return len(runs) == len(scale.cells) and all(run.step == scale.training.steps for run in runs.values())


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Holds the folder; raises ProblemError where another run trains in it."""
    with ExitStack() as held:
        try:
            held.enter_context(locked(folder / "training", wait=False))
        except TimeoutError:  # filelock's Timeout is one
            raise ProblemError(
                "out", folder, "another run trains in this folder; wait for it, or name another"
            ) from None
        yield


def _advance(
    run: InContextTraining,
    stop: int,
    scale: NetworkScale,
    judged: NetworkPrompts,
    out_of_time: Callable[[], bool],
    progress: Progress,
) -> bool:
    there = run.advance(stop, out_of_time, progress)
    name = f"judged-{run.step}"
    if there and run.step in (*scale.marks, scale.training.steps) and name not in run.records:
        run.records[name] = run.answers(judged.x, judged.y, scale.judged[1])
    return there


def _keep_answers(
    scale: NetworkScale, cell: NetworkCell, run: InContextTraining, folder: Path, seed: int, half: bool
) -> None:
    """Write the weights, and the answers to every test; skipped where they are those of this step."""
    files = CellFiles(folder, cell)
    if files.weights.exists() and files.answers.exists() and answered_step(files.answers) == run.step:
        return
    state = {name: one.detach().cpu().contiguous() for name, one in run.model.state_dict().items()}
    state = {name: one.to(torch.bfloat16) for name, one in state.items()} if half else state
    metadata = run.sizes.as_metadata() | {"step": str(run.step), "cell": cell.name, "seed": str(seed)}
    weights = save(state, metadata)
    write_atomically(files.weights, weights)
    held: dict[str, np.ndarray] = {
        "step": np.array(run.step),
        "weights": np.array(digest_of_weights(weights)),
        "posed": np.array(json.dumps(run.posed, sort_keys=True)),
        "losses": np.array(run.losses, dtype=np.float32),
    }
    for condition in scale.conditions(cell.N):
        prompts = scale.test_prompts(cell.N, condition, seed)
        held[f"test {condition.name}"] = run.answers(prompts.x, prompts.y, scale.at).numpy()
        held[f"labels {condition.name}"] = prompts.y[:64, list(scale.at)].numpy()
    held |= {name: one.numpy() for name, one in run.records.items()}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **held)  # type: ignore[arg-type]
    write_atomically(files.answers, buffer.getvalue())


def digest_of_weights(weights: bytes) -> str:
    """A digest of the tensors in a safetensors file, whatever the order of its metadata; "" if it is none."""
    found = hashlib.sha256()
    try:
        tensors = load(weights)
    except Exception:  # safetensors documents no list of what a malformed file raises
        return ""
    for name, one in sorted(tensors.items()):
        found.update(f"{name} {one.dtype} {tuple(one.shape)}\n".encode())
        found.update(one.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def trained_steps(scale: NetworkScale, folder: Path) -> dict[NetworkCell, int]:
    """How far every cell got, by the checkpoints in the folder; 0 where there is none that can be read."""
    found = {}
    for cell in scale.cells:
        try:
            path = CellFiles(folder, cell).checkpoint
            held = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
            found[cell] = min(int(held["step"]), scale.training.steps)
        except Exception:  # torch documents no list of what a malformed file raises; training refuses it
            found[cell] = 0
    return found


def answered_step(path: Path) -> int:
    """The step of the model whose answers a file holds."""
    with np.load(path, allow_pickle=False) as held:
        return int(held["step"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Train without the rest of icgd; returns the exit code."""
    parser = argparse.ArgumentParser(description="Train the models of the study of networks.")
    parser.add_argument("--scale", default="tiny")
    parser.add_argument("--out", type=Path, default=Path("out/study"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--minutes", type=float, help="stop at a checkpoint after so many")
    parser.add_argument("--even", action="store_true", help="train all cells to the same step in that time")
    parser.add_argument("--half", action="store_true", help="write weights in bfloat16")
    parser.add_argument("--steps", type=int, help="in place of the scale's")
    asked = parser.parse_args(arguments)
    try:
        scale = find_scale(asked.scale)
        if asked.steps is not None:
            scale = replace(scale, training=replace(scale.training, steps=asked.steps))
        seconds = None if asked.minutes is None else 60 * asked.minutes
        say = lambda line: print(line, flush=True)  # noqa: E731
        finished = train_cells(
            scale,
            asked.out,
            asked.seed,
            asked.device,
            seconds=seconds,
            even=asked.even,
            half=asked.half,
            say=say,
        )
    except (ProblemError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    print("finished" if finished else "not finished", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
