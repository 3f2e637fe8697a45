"""An error that nobody foresaw: its traceback goes into a file, and one line says what to do with it."""

from __future__ import annotations

import platform
import shlex
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path

from icgd.bounds.printable import printable
from icgd.reports.document.document import versions


def fault_sentence(error: Exception, words: Sequence[str]) -> tuple[str, bool]:
    """One sentence on an unforeseen error, and whether icgd is at fault: not for want of memory, nor where a
    Python file that the user named raised it.

    words: the command line without the program's name.  The file that the sentence names has the versions,
    the command and the traceback; where no file can be written, they go to the standard error stream.
    """
    kind = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if isinstance(error, MemoryError) or "allocate memory" in kind or "OutOfMemory" in kind:
        return "the memory of this machine ran out; pose a smaller problem or search less", False
    kept = _keep("".join(traceback.format_exception(error)), words)
    report = f"the file {kept}" if kept else "the lines above"
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.filename in {str(Path(word).resolve()) for word in words if word.endswith(".py")}:
            return f"{frame.filename}, line {frame.lineno}: {kind}; {report} has the traceback", False
    why = "it is a fault of icgd, and says nothing about a claim"
    return f"internal error, {kind}: {why}; please report it with {report}: version, command, traceback", True


def _keep(trace: str, words: Sequence[str]) -> str | None:
    """The name of a new file with all that a report needs; None where it was printed instead."""
    about = {**versions(), "system": platform.platform()}
    lines = [f"{name} {version}" for name, version in about.items()]
    text = "\n".join([*lines, shlex.join(["icgd", *words]), "", trace])
    try:
        with tempfile.NamedTemporaryFile(
            "w",
            prefix="icgd-error-",
            suffix=".txt",
            delete=False,
            encoding="utf-8",
            errors="backslashreplace",
        ) as file:
            file.write(text)
        return file.name
    except OSError:
        print("\n".join(map(printable, text.splitlines())), file=sys.stderr)
        return None
