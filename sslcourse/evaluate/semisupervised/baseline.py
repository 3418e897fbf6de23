"""Baseline: what a semi-supervised method is to the loop; and the supervised one, which ignores the rest."""

from __future__ import annotations

import math
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from sslcourse.methods.method import Paper
from sslcourse.views.randaugment import shift_and_flip


class Baseline(nn.Module):
    """A loss of labelled and unlabelled images together.

    `mu`: unlabelled images for each labelled one. `ema`: m of the moving average of the weights that is
    judged in the end, 0 for the weights themselves. `turns`: quarter turns over which a guess at an image's
    label is averaged. A constructor's arguments have the paper's or the authors' defaults.

    Differs, for all baselines alike: AdamW with half a cosine (where a class has no rate of its own), batches
    of `batch_size` and so many steps, where the papers have SGD or Adam, steps and weeks; one weak view, a
    shift by up to 4 px, reflected, and a flip (FixMatch's, UDA's; S4L crops as Inception does, VAT shifts by 2
    px, pseudo-label has no view).
    """

    name: ClassVar[str]
    paper: ClassVar[Paper]
    ema: float = 0.0
    turns: int = 1

    def __init__(self, mu: int):
        super().__init__()
        self.mu = mu
        self.weak = shift_and_flip()

    def begin(self, net: nn.Sequential) -> None:
        """Once, before the optimiser is made: networks beside `net`'s encoder and classifier."""

    def rate(self, progress: float) -> float:
        """The learning rate at `progress` in [0, 1], as a share of the first: half a cosine, to 0."""
        return 0.5 * (1 + math.cos(math.pi * progress))

    def loss(
        self, net: nn.Sequential, x: Tensor, y: Tensor, u: Tensor | None, progress: float
    ) -> dict[str, Tensor]:
        """net = (encoder, classifier): images -> logits (B, C); labelled x (B, 3, H, W) in [0, 1] and y (B,);
        unlabelled u (mu B, 3, H, W), None if mu is 0 -> {"loss": scalar, **to_log}. Draws its own views.
        """
        raise NotImplementedError(f"{type(self).__name__} has no loss")


class Supervised(Baseline):
    """The labelled images alone: -1/B sum log p(y | x). What every other row has to beat."""

    name = "supervised"
    paper = Paper(
        "S4L: Self-Supervised Semi-Supervised Learning (its baseline)",
        "Zhai, Oliver, Kolesnikov, Beyer", "ICCV", 2019, "1905.03670",
    )  # fmt: skip

    def __init__(self):
        super().__init__(mu=0)

    def loss(
        self, net: nn.Sequential, x: Tensor, y: Tensor, u: Tensor | None, progress: float
    ) -> dict[str, Tensor]:
        return {"loss": F.cross_entropy(net(self.weak(x)), y)}
