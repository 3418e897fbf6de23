"""Crops and flips. Resizing an upright box is two matrix products, so a whole batch is resized at once."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from sslcourse.views.view import View, coins, uniform

TRIES = 10  # boxes drawn per image before the fallback, as in torchvision


class RandomResizedCrop(View):
    """A box of random area and shape, resized to `size` x `size`, then flipped with probability `flip`.

    The law is torchvision's (Szegedy et al. 2015, 1409.4842): the box's share of the area is uniform in
    `scale`, its width / height log-uniform in `ratio`; ten tries, then the largest central box of an allowed
    shape. `size=None` keeps the images' size. `antialias` widens the filter where a box shrinks. The flip
    comes for free: it reverses the rows of one of the two matrices.
    """

    def __init__(
        self,
        size: int | None = None,
        scale=(0.08, 1.0),
        ratio=(3 / 4, 4 / 3),
        flip: float = 0.0,
        antialias: bool = True,
    ):
        self.size, self.scale, self.ratio, self.flip, self.antialias = size, scale, ratio, flip, antialias

    def draw(self, images: Tensor, generator: torch.Generator | None) -> tuple:
        return self.boxes(images, generator), coins(self.flip, images, generator)[:, 0, 0, 0]

    def apply(self, images: Tensor, boxes: Tensor, flips: Tensor) -> Tensor:
        size = self.size or images.shape[2:]
        return resized_crop(images, boxes, size, flips, antialias=self.antialias).clamp_(0, 1)

    def boxes(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """(B, 4) float whole pixels: top, left, height, width of one random box in each image."""
        (b, _, h, w), (low, high) = images.shape, self.ratio
        area = h * w * uniform((b, TRIES), *self.scale, images, generator)
        ratio = uniform((b, TRIES), math.log(low), math.log(high), images, generator).exp_()
        corner = uniform((b, 2), 0.0, 1.0, images, generator)
        heights, widths = (area / ratio).sqrt_().round_(), (area * ratio).sqrt_().round_()
        fits = (heights >= 1) & (heights <= h) & (widths >= 1) & (widths <= w)
        first = fits.int().argmax(1, keepdim=True)  # argmax is the first of equals
        # (B, TRIES) -> (B,)
        fits, height, width = (a.gather(1, first)[:, 0] for a in (fits, heights, widths))
        height = torch.where(fits, height, min(h, round(w / low)))
        width = torch.where(fits, width, min(w, round(h * high)))
        top = torch.where(fits, (corner[:, 0] * (h - height + 1)).floor_(), ((h - height) / 2).floor_())
        left = torch.where(fits, (corner[:, 1] * (w - width + 1)).floor_(), ((w - width) / 2).floor_())
        return torch.stack((top, left, height, width), 1)


def resized_crop(
    images: Tensor,
    boxes: Tensor,
    size,
    flips: Tensor | None = None,
    *,
    antialias: bool = True,
    nearest: bool = False,
) -> Tensor:
    """Cut one box from each image and resize it: images (B, C, H, W) float -> (B, C, *size).

    boxes (B, 4): top, left, height, width in pixels; flips (B,) bool: mirror left-right. Bilinear, equal to
    torchvision's `resized_crop(antialias=...)`; `nearest=True` is for masks and labels.
    """
    height, width = (size, size) if isinstance(size, int) else size
    top, left, h, w = boxes.unbind(1)
    rows = _resampling(top, h, images.shape[2], height, None, antialias, nearest)
    columns = _resampling(left, w, images.shape[3], width, flips, antialias, nearest)
    return resample(images, rows, columns)


def resample(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """rows (B, H', H) @ images (B, C, H, W) @ columns^T (B, W, W') -> (B, C, H', W')."""
    b, c, h, w = images.shape
    images = torch.bmm(images.reshape(b, c * h, w), columns.mT)  # (B, C, H, W) -> (B, C * H, W')
    return torch.matmul(rows[:, None], images.view(b, c, h, -1))  # (B, 1, H', H) @ (B, C, H, W')


def _resampling(
    start: Tensor,
    length: Tensor,
    source: int,
    size: int,
    flips: Tensor | None,
    antialias: bool,
    nearest: bool,
) -> Tensor:
    """Weights (B, size, source): output pixel i is a weighted mean of the pixels [start, start + length)."""
    index = torch.arange(size, device=start.device, dtype=start.dtype)  # (size,)
    if flips is not None:
        index = torch.where(flips[:, None], size - 1 - index, index)  # (B, size)
    start, length = start[:, None], length[:, None]  # (B, 1)
    end, step = start + length - 1, length / size
    centre = start - 0.5 + (index + 0.5) * step  # (B, size): of output pixel i, in source pixels
    if nearest:
        return F.one_hot((centre + 0.5).long(), source).to(start.dtype)
    pixel = torch.arange(source, device=start.device, dtype=start.dtype)
    if not antialias or size >= source:  # nothing shrinks: between two neighbours inside the box
        return (1 - (pixel - centre.clamp(start, end)[:, :, None]).abs_()).clamp_(min=0)
    reach = step.clamp(min=1)[:, :, None]
    weights = (1 - (pixel - centre[:, :, None]).abs_().div_(reach)).clamp_(min=0)  # (B, size, source)
    weights.mul_(((pixel >= start) & (pixel <= end))[:, None])
    return weights.div_(weights.sum(2, keepdim=True))


class HorizontalFlip(View):
    """Mirror left-right with probability p."""

    def __init__(self, p: float = 0.5):
        self.p = p

    def draw(self, images: Tensor, generator: torch.Generator | None) -> tuple:
        return (coins(self.p, images, generator),)

    def apply(self, images: Tensor, chosen: Tensor) -> Tensor:
        return torch.where(chosen, images.flip(3), images)


class ShiftCrop(View):
    """Pad by `padding` pixels and cut a box of the old size at a random place: the CIFAR crop.

    `mode` is that of torch.nn.functional.pad: constant (zeros), reflect or replicate.
    """

    def __init__(self, padding: int = 4, mode: str = "constant"):
        self.padding, self.mode = padding, mode

    def draw(self, images: Tensor, generator: torch.Generator | None) -> tuple:
        return (uniform((len(images), 2), 0, 2 * self.padding + 1, images, generator).long(),)

    def apply(self, images: Tensor, shift: Tensor) -> Tensor:
        b, c, h, w = images.shape
        padded = F.pad(images, (self.padding,) * 4, mode=self.mode)
        rows = shift[:, 0, None] + torch.arange(h, device=images.device)  # (B, H)
        columns = shift[:, 1, None] + torch.arange(w, device=images.device)  # (B, W)
        # (B, C, H + 2p, W + 2p) -> (B, C, H, W + 2p) -> (B, C, H, W)
        padded = padded.gather(2, rows[:, None, :, None].expand(b, c, h, padded.shape[3]))
        return padded.gather(3, columns[:, None, None].expand(b, c, h, w))


class MultiCrop:
    """Several views of each image: a few large, many small (SwAV, Caron et al. 2020, 2006.09882).

    `global_view` is one view or a sequence with one view per global crop, as in BYOL, where the two differ.
    Calling it gives a list: `n_global` tensors (B, 3, S, S), then `n_local` tensors (B, 3, s, s).
    """

    def __init__(self, global_view, local_view=None, n_global: int = 2, n_local: int = 0):
        globals_ = list(global_view) if isinstance(global_view, (list, tuple)) else [global_view] * n_global
        self.views = globals_ + [local_view] * n_local
        self.n_global, self.n_local = len(globals_), n_local

    def __call__(self, images: Tensor, generator: torch.Generator | None = None) -> list[Tensor]:
        return [view(images, generator) for view in self.views]
