"""Gradients kept short, each parameter's by itself."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn


@torch.no_grad()
def clip_each(parameters: Iterable[nn.Parameter], largest: float) -> None:
    """Shorten every gradient that is longer than `largest` to it, as DINO's code does; 0 leaves all as they are.

    Not the usual clipping, which shortens all alike by what they are long together.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    if not largest or not gradients:
        return
    lengths = torch.stack(torch._foreach_norm(gradients))
    factors = (largest / (lengths + 1e-6)).clamp(max=1)
    torch._foreach_mul_(gradients, list(factors.unbind()))
