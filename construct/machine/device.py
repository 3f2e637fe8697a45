"""The device on which tensors are stored, and whether it computes as proofs assume."""

from __future__ import annotations

import torch

from icgd.bounds.letters import ProblemError


def check_device(name: str) -> str:
    """Returns the name of a device; raises ProblemError unless it is available."""
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda") or (index and not index.isdigit()):
        raise ProblemError("device", name, "it is cpu, cuda or cuda:0, cuda:1, ...")
    if kind == "cuda" and not torch.cuda.is_available():
        raise ProblemError("device", name, "torch finds no CUDA device on this machine; leave --device out")
    if kind == "cuda" and index and int(index) >= torch.cuda.device_count():
        raise ProblemError("device", name, f"this machine has {torch.cuda.device_count()} CUDA devices")
    return name


def check_arithmetic(device: torch.device | str = "cpu", dtype: torch.dtype = torch.float64) -> None:
    """Raises ProblemError where torch is set to round more than a certificate counts.

    Flushed subnormals lose what lies below 2^-1022; in float32, products of matrices may be rounded to fewer
    digits (TF32, bfloat16).
    """
    subnormal = torch.full((64,), 2.0**-1060, dtype=torch.float64, device=device)
    if not bool((subnormal * 0.5 > 0).all()):
        why = "numbers below 2^-1022 are flushed to 0, which no proof here counts: set it to False"
        raise ProblemError("torch.set_flush_denormal", True, why)
    if dtype != torch.float32:
        return
    # torch has several settings for this, so one product is tried, besides the one that everybody knows.
    fine = torch.eye(64, dtype=dtype, device=device) * (1.0 + 2.0**-12)
    try:
        precision = torch.get_float32_matmul_precision()
    except RuntimeError:
        precision = "mixed"
    if precision != "highest" or float((fine @ fine)[0, 0]) < 1.0 + 2.0**-11:
        why = "products in float32 may then be rounded to fewer digits than proofs count: set it to highest"
        raise ProblemError("torch.set_float32_matmul_precision", precision, why)
