"""What an accelerator computes, and how fast, beside a CPU: the table of docs/gpu.md, printed by `make gpu`.

`python -m icgd.verify.accelerator --device cuda --date 2026-11-27`: every theorem's transformer in float64
and float32 on both, a step against torch's own gradient, a million examples, prompts per second of a sweep.
A row that fails says so, and the others go on.
"""

from __future__ import annotations

import argparse
import copy
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from icgd.bounds.functional import FunctionalProblem
from icgd.bounds.looped import LoopedProblem
from icgd.bounds.preconditioned import PreconditionedProblem
from icgd.bounds.problem import Problem
from icgd.bounds.step_error.budget import Construction
from icgd.construct import functional, looped, preconditioned, relu_icgd, softmax_icgd
from icgd.construct.block.heads import Aggregate
from icgd.construct.block.transformer import Transformer
from icgd.construct.machine.device import check_device
from icgd.construct.prompt import Prompt, split_weights
from icgd.verify.descent import project
from icgd.verify.search.prompts import random_prompts, seeded
from icgd.verify.search.sweep import sweep

_Row = tuple[str, ...]
_Outputs = Callable[[Any, torch.device, torch.dtype], Tensor]
"""What a transformer computes on the prompts of a case, on a device and in a precision."""


@dataclass(frozen=True)
class _Sizes:
    """How large the rows are.  steps: numbers of examples; swept: prompts of a sweep; many: a long prompt."""

    steps: tuple[int, ...] = (4096, 262_144)
    K: int = 64
    swept: int = 1_000_000
    many: int = 1_000_000
    repeats: int = 20


_SMALL = _Sizes((64,), 4, 2000, 5000, 2)


@dataclass
class AcceleratorRun:
    """One run on one device.  seconds: rows that would begin later than this are left out and say so."""

    device: torch.device
    sizes: _Sizes = _Sizes()
    seconds: float = 100.0
    compiles: bool = True

    def __post_init__(self) -> None:
        self.began = time.perf_counter()

    def row(self, name: _Row, measured: Callable[[], _Row], columns: int) -> _Row:
        """The name and what was measured, or why there is nothing."""
        if time.perf_counter() - self.began > self.seconds:
            return *name, "left out: no time left", *[""] * (columns - len(name) - 1)
        try:
            return *name, *measured()
        except Exception as error:  # one row must not cost the others
            first = str(error).strip().partition("\n")[0][:120].replace("|", "/")
            return *name, f"{type(error).__name__}: {first}", *[""] * (columns - len(name) - 1)

    def wait(self) -> None:
        """Until the device has done all that it was asked for."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def fastest(self, *functions: Callable[[], object]) -> list[float]:
        """The smallest time of each function, called in turn so that all meet the same machine."""
        best = [math.inf] * len(functions)
        for _ in range(self.sizes.repeats + 1):
            for place, function in enumerate(functions):
                self.wait()
                start = time.perf_counter()
                function()
                self.wait()
                best[place] = min(best[place], time.perf_counter() - start)
        return best


# The same numbers


def built_transformers(seed: int = 0) -> Iterator[tuple[str, Callable[[], nn.Module], _Outputs]]:
    """Every theorem's transformer: its name, how it is built, and what it computes."""
    posed = {"N": 3, "K": 4, "d": 2, "n": 50, "eps": 1e-2}

    def one_step(problem: Problem) -> _Outputs:
        prompt = random_prompts(problem, 64, seeded(seed))
        return lambda made, device, dtype: made.step(prompt.to(device, dtype))

    def descent(problem: Problem) -> _Outputs:
        prompt = random_prompts(problem, 8, seeded(seed))
        return lambda made, device, dtype: made.simulate(prompt.to(device, dtype), 20)

    def labels(d: int, predict: Callable[..., Tensor]) -> _Outputs:
        generator = seeded(seed)
        parts = [torch.randn(*shape, generator=generator, dtype=torch.float64) / math.sqrt(shape[-1])
                 for shape in ((64, 50, d), (64, 50), (64, d))]  # fmt: skip

        def outputs(made: Any, device: torch.device, dtype: torch.dtype) -> Tensor:
            return predict(made, *(part.to(device, dtype) for part in parts))

        return outputs

    constructions: dict[Construction, dict[str, Any]]
    constructions = {"lean": {}, "paper": {"eps": 5e-2}, "exact": {"activation": "relu"}}
    for construction, more in constructions.items():
        problem = Problem.parse(posed | more)
        name = f"relu-icgd, {construction}, one step"
        yield name, partial(relu_icgd.build, problem, construction), one_step(problem)
    lean = Problem.parse(posed)
    yield "convergence, lean, 20 steps", lambda: relu_icgd.build(lean), descent(lean)
    small = Problem.parse(posed | {"N": 2, "K": 3, "n": 20, "eps": 5e-2})
    yield "softmax-icgd, one step", lambda: softmax_icgd.build(small), one_step(small)
    linear = PreconditionedProblem(d=5, n=50, L=4)
    yield (
        "preconditioned, 4 layers", lambda: preconditioned.build(linear),
        labels(5, lambda made, x, y, query: made(x, y, query)),
    )  # fmt: skip
    for kernel in ("linear", "relu", "exp", "softmax"):
        kernels = FunctionalProblem(kernel=kernel, d=5, L=8)
        yield (
            f"functional, {kernel}, 8 layers", partial(functional.build, kernels),
            labels(5, lambda made, x, y, query: made.predict(x, y, query)),
        )  # fmt: skip
    loops = LoopedProblem(d=5, T=20)
    yield (
        "looped, 20 loops", lambda: looped.build(loops),
        labels(5, lambda made, x, y, query: made.predict(x, y, query, 20)),
    )  # fmt: skip


