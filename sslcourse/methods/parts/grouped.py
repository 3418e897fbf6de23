"""Batch norm in small groups: what many small devices do, on one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn
from torch.nn import functional as F


class GroupedBatchNorm(nn.BatchNorm2d):
    """Batch norm that sees `rows` images at a time, as if each group lay on a device of its own.

    A batch that does not divide into such groups is one group. `grouped` makes them, for a while.
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


@contextmanager
def grouped(rows: int, *modules: nn.Module) -> Iterator[None]:
    """Within it every BatchNorm2d of the modules sees `rows` images at a time (0: all); afterwards it is plain again.

    So a network that was trained in groups is an ordinary one for whoever gets it.
    """
    norms = [m for module in modules for m in module.modules() if type(m) is nn.BatchNorm2d] if rows else []
    try:
        for norm in norms:
            norm.__class__, norm.rows = GroupedBatchNorm, rows
        yield
    finally:
        for norm in norms:
            norm.__class__ = nn.BatchNorm2d
            del norm.rows
