"""Devices and arithmetic: what is not there, or rounds more than proofs count, is refused in one sentence."""

import pytest
import torch

from icgd.bounds.letters import ProblemError
from icgd.bounds.problem import Problem
from icgd.construct.block.dense import DenseTransformer
from icgd.construct.machine.device import check_arithmetic, check_device
from icgd.construct.relu_icgd import build
from icgd.verify.relu_icgd import verify

SMALL = Problem(N=1, K=2, eps=0.5)


def test_a_device_that_is_not_there_is_refused():
    for name in ("cpu:x", "tpu", "cuda:99"):
        with pytest.raises(ProblemError, match="device"):
            check_device(name)


def test_fast_products_in_float32_are_refused_and_those_in_float64_are_not():
    usual = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        check_arithmetic()
        DenseTransformer(build(SMALL))
        with pytest.raises(ProblemError, match="matmul_precision = medium: products in float32 may"):
            DenseTransformer(build(SMALL), torch.float32)
    finally:
        torch.set_float32_matmul_precision(usual)
    DenseTransformer(build(SMALL), torch.float32)


def test_flushed_subnormals_are_refused_before_anything_is_judged():
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot flush subnormals")
    try:
        with pytest.raises(ProblemError, match="flush_denormal = True: numbers below"):
            verify(SMALL, samples=10, effort=0)
    finally:
        torch.set_flush_denormal(False)
    check_arithmetic()
