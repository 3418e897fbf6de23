"""FixMatch: what the network is sure of in a weak view is the label of the strong one."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sslcourse.evaluate.semisupervised.baseline import Baseline
from sslcourse.methods.method import Paper
from sslcourse.views import strong_view


class FixMatch(Baseline):
    """L = CE(x, y) + weight mean 1[max q >= threshold] CE(A(u), argmax q), q = p(weak u), without gradient.

    A is RandAugment and Cutout after the weak view. Labelled, weak and strong images pass in one batch: they
    share batch norm, whose statistics move once a step. The rate falls as cos(7 pi k / 16 K), and the moving
    average of the weights is what counts. Defaults: the authors' CIFAR-10 command. Their ImageNet code, whence
    the talk's number, has mu 5, threshold 0.7, weight 10.

    Differs: see `Baseline` and `RandAugment`. A young moving average is shorter than `ema`. The authors'
    default on CIFAR is CTAugment; RandAugment is their ablation, and what the talk's table names.
    """

    name = "fixmatch"
    paper = Paper(
        "FixMatch: Simplifying Semi-Supervised Learning with Consistency and Confidence",
        "Sohn, Berthelot, Li, Zhang, Carlini, Cubuk, Kurakin, Zhang, Raffel", "NeurIPS", 2020, "2001.07685",
    )  # fmt: skip

    def __init__(
        self, *, mu: int = 7, threshold: float = 0.95, weight: float = 1.0, ema: float = 0.999,
        operations: int = 2, magnitude: float = 10,
    ):  # fmt: skip
        super().__init__(mu)
        self.threshold, self.weight, self.ema = threshold, weight, ema
        self.strong = strong_view(None, operations, magnitude)

    def rate(self, progress: float) -> float:
        return math.cos(7 * math.pi * progress / 16)

    def loss(
        self, net: nn.Sequential, x: Tensor, y: Tensor, u: Tensor | None, progress: float
    ) -> dict[str, Tensor]:
        logits = net(torch.cat([self.weak(x), self.weak(u), self.strong(u)]))  # (B + 2 mu B, C)
        of_x, weak, strong = logits.split([len(x), len(u), len(u)])
        unsupervised, kept = fixed(weak, strong, self.threshold)
        return {"loss": F.cross_entropy(of_x, y) + self.weight * unsupervised, "kept": kept}


def fixed(weak: Tensor, strong: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """Mean over N of the cross-entropy of `strong` with the guess of `weak` where it is sure; their share.

    weak, strong (N, C): logits. No gradient reaches `weak`.
    """
    confidence, guess = weak.detach().softmax(1).max(1)
    losses = F.cross_entropy(strong, guess, reduction="none")
    kept = (confidence >= threshold).to(losses.dtype)
    return (losses * kept).mean(), kept.mean()
