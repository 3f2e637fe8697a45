"""Dask: a local cluster of two workers, one of which is killed on purpose."""

import os
import signal
import threading
import time

import pytest

from icgd.bounds.letters import ProblemError
from icgd.verify.sweeps.posed_sweep import sweep_grid

GRID = "N=1,2 eps=0.4,0.2,0.1"
ASKED = {"letters": {"K": 2, "d": 2, "n": 4, "L": 2}, "steps": ["verify"], "samples": 200}


@pytest.mark.slow
def test_a_killed_worker_of_a_cluster_changes_no_byte(tmp_path):
    distributed = pytest.importorskip("distributed")
    plain, found = tmp_path / "plain", tmp_path / "cluster"
    sweep_grid("relu-icgd", GRID, **ASKED, out=plain)
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        with distributed.Client(cluster) as client:
            victim = next(iter(client.run(os.getpid).values()))

        def kill_one():
            while not list(found.glob("rows/*/*.json")):
                time.sleep(0.05)
            os.kill(victim, signal.SIGKILL)

        killer = threading.Thread(target=kill_one)
        killer.start()
        sweep_grid("relu-icgd", GRID, **ASKED, scheduler=cluster.scheduler_address, out=found)
        killer.join(60)
        assert not killer.is_alive()
    for name in ("table.parquet", "table.csv"):
        assert (found / name).read_bytes() == (plain / name).read_bytes()


def test_a_scheduler_that_is_not_there_is_one_sentence(monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("icgd.verify.sweeps.cluster._WAIT", 1)
    for address in ("tcp://127.0.0.1:9", "nonsense://x"):
        with pytest.raises(ProblemError, match="no Dask scheduler answers there"):
            sweep_grid("looped", "n=8", scheduler=address, out="/nonexistent")
