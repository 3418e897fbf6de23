"""RotNet: recognise by how much an image was turned."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sslcourse.methods.method import Method, Paper
from sslcourse.nets import Encoder
from sslcourse.views import four_rotations, rotate90, weak_view


class RotNet(Method):
    """Turn each image by 0, 90, 180 and 270 degrees; a four-way classifier must say which.

    L = -1/(4B) sum_i sum_y log F^y(g(x_i, y)), equations (1) and (2). All four copies of an image share a batch; with
    `all_four=False` each image is turned once, at random (worse, says the paper; lesson 02 asks: at equal what?).
    The turns are flips and transposes, which leave no trace of interpolation to detect.
    `kept`: the encoder before the four-way classifier.

    Symbols: F -> `encoder` and `classifier`, g(., y) -> `four_rotations`, K = 4 and N -> the batch's B; y counts
    quarters from 0, the paper's from 1.
    Differs: any encoder, where theirs is a network in network on CIFAR-10 and AlexNet with batch norm on ImageNet,
    where the images are crops and not, as here and on CIFAR-10, shifted by 4 px.
    """

    name = "rotnet"
    chapter = "pretext"
    paper = Paper(
        "Unsupervised Representation Learning by Predicting Image Rotations",
        "Gidaris, Singh, Komodakis", "ICLR", 2018, "1803.07728",
    )  # fmt: skip

    def __init__(self, encoder: Encoder, *, all_four: bool = True):
        super().__init__(encoder)
        self.all_four = all_four
        self.view = weak_view()
        self.classifier = nn.Linear(encoder.dim, 4)

    def turned(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, H) -> images and their turns in quarters: (4B, 3, H, H), (4B,); or B if not `all_four`."""
        if self.all_four:
            return four_rotations(images)
        y = torch.randint(4, (len(images),), device=images.device)
        return rotate90(images, y), y

    def logits(self, images: Tensor) -> Tensor:
        """What the net believes of each image's turn: (B, 3, H, H) -> (B, 4)."""
        return self.classifier(self.encoder(images))

    def loss(
        self, images: Tensor, index: Tensor | None = None, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        x, y = self.turned(self.view(images))
        logits = self.logits(x)
        return {"loss": F.cross_entropy(logits, y), "accuracy": (logits.argmax(1) == y).float().mean()}
