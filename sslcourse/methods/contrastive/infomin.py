"""InfoMin: views that share no more than they must, by stronger augmentation and a jigsaw of the query."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sslcourse.methods.contrastive.moco import MoCo, projection
from sslcourse.methods.method import Paper
from sslcourse.methods.parts.blurs import blurs
from sslcourse.methods.parts.grouped import grouped
from sslcourse.methods.parts.info_nce import info_nce
from sslcourse.nets import Encoder
from sslcourse.views import ColourJitter, Compose, GaussianBlur, Greyscale, RandomResizedCrop, tiles
from sslcourse.views.randaugment import RandAugment


class InfoMin(MoCo):
    """What makes good views: MoCo v2 with RandAugment and a jigsaw branch.

    L = (1 - beta) InfoNCE(q, k+) + beta InfoNCE(q_jig, k+), against the same key and queue. q_jig: nine tiles of a
    weak view, each through the encoder and a head, joined in random order and mapped to `dim`. The view is the
    paper's: crop, flip, strong jitter, blur, RandAugment (`operations`, `magnitude`), grey; `blur` None: only if the
    encoder is for more than 32 px. `rows` and `shuffle`: batch norm in groups and shuffled keys, as in MoCo. `kept`:
    the query encoder.

    RandAugment is that of the authors' code (PyContrast): 15 operations with invert and solarise_add, each made
    with probability 1/2 at a magnitude N(`magnitude`, 0.5) of 10, cut at 10, so 9.8 in the mean. A low magnitude
    is not a gentle one (posterise and solarise are strongest at 0); `operations` 0 is none at all.

    A step: two views and the tiles of a third; q, k+, q_jig; both losses against the queue as it was; optimiser; k+
    enters the queue; psi follows.
    Symbols: beta -> `beta`; the rest is MoCo's: tau -> `temperature`, K -> `length`, m -> `momentum`, psi ->
    `key_encoder`, `key_projector`.
    Differs: tiles are thirds of the image at its own size, where the code's are 85 of 255 px beside views of 224. The
    view's parts stand in the code's order. What differs in MoCo differs here.
    """

    name = "infomin"
    paper = Paper(
        "What Makes for Good Views for Contrastive Learning?", "Tian, Sun, Poole, Krishnan, Schmid, Isola", "NeurIPS",
        2020, "2005.10243",
    )  # fmt: skip

    def __init__(
        self,
        encoder: Encoder,
        *,
        beta: float = 0.5,
        operations: int = 2,
        magnitude: float = 10,
        length: int = 65536,
        dim: int = 128,
        temperature: float = 0.15,
        momentum: float = 0.999,
        hue: float = 0.2,
        min_scale: float = 0.2,
        blur: bool | None = None,
        rows: int = 0,
        shuffle: bool = True,
    ):
        super().__init__(
            encoder, length=length, dim=dim, temperature=temperature, momentum=momentum, hue=hue, min_scale=min_scale,
            blur=blur, rows=rows, shuffle=shuffle,
        )  # fmt: skip
        self.beta, self.operations, self.magnitude = beta, operations, magnitude
        self.view = Compose([
            RandomResizedCrop(None, (min_scale, 1.0), flip=0.5), ColourJitter(0.8, 0.8, 0.8, hue, p=0.8),
            *([GaussianBlur(0.5)] if blurs(encoder, blur) else []),
            *([RandAugment(operations, magnitude, "infomin")] if operations else []), Greyscale(0.2),
        ])  # fmt: skip
        self.weak_view = RandomResizedCrop(None, (0.6, 1.0), flip=0.5)
        self.tile_projector, self.joint = projection("mlp", encoder.dim, dim), nn.Linear(9 * dim, dim)

    def jigsaw(self, images: Tensor) -> Tensor:
        """(B, 3, H, H) -> q_jig (B, dim), from tiles of 64/85 of their cells."""
        cell = images.shape[-1] // 3
        t = tiles(self.weak_view(images), cell, round(cell * 64 / 85))  # (B, 9, 3, t, t)
        with grouped(9 * self.rows, self.encoder):  # the tiles of so many images
            h = self.tile_projector(self.encoder(t.flatten(0, 1)))  # (B, 9, 3, t, t) -> (B * 9, dim)
        order = torch.rand(len(t), 9, device=t.device).argsort(1)  # (B, 9)
        order = order[:, :, None].expand(-1, -1, self.dim)
        h = h.view(len(t), 9, -1).gather(1, order)  # (B * 9, D) -> (B, 9, D)
        return self.joint(h.flatten(1))  # (B, 9, D) -> (B, 9 * D)

    def loss(
        self, images: Tensor, index: Tensor | None = None, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        _, k, logged = self.contrast(self.view(images), self.view(images), index)
        q_jig = self.jigsaw(images)
        loss, accuracy = info_nce(q_jig, k, self.queue.keys, self.temperature)
        total = (1 - self.beta) * logged["loss"] + self.beta * loss
        return {**logged, "loss": total, "jigsaw": loss, "jigsaw_accuracy": accuracy}
