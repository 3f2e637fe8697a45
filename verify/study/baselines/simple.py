"""Predictors without a model: the mean of the labels, the last one, the mean of the nearest."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

NEIGHBOURS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
"""How many neighbours may be averaged; leave-one-out chooses."""


def label_means(y: Float[Tensor, "B T"], at: Sequence[int]) -> Float[Tensor, "B A"]:
    """The mean of the first k labels, 0 at k = 0."""
    return torch.stack([y[:, :k].mean(1) if k else torch.zeros_like(y[:, 0]) for k in at], dim=1)


def last_labels(y: Float[Tensor, "B T"], at: Sequence[int]) -> Float[Tensor, "B A"]:
    """The label before y_k, 0 at k = 0."""
    return torch.stack([y[:, k - 1] if k else torch.zeros_like(y[:, 0]) for k in at], dim=1)


def nearest_means(
    x: Float[Tensor, "B T d"], y: Float[Tensor, "B T"], at: Sequence[int]
) -> Float[Tensor, "B A"]:
    """The mean label of the nearest of the first k examples, their number chosen by leave-one-out."""
    distances = torch.cdist(x, x)
    own = torch.eye(x.shape[1], dtype=torch.bool, device=x.device)
    order = distances.masked_fill(own, torch.inf).argsort(-1)  # others first, nearest first; itself last
    labels = torch.gather(y.unsqueeze(1).expand(-1, y.shape[1], -1), 2, order)
    found = []
    for k in at:
        if k < 2:
            found.append(y[:, 0] if k else torch.zeros_like(y[:, 0]))
            continue
        among = torch.tensor([m for m in NEIGHBOURS if m <= k], device=x.device)
        others = among.clamp(max=k - 1)  # an example that is left out has one neighbour fewer
        errors = _nearest(labels[:, :k], order[:, :k], k, others, own=True) - y[:, :k, None]
        best = errors.square().mean(1).argmin(-1)
        answers = _nearest(labels[:, k : k + 1], order[:, k : k + 1], k, among, own=False)
        found.append(answers[:, 0].gather(1, best[:, None])[:, 0])
    return torch.stack(found, dim=1)


def _nearest(
    labels: Float[Tensor, "B t T"], order: Tensor, k: int, among: Tensor, own: bool
) -> Float[Tensor, "B t m"]:
    """Means of the labels of the nearest 1, 2, ... of the first k examples, itself left out where `own`."""
    among_first = order < k
    if own:  # itself stands at the end of its own order
        among_first = among_first.clone()
        among_first[..., -1] = False
    counts = among_first.cumsum(-1)
    sums = torch.where(among_first, labels, 0.0).cumsum(-1)
    wanted = among.expand(*counts.shape[:-1], -1).contiguous()
    place = torch.searchsorted(counts, wanted)  # the first place with so many neighbours
    return sums.gather(-1, place) / among
