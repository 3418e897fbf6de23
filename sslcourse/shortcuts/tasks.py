"""Pretext tasks that exist to be cheated at: small Methods in which one leak can be opened and closed."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sslcourse.errors import UserError
from sslcourse.methods import Method, Paper, SimCLR
from sslcourse.methods.contrastive.simclr import nt_xent
from sslcourse.methods.parts.grouped import grouped
from sslcourse.nets import Encoder
from sslcourse.views import (
    Lens,
    cut,
    drop_colours,
    four_rotations,
    jitter_channels,
    project_colours,
    standardise,
)
from sslcourse.views.patches import KERNELS
from sslcourse.views.view import uniform

CURES = {
    "none": lambda patches: patches,
    "projection": project_colours,
    "one channel": drop_colours,
    "channel jitter": lambda patches: jitter_channels(patches, 2),
}


class AbsolutePosition(Method):
    """Name the ninth of the image that a patch was cut from: 3 x 3 places, row-major, chance 1/9.

    Content should not tell, yet a lens does: it magnifies red and blue differently, so that the fringes of a patch
    point to the image's centre (Doersch et al. 2015, 1505.05192). The paper regresses x and y; nine classes are ours. `aberration`
    is that of the `Lens` the images pass through first, several times a real one's, for these images are small;
    `cure` is done to every patch. `kept`: the encoder.
    """

    name, chapter = "absolute position", "shortcut"
    paper = Paper(
        "Unsupervised Visual Representation Learning by Context Prediction",
        "Doersch, Gupta, Efros", "ICCV", 2015, "1505.05192",
    )  # fmt: skip

    def __init__(
        self,
        encoder: Encoder,
        *,
        patch: int = 16,
        cure: str = "none",
        aberration: float = 0.03,
        patches: int = 4,
    ):
        super().__init__(encoder)
        if cure not in CURES:
            raise UserError(f"cure {cure!r} is unknown: choose from {', '.join(CURES)}")
        self.patch, self.cure, self.aberration, self.patches = patch, cure, aberration, patches
        self.lens = Lens(aberration)
        self.classifier = nn.Linear(encoder.dim, 9)

    def treated(self, patches: Tensor) -> Tensor:
        return standardise(CURES[self.cure](patches), per_channel=False).clamp(0, 1)

    def logits(self, patches: Tensor) -> Tensor:
        """Belief about the place: patches (B, 3, s, s) as they came through the lens -> (B, 9)."""
        return self.classifier(self.encoder(self.treated(patches)))

    def loss(
        self, images: Tensor, index: Tensor | None = None, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        free = images.shape[-1] - self.patch
        corner = uniform((len(images), self.patches, 2), 0, free + 1, images, None).long().clamp(max=free)
        patches = cut(self.lens(images), corner, self.patch).flatten(
            0, 1
        )  # (B, P, 3, s, s) -> (B * P, 3, s, s)
        ninth = (3 * corner / (free + 1)).long()  # (B, P, 2): row and column, 0 to 2
        y = (3 * ninth[..., 0] + ninth[..., 1]).flatten()  # (B, P) -> (B * P,)
        logits = self.logits(patches)
        return {"loss": F.cross_entropy(logits, y), "accuracy": (logits.argmax(1) == y).float().mean()}


def turn(images: Tensor, degrees: Tensor) -> Tensor:
    """images (B, 3, H, H) turned counter-clockwise about their centre by degrees (B,), resampled bilinearly."""
    angle = degrees.to(images) * (math.pi / 180)
    cos, sin = angle.cos(), angle.sin()
    zero = torch.zeros_like(cos)
    theta = torch.stack([cos, -sin, zero, sin, cos, zero], 1).view(-1, 2, 3)  # (B, 6) -> (B, 2, 3)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, "bilinear", "border", align_corners=False)


def disc(images: Tensor) -> Tensor:
    """Grey outside the inscribed circle, so that no corner tells the angle."""
    h = images.shape[-1]
    axis = (torch.arange(h, device=images.device) + 0.5) / h * 2 - 1
    inside = axis.square() + axis.square()[:, None] <= 1  # (H, H)
    return torch.where(inside, images, 0.5)


class Turned(Method):
    """Name the angle an image was turned by: multiples of 90 by flips and transposes, or of 45 by interpolation.

    With `step` 45 the angles are 0, 45, 90 and 135: as many classes, but half of them had to be resampled, and
    resampling smooths. `kept`: the encoder.
    """

    name, chapter = "turned", "shortcut"
    paper = Paper(
        "Unsupervised Representation Learning by Predicting Image Rotations",
        "Gidaris, Singh, Komodakis", "ICLR", 2018, "1803.07728",
    )  # fmt: skip

    def __init__(self, encoder: Encoder, *, step: int = 90):
        super().__init__(encoder)
        self.step = step
        self.classifier = nn.Linear(encoder.dim, 4)

    def loss(
        self, images: Tensor, index: Tensor | None = None, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        if self.step == 90:
            x, y = four_rotations(images)
        else:
            y = torch.arange(4, device=images.device).repeat_interleave(len(images))
            x = turn(images.repeat(4, 1, 1, 1), self.step * y)
        logits = self.classifier(self.encoder(disc(x)))
        return {"loss": F.cross_entropy(logits, y), "accuracy": (logits.argmax(1) == y).float().mean()}


class GuessScale(Method):
    """Name by how much a crop was enlarged: sides of 1/2, 5/8, 3/4 or all of the image, brought to one size.

    `kernel` "bilinear" always, or "random": nearest, bilinear, bicubic or area for each crop; "coarse" first brings
    every crop down to half the image's side, so that none is sharper, and standardises it. `kept`: the encoder.
    """

    name, chapter = "scale", "shortcut"
    paper = Paper(
        "Representation Learning by Learning to Count",
        "Noroozi, Pirsiavash, Favaro",
        "ICCV",
        2017,
        "1708.06734",
    )
    SHARES = (0.5, 0.625, 0.75, 1.0)

    def __init__(self, encoder: Encoder, *, kernel: str = "bilinear"):
        super().__init__(encoder)
        self.kernel = kernel
        self.classifier = nn.Linear(encoder.dim, 4)

    def loss(
        self, images: Tensor, index: Tensor | None = None, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        size = images.shape[-1]
        modes = KERNELS if self.kernel == "random" else ("bilinear",)
        crops, b = [], len(images)
        for share in self.SHARES:
            side = round(size * share)
            corner = uniform((b, 1, 2), 0, size - side + 1, images, None).long().clamp(max=size - side)
            crop = cut(images, corner, side)[:, 0]
            if self.kernel == "coarse":
                crop = F.interpolate(crop, size // 2, mode="bilinear", antialias=True)
            ways = torch.stack([F.interpolate(crop, size, mode=mode) for mode in modes])  # (K, B, 3, H, H)
            which = torch.randint(len(modes), (b,), device=images.device)
            crops.append(ways[which, torch.arange(b, device=images.device)])
        x, y = torch.cat(crops).clamp(0, 1), torch.arange(4, device=images.device).repeat_interleave(b)
        x = standardise(x, per_channel=False).clamp(0, 1) if self.kernel == "coarse" else x
        logits = self.classifier(self.encoder(x))
        return {"loss": F.cross_entropy(logits, y), "accuracy": (logits.argmax(1) == y).float().mean()}


class LeakySimCLR(SimCLR):
    """SimCLR on many small devices: batch norm sees `rows` images at a time.

    Both views of an image are normalised among the same neighbours, so that the statistics of the group say which
    group the partner is in. `shuffled`: the second views change groups first, as MoCo does (He et al. 2020,
    1911.05722). `kept`: the encoder.
    """

    name, chapter = "leaky simclr", "shortcut"

    def __init__(
        self,
        encoder: Encoder,
        *,
        rows: int = 8,
        shuffled: bool = False,
        temperature: float = 0.2,
        min_scale: float = 0.3,
    ):
        super().__init__(encoder, temperature=temperature, min_scale=min_scale)
        self.rows, self.shuffled = rows, shuffled

    def loss(
        self, images: Tensor, index: Tensor | None = None, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        if self.rows:
            images = images[: len(images) // self.rows * self.rows]
        b = len(images)
        order = (torch.randperm if self.shuffled else torch.arange)(b, device=images.device)
        with grouped(self.rows, self.encoder):
            z1 = self.projector(self.encoder(self.view(images)))
            z2 = self.projector(self.encoder(self.view(images[order])))[order.argsort()]
        loss, accuracy = nt_xent(z1, z2, self.temperature)
        return {"loss": loss, "accuracy": accuracy}


@torch.no_grad()
def recovered_layout(
    method: AbsolutePosition, image: Tensor, steps: int = 6
) -> tuple[Tensor, Tensor, Tensor]:
    """Cut an image (3, H, H) on a steps x steps lattice and ask where each patch was.

    Returns the patches (N, 3, s, s) as they came through the lens, their true centres (N, 2) and the guessed ones,
    the mean of the nine places under the network's belief; x then y, from 0 to 1.
    """
    method.eval()
    device = next(method.parameters()).device
    free = image.shape[-1] - method.patch
    axis = torch.linspace(0, free, steps).round().long()
    corner = torch.cartesian_prod(axis, axis).to(device)  # (N, 2): top, left
    patches = cut(method.lens(image[None].to(device)), corner[None], method.patch)[
        0
    ]  # (1, N, 3, s, s) -> (N, ...)
    belief = method.logits(patches).softmax(1)  # (N, 9)
    place = torch.arange(9, device=device)
    centres = (torch.stack([place % 3, place // 3], 1) * 2 + 1) / 6  # (9, 2)
    return patches.cpu(), (corner.flip(1) / free).cpu(), (belief @ centres).cpu()
