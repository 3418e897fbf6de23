"""Batch norm over the global batch: the statistics of all processes, on any device."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sslcourse.methods.parts.gathered import global_sum, world_size


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
