"""Replaced folders: one run at a time owns a folder, and files of others in it stay."""

import os
import threading

import pytest

from icgd.construct.machine.files import write_atomically
from icgd.construct.machine.folders import LISTED, check_folder, replacing


def put(folder, **files):
    with replacing(folder) as made:
        for name, text in files.items():
            write_atomically(made / name.replace("__", "/"), text)


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file() and path.name != LISTED
    }


def read(name, folder):
    with open(os.open(name, os.O_RDONLY, dir_fd=folder)) as file:
        return file.read()


def test_nothing_of_the_run_before_is_left(tmp_path):
    put(tmp_path / "a" / "b", one="1", figures__old="2", figures__both="3")
    put(tmp_path / "a" / "b", one="4", figures__both="5")
    assert contents(tmp_path / "a" / "b") == {"one": "4", "figures/both": "5"}
    assert os.listdir(tmp_path / "a") == ["b"]


def test_the_old_files_stand_until_the_new_ones_do_and_after_an_error(tmp_path):
    folder = tmp_path / "b"
    put(folder, one="1")
    with pytest.raises(KeyboardInterrupt), replacing(folder) as made:
        (made / "one").write_text("2")
        assert contents(folder) == {"one": "1"}
        raise KeyboardInterrupt
    assert contents(folder) == {"one": "1"} and os.listdir(tmp_path) == ["b"]


def test_files_of_others_are_kept(tmp_path):
    folder = tmp_path / "b"
    put(folder, one="1", figures__old="2")
    (folder / "figures" / "mine").write_text("mine")
    (folder / "deep" / "down").mkdir(parents=True)
    (folder / "deep" / "down" / ".hidden").write_text("mine")
    (folder / "link").symlink_to("/nowhere")
    (folder / "to folder").symlink_to(tmp_path)
    for text in ("3", "4"):
        put(folder, one=text)
        kept = {"figures/mine": "mine", "deep/down/.hidden": "mine"}
        assert contents(folder) == {"one": text} | kept
        assert os.readlink(folder / "link") == "/nowhere" and (folder / "to folder").is_symlink()


def test_a_folder_that_no_run_wrote_loses_nothing(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "mine").write_text("mine")
    put(tmp_path / "b", one="1")
    assert contents(tmp_path / "b") == {"one": "1", "mine": "mine"}


def test_a_link_stays_a_link_and_a_file_a_file(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    put(tmp_path / "link", one="1")
    assert (tmp_path / "link").is_symlink() and contents(tmp_path / "real") == {"one": "1"}
    with pytest.raises(NotADirectoryError, match="not a folder"):
        put(tmp_path / "real" / "one", two="2")
    with pytest.raises(NotADirectoryError):
        check_folder(tmp_path / "real" / "one")
    check_folder(tmp_path / "missing")
    assert contents(tmp_path / "real") == {"one": "1"}


@pytest.mark.parametrize("breaks", [KeyboardInterrupt, PermissionError])
def test_whatever_breaks_a_run_loses_nothing(tmp_path, monkeypatch, breaks):
    folder, rename = tmp_path / "b", os.rename
    put(folder, one="1")
    (folder / "mine").write_text("mine")

    def rename_but_into_place(old, new):
        if os.path.basename(new) == "b" and not os.path.basename(old).startswith(".icgd-was-"):
            raise breaks
        rename(old, new)

    monkeypatch.setattr(os, "rename", rename_but_into_place)
    with pytest.raises(breaks):
        put(folder, one="2")
    assert contents(folder) == {"one": "1", "mine": "mine"} and os.listdir(tmp_path) == ["b"]


def test_what_a_killed_run_had_moved_aside_is_put_back(tmp_path):
    folder = tmp_path / "b"
    put(folder, one="1")
    (folder / "mine").write_text("mine")
    folder.rename(tmp_path / ".icgd-was-b")
    with pytest.raises(KeyboardInterrupt), replacing(folder):
        raise KeyboardInterrupt
    assert contents(folder) == {"one": "1", "mine": "mine"} and os.listdir(tmp_path) == ["b"]
    folder.rename(tmp_path / ".icgd-was-b")
    put(folder, one="2")
    assert contents(folder) == {"one": "2", "mine": "mine"} and os.listdir(tmp_path) == ["b"]


def test_what_was_moved_aside_goes_once_its_place_is_taken(tmp_path):
    (tmp_path / ".icgd-was-b").mkdir()
    put(tmp_path / "b", one="1")
    assert contents(tmp_path / "b") == {"one": "1"} and os.listdir(tmp_path) == ["b"]


def test_runs_at_the_same_time_do_not_mix(tmp_path):
    folder, seen = tmp_path / "b", []

    def write(name):
        for index in range(15):
            put(folder, one=f"{name}{index}", two=f"{name}{index}")

    writers = [threading.Thread(target=write, args=(name,)) for name in "xyz"]
    put(folder, one="start", two="start")
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        try:
            at = os.open(folder, os.O_RDONLY)  # the folder itself, whatever stands in its place later
        except FileNotFoundError:
            continue
        try:
            texts = {read(name, at) for name in ("one", "two")}
        except FileNotFoundError:
            continue
        finally:
            os.close(at)
        seen.append(texts)
    assert all(len(texts) == 1 for texts in seen)
    assert set(contents(folder)) == {"one", "two"} and len(set(contents(folder).values())) == 1
    assert os.listdir(tmp_path) == ["b"]
