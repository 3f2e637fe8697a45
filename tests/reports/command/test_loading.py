"""Ctrl-C ends the command with one line and exit code 130, during loading and afterwards."""

import gc
import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from icgd.reports.command import loading

BY_NAME = [str(Path(sys.executable).with_name("icgd"))]
BY_MODULE = [sys.executable, "-m", "icgd"]


@pytest.fixture
def interrupts():
    """Sets the handling of SIGINT, which is as before after the test."""
    before = signal.getsignal(signal.SIGINT)
    yield lambda handling: signal.signal(signal.SIGINT, handling)
    signal.signal(signal.SIGINT, before)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_says_that_libraries_load_and_then_nothing_of_it_is_left(interrupts, monkeypatch):
    shown, collects = Terminal(), gc.isenabled()
    monkeypatch.setattr(sys, "stderr", shown)
    interrupts(signal.default_int_handler)
    loading.begin_loading()
    assert (shown.getvalue(), gc.isenabled()) == ("icgd: loading\r", False)
    loading.end_loading()
    assert shown.getvalue() == "icgd: loading\r             \r" and gc.isenabled()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not collects:
        gc.disable()


def test_a_program_that_handles_interrupts_keeps_its_handling(interrupts, monkeypatch):
    shown, collects = Terminal(), gc.isenabled()
    monkeypatch.setattr(sys, "stderr", shown)
    interrupts(signal.SIG_IGN)
    for step in (loading.begin_loading, loading.end_loading):
        step()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN and gc.isenabled() is collects
    assert shown.getvalue() == ""


def begun(folder, *, program=BY_NAME, **options):
    """Start the command with the default handling of SIGINT, even if this process ignores it."""
    return subprocess.Popen(
        [*program, "verify", "--samples", "100000000"],  # minutes
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        **options,
    )


@pytest.mark.parametrize("program", [BY_NAME, BY_MODULE], ids=["icgd", "python -m icgd"])
def test_a_command_interrupted_while_it_loads_says_so_in_one_line(tmp_path, program):
    # Not signal.pause, which would wait for ever after a signal that came just before it.
    waits = "while True:\n    time.sleep(0.01)\n"
    slow = f"import gc, time\nprint('loading', gc.isenabled(), flush=True)\n{waits}"
    (tmp_path / "sympy.py").write_text(slow, encoding="utf-8")  # loaded by the first theorem
    path = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
    with begun(tmp_path, program=program, env=os.environ | {"PYTHONPATH": path}) as running:
        begins = running.stdout.readline()
        running.send_signal(signal.SIGINT)
        said = running.stderr.read()
    assert (begins, said, running.returncode) == (
        "loading False\n",
        "icgd: interrupted\n",
        loading.INTERRUPTED,
    )


@pytest.mark.slow
def test_a_command_interrupted_at_work_says_so_in_one_line(tmp_path):
    with begun(tmp_path) as running:
        assert running.stderr.readline().startswith("about ")  # what it will take: the libraries are loaded
        running.send_signal(signal.SIGINT)
        assert running.stderr.read() == "icgd: interrupted\n"
    assert running.returncode == loading.INTERRUPTED
