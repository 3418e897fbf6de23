"""Colourful image colourisation: predict the colours of a black and white image."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from sslcourse.data.images import Data
from sslcourse.methods.method import Method, Paper
from sslcourse.methods.parts.gamut import Gamut, rebalancing
from sslcourse.methods.parts.gathered import global_mean
from sslcourse.methods.parts.precision import promoted
from sslcourse.nets import Channels, Encoder
from sslcourse.nets.dense import DenseHead, resize
from sslcourse.views import lab_to_rgb, rgb_to_lab, weak_view

GREY = 5.0  # an image in which neither |a| nor |b| exceeds this anywhere has no colour to learn from (code)


class Colorization(Method):
    """From the lightness L of an image to a distribution over Q colours for every few pixels.

    L(Zhat, Z) = - sum_hw v(Z_hw) sum_q Z_hwq log Zhat_hwq (2), here as a mean over pixels. Z is the colour (a, b),
    averaged over `stride` pixels, softly encoded over its `neighbours` nearest bins. v(Z) = w of the nearest bin (3),
    w ~ ((1 - lambda) p~ + lambda / Q)^-1 (4), p~ the smoothed frequencies of the training images; `rebalance=False`:
    v = 1. Grey images count for nothing, as in the authors' code. `skip`: the classifier reads all layers of the
    encoder instead of the last alone.
    `kept`: the encoder, which goes on seeing nothing but L.

    Symbols: lambda -> `lam`, p~ -> `p`, w -> `w`, Q -> len(`gamut`), Z over q -> `Z` at the bins `nearby`, H(Z) with
    its T -> `colourise`.
    Differs: this is the loss as the paper prints it; the code reports the unweighted one (logged as "cross_entropy")
    and weights the gradient only, and has 10 neighbours. Images are shifted and mirrored at their edges where the
    authors crop 176 of 256 px. Bins are enumerated (306 at step 10, theirs 313). Any encoder, where theirs is
    dilated.
    """

    name = "colorization"
    chapter = "pretext"
    paper = Paper(
        "Colorful Image Colorization", "Zhang, Isola, Efros", "ECCV", 2016, "1603.08511",
    )  # fmt: skip

    def __init__(
        self,
        encoder: Encoder,
        *,
        size: int = 32,
        step: float = 10,
        neighbours: int = 5,
        sigma: float = 5.0,
        lam: float = 0.5,
        rebalance: bool = True,
        stride: int = 4,
        skip: bool = False,
    ):
        super().__init__(Channels.of(encoder, "L"))
        self.size, self.step, self.neighbours, self.sigma = size, step, neighbours, sigma
        self.lam, self.rebalance, self.stride, self.skip = lam, rebalance, stride, skip
        self.view = weak_view(mode="reflect")
        self.gamut = Gamut(step)
        self.classifier = DenseHead(self.encoder, len(self.gamut), size, stride=stride, skip=skip)
        self.register_buffer("p", torch.full((len(self.gamut),), 1 / len(self.gamut)))
        self.register_buffer("w", torch.ones(len(self.gamut)))

    @classmethod
    def arguments_from(cls, data: Data) -> dict:
        return {"size": data.size}

    @torch.no_grad()
    def prepare(self, data: Data) -> None:
        """How often each colour occurs in the training images, and what it will weigh."""
        count = torch.zeros_like(self.p)
        for images, _, _ in data.train.batches(256, device=self.p.device):
            count += self.gamut.nearest(self.colours(images)).flatten().bincount(minlength=len(count))
        self.p.copy_(self.gamut.smooth(count / count.sum(), self.sigma))
        self.w.copy_(rebalancing(self.p, self.lam))

    def colours(self, images: Tensor) -> Tensor:
        """a and b of images (B, 3, H, W), averaged over squares of `stride` pixels: (B, 2, h, w)."""
        return F.avg_pool2d(rgb_to_lab(images)[:, 1:], self.stride)

    def predict(self, images: Tensor) -> Tensor:
        """What the net believes of each place's colour, from L alone: (B, 3, H, W) -> logits (B, Q, h, w)."""
        return self.classifier(self.encoder.layers(images))

    @torch.no_grad()
    def colourise(self, images: Tensor, T: float = 0.38) -> Tensor:
        """Images in the colours that the net would give them, with their own L: (B, 3, H, W) -> (B, 3, H, W)."""
        L = rgb_to_lab(images)[:, :1]
        ab = resize(self.gamut.annealed_mean(self.predict(images), T), images.shape[-1])
        return lab_to_rgb(torch.cat([L, ab], 1))

    def loss(
        self, images: Tensor, index: Tensor | None = None, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        images = self.view(images)
        with torch.no_grad():
            ab = self.colours(images)
            nearby, Z = self.gamut.soft_encode(ab, self.neighbours, self.sigma)  # (B, K, h, w) each
            coloured = (ab.abs() > GREY).flatten(1).any(1)[:, None, None]  # (B, 2, h, w) -> (B, 1, 1)
            v = self.w[nearby[:, 0]] if self.rebalance else torch.ones_like(Z[:, 0])  # (B, h, w)
        log_Zhat = promoted(self.predict(images)).log_softmax(1)  # (B, Q, h, w)
        cross_entropy = -(Z * log_Zhat.gather(1, nearby)).sum(1)  # (B, h, w)
        return {
            "loss": global_mean(v * cross_entropy, coloured),
            "cross_entropy": global_mean(cross_entropy.detach(), coloured),
        }
