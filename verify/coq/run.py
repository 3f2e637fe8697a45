"""Compiles an exported certificate with coqc: which files it accepts, and what remains trusted."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from icgd.bounds.progress import Progress, silent
from icgd.verify.coq.floats import IN_FLOATS, NOT_IN_FLOATS, tokens_covered

NUMBERS = re.compile(
    r"ClassicalDedekindReals\.|FunctionalExtensionality\.|Classical_Prop\.classic|PrimInt63\.|Uint63\."
    r"|PrimFloat\.|FloatAxioms\."
)
"""The axioms that a theorem on real numbers may use: those of the reals and of Coq's machine numbers."""

WAVES = (
    *(("vectors", "machine"), ("calculus", "block", "sums", "up", "rounding"), ("erf", "cells", "gradient")),
    *(("formulas", "rows"), ("token",), ("tight",), ("enclose",), ("tables",), ("fits",), ("sweeps",)),
    *(("certificate",), ("proof",), ("floats", "update", "clip"), ("products", "slope"), ("heads",)),
    *(("binary64",), ("step64",)),
)
"""The files of the theory; those in one wave do not depend on each other."""

PROVED = (
    "for this problem and program, every n, every w in W, all prompts in the radii; local lemmas included, "
    "and that back-propagation has the derivative in each weight of a loss with this slope"
)
KERNEL = "Coq's kernel with its virtual machine, 63-bit integers{floats}, and the axioms of its real numbers"
TRUSTED = (
    "this export, which writes the numbers of the certificate as rationals",
    "that the literal matrices compute the program",
)
ROUNDING_MODEL = (
    "the rounding model: every computed number is within the stated w... of what the program says"
)
"""What is taken for granted where no theorem goes down to binary64."""


@dataclass(frozen=True)
class File:
    """The result of coqc on one file."""

    name: str
    ok: bool
    seconds: float
    output: str


@dataclass(frozen=True)
class CoqReport:
    """The result of coqc.  version: None if coqc is not installed.

    bound: the bound on norm2(err)/eta that `instance.v` proves; None without that file.
    eps: what the theorem allows; a bound above it does not settle the claim.
    tokens: for how many the theorem goes down to binary64; None where it does not.
    missing: what was not exported, and why.  assumptions: axioms of the theorem, as Coq prints them.
    """

    version: str | None
    files: tuple[File, ...]
    bound: Fraction | None
    missing: tuple[str, ...]
    assumptions: tuple[str, ...]
    seconds: float
    eps: Fraction | None = None
    tokens: int | None = None

    @property
    def trusted(self) -> tuple[str, ...]:
        """What the theorem relies on."""
        integers_only = self.assumptions and not any("Float" in name for name in self.assumptions)
        kernel = KERNEL.format(floats="" if integers_only else " and floats")
        return (kernel, *TRUSTED) if self.tokens else (kernel, *TRUSTED, ROUNDING_MODEL)

    @property
    def settles(self) -> bool:
        """Whether what Coq proves is the theorem's norm2(err) <= eta eps."""
        return self.ok and self.bound is not None and self.eps is not None and self.bound <= self.eps

    @property
    def ok(self) -> bool:
        """Whether Coq accepts all that the bound needs, and it uses no axioms but those on numbers."""
        clean = all(NUMBERS.match(name) for name in self.assumptions) and bool(
            self.assumptions or self.missing
        )
        needed = all(file.ok for file in self.files if file.name != "in_floats.v")
        return self.version is not None and needed and clean

    def as_dict(self) -> dict[str, Any]:
        """The result as plain values."""
        return {
            "version": self.version,
            "ok": self.ok,
            "bound": None if self.bound is None else float(self.bound),
            "eps": None if self.eps is None else float(self.eps),
            "settles": self.settles,
            "files": {file.name: file.ok for file in self.files},
            "missing": list(self.missing),
            "assumptions": list(self.assumptions),
            "in_binary64": None if self.tokens is None else IN_FLOATS.format(n=self.tokens - 1),
            "trusted": list(self.trusted),
            "seconds": round(self.seconds, 1),
        }

    @property
    def statement(self) -> str:
        """What is proved, what is not exported and what remains trusted, one per line."""
        if self.version is None:
            return "coqc is not installed: the files are written, but Coq has not checked them"
        wrong = [file for file in self.files if not file.ok]
        refused = [f"coqc refuses {file.name}: {file.output.strip()}" for file in wrong]
        if wrong and wrong[0].name != "in_floats.v":
            return "\n".join(refused)
        proved = "nothing, since this certificate cannot be exported"
        if self.bound is not None:
            proved = f"norm2(err) <= {float(self.bound):.6g} eta {PROVED}"
        floats = sum("Float" in name for name in self.assumptions)
        integers = sum("63." in name for name in self.assumptions)
        others = [name for name in self.assumptions if "63." not in name and "Float" not in name]
        return "\n".join(
            [
                f"Coq {self.version} accepts {len(self.files) - len(wrong)} files in {self.seconds:.0f} s",
                f"{'proved' if self.ok else 'not proved: an axiom is not one on numbers'}: {proved}",
                *([self._verdict] if self.eps is not None and self.ok else []),
                *(f"not exported: {reason}" for reason in self.missing),
                *([f"proved {IN_FLOATS.format(n=self.tokens - 1)}"] if self.tokens and self.ok else []),
                *([f"proved {NOT_IN_FLOATS}", *refused] if wrong else []),
                *(f"trusted: {item}" for item in self.trusted),
                *([f"axioms: {', '.join(others)}, {_counted(integers, floats)}"] if others else []),
            ]
        )

    @property
    def _verdict(self) -> str:
        """Whether the proved bound is enough for the claim, in a sentence."""
        allowed = f"eps = {float(self.eps or 0):.6g}"
        if self.settles:
            return f"this settles the claim norm2(err) <= eta eps: the constant is at most {allowed}"
        return (
            f"this does not settle the claim norm2(err) <= eta eps: the constant exceeds {allowed}; what "
            "settles it is the certificate, by verify/checker/relu.py"
        )


