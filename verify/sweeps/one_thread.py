"""One computation at a time in this process, on one thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_running = threading.RLock()
"""The working precision of Arb and mpmath belongs to the process: two threads would change each other's."""


@contextmanager
def one_thread() -> Iterator[None]:
    """In this context torch adds in the same order on every machine; no other thread is in it."""
    with _running:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
