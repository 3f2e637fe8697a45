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
    no_address = r"tcp://HOST:PORT or tls://HOST:PORT is needed, such as tcp://localhost:8786$"
    refused = {
        "tcp://127.0.0.1:9": "no Dask scheduler answers there",
        "tls://[::1]:9": "no Dask scheduler answers",
    }
    refused |= dict.fromkeys(
        ("nonsense://x", "tcp://x", "tcp://x:0", "tcp://x:65536", "x:8786", ""), no_address
    )
    for address, why in refused.items():
        with pytest.raises(ProblemError, match=why):
            sweep_grid("looped", "n=8", scheduler=address, out="/nonexistent")
