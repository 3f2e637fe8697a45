"""Runs latexmk to make a PDF; without a TeX engine, a message says what to install."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

BUILD = "latex-build"
"""Name of the folder of auxiliary files, next to the PDF."""

INSTALL = (
    "no TeX engine found; install one (Debian, Ubuntu: apt-get install latexmk texlive-latex-extra "
    "texlive-science lmodern; macOS: MacTeX; Windows: MiKTeX with Perl), then run: latexmk -pdf {name}"
)

_WARNING = re.compile(
    r"^(Overfull \\[hv]box .*|Underfull \\vbox .*|.*Warning: .*(?:undefined|multiply.defined|not available).*"
    r"|.*pdfTeX warning.*|Missing character: .*)$",
    flags=re.MULTILINE,
)


@dataclass(frozen=True)
class Typeset:
    """The result of a TeX run.

    pdf: None if none was made; `message` then says why, or what to install.
    message: otherwise the number of warnings, or empty if there are none.
    warnings: overfull boxes, undefined or repeated labels, missing sources, fonts or characters.
    """

    pdf: Path | None
    message: str
    warnings: tuple[str, ...] = ()


def typeset(
    tex: Path, *, which: Callable[[str], str | None] = shutil.which, seconds: float = 300.0
) -> Typeset:
    """Run latexmk in the folder of `tex`; writes the PDF next to it, and other files into the folder BUILD.

    TeX runs no shell command and reads no settings of latexmk, and no file outside the folder but its own.
    The same files give the same bytes: TeX's clock is SOURCE_DATE_EPOCH, or 0 if that is not set.
    which: finds a program, as shutil.which does.  seconds: time limit.
    """
    pdf = tex.with_suffix(".pdf")
    pdf.unlink(missing_ok=True)
    latexmk = which("latexmk")
    if latexmk is None or which("pdflatex") is None:
        return Typeset(None, INSTALL.format(name=tex.name))
    made = tex.parent / BUILD
    made.mkdir(exist_ok=True)
    for old in made.glob(f"{tex.stem}.*"):
        old.unlink()
    command = [
        latexmk, "-norc", "-pdf", "-interaction=nonstopmode", "-halt-on-error",
        "-latexoption=-no-shell-escape", f"-outdir={BUILD}", tex.name,
    ]  # fmt: skip
    code = _run(command, tex.parent, seconds)
    if code is None:
        return Typeset(
            None, f"latexmk took more than {seconds:g} s; its log is in {BUILD}, next to {tex.name}"
        )
    log = _text(made / f"{tex.stem}.log")
    built = made / pdf.name
    if code != 0 or not built.exists():
        return Typeset(None, f"latexmk failed: {_error(log)}; its log is in {BUILD}, next to {tex.name}")
    shutil.move(built, pdf)
    warnings = _warnings(log, _text(made / f"{tex.stem}.blg"))
    message = f"{len(warnings)} warning{'s'[: len(warnings) != 1]} on {pdf.name}" if warnings else ""
    return Typeset(pdf, message, warnings)


def _run(command: list[str], folder: Path, seconds: float) -> int | None:
    """The exit code of the command, or None after the time limit; its child processes end with it."""
    clock = os.environ.get("SOURCE_DATE_EPOCH", "0")
    # By default TeX breaks long lines of the log, which would cut warnings in two.
    settings = {"SOURCE_DATE_EPOCH": clock, "FORCE_SOURCE_DATE": "1", "max_print_line": "10000"}
    # No file outside the folder can be read, whatever the text and the user's own settings say.
    settings |= {"openin_any": "p", "openout_any": "p", "TEXMFOUTPUT": str(folder.absolute() / BUILD)}
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=os.environ | settings,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if process.poll() is None:
            for one in (*psutil.Process(process.pid).children(recursive=True), process):
                with suppress(psutil.NoSuchProcess):
                    one.kill()
            process.wait()


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def _warnings(log: str, bibliography: str) -> tuple[str, ...]:
    found = [*_WARNING.findall(log), *re.findall(r"^Warning--.*$", bibliography, flags=re.MULTILINE)]
    return tuple(dict.fromkeys(line.strip() for line in found))


def _error(log: str) -> str:
    found = re.search(r"^! (.*)(?:[\s\S]*?^(l\.\d+ .*)$)?", log, flags=re.MULTILINE)
    return " at ".join(part for part in found.groups() if part) if found else "no error in its log"
