"""Test of run-time estimates: runs commands of many sizes and compares the time taken: `make sizes`.

Prints command, estimate, seconds taken and their ratio; the exit code is 1 if a command takes more than three
times its estimate or crashes.  A refused command prints one sentence and exits with 2.
"""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from icgd.bounds.estimate import Estimate

_FACTOR = 3.0
"""How many times its estimate a command may take."""

_QUICK = "--samples 2000 --effort 0.05"
_COMMANDS = (
    *(f"bounds relu-icgd {letters}" for letters in (
        "", "--N 1", "--N 5", "--N 6 --K 16", "--N 1 --eps 1e-7", "--K 500 --d 300",
        "--n 1000000 --L 1000000",
        "--construction paper", "--activation sin", "--loss logistic", "--eps 1e-5",
        "--N 1000000", "--N 200", "--eps 1e-12", "--K 1000000 --d 1000000",
    )),
    *(f"bounds {theorem}" for theorem in (
        "softmax-icgd", "convergence", "preconditioned", "functional", "looped", "softmax-icgd --N 4",
    )),
    *(f"build relu-icgd {letters}" for letters in (
        "", "--K 32 --d 16", "--n 1000000", "--construction paper", "--N 4 --eps 1e-3", "--K 100000",
    )),
    "build softmax-icgd", "build looped --d 64", "build preconditioned", "build functional --d 100",
    *(f"verify relu-icgd {letters}" for letters in (
        _QUICK, f"--n 100000 --N 1 --K 1 --d 1 {_QUICK}", f"--n 1000000 {_QUICK}", f"--L 1000000 {_QUICK}",
        f"--construction paper {_QUICK}", f"--activation relu --construction exact {_QUICK}",
        f"--K 16 --d 4 {_QUICK}", f"--N 5 {_QUICK} --certify", f"--data diabetes {_QUICK}",
        f"--eps 1e-4 {_QUICK} --certify", f"--N 1 --K 1 --d 1 {_QUICK} --certify", "--effort 0",
        "--samples 99999999999", "--effort 1000 --K 64", "--data diabetes --prompts 99999999",
        f"--K 5000 --d 5000 {_QUICK}",
    )),
    *(f"verify {theorem}" for theorem in (
        "softmax-icgd", "softmax-icgd --n 1000000", "softmax-icgd --N 1 --L 1000000", "convergence",
        "convergence --n 1000000", "convergence --L 1000000", "preconditioned", "preconditioned --n 10000",
        "functional --d 64", "looped", "looped --d 16 --n 512 --T 40", "looped --T 500",
    )),
    "findings local-minimum",
)  # fmt: skip


def _one(command: str, folder: Path) -> tuple[float, float, int, str]:
    """The estimate of a command, the seconds it took, its exit code and its last line on stderr."""
    words = command.split()
    out = ["--out", str(folder)] if words[0] == "verify" else []
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "icgd.reports.sizes", *words, *out],
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - began
    lines = done.stderr.strip().splitlines()
    foreseen = sum(json.loads(line.split(" ", 1)[1]) for line in lines if line.startswith("foreseen "))
    return foreseen, seconds, done.returncode, lines[-1] if lines else ""


def table() -> int:
    """Run every command and print a table; returns 1 if any took too long or crashed, else 0."""
    late = 0
    print(f"{'command':72} {'estimate':>9} {'taken':>7} {'ratio':>6}")
    with tempfile.TemporaryDirectory() as folder:
        for command in _COMMANDS:
            foreseen, seconds, code, said = _one(command, Path(folder))
            if code == 2:
                print(f"{command:72} {'refused':>9} {seconds:6.1f}s        {said[:140]}", flush=True)
                broken = "Traceback" in said
            else:
                ratio = seconds / max(foreseen, 1e-9)
                broken = ratio > _FACTOR or code not in (0, 1)
                mark = "  TOO LATE" if broken else ""
                print(f"{command:72} {foreseen:8.1f}s {seconds:6.1f}s {ratio:6.2f}{mark}", flush=True)
            late += broken
    print(f"{len(_COMMANDS)} commands, {late} past {_FACTOR:g} times their estimate")
    return int(late > 0)


def _watched(arguments: list[str]) -> None:
    """Run a command that also prints each of its estimates on the standard error stream."""
    from icgd.reports.command import forecast

    announce = forecast.announce

    def recording(estimate: Estimate) -> None:
        announce(estimate)
        print("foreseen", json.dumps(estimate.seconds), file=sys.stderr, flush=True)

    forecast.announce = recording
    sys.argv = ["icgd", *arguments]
    runpy.run_module("icgd", run_name="__main__")  # imports the patched `announce`


if __name__ == "__main__":
    if len(sys.argv) == 1:
        sys.exit(table())
    _watched(sys.argv[1:])
