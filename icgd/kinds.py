"""The kinds of files that are judged: one table, for the command line and for Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from icgd.bounds.letters import ProblemError, real, whole
from icgd.construct.block.given_block import GivenBlock, Shapes, holds_block
from icgd.construct.given_linear import holds_linear
from icgd.construct.gpt2_state import is_gpt2
from icgd.construct.machine.device import check_device
from icgd.construct.machine.tensor_files import TensorHeader, read_header, real_tensor
from icgd.judge_block import judge_block_file
from icgd.judge_gpt2 import judge_gpt2_file
from icgd.judge_linear import judge_linear_attention, judge_linear_file
from icgd.judge_options import JudgeOptions
from icgd.verify.given_block.judge import judge_weights
from icgd.verify.given_predictor.calling import takes_prompts
from icgd.verify.given_predictor.given_gpt2 import judge_gpt2
from icgd.verify.given_predictor.judge import judge_predictor


@dataclass(frozen=True)
class FileKind:
    """What a file may hold.

    holds: whether tensors of these names and shapes are of this kind; no two kinds hold the same.
    what: the tensors, for a message.  command: what `icgd judge` does with such a file.
    judge: what `icgd.judge` does; it takes a path, tensors by name or a module, and the header of a path.
    """

    name: str
    holds: Callable[[Shapes], bool]
    what: str
    command: Callable[[JudgeOptions], int]
    judge: Callable[..., Any]


FILE_KINDS: Mapping[str, FileKind] = {
    kind.name: kind
    for kind in (
        FileKind("block", holds_block, "layer.00.Q, .K, .V, .W1, .W2", judge_block_file, judge_weights),
        FileKind("linear", holds_linear, "P and Q, or allparam", judge_linear_file, judge_linear_attention),
        FileKind(
            "gpt2", is_gpt2, "h.0.ln_1.weight, h.0.attn.c_attn.weight, ...", judge_gpt2_file, judge_gpt2
        ),
    )
}
"""Every kind, by the name that `--kind` takes."""


def kind_of(shapes: Shapes, chosen: str | None = None) -> FileKind:
    """The kind of tensors with these names and shapes, or the chosen one; raises ProblemError without one."""
    if chosen is not None:
        if chosen not in FILE_KINDS:
            raise ProblemError("kind", chosen, f"the kinds are {', '.join(FILE_KINDS)}")
        return FILE_KINDS[chosen]
    for kind in FILE_KINDS.values():
        if kind.holds(shapes):
            return kind
    named = ", ".join(list(shapes)[:3]) + (", ..." if len(shapes) > 3 else "")
    known = "; ".join(f"{kind.name} has {kind.what}" for kind in FILE_KINDS.values())
    raise ProblemError("weights", named or "no tensors", f"no kind has such tensors; {known}; see --kind")


def judge_given(
    source: Path | str | Mapping[str, Tensor] | nn.Module | Callable[..., Any],
    *positional: Any,
    kind: str | None = None,
    trust_pickle: bool = False,
    state: int | str | None = None,
    **options: Any,
) -> Any:
    """Judge a file of tensors, tensors by name, a module, or any predictor; see docs/judging.md.

    A predictor is a function of (x, y, query), or a module whose tensors are of no kind; it is measured as in
    docs/judging_predictors.md.

    positional, options: of the kind's own function, such as the problem of a block.
    trust_pickle: whether a pickle of torch is opened, too.  state: which one of a history of training.
    """
    options = _plain(options)
    header: TensorHeader | None = None
    if isinstance(source, str | Path):
        source = Path(source)
        asked = None if state is None else str(state)
        header = read_header(source, "weights", trust_pickle=trust_pickle, state=asked)
        found = kind_of(header.shapes, kind)
        return found.judge(source, *positional, header=header, **options)
    if state is not None:
        raise ProblemError("state", state, "only a file keeps the states of a training")
    if isinstance(source, GivenBlock) or hasattr(source, "literal"):
        return FILE_KINDS["block"].judge(source, *positional, **options)
    if not isinstance(source, Mapping | nn.Module):
        if takes_prompts(source):
            return judge_predictor(source, *positional, **options)
        why = "a path, tensors by name, or a module or another function of (x, y, query) is needed"
        raise ProblemError("source", type(source).__name__, why)
    held = source.state_dict() if isinstance(source, nn.Module) else source
    tensors = {str(name): real_tensor(str(name), one) for name, one in held.items()}
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    unknown = kind is None and not any(one.holds(shapes) for one in FILE_KINDS.values())
    if unknown and isinstance(source, nn.Module) and takes_prompts(source):
        return judge_predictor(source, *positional, **options)
    given = source if isinstance(source, nn.Module) else tensors
    return kind_of(shapes, kind).judge(given, *positional, **options)


def _plain(options: dict[str, Any]) -> dict[str, Any]:
    """The options with numbers of any library as Python's own; raises ProblemError for impossible values."""
    found = dict(options)
    if "samples" in found:
        allowed = "a whole number of prompts is needed, at least 1"
        found["samples"] = whole("samples", found["samples"], 1, 10**12, allowed)
    if "effort" in found:
        allowed = "a number from 0 (no search) to 1000 is needed"
        found["effort"] = real("effort", found["effort"], 0, 1000, allowed)
    if "seed" in found:
        found["seed"] = whole("seed", found["seed"], -(2**63), 2**63 - 1, "a 64-bit whole number is needed")
    if "device" in found:
        found["device"] = check_device(str(found["device"]))
    return found
