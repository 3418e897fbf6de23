"""Sinkhorn-Knopp: soft assignments that share the images out evenly, and the prototypes they are assigned to."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sslcourse.methods.parts.precision import full_precision


@torch.no_grad()
@full_precision
def sinkhorn(scores: Tensor, eps: float = 0.05, iterations: int = 3) -> Tensor:
    """Codes Q of scores S (N, K), N samples and K prototypes: near exp(S / eps), each row a distribution.

    In turn every prototype is scaled to N / K samples in all and every sample to 1 prototype (Caron et al. 2020,
    2006.09882, equation (5)); after `iterations` the rows sum to 1, the columns nearly to N / K. Rows must be those
    of all processes (`gather`). In logarithms: no score is too large, and the constants N / K are not needed.
    """
    log_Q = scores / eps
    for _ in range(iterations):
        log_Q = log_Q.log_softmax(0)
        log_Q = log_Q.log_softmax(1)
    return log_Q.exp()


class Prototypes(nn.Module):
    """K prototypes of unit length: features (..., D) of any length -> their cosines (..., K), in full precision.

    They learn; `normalise`, after each step of the optimiser, brings them back to unit length.
    """

    def __init__(self, dim: int, prototypes: int):
        super().__init__()
        self.weight = nn.Parameter(F.normalize(torch.randn(prototypes, dim), dim=1))

    @torch.no_grad()
    def normalise(self) -> None:
        self.weight.copy_(F.normalize(self.weight, dim=1))

    @full_precision
    def forward(self, z: Tensor) -> Tensor:
        return F.normalize(z, dim=-1) @ self.weight.T
