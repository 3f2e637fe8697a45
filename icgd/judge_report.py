"""The end of `icgd judge`, for every kind of file: what was found out is printed, written and emitted."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console

from icgd.commands import FAILED, KEPT, report
from icgd.construct.machine.files import write_atomically
from icgd.judge_options import JudgeOptions
from icgd.reports.command.audit import emit
from icgd.reports.document.document import closing
from icgd.reports.document.judged import JudgedFile, judged_document
from icgd.verify.results import Results
from icgd.verify.verdict import any_failed


def finish_judging(
    console: Console,
    asked: JudgeOptions,
    kind: str,
    found: Results,
    document: Mapping[str, Any],
    files: Mapping[str, str] | None = None,
) -> int:
    """Write the files of a run, and the report where one was asked for; returns the exit code.

    document: what --json gets.  files: name -> text of the counterexamples and the certificate.
    """
    files = files or {}
    for name, text in files.items():
        write_atomically(asked.out / name, text)
        console.print(f"wrote {asked.out / name}", highlight=False, markup=False, soft_wrap=True)
    if asked.reported:
        digest = hashlib.sha256(asked.weights.read_bytes()).hexdigest()
        source = JudgedFile(asked.weights.as_posix(), kind, digest)
        seconds = time.perf_counter() - asked.began
        whole = judged_document(source, found, command=asked.command(), seconds=seconds)
        report(console, whole, asked.out, files)
    emit({**document, **closing(asked.began)}, asked.json_to)
    return FAILED if any_failed(found.verdicts) else KEPT
