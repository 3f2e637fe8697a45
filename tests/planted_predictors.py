"""Predictors whose algorithm is known, written without icgd; and the words by which each must be named."""

import numpy as np
import torch


def ridge(penalty):
    def predict(x, y, query):
        A = x.transpose(1, 2) @ x + penalty * torch.eye(x.shape[2], dtype=x.dtype)
        w = torch.linalg.solve(A, (x.transpose(1, 2) @ y[..., None]))[..., 0]
        return (query * w).sum(dim=1)

    return predict


def descent(k, eta, *, of_sum=False):
    def predict(x, y, query):
        w = torch.zeros_like(query)
        for _ in range(k):
            left = torch.einsum("bnd,bd->bn", x, w) - y
            w = w - eta / (1 if of_sum else x.shape[1]) * torch.einsum("bnd,bn->bd", x, left)
        return (query * w).sum(dim=1)

    return predict


def kernel(bandwidth):
    def predict(x, y, query):
        weights = torch.exp(-((x - query[:, None]) ** 2).sum(dim=2) / (2 * bandwidth**2))
        return (weights * y).sum(dim=1) / weights.sum(dim=1)

    return predict


def least_squares_in_numpy(x, y, query):
    rows = zip(x, y, query, strict=True)
    return np.array([q @ np.linalg.lstsq(a, b, rcond=None)[0] for a, b, q in rows])


def ridge_in_numpy(x, y, query):
    A = np.einsum("bni,bnj->bij", x, x) + 0.3 * np.eye(x.shape[2])
    return (query * np.linalg.solve(A, np.einsum("bni,bn->bi", x, y)[..., None])[..., 0]).sum(axis=1)


def in_float32(predict):
    return lambda x, y, query: predict(x.float(), y.float(), query.float())


def fading(x, y, query):
    """Heeds the order: later examples count more."""
    shares = 0.5 ** torch.arange(y.shape[1] - 1, -1, -1, dtype=y.dtype)
    return (y * shares * torch.einsum("bnd,bd->bn", x, query)).sum(dim=1)


def last_example(x, y, query):
    return y[:, -1] * (x[:, -1] * query).sum(dim=1) / (x[:, -1] ** 2).sum(dim=1)


def noisy_ridge(x, y, query):
    """Ridge with an error of a tenth of its spread that looks random but is a function of the query."""
    return ridge(0.5)(x, y, query) + 0.1 * torch.sin(1e3 * query.sum(dim=1))


PLANTED = [
    # predictor, the reference that it is, what the conclusion says, what the remarks say
    (ridge(0.5), "ridge", "nearest to ridge regression with lambda = 0.5,", ""),
    (ridge(3.0), "ridge", "nearest to ridge regression with lambda = 3,", ""),
    (in_float32(ridge(1.0)), "ridge", "nearest to ridge regression with lambda = 1,", ""),
    (ridge_in_numpy, "ridge", "nearest to ridge regression with lambda = 0.3,", ""),
    (noisy_ridge, "ridge", "nearest to ridge regression with lambda = 0.", ""),
    (least_squares_in_numpy, "least squares", "nearest to least squares,", ""),
    (descent(1, 0.3), "descent", "nearest to 1 step of descent of size 0.3,", ""),
    (descent(3, 0.2), "descent", "nearest to 3 steps of descent of size 0.2,", ""),
    (descent(10, 0.15), "descent", "nearest to 10 steps of descent of size 0.15,", ""),
    (descent(4, 0.03, of_sum=True), "descent", "nearest to 4 steps of descent of size 0.09 to 0.36,", ""),
    (kernel(0.7), "kernel regression", "nearest to kernel regression with bandwidth 0.7,", ""),
    (
        lambda x, y, query: y.mean(dim=1),
        "mean of labels",
        "nearest to the mean of the labels,",
        "ignores the query",
    ),
    (lambda x, y, query: y[:, -1], "last label", "nearest to the last label,", "reads only the last example"),
    (
        lambda x, y, query: 0 * y[:, 0] + 0.7,
        "constant",
        "nearest to the constant 0.7,",
        "do not depend on the prompt",
    ),
    (
        lambda x, y, query: np.zeros(len(y)),
        "constant",
        "nearest to the constant 0,",
        "do not depend on the prompt",
    ),
    (fading, None, "near none of the references", "the order of the examples matters"),
    (last_example, None, "near none of the references", "reads only the last example"),
    (lambda x, y, query: query[:, 0], None, "near none of the references", "ignores the examples"),
    (lambda x, y, query: -ridge(0.5)(x, y, query), None, "near none", "a sign is wrong"),
    (lambda x, y, query: x[:, :, 0].sum(dim=1) * query[:, 0], None, "near none", "it ignores the labels"),
]
