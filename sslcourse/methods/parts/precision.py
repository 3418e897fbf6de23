"""Losses whose dot products are divided by a small temperature need all digits, whatever precision the network has."""

from __future__ import annotations

import contextlib
import functools

import torch
from torch import Tensor


def full_precision(function):
    """Calls `function` outside autocast, with its floating tensors in at least float32."""

    @functools.wraps(function)
    def called(*args, **kwargs):
        device = next(x.device.type for x in args if isinstance(x, Tensor))
        # "meta", where shapes are counted, has no autocast to be left
        off = torch.autocast(device, enabled=False) if device != "meta" else contextlib.nullcontext()
        with off:
            return function(*map(promoted, args), **{name: promoted(x) for name, x in kwargs.items()})

    return called


def promoted(x):
    if isinstance(x, Tensor) and x.is_floating_point():
        return x.to(torch.promote_types(x.dtype, torch.float32))
    return x
