"""A four-layer transformer that interpolates a token's gradient on a grid, to show the width it takes."""

from __future__ import annotations

import warnings

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from icgd.bounds.letters import ProblemError
from icgd.bounds.problem import Problem
from icgd.bounds.step_error.domain import face
from icgd.construct.block.literal import Head, LiteralLayer, Sparse
from icgd.construct.prompt import Prompt


class FourLayerTransformer(nn.Module):
    """Universal approximation in four layers, for N = d = d_out = 1: the gradient of a token from a grid.

    Piecewise-linear interpolation over the (cells + 1)^3 nodes of (w, x, y), on Kuhn's simplices: a node's
    hat function is relu(1 - max(0, u) + min(0, u)) with u the distances to it in cells.  Extrema of four
    numbers take two MLPs and the hat a third; layer 4 takes the softmax mean and projects.  With more than
    three variables, extrema need more MLPs than there are.  problem: in the 1/(2n) convention.
    """

    def __init__(self, problem: Problem, cells: int) -> None:
        super().__init__()
        if (problem.N, problem.d, problem.d_out) != (1, 1, 1):
            raise ProblemError("N", problem.N, "four layers are built for N = d = d_out = 1 only")
        if not 1 <= cells <= 40:
            raise ProblemError("cells", cells, "a whole number from 1 to 40 is needed")
        self.problem, self.cells = problem, cells
        self.layers = self._layers()

    def _layers(self) -> list[LiteralLayer]:
        problem, G = self.problem, self.cells
        count = G + 1
        radii = (problem.half_width(1), problem.B_x, problem.B_y)
        per = [G / (2 * R) for R in radii]  # cells per unit of w, x, y
        i, j, k = (axis.reshape(-1) for axis in np.indices((count,) * 3))
        nodes = np.arange(count**3)
        w, x, y = (R * (2 * index / G - 1) for R, index in zip(radii, (i, j, k), strict=True))
        r, loss = problem.activation_at(1).r, problem.loss
        p = r(w * x)
        slope = (loss.phi(p - loss.rho * y) - loss.sigma * y) * r.derivative(w * x) * x / 2
        X, Y, W, ONE, T, Q, A = 0, 1, 2, 3, 4, 5, 6  # coordinates of the stream
        A2, B = A + count, A + 2 * count
        B2 = B + 2 * G + 1
        M = B2 + 2 * G + 1
        m, D = M + count**3, M + 2 * count**3
        first: list[tuple[float, ...]] = []
        for node in range(count):  # relu(+-u_w)
            for row, sign in ((node, 1.0), (count + node, -1.0)):
                first += [(row, W, sign * per[0]), (row, ONE, sign * (G / 2 - node))]
        for apart in range(2 * G + 1):  # relu(+-(u_y - u_x)), by the difference of their nodes
            for row, sign in ((2 * count + apart, 1.0), (2 * count + 2 * G + 1 + apart, -1.0)):
                first += [(row, Y, sign * per[2]), (row, X, -sign * per[1]), (row, ONE, -sign * (apart - G))]

        def column(rows: np.ndarray, where: np.ndarray | int, value: np.ndarray | float) -> np.ndarray:
            return np.column_stack(
                [rows, np.broadcast_to(where, rows.shape), np.broadcast_to(value, rows.shape)]
            )

        difference, x_at, lower = k - j + G, G / 2 - j, nodes + count**3
        second = [
            column(nodes, X, per[1]), column(nodes, ONE, x_at),
            column(nodes, B + difference, 1.0), column(nodes, A + i, -1.0),
            column(lower, X, -per[1]), column(lower, ONE, -x_at),
            column(lower, B2 + difference, 1.0), column(lower, A2 + i, -1.0),
        ]  # fmt: skip
        third = [column(nodes, T, 1.0)]  # 1 - (1 - t): off in the query token, as no hat exceeds 1
        third += [column(nodes, c, -1.0) for c in (A + i, A2 + i, M + nodes, m + nodes)]
        side = face(problem, 1)
        used = np.arange(A, D)  # all non-negative, so one unit clears each
        last = [(0, W, 1.0), (0, ONE, -side), (1, W, -1.0), (1, ONE, -side), (2, Q, 1.0), (3, Q, -1.0)]
        cleared = np.arange(4, 4 + len(used))
        undo = [(W, 0, -1.0), (W, 1, 1.0), (Q, 2, -1.0), (Q, 3, 1.0)]
        scale = -problem.eta * (problem.n + 1) / problem.n
        head = Head.of(D, [], [], [(W, Q, scale)])
        narrow, wide = np.arange(M - A), np.arange(2 * count**3)

        def layer(heads: tuple[Head, ...], units: int, one: np.ndarray, two: np.ndarray) -> LiteralLayer:
            return LiteralLayer(heads, Sparse((units, D), one), Sparse((D, units), two), diagonal=False)

        return [
            layer((), len(narrow), np.array(first), column(A + narrow, narrow, 1.0)),
            layer((), len(wide), np.concatenate(second), column(M + wide, wide, 1.0)),
            layer((), len(nodes), np.concatenate(third), column(np.full_like(nodes, Q), nodes, slope)),
            layer(
                (head,),
                4 + len(used),
                np.concatenate([np.array(last), column(cleared, used, 1.0)]),
                np.concatenate([np.array(undo), column(used, cleared, -1.0)]),
            ),
        ]

    @property
    def mlp_width(self) -> int:
        """Hidden units of the widest MLP."""
        return max(layer.hidden for layer in self.layers)

    def step(self, prompt: Prompt) -> Float[Tensor, "B D_w"]:
        """The weights after the four layers."""
        B, n = prompt.batch, prompt.n
        D = self.layers[0].W1.shape[1]
        H = prompt.x.new_zeros(D, B, n + 1)
        H[0], H[1, :, :n] = torch.cat([prompt.x[..., 0], prompt.query], dim=1), prompt.y[..., 0]
        H[2], H[3], H[4, :, :n] = prompt.w, 1.0, 1.0
        H = H.flatten(1)
        for layer in self.layers:
            for head in layer.heads:
                tokens = (_csr(head.V, H) @ H).view(D, B, n + 1).permute(1, 2, 0)
                zero = tokens.new_zeros(B, n + 1, 1)
                H = H + F.scaled_dot_product_attention(zero, zero, tokens).permute(2, 0, 1).flatten(1)
            H = H + _csr(layer.W2, H) @ torch.relu(_csr(layer.W1, H) @ H)
        return H[2].view(B, n + 1)[:, :1]


def _csr(matrix: Sparse, like: Tensor) -> Tensor:
    places = torch.from_numpy(np.stack([matrix.rows, matrix.columns]))
    values = torch.from_numpy(matrix.values).to(like)
    where = places.to(like.device)
    whole = torch.sparse_coo_tensor(where, values, matrix.shape, check_invariants=False)
    with warnings.catch_warnings():  # torch warns once per process that CSR is in beta
        warnings.simplefilter("ignore", UserWarning)
        return whole.to_sparse_csr()
