"""Linear attention and descent in plain numpy, token by token, from the text of arXiv 2306.00297 alone."""

import numpy as np


def tokens(x, y, query):
    """Columns (x_i; y_i), then (x_q; 0)."""
    return np.vstack([np.column_stack([x.T, query]), np.append(y, 0.0)])


def states(P, Q, x, y, query, masked=True, divisor=None):
    """Z_0, ..., Z_L; P and Q are lists of layers, each a list of heads."""
    Z, n = tokens(x, y, query), len(x)
    M = np.diag([1.0] * n + [float(not masked)])
    found = [Z]
    for heads in zip(P, Q, strict=True):
        update = sum(p @ Z @ M @ (Z.T @ q @ Z) for p, q in zip(*heads, strict=True))
        Z = Z + update / (divisor or n)
        found.append(Z)
    return found


def prediction(*arguments, sign=-1, **options):
    return sign * states(*arguments, **options)[-1][-1, -1]


def descended(A, x, y):
    """w_L of w <- w - A_l grad R(w) from 0, R(w) = (1/(2n)) sum (w . x_i - y_i)^2."""
    w = np.zeros(x.shape[1])
    for step in A:
        slope = sum((w @ one - label) * one for one, label in zip(x, y, strict=True)) / len(x)
        w = w - step @ slope
    return w


def descent_matrices(A):
    """P and Q that run descent with the preconditioners A_l: lists of layers, one head each."""
    P, Q = [], []
    for step in A:
        d = len(step)
        p, q = np.zeros((2, d + 1, d + 1))
        p[d, d] = 1.0
        q[:d, :d] = -np.asarray(step).T
        P.append([p])
        Q.append([q])
    return np.array(P), np.array(Q)
