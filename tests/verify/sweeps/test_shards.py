"""A sample in parts: the parts are the whole, and the largest error is found again with its prompt."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import torch

import icgd
from icgd.bounds.letters import ProblemError
from icgd.bounds.step_error.plan import plan
from icgd.construct.block.assembly import assemble
from icgd.verify.search.options import Search
from icgd.verify.search.sweep import one_step_errors
from icgd.verify.sweeps import shards
from icgd.verify.sweeps.run import Workers
from icgd.verify.sweeps.shard_row import shard_seed, shard_sweep
from icgd.verify.sweeps.shards import is_sharded, shard_tasks, sharded_sweep

PROBLEM = icgd.Problem(N=1, K=2, d=2, n=3, eps=0.2)
SEARCH = Search(samples=250, construction="lean", seed=5)


@contextmanager
def here():
    with ThreadPoolExecutor(2) as executor:
        yield Workers(executor, at_once=2)


def test_the_whole_is_the_sum_of_its_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "SHARD", 100)
    theorem = icgd.theorem("relu-icgd")
    found = sharded_sweep(theorem, PROBLEM, SEARCH, here, tmp_path)
    posed = {"letters": PROBLEM.as_dict(), "construction": "lean", "seed": 5}
    parts = [shard_sweep({**posed, "index": k, "count": c}) for k, c in enumerate((100, 100, 50))]
    assert (found.count, found.covered) == (250, 250) == (sum(p.count for p in parts), 250)
    assert found.largest == max(part.largest for part in parts) > 0
    assert float(one_step_errors(assemble(plan(PROBLEM)), found.worst)[0]) == pytest.approx(found.largest)
    assert len({part.largest for part in parts}) == 3  # they drew different prompts
    assert not torch.equal(parts[0].worst.x, parts[1].worst.x)


def test_parts_depend_on_seed_and_size_alone():
    theorem = icgd.theorem("relu-icgd")
    tasks = shard_tasks(theorem, PROBLEM, Search(samples=10**9))
    assert len(tasks) == 1000 and len({task.key for task in tasks}) == 1000
    assert len(shard_tasks(theorem, PROBLEM, Search(samples=10**12))) == 10_000
    assert len({shard_seed(seed, index) for seed in range(30) for index in range(30)}) == 900
    assert is_sharded(theorem, Search(samples=10**6 + 1)) and not is_sharded(theorem, Search(samples=10**6))
    assert not is_sharded(icgd.theorem("looped"), Search(samples=10**9))


def test_a_part_that_is_refused_ends_it(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "SHARD", 100)
    impossible = icgd.Problem(N=1, K=2, d=2, n=3, eps=1e-12, B_x=1e6)
    with pytest.raises(ProblemError, match="a part of them was not drawn"):
        sharded_sweep(icgd.theorem("relu-icgd"), impossible, SEARCH, here, tmp_path)
