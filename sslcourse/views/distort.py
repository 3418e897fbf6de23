"""Distortions that SimCLR's Figure 5 tries beside crops and colours (Chen et al. 2020, 2002.05709)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from sslcourse.views.colour import luminance
from sslcourse.views.rotate import rotate90
from sslcourse.views.view import View, coins, uniform


class Cutout(View):
    """Paint one square of `share` of the image's side grey (`fill`), with probability p.

    Its centre is anywhere in the image, so that it may hang over the edge (DeVries & Taylor 2017, 1708.04552).
    """

    def __init__(self, share: float = 0.5, p: float = 1.0, fill: float = 0.5):
        self.share, self.p, self.fill = share, p, fill

    def draw(self, images: Tensor, generator: torch.Generator | None) -> tuple:
        centre = uniform((len(images), 2), 0.0, 1.0, images, generator)
        return centre, coins(self.p, images, generator)

    def apply(self, images: Tensor, centre: Tensor, chosen: Tensor) -> Tensor:
        return torch.where(chosen & square(images, centre, self.share), self.fill, images)


def square(images: Tensor, centre: Tensor, share: float | Tensor) -> Tensor:
    """Where the squares about centre (B, 2) in [0, 1], of `share` (also (B,)) of the side, lie: (B, 1, H, W) bool."""
    if isinstance(share, Tensor):
        share = share[:, None]  # (B,) -> (B, 1)
    inside = [
        ((torch.arange(n, device=images.device) + 0.5) / n - centre[:, i, None]).abs() <= share / 2
        for i, n in enumerate(images.shape[2:])
    ]
    return inside[0][:, None, :, None] & inside[1][:, None, None, :]  # (B, H), (B, W) -> (B, 1, H, W)


class Sobel(View):
    """The strength of each image's edges, grey in all three channels, with probability p.

    Length of the Sobel gradient of the luminance, edges replicated, divided by its largest value (4 sqrt 2).
    """

    def __init__(self, p: float = 1.0):
        self.p = p

    def draw(self, images: Tensor, generator: torch.Generator | None) -> tuple:
        return (coins(self.p, images, generator),)

    def apply(self, images: Tensor, chosen: Tensor) -> Tensor:
        across, down = sobel(images).split(1, 1)
        strength = torch.hypot(across, down).div_(32**0.5)
        return torch.where(chosen, strength, images)


def sobel(images: Tensor) -> Tensor:
    """Gradients of the luminance by Sobel's filters, edges replicated: (B, 3, H, W) -> (B, 2, H, W): across, down."""
    smooth, slope = images.new_tensor([1.0, 2.0, 1.0]), images.new_tensor([-1.0, 0.0, 1.0])
    kernels = torch.stack([torch.outer(smooth, slope), torch.outer(slope, smooth)])[:, None]  # (2, 1, 3, 3)
    return F.conv2d(F.pad(luminance(images), (1, 1, 1, 1), mode="replicate"), kernels)


class GaussianNoise(View):
    """Independent normal noise of standard deviation up to `sigma`, one for each image, with probability p."""

    def __init__(self, sigma: float = 0.2, p: float = 1.0):
        self.sigma, self.p = sigma, p

    def draw(self, images: Tensor, generator: torch.Generator | None) -> tuple:
        chosen = coins(self.p, images, generator)
        sigma = uniform(chosen.shape, 0.0, self.sigma, images, generator) * chosen
        device = images.device if generator is None else generator.device
        noise = torch.randn(images.shape, generator=generator, device=device)
        return sigma, noise.to(images.device, images.dtype)

    def apply(self, images: Tensor, sigma: Tensor, noise: Tensor) -> Tensor:
        return torch.addcmul(images, sigma, noise).clamp_(0, 1)


class RandomQuarterTurn(View):
    """Turn each image by 0, 90, 180 or 270 degrees."""

    def draw(self, images: Tensor, generator: torch.Generator | None) -> tuple:
        return (uniform((len(images),), 0, 4, images, generator).long(),)

    def apply(self, images: Tensor, y: Tensor) -> Tensor:
        return rotate90(images, y)
