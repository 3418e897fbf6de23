"""Memories of features: one row for every image, or a queue of the latest."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sslcourse.methods.parts.gathered import gather


class MemoryBank(nn.Module):
    """One feature per training image (Wu et al. 2018, 1805.01978). `rows` (N, D) is a buffer: it saves and resumes.

    It starts uniform in +-1/sqrt(D/3), which has about unit length, as the authors' code does.
    """

    def __init__(self, images: int, dim: int):
        super().__init__()
        self.register_buffer("rows", torch.empty(images, dim).uniform_(-1, 1) * (dim / 3) ** -0.5)

    def read(self, index: Tensor) -> Tensor:
        """What is stored for these images: (...,) -> (..., D), a copy without gradient."""
        return self.rows[index]

    def draw(self, count: int) -> Tensor:
        """`count` rows drawn uniformly with replacement: (count,) on the bank's device."""
        return torch.randint(len(self.rows), (count,), device=self.rows.device)

    @torch.no_grad()
    def update(self, index: Tensor, features: Tensor, momentum: float) -> None:
        """v_i <- l2(m v_i + (1 - m) f_i) with the features (B, D) of all processes' batches; f is normalised first.

        For `after_step`: during the loss the bank must stay as it is.
        """
        index, features = gather(index), F.normalize(gather(features), dim=1).to(self.rows)
        self.rows[index] = F.normalize(self.rows[index].lerp(features, 1 - momentum), dim=1)


class Queue(nn.Module):
    """The latest `length` keys, unit rows (K, D) in a buffer (He et al. 2020, 1911.05722); random ones at first.

    `unit=False`: rows of any length; at first those of a rectified normal distribution.
    """

    def __init__(self, length: int, dim: int, unit: bool = True):
        super().__init__()
        self.unit = unit
        keys = torch.randn(length, dim)
        self.register_buffer("keys", F.normalize(keys, dim=1) if unit else keys.relu_())
        self.register_buffer("pointer", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def push(self, keys: Tensor) -> Tensor:
        """Overwrite the oldest keys with those (B, D) of all processes; returns where they now lie, (N,).

        Any batch: the queue wraps round, and of a batch longer than itself it keeps the last.
        """
        keys = gather(keys)
        keys = (F.normalize(keys, dim=1) if self.unit else keys).to(self.keys)[-len(self.keys) :]
        places = (self.pointer + torch.arange(len(keys), device=keys.device)) % len(self.keys)
        self.keys[places] = keys
        self.pointer.copy_((self.pointer + len(keys)) % len(self.keys))
        return places
