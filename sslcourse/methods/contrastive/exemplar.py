"""Exemplar-CNN: every image is a class of its own, its transformed copies are the samples."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from sslcourse.data.images import Data
from sslcourse.methods.method import Method, Paper
from sslcourse.methods.parts.gathered import global_mean
from sslcourse.nets import Encoder
from sslcourse.views.exemplar import TRANSFORMS, ExemplarView, principal_colours


class Exemplar(Method):
    """Say which of N seed images a transformed copy came from: a softmax with one row of weights for each image.

    L = -1/B sum_i log softmax(W f(T_i x_i) + b)_i, T_i drawn anew for every copy. W (N, D) is learned and grows with
    N. `seeds`: how many of the `images` are classes, the first so many rows of data.train (0: all); the others are
    looked at and not learned from. `transforms` and `colours` are those of `ExemplarView`. `kept`: the encoder
    before the classifier.

    Symbols: N -> `classes`, x_i -> images, T_i -> `view`; W, b of the last layer -> `classifier`.
    Differs: the paper draws 150 copies of each seed once, so 150 epochs here are its set; its seeds are patches of 32
    px where gradients are large, ours whole images; it subtracts the mean of all patches, pixel by pixel, from its
    copies, and probes features pooled over quarters.
    """

    name = "exemplar"
    chapter = "contrastive"
    paper = Paper(
        "Discriminative Unsupervised Feature Learning with Exemplar Convolutional Neural Networks",
        "Dosovitskiy, Fischer, Springenberg, Riedmiller, Brox", "TPAMI", 2016, "1406.6909",
    )  # fmt: skip

    def __init__(
        self,
        encoder: Encoder,
        *,
        images: int = 10_000,
        seeds: int = 8000,
        transforms: Sequence[str] = TRANSFORMS,
        colours: Sequence[Sequence[float]] | None = None,
    ):
        super().__init__(encoder)
        self.images, self.seeds, self.transforms, self.colours = images, seeds, transforms, colours
        self.classes = min(seeds or images, images)
        self.view = ExemplarView(transforms, colours)
        self.classifier = nn.Linear(encoder.dim, self.classes)

    @classmethod
    def arguments_from(cls, data: Data) -> dict:
        n = len(data.train)
        some = data.train.floats(slice(None, None, math.ceil(n / 2000)))  # evenly spread
        return {"images": n, "colours": principal_colours((some * 255).round())}

    def logits(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, N): which seed each image was made from."""
        return self.classifier(self.encoder(images))

    def loss(
        self, images: Tensor, index: Tensor | None = None, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        logits = self.logits(self.view(images))
        y, is_seed = index.clamp(max=self.classes - 1), index < self.classes
        loss = F.cross_entropy(logits, y, reduction="none")
        right = (logits.argmax(1) == y).to(loss.dtype)
        return {"loss": global_mean(loss, is_seed), "accuracy": global_mean(right, is_seed)}
