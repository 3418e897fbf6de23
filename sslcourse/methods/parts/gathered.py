"""Many processes that act as one: sums, means and rows of all of them, with gradients.

Each process takes the mean of its own share of the loss, DistributedDataParallel averages the gradients:
with these pieces the result is the loss and the gradient of one process that holds the whole batch.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd import Function


def world_size() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    return dist.get_rank() if world_size() > 1 else 0


class _Sum(Function):
    """Sum over processes; the gradient is summed over processes too."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        return _Sum.forward(ctx, gradient.contiguous())


class _Gather(Function):
    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        ctx.rows = len(x)
        parts = [torch.empty_like(x) for _ in range(world_size())]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total[rank() * ctx.rows : (rank() + 1) * ctx.rows]


def global_sum(x: Tensor) -> Tensor:
    """Sum of `x` over all processes, differentiable. One process: `x` itself."""
    return x if world_size() == 1 else _Sum.apply(x)


def global_mean(x: Tensor, weight: Tensor) -> Tensor:
    """Mean of `x` by weights (broadcast to x's shape, no gradient) that may lie unequally on the processes.

    The sum of this process over the weight of an average process: the mean of these over processes, which is what
    is optimised, is the mean over the global batch. 0, with gradients, where nothing has weight.
    """
    weight = weight.detach().to(x).expand_as(x)
    average = global_sum(weight.sum()) / world_size()
    return (x * weight).sum() / average.clamp(min=torch.finfo(x.dtype).tiny)


def gather(x: Tensor) -> Tensor:
    """Rows of all processes in rank order, differentiable: (B, ...) -> (world * B, ...). All hold equally many."""
    return x if world_size() == 1 else _Gather.apply(x)
