"""Files appear whole, and what is no file of its own is written to, not replaced."""

import os
import threading

import pytest

from construct.atomic import check_writable, write_atomically


def test_a_file_is_replaced_as_a_whole(tmp_path):
    target = tmp_path / "below" / "a.json"
    write_atomically(target, "one")
    write_atomically(target, b"two")
    assert target.read_bytes() == b"two" and os.listdir(target.parent) == ["a.json"]


def test_a_link_stays_a_link(tmp_path):
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_text("old")
    link.symlink_to(real)
    write_atomically(link, "new")
    assert link.is_symlink() and real.read_text() == "new"


def test_a_pipe_is_written_to(tmp_path):
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    write_atomically(pipe, "through")
    reader.join()
    assert read == ["through"] and pipe.is_fifo()


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(OSError):
        check_writable(tmp_path)
