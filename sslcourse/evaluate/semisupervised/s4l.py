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
    """L = supervised CE(x, y) + w (R(x) + R(u)) / 2 + vat VAT(u) + entropy mean H(p(u)), R the rotations' CE.

    Every term is of all four turns of its images; a turn keeps its image's label. This is the talk's row, the
    paper's "mix of all models" (MOAM), in its first step (ImageNet, 10% of labels, top-5: 88.80); with
    `semisupervised(..., retrain=True)` follow its second (89.96) and third (91.23, the talk's number). Weights,
    `eps` (32 at 224 px for colours in [-1, 1]: VAT's units) and `ema` (it halves in the 1,000 steps of an
    epoch of 10% of ImageNet) are the authors' command for step 1. S4L-Rotation, the paper's first method, is
    S4L(supervised=1, w=1, vat=0, entropy=0, ema=0).

    Differs: see `Baseline`. The paper's text has w 0.7 (from memory), its code 1 - 0.3 - 0.3. VAT's target is a
    pass of u alone, as its perturbed passes are; theirs is of x and u in one batch, so that its KL is not 0 at
    r = 0. `xi` is 1e-3, not 1e-6, as in `VAT`. A young moving average is shorter than `ema`.
    """

    name = "s4l"
    paper = Paper(
        "S4L: Self-Supervised Semi-Supervised Learning", "Zhai, Oliver, Kolesnikov, Beyer",
        "ICCV", 2019, "1905.03670",
    )  # fmt: skip
    turns = 4

    def __init__(
        self, *, mu: int = 1, supervised: float = 0.3, w: float = 0.4, vat: float = 0.3, entropy: float = 0.3,
        eps: float = 16 * 32 / 224, xi: float = 1e-3, ema: float = 0.9993,
    ):  # fmt: skip
        super().__init__(mu)
        self.supervised, self.w, self.vat, self.entropy = supervised, w, vat, entropy
        self.eps, self.xi, self.ema = eps, xi, ema
        self.rotation: nn.Linear | None = None

    def begin(self, net: nn.Sequential) -> None:
        if self.rotation is None:  # or it goes on, in MOAM's second step
            self.rotation = nn.Linear(net[1].in_features, 4)

    def loss(
        self, net: nn.Sequential, x: Tensor, y: Tensor, u: Tensor | None, progress: float
    ) -> dict[str, Tensor]:
        encoder, classifier = net
        B = len(x)
        images, turns = four_rotations(self.weak(torch.cat([x, u])))  # (4 (B + mu B), 3, H, H)
        features = encoder(images)
        by_turn = features.unflatten(0, (4, -1))  # (4 (B + mu B), D) -> (4, B + mu B, D)
        of_x, of_u = by_turn[:, :B].flatten(0, 1), by_turn[:, B:].flatten(0, 1)  # (4 B, D), (4 mu B, D)
        rotation = self.rotation(features)  # (4 (B + mu B), 4)
        R = F.cross_entropy(rotation, turns, reduction="none").view(4, -1)  # (4, B + mu B)
        loss = self.supervised * F.cross_entropy(classifier(of_x), y.repeat(4))
        loss = loss + self.w * (R[:, :B].mean() + R[:, B:].mean()) / 2
        if self.entropy:
            loss = loss + self.entropy * entropy(classifier(of_u))
        if self.vat:
            turned = images.unflatten(0, (4, -1))[:, B:].flatten(0, 1)  # (4 mu B, 3, H, H)
            loss = loss + self.vat * lds(net, turned, self.eps, self.xi)
        return {"loss": loss, "rotation": (rotation.argmax(1) == turns).to(loss.dtype).mean()}
