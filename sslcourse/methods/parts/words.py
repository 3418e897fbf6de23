"""Visual words: local features of a teacher, each named by the nearest of a vocabulary, and counted in a bag."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from sslcourse.methods.parts.gathered import global_sum
from sslcourse.methods.parts.kmeans import nearest
from sslcourse.methods.parts.precision import full_precision


def local_features(layer: Tensor) -> Tensor:
    """A feature for each place of a layer, row-major: (B, C, h, w), or a transformer's (B, T, C) -> (B, T, C)."""
    return layer.flatten(2).transpose(1, 2) if layer.ndim == 4 else layer  # (B, C, h, w) -> (B, h * w, C)


@full_precision
def counted_bag(features: Tensor, vocabulary: Tensor, binary: bool = False) -> Tensor:
    """How often each word is the nearest, or (`binary`) whether it ever is, as shares of 1: (B, T, C), (K, C) -> (B, K).

    Hard assignment, q^u = argmin_k |f^u - v_k|, of the T features of each image (Gidaris et al. 2020, 2002.12247).
    """
    q = nearest(features.flatten(0, 1), vocabulary)[0].view(len(features), -1)  # (B * T,) -> (B, T)
    y = features.new_zeros(len(features), len(vocabulary)).scatter_add_(
        1, q, torch.ones_like(features[..., 0])
    )
    return F.normalize(y.clamp(max=1) if binary else y, p=1, dim=1)


@torch.no_grad()
def perplexity(bags: Tensor) -> Tensor:
    """exp of the entropy of the mean bag over the global batch: how many words are in use, of K. (B, K) -> scalar."""
    share = global_sum(bags.sum(0))
    return torch.special.entr(share / share.sum()).sum().exp()


def entropy(bags: Tensor) -> Tensor:
    """Mean entropy of the bags (B, K), in nats: what a cross-entropy with them cannot fall below."""
    return torch.special.entr(bags).sum(1).mean()
