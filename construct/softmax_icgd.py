"""The transformer of arXiv 2411.16549, Theorem 2, for any N: softmax takes one mean, MLPs do the rest.

4N+2 layers per step.  A layer is softmax attention (in one layer only), then an MLP with ReLUs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, cast

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from icgd.bounds.functions.relu_sum import ReluSum, signed
from icgd.bounds.problem import Problem
from icgd.bounds.softmax_icgd import SoftmaxPlan, gate_offset, halved, plan_softmax
from icgd.bounds.step_error.network_relus import activation_relus, slope_relus
from icgd.bounds.step_error.product import Product
from icgd.bounds.step_error.recurrence import Term
from icgd.construct.block.attention import attention
from icgd.construct.block.census import layer_counts
from icgd.construct.block.hidden import HiddenPart, Ridge, finish, literal_mlp, run_hidden, squares
from icgd.construct.block.literal import Entries, Head, LiteralLayer
from icgd.construct.block.stream import OneLine, Stream
from icgd.construct.block.table import LookupTable
from icgd.construct.block.weights import save_weights
from icgd.construct.model import Model
from icgd.construct.prompt import Prompt, check_prompt, iterates, stack_weights

_AT_ONCE = 1 << 19
"""The target size, in numbers, of temporaries."""

Pattern = Literal["rows", "columns", "outer"]


class Products(nn.Module):
    """target += sums of products of two slots, each a difference of two squares as sums of ReLUs.

    rows: target[k] = sum_c left[k, c] right[c].  columns: target[c] = sum_k left[k, c] right[k].
    outer: target[k, c] = left[c] right[k].  shape: (rows, columns) of the entries (k, c).
    offset: None, or what switches every unit off in the query token: relu(a v + b) becomes
        relu(a v + b - offset (1 - t)), so that the target is exactly 0 there.
    """

    def __init__(
        self,
        pattern: Pattern,
        left: str,
        right: str,
        target: str,
        shape: tuple[int, int],
        product: Product,
        offset: float | None = None,
    ) -> None:
        super().__init__()
        assert product.square is not None and product.centre == 0
        self.pattern, self.left, self.right, self.target, self.shape = pattern, left, right, target, shape
        self.a, self.b, self.offset = product.a, product.b, offset
        relus = product.square.relus
        self.relus = ReluSum(relus.a, relus.b, relus.c)  # constants of the two squares cancel
        self.table = LookupTable(self.relus)

    def erases(self) -> bool:
        return False

    def increment(self, values: Mapping[str, Tensor]) -> Tensor:
        """What is added to the target, (B, T, size)."""
        left, right = values[self.left] * self.a, values[self.right] * self.b
        left = left[..., None, :] if self.pattern == "outer" else left[:, None]
        right = right[..., None, :] if self.pattern == "rows" else right[..., None]
        entries = (self.table(left + right) - self.table(left - right)) / 4
        if self.pattern == "outer":
            flat = entries.flatten(-2)
            return flat if self.offset is None else flat * values["t"]
        return entries.sum(-1 if self.pattern == "rows" else -2)

    def literal(self, stream: Stream, first: int) -> tuple[Entries, Entries, dict[int, float]]:
        """Entries of W1 and W2 for hidden units first, first + 1, ...; there are no constants."""
        k, c = (axis.reshape(-1) for axis in np.indices(self.shape))
        flat, M = k * self.shape[1] + c, self.relus.units
        left = stream[self.left].start + (c if self.pattern == "outer" else flat)
        right = stream[self.right].start + (c if self.pattern == "rows" else k)
        target = stream[self.target].start + {"rows": k, "columns": c, "outer": flat}[self.pattern]
        W1, W2 = [], []
        for sign in (1.0, -1.0):
            rows = np.arange(first, first + k.size * M, dtype=np.float64)
            first += k.size * M

            def entries(column: np.ndarray, weight: np.ndarray, rows: np.ndarray = rows) -> Entries:
                return np.column_stack([rows, np.repeat(column, M), np.tile(weight, k.size)])

            W1.append(entries(left, self.a * self.relus.a))
            W1.append(entries(right, sign * self.b * self.relus.a))
            W1.append(entries(np.full(k.size, stream["one"].start), self.relus.b - (self.offset or 0.0)))
            if self.offset is not None:
                W1.append(entries(np.full(k.size, stream["t"].start), np.full(M, self.offset)))
            W2.append(entries(target, sign / 4 * self.relus.c)[:, [1, 0, 2]])
        return np.concatenate(W1), np.concatenate(W2), {}


class MeanHead(nn.Module):
    """Softmax attention with zero queries and keys: scale times the mean of the values over all tokens."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, values: Float[Tensor, "B T size"]) -> Float[Tensor, "B size"]:
        """The increment that every token gets."""
        keys = values.new_zeros(values.shape[0], values.shape[1], 1)
        attended: Tensor = F.scaled_dot_product_attention(keys[:, :1], keys, self.scale * values)
        return attended[:, 0]


