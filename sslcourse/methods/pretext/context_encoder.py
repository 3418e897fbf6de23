"""Context Encoder: fill a hole from what surrounds it."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from sslcourse.data.images import Data
from sslcourse.errors import UserError
from sslcourse.methods.method import Method, Paper
from sslcourse.methods.parts.gathered import global_mean
from sslcourse.methods.parts.precision import promoted
from sslcourse.nets import Encoder
from sslcourse.nets.dense import map_shape


class ChannelwiseLinear(nn.Module):
    """Each map mixes its own places, none across channels: (B, C, h, w), weights (C, h * w, h * w)."""

    def __init__(self, channels: int, places: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels, places, places) / math.sqrt(places))
        self.bias = nn.Parameter(torch.zeros(channels, places))

    def forward(self, x: Tensor) -> Tensor:
        y = torch.einsum("bcp,cpq->bcq", x.flatten(2), self.weight) + self.bias  # (B, C, h * w)
        return y.view(x.shape)  # (B, C, h * w) -> (B, C, h, w)


class ContextEncoder(Method):
    """Hide a region H of x, show its mean colour there, and paint it: F is encoder and up-conv decoder.

    L_rec (1) = mean over M of w (x - F((1 - H) * x))^2 with colours in [-1, 1], where M is H and a band of `overlap`
    pixels (of 128) of visible context about it, in which w = `band`, else 1, so that the filling fits its border.
    L = .999 L_rec + .001 L_adv: a discriminator that sees M only tells true from painted; its own
    loss is in the same scalar, but on detached pixels, and the painter's term passes through a detached
    copy of its weights: neither player's gradient reaches the other. `region`: "centre", where M is the
    middle half, or "random", blocks on about a quarter; `adversarial=0`, without discriminator, is what
    the paper uses to learn features. `kept`: the encoder, which never saw a whole image.

    Symbols: the paper's mask M^ -> `H`, without the band, and `M`, with it; F -> `painted`, D -> `discriminator`;
    lambda_adv -> `adversarial`, lambda_rec -> 1 less that.
    Differs: the paper also cuts arbitrary shapes, and the code cuts blobs of a thresholded noise, one for the whole
    batch, and there compares, and shows the discriminator, all pixels. F ends in a sigmoid on [0, 1] (a tanh), and
    maps of the encoder's size pass the channel-wise layer (the code: a bottleneck of 4,000 numbers). The
    discriminator has no batch norm and sees the mean colour about M (the code: M cut out); it learns at a tenth of
    the rate as theirs, with the recipe's optimiser (theirs: Adam, beta1 .5).
    """

    name = "context_encoder"
    chapter = "pretext"
    paper = Paper(
        "Context Encoders: Feature Learning by Inpainting",
        "Pathak, Krahenbuhl, Donahue, Darrell, Efros", "CVPR", 2016, "1604.07379",
    )  # fmt: skip

    def __init__(
        self,
        encoder: Encoder,
        *,
        size: int = 32,
        region: str = "centre",
        blocks: int = 4,
        adversarial: float = 0.001,
        overlap: float = 4.0,
        band: float = 10.0,
        width: int = 64,
    ):
        super().__init__(encoder)
        if region not in ("centre", "random"):
            raise UserError(f'context_encoder region {region!r} is unknown: use "centre" or "random"')
        self.size, self.region, self.blocks, self.adversarial = size, region, blocks, adversarial
        self.overlap, self.band, self.width = overlap, band, width
        self.margin = max(1, round(overlap * size / 128)) if overlap else 0
        D, h, w = map_shape(encoder, size)
        parts: list[nn.Module] = [
            ChannelwiseLinear(D, h * w), nn.Conv2d(D, D, 1, bias=False), nn.BatchNorm2d(D), nn.ReLU()
        ]  # fmt: skip
        inputs = D
        for i in reversed(range(max(1, math.ceil(math.log2(size / h))))):
            outputs = width * min(2**i, 4) // 4
            up = nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False)
            parts, inputs = [*parts, up, nn.BatchNorm2d(outputs), nn.ReLU()], outputs
        self.decoder = nn.Sequential(*parts, nn.Conv2d(inputs, 3, 3, padding=1), nn.Sigmoid())
        self.discriminator = discriminator(size, width) if adversarial else None
        self.register_buffer("fill", torch.full((3, 1, 1), 0.5))

    @classmethod
    def arguments_from(cls, data: Data) -> dict:
        return {"size": data.size}

    def prepare(self, data: Data) -> None:
        rows = torch.linspace(0, len(data.train) - 1, min(len(data.train), 2000)).long()
        self.fill.copy_(data.train.floats(rows).mean((0, 2, 3)).view(3, 1, 1))  # (3,) -> (3, 1, 1)

    def parameter_groups(self) -> list[dict]:
        """The discriminator learns at a tenth of the rate (the paper's 2e-4 against 2e-3)."""
        groups = []
        for player, scale in ((self.encoder, 1.0), (self.decoder, 1.0), (self.discriminator, 0.1)):
            learned = [] if player is None else [p for p in player.parameters() if p.requires_grad]
            groups += [
                {"params": [p for p in learned if p.ndim > 1], "lr_scale": scale},
                {"params": [p for p in learned if p.ndim <= 1], "lr_scale": scale, "weight_decay": 0.0},
            ]
        return [group for group in groups if group["params"]]

    def regions(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """H, what is hidden, and M, what is painted: (B, 1, S, S) bool each, H inside M."""
        B, S, m = len(images), self.size, self.margin
        if self.region == "centre":
            at = torch.arange(S, device=images.device)
            inside = (at >= S // 4 + m) & (at < S // 4 + S // 2 - m)
            H = (inside[:, None] & inside).expand(B, 1, S, S)
        else:
            # blocks whose sides are 1/8 to 3/8 of the image; four of them cover about a quarter
            sides = (S * (1 + 2 * torch.rand(2, B, self.blocks, 1, device=images.device)) / 8).round()
            start = (torch.rand(sides.shape, device=images.device) * (S + 1 - sides)).floor()
            at = torch.arange(S, device=images.device)
            rows, columns = (at >= start) & (at < start + sides)  # (B, blocks, S) each
            block = rows[..., None] & columns[..., None, :]  # (B, blocks, S, S)
            H = block.any(1, keepdim=True)  # (B, blocks, S, S) -> (B, 1, S, S)
        M = F.max_pool2d(H.float(), 2 * m + 1, 1, m) > 0 if m else H
        return H, M

    def painted(self, images: Tensor, H: Tensor) -> Tensor:
        """F((1 - H) * x): images (B, 3, S, S) with H hidden -> the whole image as the decoder imagines it."""
        x = self.decoder(self.encoder.final_map(torch.where(H, self.fill, images)))
        if x.shape[-1] != self.size:
            x = F.interpolate(x, size=(self.size, self.size), mode="bilinear", align_corners=False)
        return promoted(x)

    def loss(
        self, images: Tensor, index: Tensor | None = None, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        H, M = self.regions(images)
        x, Fx = images, self.painted(images, H)  # Fx: F((1 - H) * x)
        w = torch.where(H, 1.0, self.band)  # (B, 1, S, S)
        reconstruction = global_mean(w * (2 * x - 2 * Fx).square(), M)
        if self.discriminator is None:
            return {"loss": reconstruction, "reconstruction": reconstruction}
        real, fake = torch.where(M, x, self.fill), torch.where(M, Fx, self.fill)
        judged = promoted(self.discriminator(2 * torch.cat([real, fake.detach()]) - 1))
        truth = torch.ones_like(judged)
        truth[len(x) :] = 0
        judge = 2 * F.binary_cross_entropy_with_logits(judged, truth)  # the sum over true and painted
        fixed = {name: p.detach() for name, p in self.discriminator.named_parameters()}
        fooled = promoted(functional_call(self.discriminator, fixed, (2 * fake - 1,)))
        adversarial = F.binary_cross_entropy_with_logits(fooled, torch.ones_like(fooled))
        loss = (1 - self.adversarial) * reconstruction + self.adversarial * adversarial + judge
        return {
            "loss": loss, "reconstruction": reconstruction, "adversarial": adversarial, "discriminator": judge
        }  # fmt: skip


def discriminator(size: int, width: int) -> nn.Sequential:
    """(B, 3, S, S) in [-1, 1] -> (B, 1), the logit of "true". Halves until 4 pixels or fewer are left."""
    parts: list[nn.Module] = []
    inputs, outputs = 3, width // 2
    while size > 4:
        parts += [nn.Conv2d(inputs, outputs, 4, 2, 1), nn.LeakyReLU(0.2)]
        inputs, outputs, size = outputs, min(2 * outputs, 4 * width), size // 2
    return nn.Sequential(*parts, nn.Flatten(), nn.Linear(inputs * size * size, 1))
