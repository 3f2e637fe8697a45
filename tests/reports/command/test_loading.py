"""Ctrl-C ends the command with one line and 130, while the libraries load and after."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from icgd.reports.command import loading as startup

COMMAND = [str(Path(sys.executable).with_name("icgd")), "verify", "--samples", "100000000"]  # minutes


def test_only_the_command_is_watched():
    before = signal.getsignal(signal.SIGINT)
    startup.watch("pytest")
    assert signal.getsignal(signal.SIGINT) is before
    startup.ready()
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.slow
@pytest.mark.parametrize("wait", [0.8, 8.0])
def test_an_interrupted_command_says_so_in_one_line(wait):
    # Without it the child would ignore SIGINT where this process does.
    running = subprocess.Popen(
        COMMAND,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    time.sleep(wait)
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=60)
    assert running.returncode == startup.INTERRUPTED and errors.splitlines()[-1] == "icgd: interrupted"
    assert all(line.startswith("about ") for line in errors.splitlines()[:-1])  # what it would have taken
