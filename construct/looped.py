"""A linear-attention block with fixed weights, applied T times (arXiv 2410.11268)."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from icgd.bounds.letters import ProblemError
from icgd.bounds.looped import LoopedProblem
from icgd.construct.block.attention import attention
from icgd.construct.block.weights import problem_metadata, write_tensors
from icgd.construct.machine.memory import refuse_prompts
from icgd.construct.model import Model
from icgd.construct.regression_tokens import check_prompt_shapes, check_token_shapes, stream

_CHUNK = 1 << 18
"""The stream entries that are processed together, so that they stay in the cache between loops."""


class LoopedTransformer(nn.Module):
    """Z + (1/n) P Z M Z^T Q Z, looped; M masks the query, the last token.

    P, Q: (d+1, d+1), the only weights.  With P = e e^T on the label row and Q = -[[eta I, 0], [0, 0]] that
    row holds y_i - x_i . w_l and -x_q . w_l for the gradient steps w_l, w_0 = 0, on (1/(2n)) norm2(Xw - y)^2.
    problem: the one it was built for, if any.
    Source: arXiv 2410.11268 (least squares, as in arXiv 2306.00297, Lemma 1).

    >>> transformer = LoopedTransformer(eta=0.5, d=1)
    >>> x, y, query = torch.ones(1, 1, 1), torch.ones(1, 1), torch.ones(1, 1)
    >>> transformer.predict(x, y, query, loops=2)[:, 0].tolist()
    [0.0, 0.5, 0.75]
    """

    P: Tensor
    Q: Tensor

    def __init__(self, eta: float, d: int, problem: LoopedProblem | None = None) -> None:
        super().__init__()
        self.problem = problem
        P, Q = torch.zeros(2, d + 1, d + 1, dtype=torch.float64)
        P[d, d] = 1.0
        Q[:d, :d] = -eta * torch.eye(d, dtype=torch.float64)
        self.register_buffer("P", P)
        self.register_buffer("Q", Q)

    def extra_repr(self) -> str:
        """What torch shows of it."""
        return f"d={self.P.shape[0] - 1}, eta={-float(self.Q[0, 0]):g}"

    @property
    def parameters_count(self) -> int:
        """Entries of P and Q, counted from the tensors; the number of loops is not part of the model."""
        return sum(part.numel() for part in self.buffers())

    def census(self) -> dict[str, int]:
        """One layer, whatever the number of loops, and its entries."""
        return {"layers": 1, "parameters": self.parameters_count}

    def literal(self, H: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        """One block by its formula, with T x T attention; raises ProblemError if the shape of H is wrong."""
        check_token_shapes(len(self.P) - 1, H)
        P, Q = (part.to(device=H.device, dtype=H.dtype) for part in (self.P, self.Q))
        refuse_prompts(3 * H.shape[0] * H.shape[1] ** 2 * H.element_size())
        Z = H.mT
        masked = torch.cat([Z[..., :-1], torch.zeros_like(Z[..., -1:])], dim=-1)
        kind = attention("linear")
        return (Z + P @ masked @ kind.weights(Z.mT @ Q @ Z, keys=-2) / kind.divisor(H.shape[1])).mT

    def forward(self, H: Float[Tensor, "B T D"], loops: int = 1) -> Float[Tensor, "B T D"]:
        """The block applied `loops` times, at a cost linear in the tokens: P (Z M Z^T) Q Z.

        Raises ProblemError where H is not a stream of tokens [x; y] in d.
        """
        check_token_shapes(len(self.P) - 1, H)
        _refuse_loops(loops)
        H = H.clone()
        for part in H.split(self._prompts(H.shape[1])):
            block = _Block(self.P, self.Q, part)
            for _ in range(loops):
                block.apply()
        return H

    def labels(
        self,
        x: Float[Tensor, "B n d"],
        y: Float[Tensor, "B n"],
        query: Float[Tensor, "B d"],
        loops: int,
    ) -> Float[Tensor, "{loops}+1 B n+1"]:
        """The label row before and after every loop; raises ProblemError unless these are prompts in d."""
        check_prompt_shapes(len(self.P) - 1, x, y, query)
        _refuse_loops(loops)
        batch, n, _ = x.shape
        refuse_prompts((loops + 1 + x.shape[-1]) * batch * (n + 1) * x.element_size())
        result = x.new_empty(loops + 1, batch, n + 1)
        size = self._prompts(n + 1)
        for start in range(0, batch, size):
            rows = slice(start, start + size)
            if self._writes_labels_only():
                self._descend(x[rows], y[rows], query[rows], result[:, rows])
                continue
            part = stream(x[rows], y[rows], query[rows])
            block = _Block(self.P, self.Q, part)
            result[0, rows] = part[..., -1]
            for step in range(1, loops + 1):
                block.apply()
                result[step, rows] = part[..., -1]
        return result

    def _writes_labels_only(self) -> bool:
        """Whether P acts on the label row only, and Q on the inputs only."""
        d = len(self.P) - 1
        label, inputs = (slice(d, d + 1),) * 2, (slice(0, d),) * 2
        count = torch.count_nonzero
        return bool(count(self.P) == count(self.P[label]) and count(self.Q) == count(self.Q[inputs]))

    def _descend(
        self,
        x: Float[Tensor, "B n d"],
        y: Float[Tensor, "B n"],
        query: Float[Tensor, "B d"],
        result: Float[Tensor, "iterates B n+1"],
    ) -> None:
        """All loops of a block that only writes labels, without assembling a stream."""
        d = x.shape[-1]
        mixing = (self.P[d, d] * self.Q[:d, :d]).to(device=x.device, dtype=x.dtype) / x.shape[1]
        result[0, :, :-1], result[0, :, -1] = y, 0.0
        for before, after in pairwise(result):
            direction = before[:, None, :-1] @ x @ mixing
            torch.add(before[:, :-1], (direction @ x.mT)[:, 0], out=after[:, :-1])
            after[:, -1] = before[:, -1] + (direction[:, 0] * query).sum(-1)

    def _prompts(self, tokens: int) -> int:
        return max(1, _CHUNK // (tokens * len(self.P)))

    def predict(
        self,
        x: Float[Tensor, "B n d"],
        y: Float[Tensor, "B n"],
        query: Float[Tensor, "B d"],
        loops: int,
    ) -> Float[Tensor, "{loops}+1 B"]:
        """x_q . w_l for l = 0..loops: minus the query's label."""
        return 0.0 - self.labels(x, y, query, loops)[..., -1]

    def save(self, path: Path) -> None:
        """Write `layer.00.P` and `layer.00.Q` (d+1, d+1) as safetensors, the letters in the metadata."""
        tensors = {"layer.00.P": self.P, "layer.00.Q": self.Q}
        metadata = {
            "attention": "linear",
            "update": "Z + (1/n) P Z M Z^T Q Z, repeated",
            "loops": "any",
            "Z": "columns (x_i; y_i), i = 1..n, then (x_{n+1}; 0)",
            "M": "diag(1, .., 1, 0)",
            "prediction": "-Z[d, n] after the last loop (counted from 0)",
        }
        write_tensors(path, tensors, metadata | problem_metadata(self.problem))


