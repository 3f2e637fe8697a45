"""Regression with the kernel of the random network itself, its covariance as the width grows.

Labels of networks with parameters of mean 0 are then Gaussian with this covariance, and no predictor that is
linear in the labels has a smaller mean squared error.
Source: Cho and Saul, NeurIPS 2009 (the integral of two ReLUs); Lee et al., arXiv 1711.00165 (the recursion).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from icgd.verify.study.baselines.prefixes import factor, predictions
from icgd.verify.study.network_task import NetworkTask

JITTER = 1e-9
"""What stands on the diagonal beside the kernel, relative to it: rounding, in place of noise."""


def rectified(kernel: Float[Tensor, "B T T"]) -> Float[Tensor, "B T T"]:
    """E[relu(u) relu(v)] for Gaussians u, v with mean 0 and these covariances."""
    size = kernel.diagonal(dim1=-2, dim2=-1).clamp(min=0).sqrt()
    product = size.unsqueeze(-1) * size.unsqueeze(-2)
    cosine = torch.where(product > 0, kernel / product, 0.0).clamp(-1, 1)
    angle = cosine.arccos()
    return product / (2 * math.pi) * ((1 - cosine.square()).clamp(min=0).sqrt() + (math.pi - angle) * cosine)


def network_moments(
    task: NetworkTask, x: Float[Tensor, "B T d"]
) -> tuple[Float[Tensor, "B T"], Float[Tensor, "B T T"]]:
    """Mean and covariance of the labels at these inputs, over wide networks with parameters of mean 0.

    Where the mean of the task's parameters is another one, this is a kernel like any other.
    """
    kernel = x @ x.mT
    for layer, columns in enumerate(task.sizes[:-1]):
        if layer:
            kernel = columns * rectified(kernel)
        kernel = kernel + task.biases
        if task.scaled:
            kernel = kernel / columns
    if not task.activated:
        return torch.zeros_like(x[..., 0]), kernel
    mean = (kernel.diagonal(dim1=-2, dim2=-1) / (2 * math.pi)).sqrt()
    return mean, rectified(kernel) - mean.unsqueeze(-1) * mean.unsqueeze(-2)


def kernel_regression(
    task: NetworkTask, x: Float[Tensor, "B T d"], y: Float[Tensor, "B T"], at: Sequence[int]
) -> Float[Tensor, "B A"]:
    """The best affine function of the first k labels, by the network's own kernel; the mean at k = 0."""
    mean, kernel = network_moments(task, x)
    size = kernel.diagonal(dim1=-2, dim2=-1).mean(-1)
    return (mean + predictions(factor(kernel, JITTER * size), y - mean))[:, at]
