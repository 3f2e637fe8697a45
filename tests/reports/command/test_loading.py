"""Ctrl-C ends the command with one line and exit code 130, during loading and afterwards."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from icgd.reports.command import loading

COMMAND = [str(Path(sys.executable).with_name("icgd")), "verify", "--samples", "100000000"]  # minutes


def test_only_the_command_is_watched():
    before = signal.getsignal(signal.SIGINT)
    loading.begin_loading("pytest")
    assert signal.getsignal(signal.SIGINT) is before
    loading.end_loading()
    assert signal.getsignal(signal.SIGINT) is before


def begun(folder, **options):
    """Start the command with the default handling of SIGINT, even if this process ignores it."""
    return subprocess.Popen(
        COMMAND,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        **options,
    )


def test_a_command_interrupted_while_it_loads_says_so_in_one_line(tmp_path):
    (tmp_path / "torch.py").write_text("import signal\nprint('loading', flush=True)\nsignal.pause()\n")
    with begun(tmp_path, env=os.environ | {"PYTHONPATH": str(tmp_path)}) as running:
        assert running.stdout.readline() == "loading\n"
        running.send_signal(signal.SIGINT)
        assert running.stderr.read() == "icgd: interrupted\n"
    assert running.returncode == loading.INTERRUPTED


@pytest.mark.slow
def test_a_command_interrupted_at_work_says_so_in_one_line(tmp_path):
    with begun(tmp_path) as running:
        assert running.stderr.readline().startswith("about ")  # what it will take: the libraries are loaded
        running.send_signal(signal.SIGINT)
        assert running.stderr.read() == "icgd: interrupted\n"
    assert running.returncode == loading.INTERRUPTED
