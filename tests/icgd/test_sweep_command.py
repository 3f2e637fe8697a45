"""`icgd sweep` and `icgd plot`: every command and piece of Python of docs/sweeps.md."""

import re
import shlex
from pathlib import Path

import pytest

from icgd import cli
from icgd.bounds.letters import ProblemError
from icgd.verify.sweeps import posed_sweep, run, shards
from tests.closed_schemas import as_documented

PAGE = (Path(__file__).parents[2] / "docs" / "sweeps.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    icgd (.*?)(?: +# .*)?$", PAGE, flags=re.MULTILINE)


def command(capsys, *arguments):
    code = cli.main(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture
def in_process(monkeypatch, tmp_path):
    """Tasks run here instead of in processes, each of which would load the libraries again."""
    from concurrent.futures import ThreadPoolExecutor
    from contextlib import contextmanager

    @contextmanager
    def here(jobs):
        with ThreadPoolExecutor(1) as executor:
            yield run.Workers(executor, at_once=run.check_jobs(jobs))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(posed_sweep, "local_workers", here)
    monkeypatch.setattr("icgd.reports.command.audit.local_workers", here)
    monkeypatch.setattr(shards, "SHARD", 200)


def test_the_commands_and_the_python_of_the_page_run(capsys, in_process):
    assert len(COMMANDS) == 5
    for line in COMMANDS[:4]:
        smaller = line.replace("N=1,2 eps=0.4:0.04:3", "N=1 eps=0.4:0.04:2")
        words = shlex.split(smaller)
        code, out, err = command(capsys, *words, "--json", "found.json")
        assert code == cli.KEPT, (line, out, err)
        as_documented(words[0], Path("found.json").read_text(encoding="utf-8"))
    assert Path("out/units.png").read_bytes()[:4] == b"\x89PNG"
    assert b"<svg" in Path("out/plot.svg").read_bytes()
    assert "eps" not in err and "T = 1, 2" in err and "2 problems, bounds verify: about" in err
    assert "by 2 processes" in err
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    exec(block, {})
    assert capsys.readouterr().out == "4 4 True\n"
    for column in ("units", "fewest_units", "built_heads", "outcome"):
        assert column in Path("out/sweep/table.csv").read_text(encoding="utf-8") or column in PAGE


def test_a_large_sample_is_the_same_for_any_number_of_jobs(capsys, in_process):
    words = [word.replace("2e6", "5e2") for word in shlex.split(COMMANDS[4])]
    found = []
    for jobs in ("1", "3"):
        code, out, _ = command(capsys, *words[:-1], jobs, "--out", f"jobs{jobs}", "--json", "-")
        document = as_documented("verify", out)
        found.append((document["step_error"], document["verdicts"]))
        assert code == cli.KEPT and len(list(Path(f"jobs{jobs}").rglob("rows/*/*.json"))) == 3
    assert found[0] == found[1]
    step = next(one for one in found[0][1] if one["claim"].endswith("/step-error"))
    assert "over 500 random prompts" in step["evidence"]


def test_one_is_told_as_one(capsys, in_process):
    code, out, err = command(capsys, "sweep", "looped", "--grid", "T=2")
    assert code == cli.KEPT and "1 problem: 1 done" in out and "1 problem, bounds" in err
    code, out, _ = command(capsys, "plot", "out/sweep/table.csv", "--x", "T", "--y", "steps")
    assert code == cli.KEPT and "steps: 1 point, T 2 to 2" in out


def test_more_processes_than_memory_are_refused(monkeypatch):
    monkeypatch.setattr(run, "available_bytes", lambda: 2**30)
    assert run.check_jobs(1) == 1 and run.check_jobs(3) == 3
    with pytest.raises(ProblemError, match="jobs = 4: each process takes about 300 MiB, and 1 GiB is free"):
        run.check_jobs(4)


def test_bad_input_is_one_sentence_before_any_work(capsys, tmp_path):
    for words, said in (
        (["sweep"], "grid = nothing: a grid of problems is needed"),
        (["sweep", "--grid", "N=1", "--samples", "4"], "it is about --with"),
        (["sweep", "--grid", "N=1", "--with", "prove"], "with = prove: it may be build"),
        (["sweep", "--grid", "N=1", "--jobs", "0"], "jobs = 0: a whole number"),
        (
            ["sweep", "--grid", "N=1", "--jobs", "2", "--scheduler", "tcp://x:1"],
            "has its own number",
        ),
        (["sweep", "--grid", "N=0"], "N = 0: a whole number"),
        (
            ["plot", "none.csv", "--x", "a", "--y", "b", "--out", "a.jpg"],
            "a file that ends in .svg",
        ),
        (["plot", "none.csv", "--x", "a", "--y", "b"], "there is no such file"),
        (["plot", "none.csv", "--x", "a", "--y", ","], "y = ,: a column is needed, or several by commas"),
        (["plot", "none.csv", "--x", "a", "--y", "b", "--where", "K"], "COLUMN=VALUE is needed"),
        (["verify", "--samples", "1.5e0"], "samples = 1.5e0: a whole number is needed"),
    ):
        code, out, err = command(capsys, *words)
        assert code == cli.BAD_INPUT and out == "" and said in err and err.count("\n") == 1, words
