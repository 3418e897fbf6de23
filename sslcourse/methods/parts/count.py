"""A whole number that survives a resume, for what changes after the first epochs or steps."""

from __future__ import annotations

import torch
from torch import nn


class Count(nn.Module):
    """`count.add()`, `int(count)`: it begins at 0.

    The number is a buffer and is kept beside it, so that no step has to ask the device.
    """

    def __init__(self):
        super().__init__()
        self.register_buffer("number", torch.zeros((), dtype=torch.long))
        self.known: int | None = 0
        self.register_load_state_dict_post_hook(Count._forget)

    def _forget(self, _) -> None:
        self.known = None

    def add(self, more: int = 1) -> None:
        self.known = int(self) + more
        self.number += more

    def __int__(self) -> int:
        if self.known is None:
            self.known = int(self.number)
        return self.known
