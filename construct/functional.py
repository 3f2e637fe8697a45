"""Attention whose layers are steps of functional gradient descent (arXiv 2312.06528)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from icgd.bounds.functional import NORMALISERS, FunctionalProblem
from icgd.bounds.kernel import KERNELS, Kernel
from icgd.bounds.letters import ProblemError
from icgd.construct.block.attention import similarities
from icgd.construct.block.layer_names import layer_names
from icgd.construct.block.weights import problem_metadata, write_tensors
from icgd.construct.machine.memory import refuse_prompts
from icgd.construct.model import Model
from icgd.construct.regression_tokens import check_prompt_shapes, check_token_shapes, stream

_CHUNK = 1 << 21
"""The kernel entries held at once: prompts are processed in groups of that size."""


def similarity(kernel: str, u: Float[Tensor, "B S d"], v: Float[Tensor, "B T d"]) -> Float[Tensor, "B S T"]:
    """h(U, V)_ij = K(u_i, v_j) between keys u and tokens v; softmax normalises over the keys."""
    return similarities(_kernel(kernel), u @ v.mT, keys=-2)


def _kernel(name: str) -> Kernel:
    """The kernel of that name; raises ProblemError where there is none."""
    try:
        return KERNELS.find(name)
    except ValueError as error:
        raise ProblemError("kernel", name, str(error)) from None


@dataclass(frozen=True, eq=False)
class Examples:
    """A batch of prompts: x (B, n, d) on the sphere, labels y (B, n), the query (B, d) and its label."""

    x: Float[Tensor, "B n d"]
    y: Float[Tensor, "B n"]
    query: Float[Tensor, "B d"]
    answer: Float[Tensor, " B"]

    def plain(self, index: int) -> tuple[list[list[float]], list[float]]:
        """The points, the query last, and the labels of one prompt as floats."""
        return [*self.x[index].tolist(), self.query[index].tolist()], self.y[index].tolist()


class FunctionalTransformer(nn.Module):
    """L layers Z + sum_m V_m Z M h_m(B_m X, C_m X), heads m; X are the first d rows of Z, M masks the query.

    normaliser: of `NORMALISERS`, for kernels such as softmax: "examples", as (2.6) and (3.8) have it, or
    "tokens".  scale: 1/sigma^2 of kernels k(<x, x'>/sigma^2).

    Token i of the stream is [x_i; y_i], the last one [x_q; 0]; with V = -r e e^T on the label row,
    B = scale I and C = I that row holds y_i - f_l(x_i), and -f_l(x_q).
    V: (L, heads, d+1, d+1); B, C: (L, heads, d, d).  problem: the one it was built for, if any.
    Source: arXiv 2312.06528, Propositions 1 and 3.

    >>> transformer = FunctionalTransformer(("linear",), (0.5,), d=1)
    >>> x, y, query = torch.ones(1, 1, 1), torch.ones(1, 1), torch.ones(1, 1)
    >>> transformer.predict(x, y, query)[:, 0].tolist()
    [0.0, 0.5]
    """

    V: Tensor
    B: Tensor
    C: Tensor

    def __init__(
        self,
        kernels: Sequence[str],
        rates: Sequence[float],
        d: int,
        problem: FunctionalProblem | None = None,
        *,
        normaliser: str = "examples",
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        if normaliser not in NORMALISERS:
            raise ProblemError("normaliser", normaliser, f"it is {' or '.join(NORMALISERS)}")
        self.normaliser = normaliser
        for kernel in kernels:
            _kernel(kernel)
        self.kernels, self.d, self.problem = tuple(kernels), d, problem
        shape = (len(rates), len(kernels))
        V = torch.zeros(*shape, d + 1, d + 1, dtype=torch.float64)
        V[..., d, d] = -torch.tensor(list(rates), dtype=torch.float64)[:, None]
        self.register_buffer("V", V)
        for name, size in (("B", scale), ("C", 1.0)):
            self.register_buffer(name, size * torch.eye(d, dtype=torch.float64).expand(*shape, d, d))

    def extra_repr(self) -> str:
        """What torch shows of it."""
        return f"{len(self.V)} layers, kernels={'+'.join(self.kernels)}, d={self.d}"

    @property
    def parameters_count(self) -> int:
        """Entries of V, B and C, counted from the tensors."""
        return sum(part.numel() for part in (self.V, self.B, self.C))

    def census(self) -> dict[str, int]:
        """Layers, heads of a layer, and entries of V, B and C."""
        return {"layers": len(self.V), "heads": len(self.kernels), "parameters": self.parameters_count}

    def forward(self, H: Float[Tensor, "batch T D"]) -> Float[Tensor, "batch T D"]:
        """The literal reading: every layer's formula on its own matrices; the attention is T x T.

        Raises ProblemError where H is not a stream of tokens [x; y] in d.
        """
        check_token_shapes(self.d, H)
        for layer in range(len(self.V)):
            H = self.layer(H, layer)
        return H

    def layer(self, H: Float[Tensor, "batch T D"], index: int) -> Float[Tensor, "batch T D"]:
        """One layer, literally."""
        refuse_prompts(2 * H.shape[0] * H.shape[1] ** 2 * H.element_size())
        x, examples = H[..., : self.d], H[:, :-1]
        added = torch.zeros_like(H)
        for kernel, V, B, C in zip(self.kernels, *self._matrices(index, H), strict=True):
            added += self._seen(kernel, x @ B.mT, x @ C.mT).mT @ examples @ V.mT
        return H + added

    def _seen(
        self, kernel: str, keys: Float[Tensor, "B T d"], tokens: Float[Tensor, "B T d"]
    ) -> Float[Tensor, "B T-1 T"]:
        """K of every example and token; the query, the last key, is in the normaliser or not."""
        if self.normaliser == "tokens":
            return similarity(kernel, keys, tokens)[:, :-1]
        return similarity(kernel, keys[:, :-1], tokens)

    def _matrices(self, index: int, like: Tensor) -> list[Tensor]:
        return [part[index].to(device=like.device, dtype=like.dtype) for part in (self.V, self.B, self.C)]

    def labels(
        self, x: Float[Tensor, "B n d"], y: Float[Tensor, "B n"], query: Float[Tensor, "B d"]
    ) -> Float[Tensor, "{len(self.V)}+1 B n+1"]:
        """The label row before and after every layer, at the cost of one kernel matrix per prompt.

        Layers that only write labels do not change X, so they share one attention matrix; other weights are
        run by the literal formula.  Raises ProblemError unless the three are prompts of one batch in d.
        """
        check_prompt_shapes(self.d, x, y, query)
        rates, scale = self._rates(), float(self.B[0, 0, 0, 0]) if self.B.numel() else 1.0
        if rates is None:
            H = stream(x, y, query)
            path = [H[..., -1]]
            for index in range(len(self.V)):
                H = self.layer(H, index)
                path.append(H[..., -1])
            return torch.stack(path)
        batch, n, _ = x.shape
        path_bytes = (len(rates) + 1) * batch * (n + 1) * x.element_size()
        refuse_prompts(path_bytes + 3 * max(_CHUNK, n * (n + 1)) * x.element_size())
        result = x.new_empty(len(rates) + 1, batch, n + 1)
        for part in torch.arange(batch).split(max(1, _CHUNK // (n * (n + 1)))):
            rows = slice(int(part[0]), int(part[-1]) + 1)
            self._run(x[rows], y[rows], query[rows], (rates, scale), result[:, rows])
        return result

    def _run(
        self,
        x: Float[Tensor, "B n d"],
        y: Float[Tensor, "B n"],
        query: Float[Tensor, "B d"],
        descent: tuple[Sequence[float], float],
        result: Float[Tensor, "{len(descent[0])}+1 B n+1"],
    ) -> None:
        rates, scale = descent
        tokens = torch.cat([x, query[:, None]], dim=1)
        dense: Tensor | None = None
        for kernel in self.kernels:
            if _kernel(kernel).is_inner_product:
                continue
            found = self._seen(kernel, scale * tokens, tokens)
            dense = found if dense is None else dense.add_(found)
        linear = sum(_kernel(kernel).is_inner_product for kernel in self.kernels)
        result[0, :, :-1], result[0, :, -1] = y, 0.0
        for step, rate in enumerate(rates):
            residual = result[step, :, None, :-1]
            moved = torch.zeros_like(result[step]) if dense is None else (residual @ dense)[:, 0]
            if linear:  # sum_i residual_i <x_i, x_j> without the n x n matrix
                moved = moved + linear * scale * (residual @ x @ tokens.mT)[:, 0]
            torch.sub(result[step], moved, alpha=rate, out=result[step + 1])

    def _rates(self) -> list[float] | None:
        """The step size of every layer, or None if V, B, C are not those of functional descent."""
        corner = self.V[..., -1, -1]
        rest = self.V.clone()
        rest[..., -1, -1] = 0
        eye = torch.eye(self.d, dtype=self.B.dtype, device=self.B.device)
        wide = self.B[:1, :1, :1, :1] * eye
        same = bool((corner == corner[:, :1]).all() and (wide == self.B).all() and (eye == self.C).all())
        return (-corner[:, 0]).tolist() if same and not bool(rest.any()) else None

    def predict(
        self, x: Float[Tensor, "B n d"], y: Float[Tensor, "B n"], query: Float[Tensor, "B d"]
    ) -> Float[Tensor, "{len(self.V)}+1 B"]:
        """f_l(x_q) for l = 0..L: minus the query's label."""
        return 0.0 - self.labels(x, y, query)[..., -1]

    def save(self, path: Path) -> None:
        """Write P = V and Q = [[B^T C, 0], [0, 0]] of every layer and head as safetensors.

        Tensors `layer.00.P`, `layer.00.Q` (heads, d+1, d+1) for Z + sum P Z M k(Z^T Q Z), with the kernel k
        of each head in the metadata, by its name and its formula, which acts entry by entry (a sum over
        examples, not a mean); normalised ones are divided by the sum of their column, over the examples or
        over all tokens, as `normaliser` says.  The metadata also say what Z and M are, the sign of the
        prediction, and the letters of the problem.  The order of the names is that of the layers.
        """
        tensors = {}
        for name, V, B, C in zip(layer_names(len(self.V)), self.V, self.B, self.C, strict=True):
            Q = torch.zeros_like(V)
            Q[:, : self.d, : self.d] = B.mT @ C
            tensors[f"{name}.P"], tensors[f"{name}.Q"] = V, Q
        known = {name: _kernel(name) for name in self.kernels}
        metadata = {
            "kernels": json.dumps(self.kernels),
            "formulas": json.dumps({name: kernel.formula for name, kernel in known.items()}),
            "normalised": json.dumps([name for name, kernel in known.items() if kernel.normalised]),
            "update": "Z + sum_m P_m Z M k_m(Z^T Q_m Z)",
            "Z": "columns (x_i; y_i), i = 1..n, then (x_{n+1}; 0)",
            "M": "diag(1, .., 1, 0)",
            "prediction": "-Z[d, n] after the last layer (counted from 0)",
            "normaliser": NORMALISERS[self.normaliser],
            "layers": str(len(self.V)),
        }
        write_tensors(path, tensors, metadata | problem_metadata(self.problem))


def build(problem: FunctionalProblem) -> FunctionalTransformer:
    """The transformer of Proposition 1, a head for each kernel (Proposition 3)."""
    problem = FunctionalProblem.taken(problem)
    rates, how = [problem.rate] * problem.L, problem.normaliser
    return FunctionalTransformer(
        problem.heads, rates, problem.d, problem, normaliser=how, scale=problem.scale
    )


MODEL = Model(build, FunctionalTransformer.census, FunctionalTransformer.save)
"""How the transformer is built, counted and saved."""
