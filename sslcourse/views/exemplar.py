"""The transformations of Exemplar-CNN (Dosovitskiy et al. 2016, 1406.6909), drawn and applied together."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from sslcourse.errors import UserError
from sslcourse.views.colour import hue_
from sslcourse.views.view import View, constant, uniform

TRANSFORMS = ("translation", "scale", "rotation", "contrast", "power", "hue")
GREY_AXES = (  # mean, then axes of colour: grey, red to blue, green to magenta
    (0.5, 0.5, 0.5), (3**-0.5, 3**-0.5, 3**-0.5), (2**-0.5, 0.0, -(2**-0.5)), (6**-0.5, -2 * 6**-0.5, 6**-0.5),
)  # fmt: skip


class ExemplarView(View):
    """Shift, scale and turn each image, stretch its colours along their principal axes, bend S and V, shift its hue.

    translation: up to 0.2 of the side. scale: 0.7 to 1.4 times what is seen. rotation: up to 20 degrees.
    contrast: each principal component of the colours times 0.5 to 2. power: S and V of HSV, each on its own,
    to a power of 0.25 to 4, times 0.7 to 1.4, plus up to 0.1 either way. hue: up to 0.1 turns.
    Factors and powers are log-uniform here (the paper gives ranges only), all else uniform. `transforms`
    names those that are used. `colours`: rows mean and components, as `principal_colours` gives them.
    What lies beyond the image is its mirror image (the paper cuts its patches out of larger images).
    """

    def __init__(self, transforms=TRANSFORMS, colours=None):
        unknown = [name for name in transforms if name not in TRANSFORMS]
        if unknown:
            raise UserError(
                f"transform {unknown[0]!r} of the exemplar view is unknown: use {', '.join(TRANSFORMS)}"
            )
        self.transforms = transforms
        self.colours = tuple(map(tuple, colours or GREY_AXES))

    def draw(self, images: Tensor, generator: torch.Generator | None) -> tuple:
        def amount(name: str, columns: int, low: float, high: float, neutral: float = 0.0) -> Tensor:
            drawn = uniform((len(images), columns), low, high, images, generator)
            return drawn if name in self.transforms else torch.full_like(drawn, neutral)

        def factor(name: str, columns: int, low: float, high: float) -> Tensor:
            return amount(name, columns, math.log(low), math.log(high)).exp()

        where = (
            amount("translation", 2, -0.2, 0.2),
            factor("scale", 1, 0.7, 1.4),
            amount("rotation", 1, -math.pi / 9, math.pi / 9),
        )
        stretch = factor("contrast", 3, 0.5, 2.0)
        bend = factor("power", 2, 0.25, 4.0), factor("power", 2, 0.7, 1.4), amount("power", 2, -0.1, 0.1)
        return where, stretch, bend, amount("hue", 1, -0.1, 0.1)

    def apply(self, images: Tensor, where: tuple, stretch: Tensor, bend: tuple, shift: Tensor) -> Tensor:
        x = affine(images, *where)
        mean, *axes = self.colours
        x = stretch_colours(x, stretch, *(constant(v, x.device, x.dtype) for v in ((mean,), tuple(axes))))
        if "power" in self.transforms:
            x = bend_saturation_and_value(x, *bend)
        return hue_(x, shift[:, :, None, None]) if "hue" in self.transforms else x


def affine(images: Tensor, translation: Tensor, scale: Tensor, angle: Tensor) -> Tensor:
    """Look at a square `scale` (B, 1) times the image, moved by `translation` (B, 2), x and y in sides, turned by
    `angle` (B, 1) radians: images (B, 3, H, W) -> the same. Bilinear; mirrored at the edges.
    """
    h, w = images.shape[2:]
    cos, sin = scale * angle.cos(), scale * angle.sin()
    across, down = translation[:, :1] * 2, translation[:, 1:] * 2  # the image reaches from -1 to 1
    rows = torch.cat([cos, -sin * h / w, across, sin * w / h, cos, down], 1).view(
        -1, 2, 3
    )  # (B, 6) -> (B, 2, 3)
    grid = F.affine_grid(rows, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False).clamp_(0, 1)


def stretch_colours(images: Tensor, factors: Tensor, mean: Tensor, axes: Tensor) -> Tensor:
    """Every pixel's distance from `mean` (1, 3) along each row of `axes` (3, 3), times factors (B, 3)."""
    matrices = axes.T @ (factors[:, :, None] * axes)  # (3, 3) @ (B, 3, 3)
    centred = images.flatten(2) - mean[:, :, None]  # (B, 3, H, W) -> (B, 3, H * W)
    return (matrices @ centred + mean[:, :, None]).view(images.shape).clamp_(0, 1)


def bend_saturation_and_value(images: Tensor, power: Tensor, factor: Tensor, offset: Tensor) -> Tensor:
    """S and V of HSV to `power`, times `factor`, plus `offset`: all (B, 2), first S. The hue stays; grey stays grey."""
    value = images.amax(1, keepdim=True)
    chroma = value - images.amin(1, keepdim=True)
    lack = (value - images) / chroma.clamp(
        min=1e-8
    )  # how far below V, as a share of the chroma: the hue alone
    bent = [
        (x ** power[:, i, None, None, None])
        .mul_(factor[:, i, None, None, None])
        .add_(offset[:, i, None, None, None])
        for i, x in enumerate((chroma / value.clamp(min=1e-8), value))
    ]
    saturation, value = (x.clamp_(0, 1) for x in bent)
    return value * (1 - saturation * lack)


def principal_colours(images: Tensor) -> list[list[float]]:
    """Mean and principal axes of all pixels: images (N, 3, H, W) in 0..255 -> four rows of three, the widest first.

    The sums are whole numbers, so that every device gives the same digits.
    """
    pixels = images.long().transpose(0, 1).flatten(1)  # (N, 3, H, W) -> (3, N * H * W)
    first, second = pixels.sum(1), (pixels[:, None] * pixels).sum(2)
    mean, second = (total.cpu().double() / pixels.shape[1] for total in (first, second))
    axes = torch.linalg.eigh(second - torch.outer(mean, mean)).eigenvectors.T.flip(
        0
    )  # ascending -> descending
    axes = axes * axes.gather(1, axes.abs().argmax(1, keepdim=True)).sign()  # the largest entry is positive
    return [[round(value, 6) for value in row] for row in torch.cat([mean[None] / 255, axes]).tolist()]
