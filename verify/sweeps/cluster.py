"""Workers of a Dask cluster, as one more `concurrent.futures.Executor`."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from icgd.bounds.letters import ProblemError
from icgd.verify.sweeps.run import Workers

_CONNECT, _WAIT = 5, 30
"""Seconds until something must listen at the address, and until a scheduler must be there with a worker."""

_ADDRESS = re.compile(r"(?:tcp|tls)://(\[[0-9a-fA-F:.]+\]|[\w.-]+):(\d{1,5})/?", re.ASCII)

_AHEAD = 4
"""Tasks given to the scheduler for each thread, so that no worker waits for the next one."""


def check_scheduler(scheduler: str) -> tuple[str, int]:
    """Host and port of an address such as tcp://host:8786 or tls://[::1]:8786; others are refused."""
    found = _ADDRESS.fullmatch(scheduler)
    if found is None or not 0 < int(found[2]) < 2**16:
        why = "tcp://HOST:PORT or tls://HOST:PORT is needed, such as tcp://localhost:8786"
        raise ProblemError("scheduler", scheduler, why)
    return found[1].strip("[]"), int(found[2])


@contextmanager
def cluster_workers(scheduler: str) -> Iterator[Workers]:
    """The workers of the Dask scheduler at this address, such as tcp://host:8786.

    The scheduler gives the tasks of a worker that was killed to another one.  Every thread of a worker counts
    for estimates, but in one process tasks run one after another: start workers with --nthreads 1.
    Raises ProblemError where dask is not installed, nobody answers, or the cluster has no worker.
    """
    try:
        from distributed import Client, KilledWorker
    except ImportError:
        why = "it needs Dask: pip install 'icgd[cluster]'"
        raise ProblemError("scheduler", scheduler, why) from None
    try:  # Dask itself would try again for as long as it may, and log what it thinks of it
        socket.create_connection(check_scheduler(scheduler), _CONNECT).close()
        client = Client(scheduler, timeout=_WAIT, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        why = f"no Dask scheduler answers there ({' '.join(str(error).split())[:150]})"
        raise ProblemError("scheduler", scheduler, why) from None
    with client:
        try:
            client.wait_for_workers(1, timeout=_WAIT)
        except TimeoutError:
            raise ProblemError("scheduler", scheduler, "its cluster has no workers") from None
        threads = max(1, sum(client.nthreads().values()))
        executor = client.get_executor(pure=False)
        try:
            yield Workers(executor, at_once=_AHEAD * threads, parallel=threads, fatal=(KilledWorker,))
        finally:
            executor.shutdown(wait=False)
