"""Judging in pieces: a study that is killed again and again ends in the same bytes; what is kept."""

import json
import math
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import torch
from safetensors.torch import load_file

from icgd.bounds.progress import Progress
from icgd.verify.study import judged_pieces
from icgd.verify.study.judged_pieces import JudgedPiece, judge_pieces, seconds_left

KILLED = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = {path!r}
import torch
from icgd.cli import main
from icgd.verify.study import discrepancy, network_judging
from icgd.verify.study.network_scales import SCALES
from tests.verify.study.test_train_cells import SMALLEST

torch.set_num_threads(1)
SCALES["tiny"] = SMALLEST
network_judging.SLOW = ("network, last epoch", "network, validated")
discrepancy.DESCENT_STEPS = (1, 5)
replace = os.replace

def study(folder):
    return main(["study", "icl-networks", "--out", folder])

def run(folder, last):
    '''A study in a process of its own, killed before or after it writes a file, at event number `last`.'''
    child = os.fork()
    if not child:
        events = iter(range(10**9))
        def event():
            if next(events) == last:
                os.kill(os.getpid(), signal.SIGKILL)
        def counted(*paths):
            event()
            replace(*paths)
            event()
        os.replace = counted
        os._exit(study(folder))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

whole, killed = sys.argv[1:]
assert study(whole) == 0  # here, so that nothing is left to be imported in the others
kept, last = {{}}, 0
while (code := run(killed, last)) == -signal.SIGKILL:
    now = {{path: path.stat().st_mtime_ns for path in Path(killed).glob("*/judged/*.json")}}
    assert kept.items() <= now.items(), "a piece that was kept is computed again"
    kept, last = now, last + 3
assert code == 0
print(last, len(kept), file=sys.stderr)
"""


@pytest.mark.slow
def test_a_study_that_is_killed_again_and_again_ends_in_the_same_bytes(tmp_path):
    """Every run is killed a little later than the one before: in training, in judging, before results are."""
    folders = tmp_path / "whole", tmp_path / "killed"
    code = KILLED.format(path=[one for one in sys.path if one])
    done = subprocess.run([sys.executable, "-c", code, *map(str, folders)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    last, kept = map(int, done.stderr.split()[-2:])
    assert last > 30 and kept > 50
    names = {path.relative_to(folders[0]) for path in folders[0].rglob("*") if path.is_file()}
    results = [name for name in names if name.suffix in (".json", ".csv", ".safetensors", ".npz")]
    assert {"result.json", "result.csv"} < {name.name for name in results} and len(results) > 60
    for name in results:
        if name.suffix != ".safetensors":  # the order of their metadata is chance
            assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes(), name
            continue
        one, other = (load_file(folder / name) for folder in folders)
        assert one.keys() == other.keys() and all(torch.equal(one[part], other[part]) for part in one)


def test_pieces_are_kept_for_their_inputs_and_time_left_is_told_of_the_others(tmp_path, monkeypatch):
    computed, told = [], []

    def piece(name, **inputs):
        return JudgedPiece(name, inputs, 3.0, lambda: computed.append(name) or [0.1, math.nan, name])

    @contextmanager
    def begin(what, total, seconds):
        told.append(total)
        yield lambda done: None

    pieces = [piece("a b", seed=0), piece("c", seed=0)]
    assert judge_pieces(pieces, tmp_path, stop=lambda: True) is None
    assert computed == ["a b"] and seconds_left(pieces, tmp_path) == 3
    found = judge_pieces(pieces, tmp_path, Progress(begin))
    assert computed == ["a b", "c"] and told == [3] and list(found) == ["a b", "c"]
    assert found["a b"][0] == 0.1 and math.isnan(found["a b"][1])
    assert str(judge_pieces(pieces, tmp_path, Progress(begin))) == str(found) and told == [3]
    judge_pieces([piece("a b", seed=1)], tmp_path)
    assert computed == ["a b", "c", "a b"]  # of other inputs
    file = pieces[1].file(tmp_path)
    whole = file.read_text(encoding="utf-8")
    invented = [whole.replace("0.1,", other) for other in ("0.2,", "0,", "null,", '"0.1",')]
    nested = f'{{"key": "{pieces[1].key}", "sha256": "", "value": {"[" * 100_000}'
    typed = [re.sub('"(key|sha256)": "[^"]*"', rf'"\1": {one}', whole) for one in ("3", "[]", "null")]
    without = whole.replace('"sha256"', '"sha255"')
    for damaged in ("", "[]", '{"key": 3}', '{"key', *invented, nested, *typed, without):
        assert damaged != whole
        file.write_text(damaged, encoding="utf-8")
        judge_pieces(pieces[1:], tmp_path)
        assert file.read_text(encoding="utf-8") == whole
    file.unlink()
    file.mkdir()
    for _ in range(2):
        assert judge_pieces(pieces[1:], tmp_path)["c"][2] == "c"
    file.rmdir()
    judge_pieces(pieces[1:], tmp_path)
    assert computed[3:] == ["c"] * 16
    monkeypatch.setattr(judged_pieces, "release", lambda: "another")
    judge_pieces(pieces[1:], tmp_path)
    monkeypatch.setattr("torch.get_num_threads", lambda: 99)
    judge_pieces(pieces[1:], tmp_path)
    assert computed[19:] == ["c"] * 2
    assert json.loads(pieces[1].file(tmp_path).read_text(encoding="utf-8"))["value"][2] == "c"


def test_two_processes_on_one_folder_compute_nothing_twice(tmp_path):
    """Here two threads with pieces of one order; each piece is long enough that both would compute it."""
    computed = []

    def piece(name):
        def compute():
            computed.append(name)
            time.sleep(0.01)
            return name

        return JudgedPiece(name, {}, 1.0, compute)

    names = [str(number) for number in range(8)]
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(judge_pieces, list(map(piece, names)), tmp_path) for _ in range(2)]
        assert [run.result() for run in runs] == [dict(zip(names, names, strict=True))] * 2
    assert sorted(computed) == names
    later = [piece("a"), JudgedPiece("b", {}, 1.0, lambda: piece("c").keep(tmp_path)), piece("c")]
    assert judge_pieces(later, tmp_path) == {"a": "a", "b": "c", "c": "c"}
    assert computed[8:] == ["a", "c"]  # the last was kept by another meanwhile
