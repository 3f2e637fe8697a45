"""Linear attention that others trained or built, read from any of several layouts into one form."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from icgd.bounds.algebra.ring_matrices import matrix_product, transposed
from icgd.bounds.letters import ProblemError
from icgd.construct.machine.tensor_files import check_finite, real_tensor
from icgd.construct.regression_tokens import check_prompt_shapes

Divisor = Literal["n", "n+1", "1"]
DIVISORS: Mapping[str, str] = {
    "n": "a mean over the examples",
    "n+1": "a mean over all tokens",
    "1": "a sum",
}
"""What a layer divides its sum over tokens by, and what that makes of it."""

MOST_DEPTH, MOST_WIDTH, MOST_HEADS = 12, 21, 64
"""The deepest, widest (d+1) and most-headed linear attention that is read."""

MOST_ENTRY = 1e6
"""The largest entry of P and Q that is read."""

Exact = list[list[Fraction]]
_PART = re.compile(r"layer\.(\d{2,4})\.(P|Q|K|V|O)")


@dataclass(frozen=True, eq=False)
class GivenLinear:
    """L layers Z + s sum_h P_h Z M Z^T Q_h Z on columns (x_i; y_i), the query (x_q; 0) last, s = 1/divisor.

    P, Q: (L, H, d+1, d+1) in float64, each entry of a product rounded once.  masked: M leaves the query out.
    sign: the prediction is sign times the query's label after the last layer.
    exact: the same matrices as rationals, [layer][head], without rounding.  layout: where they came from.
    """

    P: Float[Tensor, "L H D D"]
    Q: Float[Tensor, "L H D D"]
    exact: tuple[tuple[tuple[Exact, Exact], ...], ...] = field(repr=False)
    masked: bool = True
    divisor: Divisor = "n"
    sign: int = -1
    layout: str = "P and Q"

    @property
    def d(self) -> int:
        """The size of an input x."""
        return self.P.shape[-1] - 1

    @property
    def L(self) -> int:
        """The number of layers."""
        return len(self.P)

    def scale(self, n: int) -> Fraction:
        """The factor of a layer's sum over tokens, for n examples."""
        return Fraction(1, {"n": n, "n+1": n + 1, "1": 1}[self.divisor])

    @cached_property
    def census(self) -> dict[str, int]:
        """Layers, heads of a layer, the size of x, and nonzero entries of P and Q."""
        nonzero = int((self.P != 0).sum() + (self.Q != 0).sum())
        return {"layers": self.L, "heads": self.P.shape[1], "d": self.d, "nonzero_entries": nonzero}

    @classmethod
    def of(cls, P: Tensor, Q: Tensor, **said: Any) -> GivenLinear:
        """The attention of P and Q, (L, H, d+1, d+1), taken as exact; ProblemError for other shapes."""
        if P.ndim != 4 or P.shape != Q.shape or P.shape[2] != P.shape[3] or not P.numel():
            shapes = f"shapes {tuple(P.shape)} and {tuple(Q.shape)}"
            raise ProblemError("P and Q", shapes, "both are (layers, heads, d+1, d+1)")
        _check_sizes(P.shape[0], P.shape[1], P.shape[2])
        for name, part in (("P", P), ("Q", Q)):
            check_finite(name, real_tensor(name, part))
        P, Q = P.detach().to("cpu", torch.float64), Q.detach().to("cpu", torch.float64)
        _check_entries(P, Q)
        exact = tuple(
            tuple((rationals(p), rationals(q)) for p, q in zip(*pair, strict=True))
            for pair in zip(P, Q, strict=True)
        )
        return cls(P, Q, exact, **said)

    @classmethod
    def of_exact(cls, layers: Sequence[Sequence[tuple[Exact, Exact]]], **said: Any) -> GivenLinear:
        """The attention of rational matrices (P, Q), [layer][head]; a layer may have fewer heads."""
        most, width = max(map(len, layers)), len(layers[0][0][0])
        _check_sizes(len(layers), most, width)
        nothing = [[Fraction(0)] * width for _ in range(width)]
        full = tuple((*layer, *((nothing, nothing),) * (most - len(layer))) for layer in layers)
        P, Q = (
            torch.tensor(
                [[[[_float(v) for v in row] for row in head[at]] for head in layer] for layer in full],
                dtype=torch.float64,
            )
            for at in (0, 1)
        )
        _check_entries(P, Q)
        return cls(P, Q, full, **said)

    def turned(self, axes: Exact) -> GivenLinear:
        """The same attention for inputs in other coordinates, x = axes x', the axes orthonormal."""
        width = self.d + 1
        full = [[*row, Fraction(0)] for row in axes] + [[Fraction(0)] * self.d + [Fraction(1)]]
        back = transposed(full)
        layers = [
            [tuple(matrix_product(matrix_product(back, part), full) for part in head) for head in layer]
            for layer in self.exact
        ]
        if len(full) != width or any(len(row) != width for row in full):
            raise ProblemError("axes", f"{len(axes)} rows", f"a ({self.d}, {self.d}) matrix is needed")
        said = {"masked": self.masked, "divisor": self.divisor, "sign": self.sign, "layout": self.layout}
        return GivenLinear.of_exact(layers, **said)  # type: ignore[arg-type]

    def looped(self, times: int) -> GivenLinear:
        """The layers repeated; raises ProblemError for more than `MOST_DEPTH` layers."""
        _check_sizes(self.L * times, 1, 2)
        again = [part.repeat(times, 1, 1, 1) for part in (self.P, self.Q)]
        return replace(self, P=again[0], Q=again[1], exact=self.exact * times)

    def maps(
        self, x: Float[Tensor, "B n d"], y: Float[Tensor, "B n"], query: Float[Tensor, "B d"]
    ) -> list[Float[Tensor, "B D D"]]:
        """R_0 = I, ..., R_L with Z_l = R_l Z_0: every token of a prompt goes through the same matrix.

        R_{l+1} = (I + sum_h P_h R_l G R_l^T Q_h) R_l, G = s Z_0 M Z_0^T.
        """
        check_prompt_shapes(self.d, x, y, query)
        Z = torch.cat([x, y[..., None]], dim=-1)
        if not self.masked:
            Z = torch.cat([Z, torch.nn.functional.pad(query, (0, 1))[:, None]], dim=1)
        return self.maps_of(float(self.scale(x.shape[1])) * (Z.mT @ Z))

    def maps_of(self, G: Float[Tensor, "B D D"]) -> list[Float[Tensor, "B D D"]]:
        """The same from the second moments G of the tokens that are seen, 1/divisor included."""
        eye = torch.eye(self.d + 1, dtype=G.dtype, device=G.device)
        found = [eye.expand(len(G), -1, -1)]
        for P, Q in zip(self.P.to(G), self.Q.to(G), strict=True):
            R = found[-1]
            seen = (R @ G @ R.mT)[:, None]
            found.append(R + (P @ seen @ Q).sum(1) @ R)
        return found

    def weights(
        self, x: Float[Tensor, "B n d"], y: Float[Tensor, "B n"], query: Float[Tensor, "B d"]
    ) -> Float[Tensor, "layers B d"]:
        """The regression weight w_l that each layer holds: read there, the prediction is w_l . x_q.

        Without a mask w_l depends on the query, too.  Source: arXiv 2402.14180, Lemma 4.1, for any P and Q.
        """
        return self.sign * torch.stack([R[:, -1, :-1] for R in self.maps(x, y, query)])

    def __call__(
        self, x: Float[Tensor, "B n d"], y: Float[Tensor, "B n"], query: Float[Tensor, "B d"]
    ) -> Float[Tensor, " B"]:
        """The predicted label of the query."""
        return (self.weights(x, y, query)[-1] * query).sum(-1)


