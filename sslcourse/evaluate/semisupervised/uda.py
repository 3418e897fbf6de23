"""UDA: the answer should survive strong augmentation."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sslcourse.errors import UserError
from sslcourse.evaluate.semisupervised.baseline import Baseline
from sslcourse.evaluate.semisupervised.vat import kl
from sslcourse.methods.method import Paper
from sslcourse.views import Compose, Cutout, RandAugment
from sslcourse.views.randaugment import shift_and_flip

TSA = {  # how fast the labelled images' threshold grows, from 0 to 1
    "log": lambda t: 1 - math.exp(-5 * t),
    "linear": lambda t: t,
    "exp": lambda t: math.exp(5 * (t - 1)),
}


class UDA(Baseline):
    """L = annealed CE(x, y) + weight mean 1[max p(u) > threshold] KL(p_T(u) || p(A(u))), p_T fixed.

    p_T = softmax(logits / temperature) is sharpened; A is RandAugment and Cutout before the weak view.
    Labelled, clean and augmented images pass in one batch: they share batch norm, whose statistics move once a
    step. Training-signal annealing: a labelled image whose p(y | x) is above eta_t says nothing, eta_t growing
    from 1/C to 1 by `annealing`: "log", "linear", "exp" (for the fewest labels), or "" for none. The rate falls
    as cos(7 pi k / 16 K), and the moving average of the weights is what counts.

    Defaults are one set, the authors' last command for CIFAR-10 and SVHN: ratio 7 (5 in an earlier one),
    threshold 0.8, temperature 0.4, no annealing. Another is ImageNet's with 10% of the labels, the talk's
    number: mu 15 with threshold 0.5, temperature 0.4 (from memory of the paper; no code of it is public).

    Differs: see `Baseline` and `RandAugment`. A young moving average is shorter than `ema`. The authors draw
    100 augmented copies of each image once; here every step draws its own.
    """

    name = "uda"
    paper = Paper(
        "Unsupervised Data Augmentation for Consistency Training", "Xie, Dai, Hovy, Luong, Le",
        "NeurIPS", 2020, "1904.12848",
    )  # fmt: skip

    def __init__(
        self, *, mu: int = 7, temperature: float = 0.4, threshold: float = 0.8, weight: float = 1.0,
        annealing: str = "", ema: float = 0.9999, operations: int = 2, magnitude: float = 10,
    ):  # fmt: skip
        super().__init__(mu)
        if annealing and annealing not in TSA:
            raise UserError(f"annealing {annealing!r} of uda: use {', '.join(TSA)}, or '' for none")
        self.temperature, self.threshold, self.weight = temperature, threshold, weight
        self.annealing, self.ema = annealing, ema
        augmented = RandAugment(operations, magnitude, "uda"), Cutout(0.5)
        self.strong = Compose([*augmented, *shift_and_flip().views])

    def rate(self, progress: float) -> float:
        return math.cos(7 * math.pi * progress / 16)

    def eta(self, progress: float, classes: int) -> float:
        """The threshold above which labelled images are left out: alpha_t (1 - 1/C) + 1/C."""
        alpha = TSA[self.annealing](progress) if self.annealing else 1.0
        return alpha * (1 - 1 / classes) + 1 / classes

    def loss(
        self, net: nn.Sequential, x: Tensor, y: Tensor, u: Tensor | None, progress: float
    ) -> dict[str, Tensor]:
        logits = net(torch.cat([self.weak(x), self.weak(u), self.strong(u)]))  # (B + 2 mu B, C)
        of_x, clean, other = logits.split([len(x), len(u), len(u)])
        supervised, used = annealed(of_x, y, self.eta(progress, logits.shape[1]))
        consistency, kept = consistent(clean, other, self.temperature, self.threshold)
        return {"loss": supervised + self.weight * consistency, "kept": kept, "used": used}


def annealed(logits: Tensor, y: Tensor, eta: float) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy of the rows of logits (B, C) with p(y) <= eta, or 0; and their share."""
    losses = F.cross_entropy(logits, y, reduction="none")
    used = ((-losses.detach()).exp() <= eta).to(losses.dtype)
    return (losses * used).sum() / used.sum().clamp(min=1), used.mean()


def consistent(clean: Tensor, other: Tensor, temperature: float, threshold: float) -> tuple[Tensor, Tensor]:
    """Mean over N of KL(softmax(clean / T) || softmax(other)) where max softmax(clean) > threshold.

    clean, other (N, C): logits. No gradient reaches `clean`.
    """
    clean = clean.detach()
    divergence = kl((clean / temperature).softmax(1), other, reduction="none").sum(1)  # (N, C) -> (N,)
    kept = (clean.softmax(1).amax(1) > threshold).to(divergence.dtype)
    return (divergence * kept).mean(), kept.mean()
