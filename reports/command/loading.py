"""The command while its libraries load, which takes seconds.

Ctrl-C is one line and exit code 130, as at any other time.  What they make lives as long as the command: to
look for garbage in it, while loading and once more at the end, takes longer than a third of the loading.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

INTERRUPTED = 130


def _leave(number: int, frame: FrameType | None) -> None:
    sys.stderr.write("icgd: interrupted\n")
    sys.stderr.flush()
    os._exit(INTERRUPTED)


def watch(program: str) -> None:
    """From here to `ready` the program is loading, if it is the command and no library of somebody's."""
    plain = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if Path(program).stem == "icgd" and plain and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, _leave)
        gc.disable()


def ready() -> None:
    """The libraries are loaded: Ctrl-C is an exception again, and new objects are watched for garbage."""
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        gc.freeze()
        gc.enable()


@contextmanager
def heeding() -> Iterator[None]:
    """SIGTERM and SIGHUP unwind what runs, so that it removes what is half done; 143 or 129 is the exit code.

    Where they are ignored, as under nohup, or somebody else heeds them, that stays so.
    """
    before: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in filter(None, (signal.SIGTERM, getattr(signal, "SIGHUP", None))):  # Windows: no SIGHUP
            if signal.getsignal(number) is signal.SIG_DFL:
                before[number] = signal.signal(number, _unwind)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _unwind(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


watch(sys.argv[0])
