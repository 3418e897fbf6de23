"""A network that follows another slowly: the key encoder of MoCo, the teacher of self-distillation."""

from __future__ import annotations

import copy
import math

import torch
from timm.layers import DropPath
from torch import nn


def momentum_copy(module: nn.Module) -> nn.Module:
    """A copy that no gradient reaches; `follow` moves it."""
    return copy.deepcopy(module).requires_grad_(False)


def teacher_copy(module: nn.Module) -> nn.Module:
    """A `momentum_copy` that leaves nothing out while it trains: no dropout, no stochastic depth."""
    teacher = momentum_copy(module)
    for part in teacher.modules():
        if isinstance(part, nn.modules.dropout._DropoutNd):
            part.p = 0.0
        elif isinstance(part, DropPath):
            part.drop_prob = 0.0
    return teacher


def rising(momentum: float, progress: float) -> float:
    """BYOL's m, from `momentum` at progress 0 to 1 at progress 1: 1 - (1 - m_0) (cos(pi k / K) + 1) / 2."""
    return 1 - (1 - momentum) * (math.cos(math.pi * progress) + 1) / 2


@torch.no_grad()
def follow(slow: nn.Module, online: nn.Module, m: float) -> None:
    """psi <- m psi + (1 - m) theta, for parameters only: batch norm's statistics are the slow network's own.

    m = 1 leaves it where it is, m = 0 makes it equal to `online`.
    """
    psi, theta = list(slow.parameters()), list(online.parameters())
    torch._foreach_lerp_(psi, theta, 1 - m)
