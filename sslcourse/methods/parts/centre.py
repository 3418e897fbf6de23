"""The centre of a teacher's outputs: what keeps any one of them from winning for every image."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sslcourse.methods.parts.gathered import global_sum, world_size


class Centre(nn.Module):
    """c, a slow mean of a teacher's raw outputs over all processes (Caron et al. 2021, 2104.14294, equation (4)).

    `value` (K,) is a buffer: it saves and resumes. It is 0 until the first `update`.
    """

    def __init__(self, outputs: int, momentum: float = 0.9):
        super().__init__()
        self.momentum = momentum
        self.register_buffer("value", torch.zeros(outputs))

    @torch.no_grad()
    def update(self, g: Tensor) -> None:
        """c <- m c + (1 - m) mean of g (..., K), of which all processes hold equally much.

        For after the loss: a step is centred by what the steps before it have seen.
        """
        mean = (
            global_sum(g.to(self.value).flatten(0, -2).mean(0)) / world_size()
        )  # (..., K) -> (N, K) -> (K,)
        self.value.lerp_(mean, 1 - self.momentum)
