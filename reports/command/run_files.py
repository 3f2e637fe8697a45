"""Where a run writes its certificates and counterexamples, with which anyone can check its verdicts.

A run with a report writes them into the report's folder, which is replaced as a whole; other runs into --out.
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
"""Name of the report's folder, below --out."""


def run_folder(out: Path, *, reported: bool) -> Path:
    """The folder into which a run writes these files."""
    return out / REPORT_NAME if reported else out


def write_run_files(files: Mapping[str, str], folder: Path) -> None:
    """Write the files of a run that has no report."""
    for name, text in files.items():
        write_atomically(folder / name, text)


def files_of_run(document: AuditDocument, folder: Path) -> dict[str, str]:
    """Name -> text of the files in the folder that belong to the document's run, found by their SHA-256."""
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
    """Print where certificates were written, each with the command that checks it."""
    for name in files:
        if name.startswith("certificate-"):
            line = f"wrote {folder / name}; {check_line(folder / name, options)}"
            # Wrapping or markup would change the command.
            console.print(line, highlight=False, markup=False, soft_wrap=True)


def check_line(path: PurePath, options: str) -> str:
    """The command that checks a certificate for the problem that the options pose; without any, the default.

    >>> check_line(Path("my out/c.json"), "--N 2"), check_line(Path("-o/c.json"), "--N 2")
    ("icgd check 'my out/c.json' --N 2", 'icgd check ./-o/c.json --N 2')
    >>> check_line(Path("c.json"), "")
    'icgd check c.json'
    """
    name = path.as_posix()  # which Windows takes too, unquoted
    return f"icgd check {shlex.quote(f'./{name}' if name.startswith('-') else name)} {options}".rstrip()
