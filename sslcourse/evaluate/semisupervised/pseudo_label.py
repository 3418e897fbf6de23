"""Pseudo-label: believe the network's best guess, a little more every epoch."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sslcourse.evaluate.semisupervised.baseline import Baseline
from sslcourse.methods.method import Paper


class PseudoLabel(Baseline):
    """L = CE(x, y) + alpha(t) mean CE(u, y'), y' = argmax p(u), which moves with every step.

    alpha(t) is 0 until T1, grows linearly to `alpha` at T2 and stays there: the labels come first. T1 and T2
    are shares of training (the paper's MNIST: 100 and 600 epochs). Only guesses of at least `threshold`
    count, by default all. Believing one's guesses is minimising their entropy (Grandvalet & Bengio 2004).

    Differs: see `Baseline`. The paper's network has no batch norm and is pre-trained as an autoencoder; here x
    and u pass in one batch, from scratch. T1 and T2 are shares of however many steps there are. The talk's
    number is of another kind: S4L's authors train on the labels, guess once at all images, and train anew.
    """

    name = "pseudo_label"
    paper = Paper(
        "Pseudo-Label: The Simple and Efficient Semi-Supervised Learning Method for Deep Neural Networks",
        "Lee", "ICML workshop on challenges in representation learning", 2013,
    )  # fmt: skip

    def __init__(
        self, *, mu: int = 8, alpha: float = 3.0, T1: float = 0.1, T2: float = 0.6, threshold: float = 0.0
    ):
        super().__init__(mu)
        self.alpha, self.T1, self.T2, self.threshold = alpha, T1, T2, threshold

    def weight(self, progress: float) -> float:
        """alpha(t) at t = progress in [0, 1]."""
        return self.alpha * min(1.0, max(0.0, (progress - self.T1) / (self.T2 - self.T1)))

    def loss(
        self, net: nn.Sequential, x: Tensor, y: Tensor, u: Tensor | None, progress: float
    ) -> dict[str, Tensor]:
        logits = net(self.weak(torch.cat([x, u])))  # (B + mu B, C)
        of_x, of_u = logits[: len(x)], logits[len(x) :]
        confidence, guess = of_u.detach().softmax(1).max(1)
        losses = F.cross_entropy(of_u, guess, reduction="none")
        kept = (confidence >= self.threshold).to(losses.dtype)
        unsupervised = (losses * kept).mean()
        return {"loss": F.cross_entropy(of_x, y) + self.weight(progress) * unsupervised, "kept": kept.mean()}
