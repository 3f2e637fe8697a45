"""Atomic writes: files appear complete; links and devices are written to, not replaced."""

import os
import threading
from pathlib import Path

import pytest

from icgd.construct.machine.files import check_writable, write_atomically


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


def test_where_no_file_can_be_is_said_before_any_work(tmp_path):
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    for name in ("new", "below/new", "file", "pipe"):
        check_writable(tmp_path / name)
    assert sorted(os.listdir(tmp_path)) == ["file", "pipe"]
    file = tmp_path / "file"
    wrong = [
        (tmp_path, None, "it is a folder, and a file is needed"),
        (file / "x", None, f"{file} is a file, and a folder is needed"),
        (file / "x", file, "it is a file, and a folder is needed"),
    ]
    if Path("/proc/1").exists():
        wrong.append((Path("/proc/x"), None, r"no file can be made in /proc \(.+\)"))
    for path, named, why in wrong:
        with pytest.raises(OSError, match=f"it cannot be written: {why}; name another place") as caught:
            check_writable(path, named)
        assert caught.value.filename == str(named or path)


def test_a_name_as_long_as_a_name_can_be(tmp_path):
    write_atomically(tmp_path / ("a" * 255), "one")
    assert (tmp_path / ("a" * 255)).read_text() == "one"


def test_half_a_character_is_spelled_out(tmp_path):
    write_atomically(tmp_path / "a", "\ud800 é")
    assert (tmp_path / "a").read_text(encoding="utf-8") == r"\ud800 é"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_an_error_names_the_path_that_was_given():
    with pytest.raises(OSError) as caught:
        write_atomically(Path("/dev/full"), "one")
    assert caught.value.filename == "/dev/full"
