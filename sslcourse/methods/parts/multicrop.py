"""Methods that see each image in several crops: how these pass an encoder, and how they are compared."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from sslcourse.methods.parts.precision import full_precision
from sslcourse.nets import Encoder


def encode_crops(encoder: Encoder, crops: list[Tensor]) -> Tensor:
    """Features of V crops of B images, crop by crop: V x (B, 3, S, S) -> (V B, D).

    Neighbours of one size pass the encoder together, so that a batch norm sees all of them and only them.
    """
    alike = itertools.groupby(crops, lambda crop: crop.shape[2:])
    return torch.cat([encoder(torch.cat(list(group))) for _, group in alike])


@full_precision
def across_crops(P: Tensor, log_Q: Tensor) -> Tensor:
    """The mean of H(P(x), Q(x')) over all pairs of a crop x that has a target and another crop x' of its image.

    Targets P (U, B, K) of the first U of V crops, and log Q (V, B, K) of all, crop by crop in the same order.
    """
    (U, B, _), V = P.shape, len(log_Q)
    H = -torch.einsum("ubk,vbk->uv", P, log_Q) / B
    same = torch.eye(U, V, dtype=torch.bool, device=H.device)
    return H.masked_fill(same, 0).sum() / (U * (V - 1))
