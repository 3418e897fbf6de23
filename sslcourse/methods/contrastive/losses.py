"""InfoNCE, the loss that most of this chapter shares."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from sslcourse.nets.precision import full_precision


@full_precision
def info_nce(
    queries: Tensor, positives: Tensor, negatives: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """-log(exp(q.k+ / tau) / (exp(q.k+ / tau) + sum_k- exp(q.k- / tau))), and how often k+ comes first.

    queries, positives (B, D), row by row; negatives (K, D) for all queries or (B, K, D) for each its own. All are
    brought to unit length here. The mean over this process's B queries; chance is log(K + 1)
    (van den Oord et al. 2018, 1807.03748).
    """
    q, k, n = (F.normalize(x, dim=-1) for x in (queries, positives, negatives))
    against = q @ n.T if n.ndim == 2 else torch.einsum("bd,bkd->bk", q, n)  # (B, K)
    logits = torch.cat([(q * k).sum(1, keepdim=True), against], 1) / temperature  # (B, 1 + K)
    target = torch.zeros(len(q), dtype=torch.long, device=q.device)
    return F.cross_entropy(logits, target), (logits.argmax(1) == 0).float().mean()
