"""Locks: one run at a time holds a lock, and no file remains."""

import errno
import os
import threading

import pytest
from filelock import FileLock

from icgd.construct.machine.locks import locked


def test_who_does_not_wait_is_told_that_another_holds_it(tmp_path):
    with locked(tmp_path / "a"):
        assert os.listdir(tmp_path) == ["a.lock"]
        with pytest.raises(OSError), locked(tmp_path / "a", wait=False):
            pass
        with locked(tmp_path / "b", wait=False):
            pass
        assert os.listdir(tmp_path) == ["a.lock"]
    assert os.listdir(tmp_path) == []


def test_an_error_frees_it(tmp_path):
    with pytest.raises(KeyError), locked(tmp_path / "a"):
        raise KeyError
    with locked(tmp_path / "a", wait=False):
        pass
    assert os.listdir(tmp_path) == []


def test_who_waits_goes_on_where_there_are_no_locks(tmp_path, monkeypatch):
    def unlockable(self, **options):
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(FileLock, "acquire", unlockable)
    entered = []
    with locked(tmp_path / "a"):
        entered.append("a")
    with pytest.raises(OSError, match="no locks"), locked(tmp_path / "a", wait=False):
        entered.append("b")
    assert entered == ["a"]


def test_one_at_a_time_though_each_removes_the_file(tmp_path):
    inside, most = [], []

    def enter():
        for _ in range(100):
            with locked(tmp_path / "a"):
                inside.append(None)
                most.append(len(inside))
                inside.pop()

    entering = [threading.Thread(target=enter) for _ in range(4)]
    for thread in entering:
        thread.start()
    for thread in entering:
        thread.join()
    assert most == [1] * 400 and os.listdir(tmp_path) == []


def test_where_no_file_can_be_made_nobody_waits_for_ever(tmp_path):
    entered = []
    with locked(tmp_path / "missing" / "a"):  # a folder such as /proc, in which making a file fails
        entered.append("a")
    assert entered == ["a"] and os.listdir(tmp_path) == []
