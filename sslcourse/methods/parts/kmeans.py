"""k-means (Lloyd's algorithm) on any device, for features of a whole training set."""

from __future__ import annotations

import torch
from torch import Tensor

from sslcourse.errors import UserError

CHUNK = 2**24  # distances held at a time


def nearest(x: Tensor, centroids: Tensor) -> tuple[Tensor, Tensor]:
    """For x (N, D) the nearest of centroids (k, D) and the distance to it: (N,), (N,)."""
    places, lengths = [], centroids.square().sum(1)
    for part in x.split(max(1, CHUNK // len(centroids))):
        places.append(torch.addmm(lengths, part, centroids.T, alpha=-2).argmin(1))  # |c|^2 - 2 x.c: (n, k)
    place = torch.cat(places)
    return place, (x - centroids[place]).norm(dim=1)


def kmeans(
    x: Tensor, k: int, iterations: int = 20, seed: int = 0, start: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Centroids (k, D) of x (N, D), the cluster of each row (N,) and its distance to the centroid (N,).

    Begins at `start` (k, D), by default at k different rows drawn with `seed`. A cluster that loses all its rows
    begins again at the row that is farthest from its centroid, the next such one at the next.
    """
    if not 1 <= k <= len(x):
        raise UserError(f"kmeans: {k} clusters of {len(x)} rows: use 1 to {len(x)}")
    if start is None:
        start = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))[:k].to(x.device)]
    centroids = start.clone()
    place, distance = nearest(x, centroids)
    for _ in range(iterations):
        total = torch.zeros_like(centroids).index_add_(0, place, x)
        count = centroids.new_zeros(k).index_add_(0, place, torch.ones_like(distance))
        far = x[distance.topk(k).indices]  # (k, D), the farthest first
        turn = (count == 0).cumsum(0).clamp(min=1) - 1  # which of them an empty cluster takes
        centroids = torch.where((count == 0)[:, None], far[turn], total / count.clamp(min=1)[:, None])
        place, distance = nearest(x, centroids)
    return centroids, place, distance


def concentration(place: Tensor, distance: Tensor, k: int, alpha: float, mean: float) -> Tensor:
    """PCL's phi, the spread of each cluster: place, distance (N,) -> (k,) (Li et al. 2021, 2005.04966).

    sum of the distances / (Z log(Z + alpha)) of a cluster of Z rows; with fewer than two the largest of all; then
    clipped to the 10th and 90th percentile and rescaled to `mean`.
    """
    Z = distance.new_zeros(k).index_add_(0, place, torch.ones_like(distance))
    total = torch.zeros_like(Z).index_add_(0, place, distance)
    phi = torch.where(Z > 1, total / (Z.clamp(min=1) * (Z + alpha).log()), 0)
    phi = torch.where(Z > 1, phi, phi.max()).clamp(min=1e-6)  # all rows alike would have phi 0
    low, high = phi.quantile(phi.new_tensor([0.1, 0.9]))
    phi = phi.clamp(low, high)
    return phi * (mean / phi.mean())
