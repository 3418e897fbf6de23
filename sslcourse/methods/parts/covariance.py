"""How the dimensions of embeddings vary together over the global batch: what Barlow Twins and VICReg look at."""

from __future__ import annotations

from torch import Tensor

from sslcourse.methods.parts.gathered import global_sum, world_size


def centred(z: Tensor) -> Tensor:
    """z (B, D) minus its mean over the rows of all processes."""
    return z - global_sum(z.sum(0)) / (len(z) * world_size())


def covariance(x: Tensor, y: Tensor, correction: int = 0) -> Tensor:
    """Of each dimension of x (B, D) with each of y (B, E), both already `centred`: (D, E).

    A sum over the N rows of all processes, differentiable, divided by N - `correction`.
    """
    return global_sum(x.T @ y) / (len(x) * world_size() - correction)


def off_diagonal(c: Tensor) -> Tensor:
    """c (D, D) with zeros on its diagonal."""
    return c - c.diagonal().diag()
