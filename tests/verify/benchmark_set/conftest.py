"""One certified network, and the set that is written about it."""

import pytest

from icgd.verify.benchmark_set.certified_networks import CertifiedNetwork
from icgd.verify.benchmark_set.writing import write_benchmark_set


@pytest.fixture(scope="session")
def tiny():
    return CertifiedNetwork.make("tiny")


@pytest.fixture(scope="session")
def tiny_set(tmp_path_factory):
    folder = tmp_path_factory.mktemp("benchmark") / "set"
    return folder, write_benchmark_set(folder, ["tiny"])
