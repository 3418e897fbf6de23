"""Cutting images into segments without labels: a grid, superpixels, or what the renderer knows."""

from __future__ import annotations

import functools

import torch
from torch import Tensor
from torch.nn import functional as F

from sslcourse.data.images import ImageSet
from sslcourse.errors import UserError
from sslcourse.progress import progress
from sslcourse.views import rgb_to_lab

HOW = ("slic", "felzenszwalb", "grid", "objects")


def segmentation(
    data: ImageSet, how: str, cells: int = 4, scale: float = 1000.0, min_size: float = 1000.0
) -> Tensor:
    """Which segment each pixel belongs to: (N, H, W) uint8, on the data's device.

    "grid": cells x cells rectangles. "slic": as many superpixels that start from there. "felzenszwalb":
    graph-based superpixels by scikit-image; `scale` and `min_size` are those at 224 px and shrink with the
    area. "objects": the data's own instances.
    """
    n, size = len(data), data.size
    if how == "objects":
        if "instance" not in data.masks:
            raise UserError(
                "masks='objects' needs data with masks['instance']: use toybox, or another kind of masks"
            )
        return data.masks["instance"].to(torch.uint8)
    if how == "grid":
        return grid(size, cells, data.device).to(torch.uint8).expand(n, -1, -1)
    if how == "felzenszwalb":
        share = (size / 224) ** 2
        cut = felzenszwalb_of(scale * share, max(1, round(min_size * share)))
    else:
        cut = functools.partial(slic, cells=cells)
    done, bar = [], progress(n, how, "img")
    for rows in torch.arange(n).split(64):
        done.append(cut(data.floats(rows.to(data.device))).to(data.device, torch.uint8))
        bar.update(len(rows))
    bar.close()
    return torch.cat(done)


def grid(size: int, cells: int, device: torch.device | None = None) -> Tensor:
    """(size, size) int64: the number of the rectangle that each pixel lies in, row-major, `cells` to a
    side."""
    place = torch.arange(size, device=device) * cells // size
    return place[:, None] * cells + place


def majority(maps: Tensor, side: int) -> Tensor:
    """The segment below 256 that most pixels of each place of a side x side map belong to: (B, H, W) ->
    (B, side^2)."""
    place = grid(maps.shape[-1], side, maps.device)  # (H, W)
    cast = (maps * side**2 + place).flatten(1)  # (B, H, W) -> (B, H * W): which segment in which place
    votes = torch.zeros(len(maps), 256 * side**2, device=maps.device)
    votes.scatter_add_(1, cast, torch.ones_like(cast, dtype=votes.dtype))
    return votes.view(len(maps), 256, -1).argmax(1)  # (B, 256 * T) -> (B, 256, T) -> (B, T)


def slic(images: Tensor, cells: int = 4, compactness: float = 10.0, rounds: int = 5) -> Tensor:
    """Superpixels of images (B, 3, H, W): (B, H, W) int64 below cells^2.

    K-means over colour (Lab) and place, started from the means of a grid (Achanta et al. 2012, SLIC): a
    distance of `compactness` in colour counts as much as the side of a cell. Ours is short: every pixel
    looks at every centre, and segments may come in pieces.
    """
    b, _, h, w = images.shape
    y, x = (torch.arange(n, device=images.device) * cells / n for n in (h, w))
    place = torch.stack([y[:, None].expand(h, w), x.expand(h, w)])  # (2, H, W), in cells
    features = torch.cat([rgb_to_lab(images) / compactness, place.expand(b, -1, -1, -1)], 1)
    features = features.flatten(2).transpose(1, 2)  # (B, 5, H, W) -> (B, H * W, 5)
    label = grid(h, cells, images.device).flatten().expand(b, -1)  # (H, W) -> (B, H * W)
    centres = features.new_zeros(b, cells**2, 5)
    for _ in range(rounds):
        members = F.one_hot(label, cells**2).to(features.dtype)  # (B, H * W, K)
        count = members.sum(1)[:, :, None]  # (B, K, 1)
        centres = torch.where(count > 0, members.mT @ features / count.clamp(min=1), centres)
        label = torch.cdist(features, centres).argmin(2)
    return label.view(b, h, w)  # (B, H * W) -> (B, H, W)


def felzenszwalb_of(scale: float, min_size: int):
    """A function that segments images (B, 3, H, W) by scikit-image: (B, H, W) uint8. UserError where it
    is not installed."""
    try:
        from skimage.segmentation import felzenszwalb
    except ImportError:
        raise UserError(
            "masks='felzenszwalb' needs scikit-image: pip install scikit-image, or use masks='slic'"
        ) from None

    def cut(images: Tensor) -> Tensor:
        pixels = images.permute(0, 2, 3, 1).cpu().numpy()  # (B, 3, H, W) -> (B, H, W, 3)
        maps = [torch.from_numpy(felzenszwalb(p, scale=scale, min_size=min_size)) for p in pixels]
        return torch.stack(maps).clamp(max=255).to(torch.uint8)

    return cut
