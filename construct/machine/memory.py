"""Memory estimates: work that would not fit in memory is refused before it starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psutil

from icgd.bounds.estimate import bytes_text
from icgd.bounds.letters import ProblemError
from icgd.bounds.problem import Problem
from icgd.bounds.relu_icgd import built
from icgd.bounds.softmax_icgd import estimated_softmax_units, halved
from icgd.bounds.step_error.budget import Construction
from icgd.bounds.step_error.plan import estimated_units

_BYTES_PER_ENTRY = 400
"""Bytes per nonzero of a literal matrix during the census (Python objects), estimated generously."""

_WEIGHT_COPIES = 24
"""How many float64 vectors of length D_w the checks hold at once for one prompt, sums of squares included."""


def available_bytes() -> int:
    """Physical memory available now: free memory and what the system can reclaim."""
    return int(psutil.virtual_memory().available)


def refuse_if_too_large(problem: Problem, construction: Construction) -> None:
    """Raises ProblemError, with the predicted size, if the transformer would not fit in memory."""
    entries = 6 * problem.D_w + 20 * problem.units + 6 * estimated_units(problem, construction)
    if construction == "paper":
        entries += 3 * max(problem.dims) * estimated_units(problem, construction)
    needed = entries * _BYTES_PER_ENTRY + 8 * _WEIGHT_COPIES * problem.D_w
    refuse(needed, "the transformer", problem)


def refuse_softmax_if_too_large(problem: Problem) -> None:
    """The same for the transformer of Theorem 2, whose problem has its loss in that theorem's convention."""
    if problem.activation.is_smooth:  # otherwise planning raises the error
        entries = 14 * problem.D_w + 30 * problem.units + 6 * estimated_softmax_units(halved(problem))
        refuse(entries * _BYTES_PER_ENTRY, "the transformer", problem)


def refuse_if_matrices_too_large(problem: Problem, construction: Construction) -> None:
    """Raises ProblemError if the literal matrices of the largest layer alone would not fit in memory."""
    sizes = {claim.quantity: claim.value for claim in built(problem, construction)}
    needed = 8 * sizes["width"] * (3 * sizes["heads"] * sizes["width"] + 2 * sizes["mlp_width"])
    refuse(needed, "the literal matrices of one layer", problem)


def refuse_program(program: Mapping[str, Any], problem: Problem) -> None:
    """Raises ProblemError if the entries of all literal matrices of a program would not fit in memory.

    program: as in `icgd.verify.certificate.program` or `icgd.verify.certificate.softmax_program`, for this
    problem.
    """
    dims, units = problem.dims, 0
    for j, layer in enumerate(program["layers"], start=1):
        products = {"product": dims[j], "z": dims[j] * dims[j - 1], "update": dims[j] * dims[j - 1]}
        products["g"] = dims[j] * dims[min(j + 1, problem.N)]
        units += sum(dims[j] * _units(layer[kind]) for kind in ("r", "dr"))
        for kind, count in products.items():
            units += 2 * count * _units((layer.get(kind) or {}).get("square"))
    units += problem.d_out * _units(program["loss"]["relus"])
    entries = 14 * problem.D_w + 30 * sum(dims) + 6 * units
    if program["construction"] == "paper":
        entries += 3 * max(dims) * units
    refuse(entries * _BYTES_PER_ENTRY, "the matrices of the program", problem)


def _units(relus: Mapping[str, Any] | None) -> int:
    return 0 if relus is None else len(relus["a"]) + 1


def refuse(needed: float, what: str, problem: Problem) -> None:
    """Raises ProblemError if `needed` bytes exceed the free memory."""
    size = f"N={problem.N}, K={problem.K}, d={problem.d}, eps={problem.eps:g}"
    _refuse(needed, size, f"{what} would take about {bytes_text(needed)}", "make it smaller")


def refuse_prompts(needed: float) -> None:
    """Raises ProblemError if prompts would need more bytes than are free."""
    _refuse(needed, bytes_text(needed), "the prompts do not fit", "take fewer examples, prompts or layers")


def refuse_tensors(needed: float, path: object) -> None:
    """Raises ProblemError if reading a file of tensors would need more bytes than are free."""
    _refuse(needed, str(path), f"its tensors would take about {bytes_text(needed)}", "use a smaller file")


def _refuse(needed: float, size: str, why: str, advice: str) -> None:
    free = available_bytes()
    if needed > 0.9 * free:
        raise ProblemError("size", size, f"{why} and {bytes_text(free)} is free; {advice}")
