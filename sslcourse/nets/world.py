"""Many processes that act as one: gathering with gradients, and batch norm over the global batch.

Each process takes the mean of its own share of the loss, DistributedDataParallel averages the gradients:
with these two pieces the result is the loss and the gradient of one process that holds the whole batch.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn
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


class GlobalBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch norm whose statistics are those of the global batch, on any device (SyncBatchNorm refuses the CPU)."""

    def _check_input_dim(self, x: Tensor) -> None:
        if x.ndim < 2:
            raise ValueError(f"expected at least (B, C), got {tuple(x.shape)}")

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or world_size() == 1:
            return super().forward(x)
        x = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        axes = [0, *range(2, x.ndim)]
        shape = [1, -1] + [1] * (x.ndim - 2)
        count = x.numel() / x.shape[1] * world_size()
        mean = global_sum(x.sum(axes)) / count
        centred = x - mean.view(shape)  # (C,) -> (1, C, 1, 1)
        variance = global_sum(centred.square().sum(axes)) / count
        if self.track_running_stats:
            with torch.no_grad():
                self.num_batches_tracked += 1
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        y = centred * (variance + self.eps).rsqrt().view(shape)  # (C,) -> (1, C, 1, 1)
        return y * self.weight.view(shape) + self.bias.view(shape) if self.affine else y


def with_global_batch_norm(module: nn.Module, device: torch.device) -> nn.Module:
    """`module` with every batch norm over the global batch: torch's on CUDA, ours elsewhere. Same state dict."""
    if device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(module)
    for child in module.modules():
        if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            child.__class__ = GlobalBatchNorm
    return module
