"""The survey in a background process: the same figures as in this process, and the process always ends."""

import os
import select
import signal
import subprocess
import sys

import pytest

from icgd.bounds.letters import ProblemError
from icgd.bounds.problem import Problem
from icgd.bounds.progress import silent
from icgd.verify.survey.background import surveying
from icgd.verify.survey.surveys import depths, losses, sizes

PROBLEM = Problem(N=2, K=2, d=2, n=4, L=2, eps=0.2)
GIVEN = {"seed": 3, "device": "cpu"}


@pytest.fixture
def started(monkeypatch):
    """The processes that were started meanwhile."""
    processes, popen = [], subprocess.Popen

    def start(*given, **options):
        processes.append(popen(*given, **options))
        return processes[-1]

    monkeypatch.setattr(subprocess, "Popen", start)
    return processes


def titles(plots):
    return [plot.title for plot in plots]


@pytest.mark.slow
def test_figures_are_those_of_this_process(started):
    steps = []

    def counted(what, total):
        steps.append((what, total))
        return silent(what, total)

    with surveying(PROBLEM, "lean", followed="", **GIVEN) as surveyed:
        found = surveyed(counted)
    here = (*sizes(PROBLEM), *depths(PROBLEM, seed=3), *losses(PROBLEM, seed=3))
    assert steps == [("survey", 6)] and titles(found) == titles(here)
    assert found[:2] == here[:2]  # no random numbers, so not a bit is different
    for one, other in zip(found, here, strict=True):
        for beside, own in zip(one.curves, other.curves, strict=True):
            assert (beside.label, beside.x) == (own.label, own.x)
            assert beside.y == pytest.approx(own.y, rel=1e-6)
    assert [process.poll() is not None for process in started] == [True]


def test_surveys_that_do_not_apply_are_not_requested():
    relu = Problem.parse({"N": 2, "K": 2, "d": 2, "n": 4, "activation": "relu"})
    with surveying(relu, "exact", followed="", **GIVEN) as surveyed:
        assert titles(surveyed(silent)) == [
            "Loss on diabetes data",
            "Distance from exact descent on diabetes data",
        ]
    with surveying(relu, "exact", followed="diabetes", **GIVEN) as surveyed:
        assert surveyed(silent) == ()
    with pytest.raises(ProblemError), surveying(relu, "lean", followed="", **GIVEN):
        pass


def test_leaving_early_ends_the_process(started):
    with pytest.raises(KeyboardInterrupt), surveying(PROBLEM, "lean", followed="", **GIVEN):
        assert os.getsid(started[0].pid) == started[0].pid  # no Ctrl-C reaches it
        raise KeyboardInterrupt
    assert started[0].returncode is not None


@pytest.mark.slow
def test_what_a_process_that_died_did_not_answer_is_computed_here(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with surveying(PROBLEM, "lean", followed="", **GIVEN) as surveyed:
        found = surveyed(silent)
    assert found == (*sizes(PROBLEM), *depths(PROBLEM, seed=3), *losses(PROBLEM, seed=3))


@pytest.mark.slow
def test_modules_in_the_folder_of_the_user_are_not_taken_for_ours(started, tmp_path, monkeypatch):
    (tmp_path / "queue.py").write_text("raise SystemExit('not this one')")
    monkeypatch.chdir(tmp_path)
    with surveying(PROBLEM, "lean", followed="diabetes", **GIVEN):
        assert started[0].stdout.readline().startswith('[{"title": "Step error over depth"')


PARENT = """
import signal, subprocess, sys
from icgd.bounds.problem import Problem
from icgd.verify.survey.background import surveying
held, folder, how = sys.argv[1:]
if int(how) != signal.SIGKILL:
    signal.signal(int(how), signal.SIG_DFL)  # `nohup make test` ignores SIGHUP, and children inherit that
sys.path.insert(0, folder)
started, popen = [], subprocess.Popen

def start(*given, **options):
    started.append(popen(*given, **options, pass_fds=[int(held)]))
    return started[-1]

subprocess.Popen = start
with surveying(Problem(N=2, K=2, d=2, n=4, eps=0.2), "lean", followed="", seed=0, device="cpu"):
    while started[0].stdout.readline() != "asleep\\n":
        pass
    print(started[0].pid, flush=True)
    sys.stdin.read()
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL, signal.SIGHUP])
def test_the_process_ends_with_its_parent_however_that_ends(how, tmp_path):
    # Its second survey never ends: it takes its data from here.
    (tmp_path / "sklearn").mkdir()
    (tmp_path / "sklearn" / "__init__.py").write_text(
        "import time\nprint('asleep', flush=True)\ntime.sleep(1e6)"
    )
    reader, writer = os.pipe()  # both processes hold the other end: once it is closed, both are gone
    words = [sys.executable, "-c", PARENT, str(writer), str(tmp_path), str(int(how))]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, pass_fds=[writer]
    ) as parent:
        os.close(writer)
        child = int(parent.stdout.readline())
        parent.send_signal(how)
        assert parent.wait() == -how
    gone, _, _ = select.select([reader], [], [], 300)
    os.close(reader)
    if not gone:
        os.kill(child, signal.SIGKILL)
        pytest.fail("the process of the survey stays without its parent")
