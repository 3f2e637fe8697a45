"""The device on which tensors are stored."""

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
