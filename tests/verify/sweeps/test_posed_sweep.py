"""Sweeps from a grid to a table: the numbers are those of the theorem, and interruptions change no byte."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pyarrow.parquet
import pytest

import icgd
from icgd.bounds.letters import ProblemError
from icgd.bounds.step_error.plan import plan
from icgd.verify.search.options import Search
from icgd.verify.sweeps import problem_row
from icgd.verify.sweeps.posed_sweep import pose_sweep, row_store, sweep_grid

GRID = "N=1,2 eps=0.4"
OTHER = {"K": 2, "d": 2, "n": 4, "L": 2}


def here(*given, **options):
    with ThreadPoolExecutor(1) as executor:
        return sweep_grid(*given, executor=executor, **options)


def content(folder):
    return [(folder / name).read_bytes() for name in ("table.parquet", "table.csv")]


def test_rows_are_the_numbers_of_plans_and_claims(tmp_path):
    found = here("relu-icgd", GRID, letters=OTHER, out=tmp_path)
    assert [(row["N"], row["eps"]) for row in found.rows] == [(1, 0.4), (2, 0.4)]
    for row in found.rows:
        problem = icgd.Problem(N=row["N"], eps=row["eps"], **OTHER)
        made, asserted = plan(problem), {claim.key: claim.value for claim in icgd.claims(problem)}
        assert (row["units"], row["fewest_units"]) == (made.units, made.fewest_units)
        assert row["bound"] == problem.eta * made.bound and row["heads"] == asserted["relu-icgd/heads"]
        assert row["outcome"] == "done" and row["built_layers"] == 2 * row["N"] + 1
    table = pyarrow.parquet.read_table(tmp_path / "table.parquet")
    assert table.equals(found.arrow) and table.to_pylist() == [dict(row) for row in found.rows]
    assert table.schema.metadata[b"grid"] == b"N = 1, 2; eps = 0.4"
    assert found.arrow.schema.field("heads").type == "int64" and not found.failed


def test_a_second_run_takes_what_is_there_and_a_damaged_row_is_made_again(tmp_path, monkeypatch):
    here("looped", "d=2,3 n=8", letters={"T": 2}, out=tmp_path)
    before, (path, _) = content(tmp_path), sorted(tmp_path.glob("rows/*/*.json"))
    path.write_text(path.read_text(encoding="utf-8")[:40], encoding="utf-8")
    made = []
    plain = problem_row.claim_columns
    monkeypatch.setattr(problem_row, "claim_columns", lambda *given: made.append(given) or plain(*given))
    here("looped", "d=2,3 n=8", letters={"T": 2}, out=tmp_path)
    assert len(made) == 1 and content(tmp_path) == before
    kept = json.loads(path.read_text(encoding="utf-8")) | {"row": {}}
    path.write_text(json.dumps(kept), encoding="utf-8")
    here("looped", "d=2,3 n=8", letters={"T": 2}, out=tmp_path)
    assert len(made) == 2 and content(tmp_path) == before
    posed = pose_sweep("looped", "d=2,3 n=8", {"T": 2})
    text = json.loads(posed.tasks[0].asked)
    other = [
        pose_sweep("looped", "d=2,3 n=8", {"T": 3}),
        pose_sweep("looped", "d=2,3 n=8", {"T": 2}, steps=["build"]),
    ]
    assert len({posed.tasks[0].key, *(one.tasks[0].key for one in other)}) == 3
    assert text["release"] and "samples" not in text


def test_impossible_problems_are_rows_with_their_reason_unless_all_are(tmp_path):
    found = here("relu-icgd", "N=0,1", letters=OTHER, out=tmp_path)
    assert [row["outcome"] for row in found.rows] == ["refused", "done"]
    assert "N = 0: a whole number from 1" in found.rows[0]["reason"] and not found.failed
    for grid, letters, said in (
        ("N=0,-1", {}, "N = 0: a whole number"),
        ("N=1", {"N": 2}, "the grid has values of N, too"),
        ("construction=lean,leaner", {}, "construction = leaner: it is"),
    ):
        with pytest.raises(ProblemError, match=said):
            pose_sweep("relu-icgd", grid, letters)
    for name, value in (("seed", 7), ("construction", "lean")):
        with pytest.raises(ProblemError, match=f"the grid has values of {name}, too"):
            pose_sweep("relu-icgd", "N=1 seed=1 construction=paper", search=Search(**{name: value}))
    for theorem, step, said in (("looped", "certify", "no such step"), ("looped", "prove", "it may be build"),
                                ("convergence", "build", "another theorem")):  # fmt: skip
        with pytest.raises(ProblemError, match=said):
            pose_sweep(theorem, "n=8", steps=[step])


def test_a_crash_is_a_row_too_and_memory_is_asked_again(tmp_path, monkeypatch):
    def broken(*given):
        raise ZeroDivisionError("1/0\nin a proof")

    monkeypatch.setattr(problem_row, "claim_columns", broken)
    found = here("looped", "d=2 n=8", out=tmp_path)
    assert found.rows[0]["outcome"] == "crashed" and found.failed
    assert found.rows[0]["reason"] == "ZeroDivisionError: 1/0 in a proof"
    monkeypatch.undo()
    monkeypatch.setattr(problem_row, "available_bytes", lambda: 0)
    posed = pose_sweep("functional", "n=8", steps=["verify"])
    found = here("functional", "n=8", steps=["verify"], out=tmp_path)
    assert found.rows[0]["outcome"] == "refused" and "does not fit in the memory" in found.rows[0]["reason"]
    assert row_store(tmp_path).get(posed.tasks[0]) is None


def test_verdicts_and_the_census_are_columns(tmp_path):
    found = here("looped", "n=8", letters={"d": 2, "T": 2}, steps=["verify"], out=tmp_path)
    (row,) = found.rows
    judged = icgd.theorem("looped").verify(icgd.LoopedProblem(d=2, T=2, n=8))
    statuses = [verdict.status for verdict in judged.verdicts]
    assert row["proved"] == statuses.count("proved") and row["failed"] == 0 and row["failed_claims"] == ""
    assert {f"counted_{name}" for name in judged.census} <= set(row)


@pytest.mark.slow
def test_the_steps_of_relu_icgd_fill_the_sandwich(tmp_path):
    found = here(
        "relu-icgd", "N=1", letters=OTHER, steps=["attack", "certify"], samples=200, effort=0.02, out=tmp_path
    )
    (row,) = found.rows
    assert 0 < row["sampled"] <= row["attacked"] <= row["certified"] == row["bound"] <= row["allowed"]


@pytest.mark.slow
def test_killing_workers_and_the_whole_changes_no_byte(tmp_path):
    grid = "N=1,2 eps=0.4,0.2,0.1"
    asked = {"letters": OTHER, "steps": ["verify"], "samples": 200}
    here("relu-icgd", grid, **asked, out=tmp_path / "plain")
    killed = tmp_path / "killed"
    words = ["--with", "verify", "--samples", "200", *(f"--{name}={value}" for name, value in OTHER.items())]
    command = [
        sys.executable,
        "-m",
        "icgd",
        "sweep",
        "relu-icgd",
        "--grid",
        grid,
        *words,
        "--out",
        str(killed),
    ]
    whole = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not list(killed.glob("rows/*/*.json")):
        assert whole.poll() is None
        time.sleep(0.05)
    whole.kill()
    whole.wait()
    assert not (killed / "table.csv").exists() and len(list(killed.glob("rows/*/*.json"))) < 6

    def kill_one():
        while len(list(killed.glob("rows/*/*.json"))) < 3 or not (children := _workers()):
            time.sleep(0.05)
        os.kill(children[0], signal.SIGKILL)

    killer = threading.Thread(target=kill_one)
    killer.start()
    sweep_grid("relu-icgd", grid, **asked, out=killed)
    killer.join(60)
    assert not killer.is_alive() and content(killed) == content(tmp_path / "plain")


def _workers():
    import psutil

    return [one.pid for one in psutil.Process().children() if "icgd.verify.sweeps.processes" in one.cmdline()]


def test_a_grid_of_precisions_names_each_and_other_rows_keep_their_key():
    plain = pose_sweep("relu-icgd", "N=1").tasks[0]
    posed = pose_sweep("relu-icgd", "N=1 precision=float64,float32").tasks
    letters = [json.loads(one.asked)["letters"] for one in (plain, *posed)]
    assert "precision" not in letters[0] and list(letters[0].items()) == list(letters[1].items())[:-1]
    assert [one["precision"] for one in letters[1:]] == ["float64", "float32"]


def test_options_that_no_step_uses_do_not_change_the_key():
    keys = [pose_sweep("relu-icgd", "N=1", search=Search(samples=count)).tasks[0].key for count in (1, 2)]
    assert keys[0] == keys[1]
