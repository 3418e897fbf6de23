"""How far embeddings have collapsed, cheap enough to be logged at every step."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from sslcourse.methods.parts.precision import full_precision


@torch.no_grad()
@full_precision
def unit_std(z: Tensor) -> Tensor:
    """Mean deviation of the dimensions of l2-normalised z (N, D) over this process's rows, times sqrt(D).

    1 is isotropic, 0 collapsed to a point. Chen & He 2021 (SimSiam, 2011.10566).
    """
    return F.normalize(z, dim=1).std(0, correction=0).mean() * z.shape[1] ** 0.5