def _counted(integers: int, floats: int) -> str:
    """How many axioms are on machine numbers."""
    return f"{integers} of 63-bit integers, {floats} of floats"


def run(folder: Path, jobs: int = 2, limit: float = 600, *, progress: Progress = silent) -> CoqReport:
    """Compile an exported folder with coqc; files that do not depend on each other run in parallel."""
    instance, in_floats = folder / "instance.v", folder / "in_floats.v"
    layers = sorted(path.name for path in folder.glob("layer_*.v"))
    waves = [*([f"{name}.v" for name in wave] for wave in WAVES), ["data.v", "arithmetic.v"], layers]
    waves = [*waves, [instance.name]] if instance.exists() else []
    waves += [[in_floats.name]] if in_floats.exists() else []
    text, about = (path.read_text("utf-8") if path.exists() else "" for path in (instance, in_floats))
    bound, eps, covered = _defined("bound", text), _defined("eps", text), tokens_covered(about)
    missing = tuple((folder / "missing.txt").read_text("utf-8").splitlines())
    if shutil.which("coqc") is None:
        return CoqReport(None, (), bound, missing, (), 0.0, eps, covered)
    version = _coqc(["--print-version"], folder).stdout.split()[0]
    start, files = time.monotonic(), list[File]()
    with ThreadPoolExecutor(jobs) as pool, progress("coqc", sum(map(len, waves))) as advance:
        for wave in waves:
            for file in pool.map(lambda name: _compile(folder, name, limit), wave):
                files.append(file)
                advance(1)
            if not all(file.ok for file in files):
                break
    ends = [file for file in files if file.ok and file.name in (instance.name, in_floats.name)]
    assumptions = axioms(ends[-1].output) if ends else ()
    if not ends or ends[-1].name != in_floats.name:
        covered = None
    return CoqReport(
        version, tuple(files), bound, missing, assumptions, time.monotonic() - start, eps, covered
    )


def axioms(printed: str) -> tuple[str, ...]:
    """The names that Print Assumptions has printed; an admitted lemma is among them, under its own name."""
    return tuple(sorted(re.findall(r"^([^\s:]+)", printed.partition("Axioms:")[2], re.MULTILINE)))


def _defined(name: str, text: str) -> Fraction | None:
    """The rational that a Coq file defines under this name; None if it defines none."""
    found = re.search(rf"Definition {name} : Q := \((\d+) # (\d+)\)", text)
    return Fraction(int(found[1]), int(found[2])) if found else None


def _compile(folder: Path, name: str, limit: float) -> File:
    start = time.monotonic()
    try:
        done = _coqc(["-w", "none", "-Q", ".", "ICGD", name], folder, limit)
        ok, output = done.returncode == 0, done.stdout + done.stderr
    except subprocess.TimeoutExpired:
        ok, output = False, f"it takes longer than {limit:.0f} s"
    return File(name, ok, time.monotonic() - start, output)


def _coqc(options: list[str], folder: Path, limit: float | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["coqc", *options], cwd=folder, capture_output=True, encoding="utf-8", errors="replace", timeout=limit
    )