def _refuse_loops(loops: int) -> None:
    if loops < 0:
        raise ProblemError("loops", loops, "a whole number from 0 is needed")


class _Block:
    """The block on one group of streams, in place, by the nonzero rows and columns of P and Q alone."""

    def __init__(self, P: Tensor, Q: Tensor, H: Float[Tensor, "B T D"]) -> None:
        rows, columns = _occupied(P)
        keys, tokens = _occupied(Q)
        weights = [part.to(device=H.device, dtype=H.dtype) for part in (P[rows, columns].mT, Q[keys, tokens])]
        self.P, self.Q = weights[0], weights[1] / (H.shape[1] - 1)
        self.values, self.keys = H[:, :-1, columns], H[:, :-1, keys]
        self.tokens, self.target = H[..., tokens], H[..., rows]

    def apply(self) -> None:
        """Add (1/n) P Z M Z^T Q Z; nothing is written before everything is read."""
        moment = (self.values @ self.P).mT @ self.keys
        self.target += self.tokens @ (moment @ self.Q).mT


def _occupied(matrix: Float[Tensor, "D D"]) -> tuple[slice, slice]:
    """The smallest block of rows and columns that holds all nonzero entries (at least one of each)."""
    found = matrix.nonzero()
    if not len(found):
        return slice(0, 1), slice(0, 1)
    low, high = found.amin(dim=0).tolist(), found.amax(dim=0).tolist()
    return slice(low[0], high[0] + 1), slice(low[1], high[1] + 1)


def build(problem: LoopedProblem) -> LoopedTransformer:
    """The block with the problem's step size; the caller says how often it is looped."""
    problem = LoopedProblem.taken(problem)
    return LoopedTransformer(problem.rate, problem.d, problem)


MODEL = Model(build, LoopedTransformer.census, LoopedTransformer.save)
"""How the transformer is built, counted and saved."""