def same_numbers(run: AcceleratorRun) -> Iterator[_Row]:
    """Of every transformer, how far the device is from the CPU, and float32 from float64.

    In roundings: the largest difference over the largest number, in units of 2^-53 or 2^-24.
    """
    for name, build, outputs in built_transformers():

        def measured(build: Callable[[], nn.Module] = build, outputs: _Outputs = outputs) -> _Row:
            cpu, made, found = torch.device("cpu"), build(), {}
            for dtype in (torch.float64, torch.float32):
                for device in (cpu, run.device):
                    moved = copy.deepcopy(made).to(device=device, dtype=dtype)
                    with torch.no_grad():
                        found[dtype, device] = outputs(moved, device, dtype).double().cpu()
            exact = found[torch.float64, cpu]
            size = float(exact.abs().max())

            def apart(a: Tensor, b: Tensor, unit: float) -> str:
                return f"{float((a - b).abs().max()) / (size * unit):.3g}"

            double, single = found[torch.float64, run.device], found[torch.float32, run.device]
            return (
                apart(double, exact, 2.0**-53),
                apart(single, found[torch.float32, cpu], 2.0**-24),
                apart(single, exact, 2.0**-24),
                "yes" if bool(double.isfinite().all() and single.isfinite().all()) else "NO",
            )

        yield run.row((name,), measured, 5)


# Speed


def _exact_step(problem: Problem, prompt: Prompt) -> Tensor:
    """Proj(w - eta grad L_n(w)) for tanh and the squared loss, written as anybody would."""
    with torch.enable_grad():
        w, p = prompt.w.detach().clone().requires_grad_(), prompt.x
        for v in split_weights(problem, w):
            p = torch.tanh(p @ v.mT)
        loss = ((p - prompt.y) ** 2).sum() / (2 * prompt.n)
        (slope,) = torch.autograd.grad(loss, w)
    return project(problem, prompt.w - problem.eta * slope)


def _ways(run: AcceleratorRun) -> tuple[tuple[str, bool], ...]:
    """As a user gets it, and by torch.compile."""
    return (("as shipped", False), ("torch.compile", True)) if run.compiles else (("as shipped", False),)


def step_times(run: AcceleratorRun) -> Iterator[_Row]:
    """A step of N=3, d=16 against autograd on the same batch, in one run."""
    K, d = run.sizes.K, min(16, run.sizes.K)
    base = relu_icgd.build(Problem(N=3, K=K, d=d, n=run.sizes.steps[0]))
    for n in run.sizes.steps:
        for dtype in (torch.float64, torch.float32):
            for way, compiles in _ways(run):

                def measured(n: int = n, dtype: torch.dtype = dtype, compiles: bool = compiles) -> _Row:
                    made = _for_examples(base, n).to(device=run.device, dtype=dtype)
                    made.compiles = compiles
                    prompt = random_prompts(made.problem, 1, seeded(0), run.device, dtype)
                    with torch.no_grad():
                        began = time.perf_counter()
                        reached = made.step(prompt)
                        run.wait()
                        first = time.perf_counter() - began
                        error = float((reached - _exact_step(made.problem, prompt)).norm()) / made.problem.eta
                        ours, exact = run.fastest(
                            lambda: made.step(prompt), lambda: _exact_step(made.problem, prompt)
                        )
                    times = f"{1e3 * ours:.3g}", f"{1e3 * exact:.3g}", f"{ours / exact:.2f}", f"{first:.1f}"
                    return *times, f"{error:.3g}"

                name = f"{n:,}", str(dtype).removeprefix("torch."), way
                yield run.row(name, measured, 8)


def _for_examples(made: Transformer, n: int) -> Transformer:
    """A copy for prompts of n examples, which only the update heads know."""
    other = copy.deepcopy(made)
    other.problem = replace(made.problem, n=n)
    for index in range(len(other.layers)):
        for head in other.layer(index).heads:
            if isinstance(head, Aggregate):
                head.scale = -made.problem.eta * (n + 1) / (2 * n)
    return other


