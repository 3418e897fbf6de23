"""Batch norm in small groups: what many small devices do, on one."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class GroupedBatchNorm(nn.BatchNorm2d):
    """Batch norm that sees `rows` images at a time, as if each group lay on a device of its own.

    A batch that does not divide into such groups is one group: fine-tuning chooses its own batches.
    """

    rows = 0  # 0: the whole batch

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        if not (self.training and self.rows) or b == self.rows or b % self.rows:
            return super().forward(x)
        super().forward(x.detach())  # running statistics of the whole batch, for evaluation
        groups = b // self.rows
        x = x.view(groups, self.rows, c, h * w).transpose(1, 2)  # (B, C, h, w) -> (G, C, rows, h * w)
        x = F.batch_norm(
            x.reshape(1, groups * c, -1), None, None, training=True, eps=self.eps
        )  # (1, G * C, rows * h * w)
        x = x.view(groups, c, self.rows, h * w).transpose(1, 2).reshape(b, c, h, w)
        return x * self.weight.view(1, c, 1, 1) + self.bias.view(1, c, 1, 1)


def grouped(module: nn.Module, rows: int) -> nn.Module:
    """Every BatchNorm2d of the module becomes a GroupedBatchNorm of `rows` images, in place."""
    for child in module.modules():
        if type(child) is nn.BatchNorm2d:
            child.__class__, child.rows = GroupedBatchNorm, rows
    return module
