"""Judges claimed counterexamples: in float64, run by onnxruntime, and over the reals, in ball arithmetic."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from icgd.bounds.letters import ProblemError
from icgd.construct.machine.files import regular_file
from icgd.verify.benchmark_set.ball_run import BallArray, run_in_balls
from icgd.verify.benchmark_set.error_network import Floats
from icgd.verify.benchmark_set.property_text import Certainly, DeclaredTensor, Property, read_property

MOST_CLAIM = 1 << 20
"""The longest file of a claim that is read, in bytes."""

_PAIR = re.compile(r"\(\s*(\w+?)_(\d{1,9})\s+([^\s()]+)\s*\)", re.ASCII)
_HEADER = re.compile(r"\s*([A-Za-z]\w*)\s+(\w+)\s+\[([\d\s,]*)\]\s*", re.ASCII)
_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True, eq=False)
class ClaimJudgement:
    """What a claimed counterexample is.

    inside: whether the input is one that the property is about.  in_floats: whether it makes all assertions
    true with onnxruntime's output.  over_reals: the same with the exact output, None where balls cannot say.
    computed, exact: the output, in floats and as balls.
    """

    about: Property
    inside: bool
    in_floats: bool
    over_reals: Certainly
    computed: Floats
    exact: BallArray

    @property
    def accepted(self) -> bool:
        """Whether it is a counterexample: in float64, or over the reals for a property of type real."""
        asked = self.over_reals if self.about.given.kind == "real" else self.in_floats
        return asked is True

    @property
    def said(self) -> str:
        """The judgement in one sentence."""
        if not self.inside:
            return "no counterexample: the input is outside what the property is about"
        if self.in_floats and self.over_reals is True:
            return "a counterexample, in float64 and over the reals"
        if self.in_floats:
            known = (
                "not over the reals" if self.over_reals is False else "balls do not decide it over the reals"
            )
            end = "the property is about float64" if self.accepted else "the property is about the reals"
            return f"{'a' if self.accepted else 'no'} counterexample: in float64, {known}; {end}"
        if self.over_reals is True:
            return f"{'a' if self.accepted else 'no'} counterexample: over the reals, not in float64"
        return "no counterexample: the output keeps the property"


def judge_claim(network: Path, instance: Path, claim: Path) -> ClaimJudgement:
    """Judge a file that claims a counterexample; raises ProblemError for a file that is not one."""
    about = read_property(instance)
    return judge_input(network, about, read_claim(claim, about.given))


def judge_input(network: Path, about: Property, x: Floats) -> ClaimJudgement:
    """Judge an input, of the shape that the property declares."""
    computed = run_in_floats(network, about, x)
    exact = run_in_balls(network, x)
    given, found = about.given, about.found
    if computed.shape != found.shape:
        why = f"the property declares {list(found.shape)}"
        raise ProblemError("network", network, f"its output has shape {list(computed.shape)}; {why}")
    values = {given.name: x}
    inside = about.holds(about.domain, values) is True
    in_floats = about.holds(about.claims, {**values, found.name: computed}) is True
    over_reals = about.holds(about.claims, {**values, found.name: exact})
    return ClaimJudgement(about, inside, in_floats, over_reals, computed, exact)


def run_in_floats(network: Path, about: Property, x: Floats) -> Floats:
    """The output of onnxruntime, in float64, node by node; raises ProblemError where there is none."""
    try:
        import onnxruntime
    except ImportError:
        raise ProblemError(
            "network", network, "the package onnxruntime is needed: pip install 'icgd[onnx]'"
        ) from None
    with regular_file(network, "network"):
        pass
    try:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(str(network), options, ["CPUExecutionProvider"])
        (name,) = [one.name for one in session.get_inputs()]
        (found,) = session.run(None, {name: x})
    except Exception as wrong:  # onnxruntime documents no list of what it raises
        said = " ".join(str(wrong).split())[:160]
        raise ProblemError("network", network, f"onnxruntime does not run it ({said})") from None
    return np.asarray(found, np.float64)


def read_claim(path: Path, given: DeclaredTensor) -> Floats:
    """The input that a file claims, in the format of VNN-COMP or in that of VNN-LIB 2.0.

    VNN-COMP has ((X_0 0.5) (X_1 -0.1) ... (Y_0 0.3)), VNN-LIB 2.0 a line `X float64 [1,4]` and a number a
    line; `;` begins a comment.  Values of outputs are ignored, since they are computed here.  Raises
    ProblemError for another answer than sat, other values than the property declares, and other files.
    """
    with regular_file(path, "claim") as file:
        data = file.read(MOST_CLAIM + 1)
    if len(data) > MOST_CLAIM:
        raise ProblemError("claim", path, "it is longer than 1 MiB")
    text = re.sub(r";[^\n]*", "", data.decode("utf-8", "replace"))
    first = text.strip().partition("\n")[0]
    answer = re.match(r"[A-Za-z]\w*", first)
    if answer and answer[0] != "sat" and not _HEADER.fullmatch(first):
        why = f"it begins with {answer[0][:20]}; a counterexample begins with sat"
        raise ProblemError("claim", path, why)
    if "(" in text:
        pairs = [(int(at), word) for name, at, word in _PAIR.findall(text) if name == given.name]
        words = [word for _, word in sorted(pairs)]
        if [at for at, _ in sorted(pairs)] != list(range(len(pairs))):
            raise ProblemError("claim", path, f"{given.name}_0, {given.name}_1, ... are needed, once each")
    else:
        words, ours = [], False
        for line in text.splitlines():
            if header := _HEADER.fullmatch(line):
                ours = header[1] == given.name
                if ours:
                    _check_header(path, header, given)
            elif ours and line.strip():
                words.append(line.strip())
    size = math.prod(given.shape)
    if len(words) != size:
        why = f"{size} values of {given.name} are needed, as (({given.name}_0 0.5) ...)"
        raise ProblemError("claim", path, f"it has {len(words)}; {why}")
    for word in words:
        if not _DECIMAL.fullmatch(word):
            raise ProblemError("claim", path, f"{word[:40]} is no decimal number, such as -0.5 or 2e-7")
    values = [float(word) for word in words]
    if not all(map(math.isfinite, values)):
        raise ProblemError("claim", path, "every value must be a finite number")
    return np.array(values).reshape(given.shape)


def _check_header(path: Path, header: re.Match[str], given: DeclaredTensor) -> None:
    """Raises ProblemError where the line above the values declares another type or shape."""
    shape = "".join(header[3].split())
    wanted = ",".join(map(str, given.shape))
    if (header[2], shape) != (given.kind, wanted):
        why = f"it declares {given.name} {header[2]} [{shape}]; the property has {given.kind} [{wanted}]"
        raise ProblemError("claim", path, why)


def claim_text(x: Floats, computed: Floats) -> str:
    """A counterexample in the format of VNN-COMP."""
    pairs = [f"(X_{i} {value!r})" for i, value in enumerate(x.reshape(-1).tolist())]
    pairs += [f"(Y_{i} {value!r})" for i, value in enumerate(computed.reshape(-1).tolist())]
    return "sat\n(" + "\n".join(pairs) + ")\n"
