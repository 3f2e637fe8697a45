"""Certificates and counterexamples: the files against which anybody can hold the verdicts of a run.

A run with a report leaves them in its folder, which is replaced as a whole; others leave them below --out.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Mapping
from pathlib import Path, PurePath

from rich.console import Console

from icgd.construct.machine.files import write_atomically
from icgd.construct.machine.json_files import MOST_BYTES
from icgd.reports.document.shape import AuditDocument

REPORT_NAME = "report"
"""The folder of a report, below --out."""


def place(out: Path, *, reported: bool) -> Path:
    """The folder in which a run leaves these files."""
    return out / REPORT_NAME if reported else out


def leave(files: Mapping[str, str], folder: Path) -> None:
    """Write the files of a run that has no report."""
    for name, text in files.items():
        write_atomically(folder / name, text)


def belonging(document: AuditDocument, folder: Path) -> dict[str, str]:
    """Those files in the folder that are of the run that the document is about, by their SHA-256."""
    parts = document["theorems"].values()
    hashes = {made["certificate"] for part in parts if (made := part.get("hashes"))}
    hashes |= {part["counterexample"] for part in parts if "counterexample" in part}
    found = {}
    for path in sorted([*folder.glob("certificate-*.json"), *folder.glob("counterexample-*.json")]):
        data = path.read_bytes() if path.is_file() and path.stat().st_size <= MOST_BYTES else b""
        if hashlib.sha256(data).hexdigest() in hashes:
            found[path.name] = data.decode("utf-8")
    return found


def show_certificates(console: Console, files: Mapping[str, str], folder: Path, options: str) -> None:
    """Where certificates were written, each with the command that judges it."""
    for name in files:
        if name.startswith("certificate-"):
            line = f"wrote {folder / name}; {check_line(folder / name, options)}"
            # Wrapped or read as markup, the command would be another one.
            console.print(line, highlight=False, markup=False, soft_wrap=True)


def check_line(path: PurePath, options: str) -> str:
    """The command that judges a certificate for the problem that the options pose.

    >>> check_line(Path("my out/c.json"), "--N 2"), check_line(Path("-o/c.json"), "--N 2")
    ("icgd check 'my out/c.json' --N 2", 'icgd check ./-o/c.json --N 2')
    """
    name = path.as_posix()  # which Windows takes too, unquoted
    return f"icgd check {shlex.quote(f'./{name}' if name.startswith('-') else name)} {options}"
