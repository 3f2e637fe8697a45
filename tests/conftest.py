"""How the tests are run: which examples Hypothesis draws, which tools a test needs, what comes first."""

import gc
import shutil
from collections import Counter
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, is_hypothesis_test, settings

HERE = Path(__file__).parent
FIRST = (
    "reports/document/test_agreement.py",
    "verify/coq/test_export.py",
    "reports/latex/test_source.py",
    "verify/ledger/test_entries.py",
)
"""Modules with a fixture that takes long: workers steal each other's last tests and would set it up twice."""

TIMES = 10
"""How often `make fuzz` runs each test, with new examples every time."""

# Neither a deadline nor a slow draw fails a test: on a busy machine both are the others' doing.
UNTIMED = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("fixed", derandomize=True, database=None, **UNTIMED)
settings.register_profile("fuzz", print_blob=True, **UNTIMED)
settings.load_profile("fixed")  # --hypothesis-profile loads another one later

NAMES = {"chromium": ("chromium", "chromium-browser", "google-chrome")}
"""Programs that go by several names; any of them will do."""


def pytest_configure(config):
    config.addinivalue_line("markers", "needs(*tools): is left out where one of these programs is missing")


def is_there(tool):
    if tool == "a CUDA device":
        return torch.cuda.is_available()
    return any(map(shutil.which, NAMES.get(tool, (tool,))))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    needed = {tool for mark in item.iter_markers("needs") for tool in mark.args}
    if missing := sorted(tool for tool in needed if not is_there(tool)):
        item.user_properties += [("missing", tool) for tool in missing]
        pytest.skip(f"needs {' and '.join(missing)}")


def pytest_generate_tests(metafunc):
    """In `make fuzz` every Hypothesis test runs several times."""
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
        terminalreporter.section("tools that are missing here")
        for tool, count in sorted(counts.items()):
            terminalreporter.write_line(f"{tool}: {count} test{'s'[: count != 1]} left out")
        terminalreporter.write_line(f"{sum(map(bool, left_out))} tests left out in all")
    if settings.get_current_profile_name() == "fuzz" and (failed := stats.get("failed")):
        terminalreporter.section("to replay what failed")
        terminalreporter.write_line(
            "the examples are kept in .hypothesis/ and come first when run again here:"
        )
        for test in sorted({report.nodeid.partition("[")[0] for report in failed}):
            terminalreporter.write_line(f"    .venv/bin/python -m pytest --hypothesis-profile fuzz {test}")
        terminalreporter.write_line(
            "elsewhere: paste the line @reproduce_failure(...), printed above, over the test, and run it"
        )


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Libraries and tests live as long as the run: nothing is gained by looking through them again."""
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