def sweep_speeds(run: AcceleratorRun) -> Iterator[_Row]:
    """Prompts per second of a sweep, on the CPU and on the device; prompts are drawn where they are used."""
    devices = dict.fromkeys((torch.device("cpu"), run.device))
    for letters in ({"n": 8}, {"N": 3, "K": 16, "d": 8, "n": 64}):
        for device in devices:
            for way, compiles in _ways(run):
                if compiles and device.type == "cpu":
                    continue

                def measured(
                    letters: dict[str, Any] = letters,
                    device: torch.device = device,
                    compiles: bool = compiles,
                ) -> _Row:
                    made = relu_icgd.build(Problem.parse(letters)).to(device)
                    made.compiles = compiles
                    share = 1 if device.type == "cuda" else 20
                    count = max(1000, run.sizes.swept * 8 // (made.problem.n * share))
                    generator = torch.Generator(device).manual_seed(0)
                    sweep(made, min(count, 20_000), generator, device=device)
                    run.wait()
                    began = time.perf_counter()
                    found = sweep(made, count, generator, device=device)
                    took = time.perf_counter() - began
                    within = found.largest / (made.problem.eta * made.problem.eps)
                    return f"{count:,}", f"{count / took:,.0f}", f"{within:.3f}"

                shape = ", ".join(f"{name}={value}" for name, value in letters.items())
                yield run.row((shape, device.type, way), measured, 6)


def long_prompts(run: AcceleratorRun) -> Iterator[_Row]:
    """One step on a very long prompt: time per example, and memory besides the prompt."""
    for n in (run.sizes.many // 10, run.sizes.many):

        def measured(n: int = n) -> _Row:
            made = relu_icgd.build(Problem(N=3, K=16, d=8, n=n)).to(run.device)
            prompt = random_prompts(made.problem, 1, seeded(0), run.device)
            with torch.no_grad():
                made.step(prompt)
                run.wait()
                held = _held(run.device)
                (took,) = run.fastest(lambda: made.step(prompt))
                most = _most(run.device) - held if held is not None else None
            return (
                f"{1e3 * took:.4g}",
                f"{1e9 * took / n:.3g}",
                f"{most / 2**20:.3g}" if most is not None else "",
            )

        yield run.row((f"{n:,}",), measured, 4)


def _held(device: torch.device) -> int | None:
    """Bytes that tensors hold on an accelerator now; the peak is counted from here."""
    if device.type != "cuda":
        return None
    torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.memory_allocated(device)


def _most(device: torch.device) -> int:
    return torch.cuda.max_memory_allocated(device)


_TABLES: tuple[tuple[str, _Row, Callable[[AcceleratorRun], Iterator[_Row]]], ...] = (
    (
        "The same numbers: largest difference over the largest number, in roundings",
        ("transformer", "float64, device - CPU", "float32, device - CPU", "float32 - float64", "all finite"),
        same_numbers,
    ),
    (
        "A step (N=3, K=64, d=16) against torch's own gradient",
        ("n", "precision", "way", "step, ms", "autograd, ms", "ratio", "first step, s", "norm2(err)/eta"),
        step_times,
    ),
    (
        "One step on a long prompt (N=3, K=16, d=8), float64",
        ("n", "ms", "ns per example", "MiB besides the prompt"),
        long_prompts,
    ),
    (
        "Prompts per second of a sweep, float64, exact descent included",
        ("letters", "device", "way", "prompts", "prompts/s", "largest error, of allowed"),
        sweep_speeds,
    ),
)
"""The tables, in the order in which they are printed."""


def _card(device: torch.device) -> str:
    """The name of the device, and what runs on it."""
    if device.type != "cuda":
        return f"CPU with {torch.get_num_threads()} threads, torch {torch.__version__}"
    held = torch.cuda.get_device_properties(device)
    size = f"{held.total_memory / 2**30:.0f} GiB"
    return f"{held.name}, {size}, CUDA {torch.version.cuda}, torch {torch.__version__}"


def print_tables(run: AcceleratorRun, date: str, only: Sequence[str] = ()) -> None:
    """Print all tables as Markdown, row by row."""
    print(f"{_card(run.device)}; {date or 'no date given'}\n", flush=True)
    for title, columns, rows in _TABLES:
        if only and rows.__name__ not in only:
            continue
        print(f"### {title}\n\n| {' | '.join(columns)} |\n|{' --- |' * len(columns)}", flush=True)
        for row in rows(run):
            print(f"| {' | '.join(row)} |", flush=True)
        print(flush=True)
    print(f"{time.perf_counter() - run.began:.0f} s in all")


def main(words: Sequence[str] | None = None) -> None:
    """Read the command line and print the tables."""
    asked = argparse.ArgumentParser(prog="python -m icgd.verify.accelerator", description=__doc__)
    asked.add_argument("--device", default="cuda", help="cuda, cuda:1, ... or cpu")
    asked.add_argument("--date", default="", help="printed above the tables")
    asked.add_argument(
        "--seconds", type=float, default=100.0, help="rows that would begin later are left out"
    )
    asked.add_argument("--only", nargs="*", default=[], choices=[rows.__name__ for _, _, rows in _TABLES])
    asked.add_argument("--small", action="store_true", help="sizes for a laptop")
    asked.add_argument("--no-compile", action="store_true", help="leave out torch.compile")
    given = asked.parse_args(words)
    device = torch.device(check_device(given.device))
    sizes = _SMALL if given.small else _Sizes()
    print_tables(AcceleratorRun(device, sizes, given.seconds, not given.no_compile), given.date, given.only)


if __name__ == "__main__":
    main()
