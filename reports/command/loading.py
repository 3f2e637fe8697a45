"""Start-up of the command: what is so while the libraries load, for seconds.

A terminal says that they load.  Ctrl-C prints one line and exits with 130, then as at any other time.  The
garbage collector is off: the objects of libraries live as long as the command, and scanning them, then and
once more at exit, would take more than a third of the loading time.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

INTERRUPTED = 130

_BEGAN = time.perf_counter()
_SECONDS: list[float] = []

_LOADING = "icgd: loading"
"""Shorter than what `_leave` prints over it."""


def _leave(number: int, frame: FrameType | None) -> None:
    sys.stderr.write("icgd: interrupted\n")
    sys.stderr.flush()
    os._exit(INTERRUPTED)


def begin_loading() -> None:
    """Set the state for loading, until `end_loading`; does nothing where another program handles Ctrl-C."""
    plain = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if plain and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, _leave)
        gc.disable()
        _to_terminal(f"{_LOADING}\r")


def end_loading() -> None:
    """End the state for loading: Ctrl-C raises KeyboardInterrupt again, and garbage is collected."""
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        gc.freeze()
        gc.enable()
        _SECONDS.append(time.perf_counter() - _BEGAN)
        _to_terminal(f"{' ' * len(_LOADING)}\r")


def _to_terminal(text: str) -> None:
    if sys.stderr is not None and sys.stderr.isatty():
        with suppress(OSError):
            sys.stderr.write(text)
            sys.stderr.flush()


def loading_seconds() -> float:
    """How long the libraries took to load; 0 where another program imported icgd."""
    return sum(_SECONDS)


@contextmanager
def exit_on_signals() -> Iterator[None]:
    """In this context SIGTERM and SIGHUP raise SystemExit(143 or 129), so that unfinished files are removed.

    A signal that is ignored, as under nohup, or that has another handler keeps its handling.
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
