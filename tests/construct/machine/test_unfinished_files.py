"""Unfinished files: those of killed runs are removed, those of live runs and other files are not."""

import errno
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from filelock import FileLock

from icgd.construct.machine.files import write_atomically
from icgd.construct.machine.unfinished_files import sweep_unfinished, unfinished

ROOT = Path(__file__).parents[3]
DEAD = ".icgd-0123456789abcdef"
RUN = """
import os, sys
from pathlib import Path
from icgd.construct.machine.files import write_atomically
from icgd.construct.machine.unfinished_files import unfinished
from icgd.reports.command.loading import exit_on_signals
make = os.mkdir if sys.argv[2] == "folder" else Path.touch
with exit_on_signals(), unfinished(Path(sys.argv[1]), make) as made:
    if made.is_dir():
        write_atomically(made / "part", "half")
    print(made.name, flush=True)
    sys.stdin.read()
"""


def running(folder, kind):
    """A run in a process of its own, and the name of what it has begun."""
    words = [sys.executable, "-c", RUN, str(folder), kind]
    process = subprocess.Popen(
        words,
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # `nohup make test` ignores this signal, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    )
    return process, process.stdout.readline().strip()


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_killed_run_is_swept_and_a_live_one_is_not(tmp_path, kind):
    process, name = running(tmp_path, kind)
    with process:
        both = {name, f"{name}.lock"}
        sweep_unfinished(tmp_path)
        assert set(os.listdir(tmp_path)) == both
        process.kill()
        process.wait()
        assert set(os.listdir(tmp_path)) == both
        sweep_unfinished(tmp_path)
        assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_run_that_is_told_to_end_leaves_nothing(tmp_path, sent, code):
    process, _ = running(tmp_path, "folder")
    with process:
        process.send_signal(sent)
        assert process.wait() == code and os.listdir(tmp_path) == []


def test_the_next_run_sweeps(tmp_path):
    (tmp_path / DEAD).mkdir()
    (tmp_path / DEAD / "part").touch()
    with unfinished(tmp_path, Path.touch) as made:
        assert set(os.listdir(tmp_path)) == {made.name, f"{made.name}.lock"}
    assert os.listdir(tmp_path) == []


def test_what_others_named_is_not_swept(tmp_path):
    names = {".icgd-files", f"{DEAD}.txt", f"{DEAD}.lock.lock", f"{DEAD}0", ".icgd-", "icgd", f"{DEAD}-was-"}
    for name in names:
        (tmp_path / name).touch()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / DEAD).symlink_to(tmp_path / "elsewhere")
    sweep_unfinished(tmp_path)
    assert set(os.listdir(tmp_path)) == names | {"elsewhere", DEAD}


def test_a_file_system_without_locks_is_written_to_and_not_swept(tmp_path, monkeypatch):
    def unlockable(self, **options):
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(FileLock, "acquire", unlockable)
    write_atomically(tmp_path / "a", "one")
    (tmp_path / DEAD).touch()
    sweep_unfinished(tmp_path)
    assert (tmp_path / "a").read_text() == "one" and set(os.listdir(tmp_path)) == {"a", DEAD}


def test_runs_side_by_side_never_sweep_each_other(tmp_path):
    def lives(number):
        for _ in range(40):
            with unfinished(tmp_path, os.mkdir) as made:
                (made / "part").touch()
                sweep_unfinished(tmp_path)
                assert (made / "part").exists()
        return number

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lives, range(4))) == [0, 1, 2, 3]
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_listed_is_written_to(tmp_path, monkeypatch):
    def unreadable(self):
        raise PermissionError

    monkeypatch.setattr(Path, "iterdir", unreadable)
    write_atomically(tmp_path / "a", "one")
    assert (tmp_path / "a").read_text() == "one"
