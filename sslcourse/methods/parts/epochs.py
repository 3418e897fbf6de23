"""A count of epochs that survives a resume, for what changes after the first ones."""

from __future__ import annotations

import torch
from torch import nn


class Epochs(nn.Module):
    """`int(epochs)`: how many have begun. A method calls `begin` in its `start_epoch`.

    The count is a buffer; `int` asks the device once an epoch and not in every step.
    """

    def __init__(self):
        super().__init__()
        self.register_buffer("begun", torch.zeros((), dtype=torch.long))
        self.known: int | None = 0
        self.register_load_state_dict_post_hook(Epochs._forget)

    def _forget(self, _=None) -> None:
        self.known = None

    def begin(self) -> None:
        self.begun += 1
        self._forget()

    def __int__(self) -> int:
        if self.known is None:
            self.known = int(self.begun)
        return self.known
