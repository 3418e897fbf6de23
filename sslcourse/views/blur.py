"""Gaussian blur, every image with its own width."""

import torch
import torch.nn.functional as F
from torch import Tensor

from sslcourse.views.crops import resample
from sslcourse.views.view import View, coins, uniform


class GaussianBlur(View):
    """Blur by a Gaussian of random sigma (pixels), with probability p.

    As in SimCLR's code the kernel reaches half of `fraction` of the image's height to either side, and at
    least one pixel: 3 pixels wide at 32 px, 23 at 224 px.
    """

    def __init__(self, p: float = 0.5, sigma=(0.1, 2.0), fraction: float = 0.1):
        self.p, self.sigma, self.fraction = p, sigma, fraction

    def draw(self, images: Tensor, generator: torch.Generator | None) -> tuple:
        chosen = coins(self.p, images, generator)[:, 0, 0, 0]
        return (torch.where(chosen, uniform((len(images),), *self.sigma, images, generator), 0),)

    def apply(self, images: Tensor, sigma: Tensor) -> Tensor:
        return gaussian_blur(images, sigma, max(1, int(self.fraction * images.shape[2]) // 2)).clamp_(0, 1)


def gaussian_blur(images: Tensor, sigma: Tensor, radius: int) -> Tensor:
    """images (B, C, H, W), sigma (B,) in pixels (0: unchanged) -> (B, C, H, W); edges are reflected."""
    offset = torch.arange(-radius, radius + 1, device=images.device, dtype=images.dtype)
    kernel = torch.exp(-0.5 * (offset / sigma.clamp(min=1e-3)[:, None]) ** 2)  # (B, K)
    kernel = kernel / kernel.sum(1, keepdim=True)
    rows, columns = (_band(kernel, side) for side in images.shape[2:])
    return resample(images, rows, columns)


def _band(kernel: Tensor, side: int) -> Tensor:
    """The matrix (B, side, side) that convolves `side` reflected pixels with kernel (B, K)."""
    k = kernel.shape[1]
    index = torch.arange(side, device=kernel.device, dtype=kernel.dtype)
    padded = F.pad(index[None], (k // 2, k // 2), mode="reflect")[0].long()
    taps = F.one_hot(padded.unfold(0, side, 1), side).to(kernel.dtype)  # (K, side, side): tap, output, source
    return torch.einsum("bk,kos->bos", kernel, taps)
