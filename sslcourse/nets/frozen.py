"""A network that has learned and learns no more: the teacher of a second stage."""

from __future__ import annotations

import copy

from torch import nn


class Frozen(nn.Module):
    """A network that no longer learns: no gradient, and `train()` does not wake its batch norm or dropout."""

    def __init__(self, module: nn.Module):
        super().__init__()
        self.module = module.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Frozen:
        super().train(False)
        return self

    def forward(self, *inputs, **named):
        return self.module(*inputs, **named)


def frozen(module: nn.Module) -> Frozen:
    """A copy that stays as it is: `frozen(net)(x)` is `net(x)` in evaluation mode, without gradient to its weights.

    `net` itself can go on learning. The copy's weights are saved with whatever holds it.
    """
    return Frozen(copy.deepcopy(module))
