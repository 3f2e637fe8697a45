"""The speed of the structured evaluation, and the memory that it and the builder take.

Ratios are of the smallest times over rounds in which both sides alternate; they are in `extra_info`.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import pytest
import torch

from icgd.bounds.problem import Problem
from icgd.construct.block import transformer as steps
from icgd.construct.block.dense import DenseTransformer, dense_bytes
from icgd.construct.block.machine_code import machine_code
from icgd.construct.prompt import split_weights
from icgd.construct.relu_icgd import build
from icgd.verify.descent import project
from icgd.verify.search.prompts import random_prompts

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.usefixtures("one_thread")


def prompt_for(problem, batch=1):
    return random_prompts(problem, batch, torch.Generator().manual_seed(0))


def fastest(*functions, rounds=7):
    """The smallest time of each function, called in turn so that both meet the same machine.

    Of this thread, the only one: what other processes do at the time does not count.
    """
    best = [float("inf")] * len(functions)
    for function in functions:
        function()
    for _ in range(rounds):
        for k, function in enumerate(functions):
            start = time.thread_time()
            function()
            best[k] = min(best[k], time.thread_time() - start)
    return best


def fresh(code):
    """The JSON that `code` prints in a process of its own."""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.benchmark(group="block")
def test_structured_against_dense(benchmark):
    """One block on the same stream, by slots and by literal matrices; goal: 100 times faster."""
    problem = Problem(N=3, K=16, d=8, n=256, eps=1e-3, L=1)
    transformer = build(problem)
    dense = DenseTransformer(transformer)
    H = transformer.stream.pack(transformer.stream.open(prompt_for(problem)))
    with torch.no_grad():
        assert (transformer(H) - dense(H)).abs().max() < 1e-9
        structured, literal = fastest(lambda: transformer(H), lambda: dense(H), rounds=3)
        benchmark(transformer, H)
    benchmark.extra_info.update(
        dense_over_structured=literal / structured,
        goal="at least 100",
        dense_seconds=literal,
        dense_GiB=dense_bytes(transformer) / 2**30,
    )
    assert literal > 20 * structured


@pytest.mark.benchmark(group="step")
def test_a_step_against_autograd(benchmark):
    """A simulated step against torch's own gradient of the same batch; goal: at most 1.5 times slower.

    Beside it the structured reading in torch alone, which runs where numba is not installed, and the least
    that a step can cost: its products of matrices, which descent needs as well.
    """
    problem = Problem(N=3, K=64, d=16, n=4096)
    transformer, prompt = build(problem), prompt_for(problem)

    def autograd():
        w = prompt.w.clone().requires_grad_()
        p = prompt.x
        for v in split_weights(problem, w):
            p = torch.tanh(p @ v.transpose(-1, -2))
        loss = ((p - prompt.y) ** 2).sum() / (2 * problem.n)
        return project(problem, w.detach() - problem.eta * torch.autograd.grad(loss, w)[0])

    def step():
        with torch.no_grad():
            return transformer.step(prompt)

    def in_torch():
        with mock.patch.object(steps, "_WORTH", float("inf")):
            return step()

    V = [v[0] for v in split_weights(problem, prompt.w)]
    p = [torch.rand(problem.n + 1, size, dtype=torch.float64) for size in problem.dims]

    def products():
        for j, v in enumerate(V):
            p[j] @ v.T
            p[j + 1].T @ p[j]
            if j:
                p[j + 1] @ v

    assert (step() - autograd()).norm() <= problem.eta * problem.eps
    assert (step() - in_torch()).abs().max() < 1e-14
    simulated, plain, exact, least = fastest(step, in_torch, autograd, products, rounds=25)
    benchmark(step)
    benchmark.extra_info.update(
        step_over_autograd=simulated / exact,
        goal="at most 1.5",
        in_torch_alone_over_autograd=plain / exact,
        products_of_matrices_over_autograd=least / exact,
        machine_code=machine_code() is not None,
        autograd_seconds=exact,
        threads=torch.get_num_threads(),
    )
    assert simulated < 20 * exact


_PEAK = """
def peak():
    "Peak resident GiB of this process image; ru_maxrss would count the parent's, inherited over fork."
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 2**20
"""

_MEMORY = """
import json, sys, torch
torch.set_num_threads(1)
sys.path.insert(0, ".")
from icgd.bounds.problem import Problem
from icgd.construct.relu_icgd import build
from icgd.verify.descent import project
from icgd.verify.search.prompts import random_prompts
problem = Problem(N=3, K=16, d=4, n={n}, eps=1e-2)
transformer, prompt = build(problem), random_prompts(problem, 1, torch.Generator().manual_seed(0))
before = peak()
transformer.step(prompt)
print(json.dumps([before, peak()]))
"""


@pytest.mark.benchmark(group="examples")
@pytest.mark.parametrize("n", [1_000, 10_000, 100_000, 1_000_000])
def test_linear_in_the_number_of_examples(benchmark, n):
    """Time a step at n examples against n = 1000; peak resident memory of a process that takes one step."""
    problems = [Problem(N=3, K=16, d=4, n=size, eps=1e-2) for size in (1_000, n)]
    pairs = [(build(problem), prompt_for(problem)) for problem in problems]
    with torch.no_grad():
        base, here = fastest(*(lambda t=t, p=p: t.step(p) for t, p in pairs), rounds=5)
        benchmark(pairs[1][0].step, pairs[1][1])
    before, after = fresh(_PEAK + _MEMORY.format(n=n))
    prompt_MiB = sum(part.nbytes for part in (pairs[1][1].x, pairs[1][1].y)) / 2**20
    benchmark.extra_info.update(
        time_over_n_1000=here / base,
        examples_over_1000=n / 1000,
        peak_before_step_MiB=1024 * before,
        peak_after_step_MiB=1024 * after,
        prompt_MiB=prompt_MiB,
    )
    assert here / base < 4 * n / 1000 and after - before < 0.25


_BUILD = """
import json, sys, time
sys.path.insert(0, ".")
from icgd.bounds.problem import Problem
from icgd.construct.relu_icgd import build
from icgd.bounds.step_error.plan import plan
imported, start = peak(), time.perf_counter()
problem = Problem(N={N}, eps={eps})
made = plan(problem)
planned, seconds = peak(), time.perf_counter() - start
build(problem)
print(json.dumps([imported, planned, peak(), seconds, time.perf_counter() - start, made.units]))
"""


@pytest.mark.benchmark(group="build")
@pytest.mark.parametrize(("N", "eps"), [(3, 1e-3), (3, 1e-5), (3, 1e-7)])
def test_building_at_fine_tolerances(benchmark, N, eps):
    """Peak resident memory of a process that plans and builds at width 4; goal: below 2 GiB at 1e-7."""
    code = _PEAK + _BUILD.format(N=N, eps=eps)
    imported, planned, built, plan_seconds, seconds, units = benchmark.pedantic(fresh, (code,), rounds=1)
    benchmark.extra_info.update(
        peak_GiB=built, goal="below 2", peak_after_plan_GiB=planned, peak_after_import_GiB=imported,
        plan_seconds=plan_seconds, plan_and_build_seconds=seconds, units=units,
    )  # fmt: skip
    assert built < 4
