"""What follows a joint training in MOAM: guesses at every image's label, and how long they and the labels are learned."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sslcourse.data.images import ImageSet
from sslcourse.evaluate.features import extract


@dataclass(frozen=True)
class Retraining:
    """MOAM's second and third step (Zhai et al. 2019, from memory of the paper), as shares of the first's settings.

    Retraining: 18 epochs of all images beside 200 of a tenth of them. Tuning: 20 of the tenth, at a rate of
    5e-4 beside 0.1, with a decay of 3e-3 beside 2e-4.
    """

    steps: float = 0.9
    tuning_steps: float = 0.1
    tuning_lr: float = 5e-4 / 0.1
    tuning_decay: float = 3e-3 / 2e-4


class Turn(nn.Module):
    """k quarter turns of images (B, 3, H, H)."""

    def __init__(self, k: int):
        super().__init__()
        self.k = k

    def forward(self, images: Tensor) -> Tensor:
        return images.rot90(self.k, (2, 3))


def guesses(net: nn.Module, images: ImageSet, turns: int, device: torch.device) -> Tensor:
    """The likeliest class (N,) of each image by the mean of the logits of its first `turns` quarter turns."""
    logits = [extract(nn.Sequential(Turn(k), net), images, device=device) for k in range(turns)]
    return torch.stack(logits).mean(0).argmax(1).to(images.device)
