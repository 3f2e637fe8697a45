"""How a run of the tests is prepared: long fixtures first, and no garbage sought among what stays anyway."""

import gc
import os
from pathlib import Path

import pytest
from hypothesis import settings

HERE = Path(__file__).parent
FIRST = ("reports/test_agreement.py", "verify/test_coq.py", "reports/test_latex.py", "verify/test_ledger.py")
"""Modules with a fixture that takes long: workers steal each other's last tests and would set it up twice."""

settings.register_profile("fixed", derandomize=True, database=None)
settings.register_profile("fuzz", max_examples=1000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))


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
