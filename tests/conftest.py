"""Settings of all tests: Hypothesis profiles, tests that need installed programs, the order of slow tests."""

import gc
import shutil
from collections import Counter
from pathlib import Path

import jaxtyping
import pytest
import torch
from hypothesis import HealthCheck, is_hypothesis_test, settings

from tests import shapes

shapes.hold()

HERE = Path(__file__).parent
FIRST = (
    "reports/document/test_agreement.py",
    "verify/coq/test_export.py",
    "reports/latex/test_source.py",
    "verify/ledger/test_entries.py",
)
"""Modules with a slow fixture: run first, since a worker that takes over late tests would set it up again."""

TIMES = 10
"""How often the profile fuzz runs each test, with new examples every time."""

# No deadline and no check for slow draws: on a busy machine, other processes cause both.
UNTIMED = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("fixed", derandomize=True, database=None, **UNTIMED)
settings.register_profile("fuzz", print_blob=True, **UNTIMED)
settings.load_profile("fixed")  # --hypothesis-profile loads another one later

NAMES = {"chromium": ("chromium", "chromium-browser", "google-chrome")}
"""Tools that are installed under one of several names."""


def pytest_configure(config):
    config.addinivalue_line("markers", "needs(*tools): skip the test if one of these programs is missing")


def is_there(tool):
    if tool == "a CUDA device":
        return torch.cuda.is_available()
    return any(map(shutil.which, NAMES.get(tool, (tool,))))


@pytest.fixture
def one_thread():
    """Sums in the same order every time; and more threads than free cores make torch wait for itself."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    needed = {tool for mark in item.iter_markers("needs") for tool in mark.args}
    if missing := sorted(tool for tool in needed if not is_there(tool)):
        item.user_properties += [("missing", tool) for tool in missing]
        pytest.skip(f"needs {' and '.join(missing)}")


def pytest_generate_tests(metafunc):
    """Under the profile fuzz, run every Hypothesis test TIMES times."""
    if settings.get_current_profile_name() == "fuzz" and is_hypothesis_test(metafunc.function):
        metafunc.fixturenames.append("time")
        metafunc.parametrize("time", range(1, TIMES + 1))


def pytest_terminal_summary(terminalreporter):
    stats = terminalreporter.stats
    left_out = [
        {tool for name, tool in report.user_properties if name == "missing"}
        for report in stats.get("skipped", [])
    ]
    if counts := Counter(tool for tools in left_out for tool in tools):
        terminalreporter.section("missing tools")
        for tool, count in sorted(counts.items()):
            terminalreporter.write_line(f"{tool}: {count} test{'s'[: count != 1]} skipped")
        terminalreporter.write_line(f"{sum(map(bool, left_out))} tests skipped in all")
    if settings.get_current_profile_name() == "fuzz" and (failed := stats.get("failed")):
        terminalreporter.section("how to replay the failures")
        terminalreporter.write_line("on this machine the failing examples are in .hypothesis/ and run first:")
        for test in sorted({report.nodeid.partition("[")[0] for report in failed}):
            terminalreporter.write_line(f"    .venv/bin/python -m pytest --hypothesis-profile fuzz {test}")
        terminalreporter.write_line(
            "on another machine: put the line @reproduce_failure(...), printed above, before the test"
        )


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Keep the garbage collector from scanning the libraries and tests, which live as long as the run."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.collect()
        gc.freeze()


def pytest_collection_modifyitems(items):
    place = {HERE / name: index for index, name in enumerate(FIRST)}
    items.sort(key=lambda item: place.get(item.path, len(place)))


@pytest.fixture
def any_shapes():
    """For what a function itself says of wrong shapes: here its signature does not refuse them first."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
