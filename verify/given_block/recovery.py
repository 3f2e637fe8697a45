"""Whether the matrices that others give are those of a program whose certificate the checker accepts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from icgd.bounds.letters import ProblemError
from icgd.bounds.printable import Brief
from icgd.bounds.problem import Problem
from icgd.bounds.progress import Progress, silent
from icgd.bounds.softmax_icgd import stated
from icgd.bounds.step_error.plan import plan
from icgd.construct.block.given_block import GivenBlock, Ranges, declared, holds_block
from icgd.construct.machine.tensor_files import TensorHeader
from icgd.construct.relu_icgd import check_construction
from icgd.verify.certificate.constructions import CONSTRUCTIONS
from icgd.verify.certificate.issue import as_read, posed_letters
from icgd.verify.certificate.program import describe
from icgd.verify.certificate.proof import mismatch, refusal
from icgd.verify.checker.matrices import differences, expected
from icgd.verify.checker.program import layout
from icgd.verify.checker.softmax_program import softmax_layout
from icgd.verify.given_block.own_certificate import own_certificate, own_difference
from icgd.verify.given_block.own_sums import Unreadable

_ATTENTION = {"lean": "relu", "paper": "relu", "exact": "relu", "softmax": "softmax"}
"""The kind of attention of each construction whose program is known."""


@dataclass(frozen=True, repr=False)
class Recovery(Brief):
    """What is known about the program of given matrices.

    construction: whose program they are, entry by entry; None where they are no known one.
    certificate: of their step error; None where there is none, or where the checker refuses it.
    bound: the proved bound on norm2(err)/eta, in the letters of the block.
    why: what does not fit, or what is not proved, in one sentence; None where all is proved.
    trusted: what the proof relies on.  own: whether the sums of ReLUs are of the block's author.
    """

    construction: str | None = None
    certificate: Mapping[str, Any] | None = None
    bound: float | None = None
    why: str | None = None
    trusted: tuple[str, ...] = ()
    own: bool = False


def upward(bound: float) -> str:
    """A bound with four digits, rounded up.

    >>> upward(0.16820001)
    '0.1683'
    """
    digits = 3 - math.floor(math.log10(bound)) if bound > 0 else 0
    return f"{math.ceil(bound * 10.0**digits) / 10.0**digits:.4g}"


def recover(block: GivenBlock, construction: str | None = None, progress: Progress = silent) -> Recovery:
    """The proof that the matrices allow, from them and the letters alone.

    construction: the only one to try; default: the one that the block names, or else every one with its kind
    of attention.  Raises ProblemError for the name of one that is not known.
    """
    if construction is not None and construction not in _ATTENTION:
        raise ProblemError("construction", construction, f"the known ones are {', '.join(_ATTENTION)}")
    named = construction or block.declaration.construction
    tried = list(_candidates(block, named))
    apart = []
    with progress("proof", 3 * len(tried)) as advance:
        for name in tried:
            if _ATTENTION[name] != block.attention:
                apart.append(f"{name} has {_ATTENTION[name]} attention")
                continue
            found = _exactly(block) if name == "exact" else _certified(block, name)
            advance(3)
            if found.construction:
                return found
            apart.append(f"{name}: {found.why}")
        if block.attention == "relu" and construction in (None, "paper"):
            found = _own(block)
            if found.construction:
                return found
            apart.append(f"paper with sums of their own: {found.why}")
    reasons = "; ".join(apart) or f"none has {block.attention} attention"
    return Recovery(why=f"the matrices are not those of a program that can be certified here ({reasons})")


def file_difference(
    path: Path, header: TensorHeader, problem: Problem, certificate: Mapping[str, Any]
) -> str | None:
    """The first place where the matrices of a file are not the program of an accepted certificate, or None.

    header: of the file.  A file that holds no block, or one with other slots, is another program, too; where
    nothing says what its slots are, ProblemError is raised.
    """
    if not holds_block(header.shapes):
        return f"it holds {', '.join(list(header.shapes)[:5]) or 'no tensors'}, and no block"
    said = declared(header.metadata, path)
    if "stream" not in said:
        why = "its metadata name no slots, so nothing says where x, y and V1 are: icgd judge takes them"
        raise ProblemError("weights", path, why)
    try:
        block = GivenBlock.read(path, problem, header=header)
    except ProblemError:  # perhaps as it is for other letters
        apart = _other_attention(said.get("attention"), certificate)
        if apart := apart or _misplaced(said["stream"], certificate["program"]):
            return apart
        raise
    return certificate_difference(block, certificate)


def certificate_difference(block: GivenBlock, certificate: Mapping[str, Any]) -> str | None:
    """The first place where the matrices are not the program of an accepted certificate, or None."""
    if other := _other_attention(block.attention, certificate):
        return other
    ranges = block.declaration.stream
    apart = _misplaced(ranges, certificate["program"]) or mismatch(certificate, block.literal())
    if apart and certificate["construction"] == "paper":
        return own_difference(block, certificate["program"])
    return apart


def _other_attention(attention: str | None, certificate: Mapping[str, Any]) -> str | None:
    kind = _ATTENTION.get(str(certificate.get("construction")))
    if attention in (None, kind):
        return None
    return f"the attention is {attention}, not {kind} as in the certificate"


def _misplaced(ranges: Ranges, program: Mapping[str, Any]) -> str | None:
    """The first slot of these that is not where the program has it, or None."""
    of = softmax_layout if program["construction"] == "softmax" else layout
    for name, places in of(program).items():  # type: ignore[arg-type]
        here = ranges.get(name)
        told = name in ("x", "y", "one", "t") or name.startswith("V")
        if told and here != (places.start, places.stop):
            lies = "missing" if here is None else f"{here[0]}:{here[1]}"
            return f"the slot {name} is {lies}, not {places.start}:{places.stop} as in the program"
    return None


def _certified(block: GivenBlock, construction: str) -> Recovery:
    entry = CONSTRUCTIONS[construction]
    # A file is always written for the loss with 1/(2n); Theorem 2 states its letters for 1/n.
    softmax = construction == "softmax"
    problem = stated(block.problem) if softmax else block.problem
    try:
        found = _issued(construction, problem)
    except ProblemError as error:
        return Recovery(why=f"it has no certificate for these letters ({error})")
    if apart := _misplaced(block.declaration.stream, found["program"]) or mismatch(found, block.literal()):
        return Recovery(why=apart)
    if reason := refusal(found, posed_letters(problem), construction):
        return Recovery(construction, why=f"the checker does not accept that {reason}")
    bound = found["certified"] / 2 if softmax else found["certified"]
    return Recovery(construction, found, bound, trusted=entry.trusted)


def _candidates(block: GivenBlock, named: str | None) -> Iterator[str]:
    """The constructions to compare with: the named one, or all that the letters and the attention allow."""
    if named in _ATTENTION:
        yield str(named)
        return
    for name, kind in _ATTENTION.items():
        exact = name == "exact"
        if kind == block.attention and exact == (block.problem.activation.name == "relu"):
            yield name


@lru_cache(maxsize=8)
def _issued(construction: str, problem: Problem) -> Mapping[str, Any]:
    """The certificate of our own block for these letters; raises ProblemError where there is none."""
    entry = CONSTRUCTIONS[construction]
    entry.refuse(problem)
    return as_read(entry.issue(entry.plan(problem)))


def _own(block: GivenBlock) -> Recovery:
    """The proof for the paper's kind of block whose author chose their own sums of ReLUs."""
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # absurd entries are refused in words
            found = own_certificate(block)
    except (Unreadable, ProblemError) as reason:
        return Recovery(why=str(reason))
    if refused := refusal(found, posed_letters(block.problem), "paper"):
        return Recovery("paper", why=f"the checker does not accept that {refused}", own=True)
    trusted = (
        *CONSTRUCTIONS["paper"].trusted,
        "verify/given_block/dataflow.py, which compares it part by part",
    )
    return Recovery("paper", found, found["certified"], trusted=trusted, own=True)


def _exactly(block: GivenBlock) -> Recovery:
    problem: Problem = block.problem
    try:
        check_construction(problem, "exact")
        program = describe(plan(problem, "exact"))
    except ProblemError as error:
        return Recovery(why=f"it does not apply to these letters ({error})")
    if apart := _misplaced(block.declaration.stream, program):
        return Recovery(why=apart)
    for one in differences(expected(program), block.literal()):
        place = f"layer {one.layer}, {one.where}" + (f" {one.entry}" if one.entry else "")
        return Recovery(why=f"{place} is {one.actual}, not {one.expected}")
    return Recovery("exact", why="its bound holds only outside the gate's margin, so it has no certificate")