def descent(A: Float[Tensor, "L d d"]) -> GivenLinear:
    """Linear attention whose prediction is w_L . x_q, w_{l+1} = w_l - A_l grad R(w_l), w_0 = 0.

    R(w) = (1/(2n)) sum (w . x_i - y_i)^2.  P = e e^T on the label, Q = -[[A_l^T, 0], [0, 0]].
    Source: arXiv 2306.00297, Lemma 1.
    """
    L, d, _ = A.shape
    P, Q = torch.zeros(2, L, 1, d + 1, d + 1, dtype=torch.float64)
    P[:, 0, d, d] = 1.0
    Q[:, 0, :d, :d] = -A.mT
    return GivenLinear.of(P, Q, layout="descent")


def _float(value: Fraction) -> float:
    return float(max(min(value, Fraction(10) ** 300), -(Fraction(10) ** 300)))


def rationals(matrix: Float[Tensor, "rows columns"]) -> Exact:
    """The exact values of the entries."""
    return [[Fraction(value) for value in row] for row in matrix.tolist()]


def _check_entries(P: Tensor, Q: Tensor) -> None:
    for name, part in (("P", P), ("Q", Q)):
        largest = float(part.abs().max())
        if largest > MOST_ENTRY:
            raise ProblemError(
                name, f"an entry of size {largest:.3g}", f"entries up to {MOST_ENTRY:g} are read"
            )


def _check_sizes(layers: int, heads: int, width: int) -> None:
    for name, value, most in (
        ("layers", layers, MOST_DEPTH),
        ("heads", heads, MOST_HEADS),
        ("d+1", width, MOST_WIDTH),
    ):
        if not 1 <= value <= most:
            raise ProblemError(name, value, f"linear attention is read with 1 to {most}")
    if width < 2:
        raise ProblemError("d+1", width, "a token holds at least one input and its label")


