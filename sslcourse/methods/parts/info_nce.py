"""InfoNCE, the loss that most of this chapter shares."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from sslcourse.methods.parts.precision import full_precision


@full_precision
def info_nce(
    queries: Tensor, positives: Tensor, negatives: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """-log(exp(q.k+ / tau) / (exp(q.k+ / tau) + sum_k- exp(q.k- / tau))), and how often k+ comes first.

    Queries q, positives k+ (B, D), row by row; negatives k- (K, D) for all queries or (B, K, D) for each its own; tau
    the temperature. All are brought to unit length here. The mean over this process's B queries; chance is
    log(K + 1) (equation (4) of van den Oord et al. 2018, 1807.03748; (1) of MoCo).
    """
    q, k_pos, k_neg = (F.normalize(x, dim=-1) for x in (queries, positives, negatives))
    l_pos = (q * k_pos).sum(1, keepdim=True)  # (B, 1): q.k+
    l_neg = q @ k_neg.T if k_neg.ndim == 2 else torch.einsum("bd,bkd->bk", q, k_neg)  # (B, K): q.k-
    logits = torch.cat([l_pos, l_neg], 1) / temperature  # (B, 1 + K)
    # -log softmax(logits)_0, which is the cross-entropy with class 0, the positive
    target = torch.zeros(len(q), dtype=torch.long, device=q.device)
    return F.cross_entropy(logits, target), (logits.argmax(1) == 0).float().mean()
