"""Images without content: whatever is learned from them is a shortcut."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from sslcourse.data.images import Data, ImageSet
from sslcourse.errors import UserError
from sslcourse.views import gaussian_blur

SIZES = {"train": 2000, "val": 200, "test": 1000}


def made(name: str, make, size: int, seed: int) -> Data:
    """Data of images `make(n, size, generator)` (n, 3, size, size) in [0, 1]; every split has its own stream."""
    splits = {}
    for number, (split, n) in enumerate(SIZES.items()):
        generator = torch.Generator().manual_seed(1000 * seed + number)
        splits[split] = ImageSet(to_bytes(make(n, size, generator)))
    return Data(name, **splits)


def to_bytes(images: Tensor) -> Tensor:
    return images.mul(255).round_().clamp_(0, 255).to(torch.uint8)


def white_noise(size: int = 32, seed: int = 0) -> Data:
    """Every pixel and channel on its own: nothing to see, nothing to continue."""
    return made("white noise", lambda n, s, g: 0.5 + 0.2 * torch.randn(n, 3, s, s, generator=g), size, seed)


def smooth_noise(size: int = 64, seed: int = 0, sigma: float = 1.5) -> Data:
    """Grey clouds a few pixels wide with a tint: edges that continue, channels that agree, and no content.

    Blurred white noise; two pixels further apart than 8 sigma have nothing in common. It is cut from a larger field:
    at the border of a blur the noise is stronger, and that alone would tell where in the image a patch lay.
    """
    margin = math.ceil(4 * sigma)

    def make(n: int, s: int, g: torch.Generator) -> Tensor:
        field = torch.randn(n, 3, s + 2 * margin, s + 2 * margin, generator=g)
        field = field[:, :1] + 0.3 * field  # one cloud for all channels, and a little of its own for each
        field = gaussian_blur(field, torch.full((n,), sigma), margin)[..., margin:-margin, margin:-margin]
        return 0.5 + 0.18 * field / field.std((1, 2, 3), keepdim=True)

    return made("smooth noise", make, size, seed)


def plaid(size: int = 64, seed: int = 0, period: float = 20.0) -> Data:
    """Two gratings of one period at random phases: where a patch lies is told by nothing but exact distances."""

    def make(n: int, s: int, g: torch.Generator) -> Tensor:
        phase = 2 * math.pi * torch.rand(2, n, 3, 1, generator=g)
        wave = torch.cos(2 * math.pi * torch.arange(s) / period + phase)  # (2, n, 3, s)
        return 0.5 + 0.25 * wave[0][..., None] * 0.9 + 0.25 * wave[1][..., None, :] * 0.9

    return made("plaid", make, size, seed)


def shaded_noise(size: int = 63, seed: int = 0) -> Data:
    """White noise in which every ninth of the image has a brightness and a contrast of its own, always the same.

    Inside a ninth nothing tells where one is, so that its mean and deviation are the whole leak.
    """
    if size % 3:
        raise UserError(f"shaded_noise of {size} px: use a multiple of 3, so that ninths are whole pixels")
    mean = torch.linspace(0.3, 0.7, 9)[torch.tensor([4, 0, 7, 2, 8, 3, 6, 1, 5])].view(3, 3)
    deviation = torch.linspace(0.05, 0.15, 9).view(3, 3)

    def make(n: int, s: int, g: torch.Generator) -> Tensor:
        m, d = (
            x.repeat_interleave(s // 3, 0).repeat_interleave(s // 3, 1) for x in (mean, deviation)
        )  # (s, s)
        return m + d * torch.randn(n, 3, s, s, generator=g)

    return made("shaded noise", make, size, seed)


def mapped(data: Data, name: str, change) -> Data:
    """The same data with `change(images float) -> images float` of every part; labels stay."""

    def part(images: ImageSet) -> ImageSet:
        done = [to_bytes(change(chunk.float().div(255))) for chunk in images.images.split(512)]
        return replace(images, images=torch.cat(done))

    return Data(name, part(data.train), part(data.val), part(data.test))


def shuffled_pixels(data: Data, seed: int = 0) -> Data:
    """Each image's pixels in another order: its colour histogram, and nothing else."""
    generator = torch.Generator().manual_seed(seed)

    def change(images: Tensor) -> Tensor:
        b, c, h, w = images.shape
        order = torch.rand(b, 1, h * w, generator=generator).argsort(2).expand(b, c, -1)
        moved = images.flatten(2).gather(2, order.to(images.device))  # (B, 3, H * W)
        return moved.view(b, c, h, w)  # (B, 3, H * W) -> (B, 3, H, W)

    return mapped(data, f"{data.name}, pixels shuffled", change)


def rows_only(data: Data) -> Data:
    """Each row of an image replaced by its mean colour: above and below remain, no toy does."""
    return mapped(
        data, f"{data.name}, rows only", lambda images: images.mean(3, keepdim=True).expand_as(images)
    )
