"""S4L: a pretext task on all images beside the labels of a few."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sslcourse.evaluate.semisupervised.baseline import Baseline
from sslcourse.evaluate.semisupervised.vat import entropy, lds
from sslcourse.methods.method import Paper
from sslcourse.views import four_rotations


class S4L(Baseline):
    """L = CE of x's four rotations with y + w CE of all rotations + vat VAT(u) + entropy mean H(p(u)).

    The talk's row, the paper's "mix of all models": rotation, VAT and entropy minimisation at once, and then
    `semisupervised(..., retrain=True)`: the same again with its guesses as labels. vat=0, entropy=0 is
    S4L-Rotation. `eps` and `xi` are VAT's.
    """

    name = "s4l"
    paper = Paper(
        "S4L: Self-Supervised Semi-Supervised Learning", "Zhai, Oliver, Kolesnikov, Beyer",
        "ICCV", 2019, "1905.03670",
    )  # fmt: skip

    def __init__(
        self, *, mu: int = 1, w: float = 1.0, vat: float = 1.0, entropy: float = 1.0, eps: float = 2.0,
        xi: float = 1e-3,
    ):  # fmt: skip
        super().__init__(mu)
        self.w, self.vat, self.entropy, self.eps, self.xi = w, vat, entropy, eps, xi

    def begin(self, net: nn.Sequential) -> None:
        self.rotation = nn.Linear(net[1].in_features, 4)

    def loss(
        self, net: nn.Sequential, x: Tensor, y: Tensor, u: Tensor | None, progress: float
    ) -> dict[str, Tensor]:
        encoder, classifier = net
        images, turns = four_rotations(self.weak(torch.cat([x, u])))  # (4 (B + mu B), 3, H, H)
        features = encoder(images)
        # (4 (B + mu B), D) -> (4, B + mu B, D): upright, and three turns
        by_turn = features.view(4, -1, features.shape[1])
        logits = classifier(by_turn[:, : len(x)].flatten(0, 1))  # (4 B, C)
        loss = F.cross_entropy(logits, y.repeat(4))
        rotation = self.rotation(features)  # (4 (B + mu B), 4)
        loss = loss + self.w * F.cross_entropy(rotation, turns)
        if self.entropy:
            loss = loss + self.entropy * entropy(classifier(by_turn[0, len(x) :]))
        if self.vat:
            loss = loss + self.vat * lds(net, images[len(x) : len(x) + len(u)], self.eps, self.xi)
        return {"loss": loss, "rotation": (rotation.argmax(1) == turns).float().mean()}
