"""The problem of arXiv 2411.16549: the letters of its theorems, checked on creation."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Annotated, Any

from icgd.bounds.activation import ACTIVATIONS, Activation, parse_activation
from icgd.bounds.letters import Letters, ProblemError
from icgd.bounds.loss import LOSSES, Loss, parse_loss

_LEAST, _LARGEST = 1e-12, 1e6
ROUNDOFFS: Mapping[str, float] = MappingProxyType({"float64": 2.0**-53, "float32": 2.0**-24})
"""Half the distance from 1 to the next number, by the arithmetic in which a transformer runs."""


@lru_cache(maxsize=1024)
def _dims(N: int, K: int, d: int, d_out: int) -> tuple[int, ...]:
    return (d, *[K] * (N - 1), d_out)


@dataclass(frozen=True, kw_only=True)
class Problem(Letters):
    """L steps of gradient descent on an N-layer network, to be simulated in context.

    N, K: depth and hidden width of the simulated network; d, d_out: its input and output size
    (d_out = 0 means d).  n: in-context examples.  L: gradient steps.  eta: step size.
    eps: tolerance; every step's error may be at most eta*eps.  B_x, B_y: bounds on the 2-norms
    of inputs and targets.  B_v: bound on the 2-norm of every weight row.
    activation, loss: of the simulated network; text, a name or a formula, is parsed.
    output: "activated" (as in the paper) or "linear".
    precision: the arithmetic whose rounding eps covers, too; "float32" for the theorem `relu-icgd` alone.
    Source: arXiv 2411.16549, Theorem 1.  Raises ProblemError.

    >>> Problem(N=2, K=3, d=2).dims
    (2, 3, 2)
    """

    N: Annotated[int, "depth of the simulated network"] = 3
    K: Annotated[int, "width of its hidden layers"] = 4
    d: Annotated[int, "input size"] = 2
    d_out: Annotated[int, "output size (0: the same as d)"] = 0
    n: Annotated[int, "examples in context"] = 8
    L: Annotated[int, "gradient steps"] = 5
    eta: Annotated[float, "step size"] = 0.1
    eps: Annotated[float, "tolerance: a step may be off by eta*eps"] = 0.05
    B_x: Annotated[float, "bound on the 2-norm of inputs"] = 1.0
    B_y: Annotated[float, "bound on the 2-norm of targets"] = 1.0
    B_v: Annotated[float, "bound on the 2-norm of weight rows"] = 1.0
    activation: Annotated[Activation, f"{ACTIVATIONS.names}, or a formula in t"] = ACTIVATIONS["tanh"]
    loss: Annotated[Loss, f"{LOSSES.names}, or a formula in p and y"] = LOSSES["squared"]
    output: Annotated[str, "activated or linear"] = "activated"
    precision: Annotated[str, "float64, or float32 (relu-icgd): whose rounding eps covers, too"] = "float64"

    def __post_init__(self) -> None:
        self._parse("activation", Activation, ACTIVATIONS, parse_activation, lambda one: one.r)
        self._parse("loss", Loss, LOSSES, parse_loss, lambda one: one.ridge)
        self.check_count("N", "K", "d", "n", "L")
        self.check_count("d_out", least=0)
        if self.d_out == 0:
            object.__setattr__(self, "d_out", self.d)
        for field in ("eta", "eps", "B_x", "B_y", "B_v"):
            self.check_number(field, _LEAST, _LARGEST)
        if self.output not in ("activated", "linear"):
            raise ProblemError("output", self.output, "it is either activated or linear")
        if self.precision not in ROUNDOFFS:
            raise ProblemError("precision", self.precision, f"it is {' or '.join(ROUNDOFFS)}")

    def _parse(
        self,
        letter: str,
        kind: type,
        table: Mapping[str, Any],
        parse: Callable[[str], Any],
        read: Callable[[Any], Any],
    ) -> None:
        """Put the entry of a table in place of its name, or of a formula; read the formula of any other."""
        value = getattr(self, letter)
        if any(value is known for known in table.values()):
            return
        try:
            if isinstance(value, kind):
                read(value)
                return
            if not isinstance(value, str):
                raise ValueError("a name or a formula is needed")
            object.__setattr__(self, letter, parse(value))
        except ValueError as error:
            raise ProblemError(letter, value, str(error)) from None

    def as_dict(self) -> dict[str, int | float | str]:
        """The letters as plain values, from which Problem.parse builds the same problem.

        Without the usual precision: files that are older than this letter keep their bytes and digests.
        """
        found = super().as_dict() | {"activation": self.activation.name, "loss": self.loss.name}
        return {name: value for name, value in found.items() if (name, value) != ("precision", "float64")}

    @property
    def roundoff(self) -> float:
        """Half the distance from 1 to the next number of its precision."""
        return ROUNDOFFS[self.precision]

    def refuse_float32(self, what: str) -> None:
        """Raises ProblemError in float32; what: that which is proved in float64 alone."""
        if self.precision != "float64":
            raise ProblemError("precision", self.precision, f"{what} in float64 only; leave precision out")

    @property
    def dims(self) -> tuple[int, ...]:
        """Layer sizes (d, K, ..., K, d_out), N + 1 of them."""
        return _dims(self.N, self.K, self.d, self.d_out)

    @property
    def D_w(self) -> int:
        """The number of weights, sum_j dims[j] dims[j-1]."""
        return sum(a * b for a, b in zip(self.dims[1:], self.dims[:-1], strict=True))

    @property
    def units(self) -> int:
        """The number of neurons of the simulated network, (N-1) K + d_out."""
        return sum(self.dims[1:])

    def half_width(self, layer: int) -> float:
        """Half the side of the box W in the coordinates of V_layer (1-based).

        W = { |v_jk[c]| <= B_v / sqrt(dims[j-1]) } is the largest cube inside the theorem's
        { norm2(v_jk) <= B_v }, less two ulps, so that rows of floats satisfy that bound exactly.
        """
        return self.B_v / math.sqrt(self.dims[layer - 1]) * (1 - 2**-50)

    def activation_at(self, layer: int) -> Activation:
        """The activation of layer 1..N: the identity at a linear output layer."""
        linear = layer == self.N and self.output == "linear"
        return ACTIVATIONS["identity"] if linear else self.activation
