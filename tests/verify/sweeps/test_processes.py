"""Processes that are killed: their task is begun again in a new one, and the others never notice."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from icgd.bounds.letters import ProblemError
from icgd.verify.sweeps import processes
from icgd.verify.sweeps.processes import ProcessEnded, Processes, Stopped

WORKER = """
import json, os, sys, time
for line in sys.stdin:
    asked = json.loads(line)
    if "die" in asked and not os.path.exists(asked["die"]):
        if asked.get("once"):
            open(asked["die"], "w").close()
        sys.stdout.write("half a l")
        sys.stdout.flush()
        os.kill(os.getpid(), 9)
    if "refuse" in asked:
        print(json.dumps({"error": ["N", "0", "not today"]}), flush=True)
        continue
    time.sleep(asked.get("sleep", 0))
    print(json.dumps({"row": {"pid": os.getpid(), "x": asked.get("x")}}), flush=True)
"""


@pytest.fixture
def made(monkeypatch):
    def start():
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "encoding": "utf-8"}
        return subprocess.Popen([sys.executable, "-c", WORKER], **pipes)

    monkeypatch.setattr(processes, "_start", start)
    made = Processes()
    yield made
    made.end()


def row(made, **asked):
    return json.loads(made.perform(json.dumps(asked)))["row"]


def test_a_task_whose_process_is_killed_is_begun_again(made, tmp_path):
    first = row(made, x=1)
    assert row(made, x=2)["pid"] == first["pid"]
    again = row(made, x=3, die=str(tmp_path / "died"), once=True)
    assert again["x"] == 3 and again["pid"] != first["pid"]
    os.kill(again["pid"], signal.SIGKILL)  # while it has nothing to do
    assert row(made, x=4)["x"] == 4


def test_a_task_that_ends_every_process_is_said_to(made, tmp_path):
    with pytest.raises(ProcessEnded, match="its process ended 3 times, the last time by SIGKILL"):
        row(made, die=str(tmp_path / "never"))
    assert row(made, x=1)["x"] == 1
    with pytest.raises(ProblemError, match="N = 0: not today"):
        row(made, refuse=True)


def test_the_end_stops_what_runs(made):
    stopped = []

    def wait():
        try:
            row(made, sleep=60)
        except Stopped:
            stopped.append(True)

    thread = threading.Thread(target=wait)
    thread.start()
    while not made._all:
        time.sleep(0.01)
    made.end()
    thread.join(20)
    assert stopped == [True] and all(one.poll() is not None for one in made._all)
    with pytest.raises(Stopped):
        row(made, x=1)