def holds_linear(shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether tensors of these names are linear attention: P and Q, `allparam`, or layers with P or O.

    >>> holds_linear({"P": (1, 3, 3), "Q": (1, 3, 3)}), holds_linear({"layer.00.Q": (2, 8, 8)})
    (True, False)
    """
    if set(shapes) in ({"P", "Q"}, {"allparam"}):
        return True
    parts = [_PART.fullmatch(name) for name in shapes]
    return all(parts) and any(part and part[2] in "PO" for part in parts)


def read_linear(
    tensors: Mapping[str, Tensor],
    metadata: Mapping[str, str],
    *,
    d: int | None = None,
    mask: bool | None = None,
    divisor: str | None = None,
    sign: int | None = None,
) -> GivenLinear:
    """Linear attention of tensors by name; options win over metadata.  Raises ProblemError, in one sentence.

    "P", "Q": (d+1, d+1), (L, d+1, d+1) or (L, heads, d+1, d+1); "layer.00.P", "layer.00.Q", ... likewise.
    "layer.00.Q", "K": (heads, k, d+1), "V": (heads, v, d+1), "O" or "P": (heads, d+1, v): P_h = O_h V_h and
    Q_h = K_h^T Q_h.  "allparam": (L, heads, 2, s, s), of the repository of arXiv 2306.00297, whose tokens
    are rows, so that its Q is transposed here; s = d, or d+1 where `d` says so.
    """
    said = _said(metadata)
    chosen = {"masked": mask, "divisor": divisor, "sign": sign}
    said |= {name: value for name, value in chosen.items() if value is not None}
    if said.get("divisor", "n") not in DIVISORS:
        raise ProblemError("divide-by", said["divisor"], f"a layer divides by {', '.join(DIVISORS)}")
    for name, tensor in tensors.items():
        check_finite(name, tensor)
    if set(tensors) == {"allparam"}:
        if "state" in metadata:
            said["layout"] = f"allparam, {metadata['state'][:80]}"
        found = _allparam(tensors["allparam"], d, said)
    elif set(tensors) == {"P", "Q"}:
        pair = [_four(name, tensors[name]) for name in "PQ"]
        found = GivenLinear.of(*pair, **said)
    else:
        found = _by_layer(tensors, said)
    if d is not None and found.d != d:
        raise ProblemError("d", d, f"the matrices are for d = {found.d}")
    return found


def _four(name: str, tensor: Tensor) -> Tensor:
    if tensor.ndim == 2:
        return tensor[None, None]
    if tensor.ndim == 3:
        return tensor[:, None]
    if tensor.ndim != 4:
        why = "it is (d+1, d+1), (layers, d+1, d+1) or (layers, heads, d+1, d+1)"
        raise ProblemError(name, f"shape {tuple(tensor.shape)}", why)
    return tensor


def _allparam(tensor: Tensor, d: int | None, said: dict[str, Any]) -> GivenLinear:
    shape = tuple(tensor.shape)
    if len(shape) != 5 or shape[2] != 2 or shape[3] != shape[4]:
        raise ProblemError("allparam", f"shape {shape}", "it is (layers, heads, 2, d, d)")
    _check_sizes(shape[0], shape[1], shape[3] + 1)
    values = tensor.detach().to("cpu", torch.float64)
    if d is not None and shape[3] == d + 1:
        P, Q = values[:, :, 0], values[:, :, 1]
    else:
        P, Q = (torch.nn.functional.pad(values[:, :, at], (0, 1, 0, 1)) for at in (0, 1))
        P[..., -1, -1] = 1.0
    return GivenLinear.of(P, Q.mT, **{"layout": "allparam"} | said)


def _by_layer(tensors: Mapping[str, Tensor], said: dict[str, Any]) -> GivenLinear:
    layers: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        parts = _PART.fullmatch(name)
        if not parts:
            why = (
                "linear attention has P and Q, allparam, or layer.00.Q, .K, .V, .O, then layer.01, and so on"
            )
            raise ProblemError("tensor", name, why)
        layers.setdefault(int(parts[1]), {})[parts[2]] = tensor
    if sorted(layers) != list(range(len(layers))):
        raise ProblemError("layers", ", ".join(map(str, sorted(layers))), "they count up from 00")
    exact, layout = [], "P and Q"
    for index in range(len(layers)):
        prefix, parts_here = f"layer.{index:02d}", layers[index]
        if set(parts_here) == {"P", "Q"}:
            heads = [_heads(f"{prefix}.{part}", parts_here[part]) for part in "PQ"]
            pairs = [(rationals(p), rationals(q)) for p, q in zip(*_agreeing(prefix, heads), strict=True)]
        elif set(parts_here) in ({"Q", "K", "V", "O"}, {"Q", "K", "V", "P"}, {"Q", "K", "V"}):
            layout = "Q, K, V and O by head"
            pairs = _products(prefix, parts_here)
        else:
            have = ", ".join(sorted(parts_here))
            raise ProblemError("tensor", f"{prefix}: {have}", "a layer has P and Q, or Q, K, V and O")
        exact.append(tuple(pairs))
    widths = {(len(p), len(p[0]), len(q), len(q[0])) for layer in exact for p, q in layer}
    if len(widths) != 1 or len(set(next(iter(widths)))) != 1:
        raise ProblemError("layers", f"{len(exact)} of different widths", "every P and Q is (d+1, d+1)")
    return GivenLinear.of_exact(exact, **{"layout": layout} | said)


def _heads(name: str, tensor: Tensor) -> Tensor:
    if tensor.ndim not in (2, 3) or not tensor.numel():
        raise ProblemError(name, f"shape {tuple(tensor.shape)}", "a matrix, or one for each head, is needed")
    found = tensor if tensor.ndim == 3 else tensor[None]
    if found.shape[0] > MOST_HEADS or max(found.shape[1:]) > 1024:
        raise ProblemError(
            name, f"shape {tuple(tensor.shape)}", f"at most {MOST_HEADS} heads of width 1024 are read"
        )
    return found


def _agreeing(prefix: str, heads: list[Tensor]) -> list[Tensor]:
    if len({len(part) for part in heads}) != 1:
        counts = ", ".join(str(len(part)) for part in heads)
        raise ProblemError(prefix, f"{counts} heads", "every matrix of a layer has the same number of heads")
    return heads


def _products(prefix: str, parts: Mapping[str, Tensor]) -> list[tuple[Exact, Exact]]:
    """P_h = O_h V_h and Q_h = K_h^T Q_h, without rounding; O is I where there is none."""
    heads = {part: _heads(f"{prefix}.{part}", tensor) for part, tensor in parts.items()}
    out = heads.pop("O", heads.pop("P", None))
    if out is None:
        out = torch.eye(heads["V"].shape[1], dtype=torch.float64).expand(len(heads["V"]), -1, -1)
    heads["O"] = out
    _agreeing(prefix, list(heads.values()))
    width = heads["Q"].shape[2]
    if width > MOST_WIDTH:
        raise ProblemError(
            f"{prefix}.Q", f"width {width}", f"linear attention is read up to d+1 = {MOST_WIDTH}"
        )
    wanted = {
        "K": tuple(heads["Q"].shape[1:]),
        "V": (heads["V"].shape[1], width),
        "O": (width, heads["V"].shape[1]),
    }
    for part, shape in wanted.items():
        if tuple(heads[part].shape[1:]) != shape:
            given = f"heads of shape {tuple(heads[part].shape[1:])}"
            raise ProblemError(f"{prefix}.{part}", given, f"{shape} fits the other matrices of the layer")
    found = []
    for head in range(len(heads["Q"])):
        Q, K, V, O = (rationals(heads[part][head].to(torch.float64)) for part in "QKVO")
        found.append(
            (matrix_product(O, V), matrix_product([list(column) for column in zip(*K, strict=True)], Q))
        )
    return found


def _said(metadata: Mapping[str, str]) -> dict[str, Any]:
    """What metadata say about a mask, the division and the sign; raises ProblemError for other attention."""
    if metadata.get("attention", "linear") != "linear":
        raise ProblemError(
            "attention", metadata["attention"], "only linear attention, without softmax, is read here"
        )
    if "kernels" in metadata:
        try:
            kernels = json.loads(metadata["kernels"])
        except (ValueError, RecursionError):
            raise ProblemError("kernels", metadata["kernels"], "these metadata are not JSON") from None
        if not isinstance(kernels, list) or any(kernel != "linear" for kernel in kernels):
            raise ProblemError(
                "kernels", metadata["kernels"], "only heads of the linear kernel are read here"
            )
    found: dict[str, Any] = {}
    if "M" in metadata:
        if metadata["M"] not in ("I", "diag(1, .., 1, 0)"):
            raise ProblemError("M", metadata["M"], "it is I or diag(1, .., 1, 0)")
        found["masked"] = metadata["M"] != "I"
    if "prediction" in metadata:
        found["sign"] = -1 if metadata["prediction"].strip().startswith("-") else 1
    if "divisor" in metadata:
        found["divisor"] = metadata["divisor"]
    elif metadata.get("update", "").startswith("Z + sum_m"):
        found["divisor"] = "1"
    return found
