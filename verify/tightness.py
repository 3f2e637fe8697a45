"""Tables of how tight the proofs are and how long they take, printed by `make tightness`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import torch

from icgd.bounds.problem import Problem
from icgd.bounds.step_error.plan import clear_plan_caches, plan
from icgd.verify.certificate.issue import as_read, certificate, posed_letters
from icgd.verify.checker.relu import check
from icgd.verify.results import Cell, Grid
from icgd.verify.search.attack import ROUNDS, attack
from icgd.verify.search.prompts import seeded

TARGETS = (
    *((2, 3, 2, 1e-2, 1.2), (2, 3, 2, 1e-4, 1.15), (3, 4, 2, 1e-2, 1.4), (3, 4, 2, 1e-4, 1.25)),
    *((4, 4, 3, 1e-2, 1.4), (4, 4, 3, 1e-4, 1.25), (6, 4, 3, 1e-2, 1.8), (6, 4, 3, 1e-4, 1.4)),
)
"""N, K, d, eps and the target for the ratio of the certified to the attacked error."""


def tightness(
    seeds: int = 3,
    effort: int = 1,
    device: torch.device | str = "cpu",
    targets: Sequence[tuple[int, int, int, float, float]] = TARGETS,
) -> Grid:
    """The ratio certified / attacked for tanh, squared loss and radii 1, also by the plain recurrence.

    seeds: attacks on each problem.  effort: how many times as long as usual each of them climbs.
    """
    rounds = tuple(replace(one, iterations=effort * one.iterations) for one in ROUNDS)

    def rows() -> Iterator[tuple[Cell, ...]]:
        for N, K, d, eps, target in targets:
            problem = Problem(N=N, K=K, d=d, eps=eps)
            planned, before = plan(problem), plan(problem, "lean", "recurrence")
            attacks = (attack(planned, seeded(seed), rounds=rounds, device=device) for seed in range(seeds))
            found = max(one.largest for one in attacks) / problem.eta
            ratio, plain = (round(bound / found, 2) for bound in (planned.bound, planned.recurrence))
            units = before.units, planned.units, round(planned.units / planned.fewest_units, 3)
            yield N, K, d, eps, ratio, target, plain, *units

    names = "N", "K", "d", "eps", "ratio", "target", "by recurrence"
    columns = (*names, "ReLUs before", "ReLUs now", "over the piece bound")
    note = (
        f"certified over the worst of {seeds} attacks; ReLUs before: planned against the recurrence; over "
        "the piece bound: how many times the fewest that the lower bound on linear pieces allows"
    )
    return Grid("certified / attacked", columns, tuple(rows()), note)


def growth() -> Grid:
    """Seconds of CPU to prove and to check, as N, K and 1/eps vary, and N with eps."""
    default = Problem()
    problems = [
        *(("N", Problem(N=N)) for N in (1, 2, 3, 4, 5, 6)),
        *(("K", Problem(K=K)) for K in (4, 8, 16, 32, 64)),
        *(("eps", Problem(eps=eps)) for eps in (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)),
        *(("N, eps", Problem(N=N, eps=eps)) for N in (3, 4, 6) for eps in (1e-2, 1e-3, 1e-4, 1e-5)),
    ]
    columns = ("grows", "N", "K", "eps", "ReLUs", "cells", "prove, s", "check, s", "check / prove")
    note = f"lean, {default.activation.name}, d = {default.d}; CPU time, the less of two"
    return Grid("time to prove and to check", columns, tuple(_timed(problems)), note)


def _timed(problems: Iterable[tuple[str, Problem]]) -> Iterator[tuple[Cell, ...]]:
    for name, problem in problems:
        runs = []
        for _ in range(2):
            clear_plan_caches()
            began = time.process_time()
            planned = plan(problem)
            found = as_read(certificate(planned))
            proved = time.process_time()
            check(found, posed_letters(problem), "lean")
            runs.append((proved - began, time.process_time() - proved))
        times = [min(run) for run in zip(*runs, strict=True)]
        sizes = planned.units, found["splits"].count(0)
        yield (
            name,
            problem.N,
            problem.K,
            problem.eps,
            *sizes,
            *(round(x, 3) for x in (*times, times[1] / times[0])),
        )


def print_grid(grid: Grid) -> None:
    """Print a table as Markdown."""
    print(f"{grid.title} ({grid.note})\n\n| {' | '.join(grid.columns)} |\n|{' --- |' * len(grid.columns)}")
    for row in grid.rows:
        print(f"| {' | '.join(map(str, row))} |")
    print(flush=True)


def main() -> None:
    """Print the tables that the command line asks for."""
    asked = argparse.ArgumentParser(prog="python -m icgd.verify.tightness", description=__doc__)
    asked.add_argument("--seeds", type=int, default=3, help="attacks on each problem")
    asked.add_argument("--effort", type=int, default=1, help="length of each attack, as in icgd audit")
    asked.add_argument("--device", default="cpu", help="of the attacks; elsewhere than on the CPU, no times")
    given = asked.parse_args()
    print_grid(tightness(given.seeds, given.effort, given.device))
    if given.device == "cpu":
        print_grid(growth())


if __name__ == "__main__":
    main()