class SoftmaxLayer(nn.Module):
    """A mean over tokens if there is a head, then an MLP.  moves: the head's slots, (from, to)."""

    def __init__(
        self,
        parts: Sequence[Ridge | Products],
        head: MeanHead | None = None,
        moves: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__()
        self.parts, self.head, self.moves = nn.ModuleList(parts), head, tuple(moves)

    @property
    def listed(self) -> list[HiddenPart]:
        """The parts of the MLP, with their type."""
        return cast(list[HiddenPart], list(self.parts))

    def literal(self, stream: Stream) -> LiteralLayer:
        """The matrices of this layer; entries of a head are Q = K = 0 and V."""
        value = [
            (stream[target].start + i, stream[source].start + i, self.head.scale)
            for source, target in self.moves
            if self.head is not None
            for i in range(stream[source].size)
        ]
        heads = (Head.of(stream.D, [], [], value),) if self.head else ()
        W1, W2 = literal_mlp(self.listed, stream)
        return LiteralLayer(heads, W1, W2, diagonal=False)


class SoftmaxTransformer(OneLine, nn.Module):
    """The block of one gradient step, looped L times.  problem: in the 1/(2n) convention, as its plan's."""

    name, attention = "softmax", "softmax"

    def __init__(self, problem: Problem, stream: Stream, layers: Sequence[SoftmaxLayer]) -> None:
        super().__init__()
        self.problem, self.stream = problem, stream
        self.layers = nn.ModuleList(layers)

    @property
    def blocks(self) -> list[SoftmaxLayer]:
        """The layers, with their type."""
        return cast(list[SoftmaxLayer], list(self.layers))

    @property
    def head(self) -> MeanHead:
        """The only attention head of the block."""
        return next(layer.head for layer in self.blocks if layer.head is not None)

    def literal(self) -> Iterator[LiteralLayer]:
        """The literal matrices, layer by layer."""
        for layer in self.blocks:
            yield layer.literal(self.stream)

    def step(self, prompt: Prompt) -> Float[Tensor, "B D_w"]:
        """The weights after one block; the w that all tokens carry is stored once per prompt."""
        check_prompt(prompt)
        largest = max(slot.size for slot in self.stream.slots.values())
        size = max(1, _AT_ONCE // (largest * (prompt.n + 1)))
        return torch.cat([self._step(prompt[i : i + size]) for i in range(0, prompt.batch, size)])

    def _step(self, prompt: Prompt) -> Float[Tensor, "B D_w"]:
        state = self.stream.open(prompt)
        values = state.tokens | state.shared
        for layer in self.blocks:
            if layer.head is not None:
                for source, target in layer.moves:
                    added = layer.head(values[source])
                    values[target] = values[target] + added.view_as(values[target])
            run_hidden(layer.listed, values)
        return stack_weights([values[f"V{j}"] for j in range(1, self.problem.N + 1)])

    def simulate(self, prompt: Prompt, steps: int | None = None) -> Float[Tensor, "iterates B D_w"]:
        """The iterates w(0), ..., w(steps), from the prompt's own w; steps defaults to L."""
        return iterates(self.step, prompt, self.problem.L if steps is None else steps)


def build(problem: Problem) -> SoftmaxTransformer:
    """The transformer for Theorem 2's problem, its loss the mean over n examples; raises ProblemError.

    >>> len(build(Problem(N=1, d=1, n=2, eps=0.5)).layers)
    6
    """
    return assemble_softmax(plan_softmax(halved(Problem.taken(problem))))


def assemble_softmax(made: SoftmaxPlan) -> SoftmaxTransformer:
    """The transformer that a plan describes."""
    problem, dims, N = made.problem, made.problem.dims, made.problem.N
    loss, from_z = problem.loss, problem.loss.rho == 0
    scratch: dict[str, int] = {}

    def slot(name: str, j: int) -> str:
        if name == "p" and j == 0:
            return "x"
        scratch[f"{name}{j}"] = dims[j] * (dims[j - 1] if name == "q" else 1)
        return f"{name}{j}"

    def function(kind: Literal["r", "dr"], j: int) -> ReluSum:
        return activation_relus(problem, made.fits, Term(kind, j), made.layers[j - 1].z)

    def shape(j: int) -> tuple[int, int]:
        return dims[j], dims[j - 1]

    def scaled(j: int, g: str) -> list[Ridge | Products]:
        """s(j) = r'(z(j)) g: the centre of r' times g, and a difference of two squares."""
        product, target = made.products[Term("product", j)], slot("s", j)
        parts: list[Ridge | Products] = (
            [Ridge({g: 1.0}, signed(product.centre), target)] if product.centre else []
        )
        parts += squares(product, slot("dr", j), {g: 1.0}, target)
        return parts

    slope, u = slope_relus(problem, made.fits), ""
    layers: list[SoftmaxLayer] = []
    for j in range(1, N + 1):
        z, product = slot("z", j), made.products[Term("z", j)]
        layers.append(SoftmaxLayer([Products("rows", f"V{j}", slot("p", j - 1), z, shape(j), product)]))
        parts: list[Ridge | Products] = [Ridge({z: 1.0}, function("dr", j), slot("dr", j))]
        if j < N or not from_z:
            parts.append(Ridge({z: 1.0}, function("r", j), slot("p", j)))
        else:
            u = slot("u", N)
            parts += [Ridge({z: 1.0}, slope, u), Ridge({"y": 1.0}, signed(-loss.sigma), u)]
        layers.append(SoftmaxLayer(parts))
    if not from_z:
        u = slot("u", N)
        layers.append(SoftmaxLayer([Ridge({slot("p", N): 1.0, "y": -loss.rho}, slope, u)]))
    layers.append(SoftmaxLayer(scaled(N, u)))
    for j in range(N - 1, 0, -1):
        g, product = slot("g", j), made.products[Term("g", j)]
        layers.append(
            SoftmaxLayer([Products("columns", f"V{j + 1}", slot("s", j + 1), g, shape(j + 1), product)])
        )
        layers.append(SoftmaxLayer(scaled(j, g)))
    entries = []
    for j in range(1, N + 1):
        product, q = made.products[Term("update", j)], slot("q", j)
        names = slot("p", j - 1), slot("s", j), q
        entries.append(Products("outer", *names, shape(j), product, gate_offset(product)))
    layers.append(SoftmaxLayer(entries))
    # The softmax averages over n + 1 tokens; the query's entries are 0.
    head = MeanHead(-problem.eta * (problem.n + 1) / (2 * problem.n))
    layers.append(SoftmaxLayer(finish(problem, scratch), head, [(f"q{j}", f"V{j}") for j in range(1, N + 1)]))
    return SoftmaxTransformer(problem, Stream(problem, tuple(scratch.items())), layers)


class DenseSoftmaxTransformer(nn.Module):
    """The block on its literal matrices: H + softmax attention, then H + W2 relu(W1 H)."""

    def __init__(self, transformer: SoftmaxTransformer) -> None:
        super().__init__()
        self.kind = attention(transformer.attention)
        self.matrices = [
            (
                [(head.Q.dense(), head.K.dense(), head.V.dense()) for head in layer.heads],
                layer.W1.dense(),
                layer.W2.dense(),
            )
            for layer in transformer.literal()
        ]

    def forward(self, H: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        """One gradient step."""
        for heads, W1, W2 in self.matrices:
            for Q, K, V in heads:
                weights = self.kind.weights(H @ Q.T @ (H @ K.T).mT)
                H = H + weights @ (H @ V.T) / self.kind.divisor(H.shape[1])
            H = H + torch.relu(H @ W1.T) @ W2.T
        return H


MODEL = Model(build, layer_counts, save_weights)
"""How the transformer is built, counted and saved."""
