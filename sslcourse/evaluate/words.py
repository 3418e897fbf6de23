"""What a visual word fires on: the places of images whose features are nearest to it, and where these lie."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from sslcourse.data.images import ImageSet
from sslcourse.views import resized_crop


class Firing(NamedTuple):
    """For each of K words the n nearest places, the nearest first.

    rows (K, n): the image, as a row of the set; places (K, n): where in its map, row-major; distances (K, n);
    used (K,): the share of all places that have this word as their nearest.
    """

    rows: Tensor
    places: Tensor
    distances: Tensor
    used: Tensor

    def patches(self, images: ImageSet, words: Sequence[int], side: int, around: float = 0.5) -> Tensor:
        """The nearest places of some words, cut from the images and enlarged: (W, n, 3, H, W). For maps side x side."""
        rows, places = self.rows[list(words)].cpu(), self.places[list(words)].cpu()  # (W, n)
        boxes = place_boxes(places.flatten(), side, images.size, around)
        cut = resized_crop(images.floats(rows.flatten()).cpu(), boxes, images.size).clamp(0, 1)
        return cut.unflatten(0, rows.shape)  # (W * n, 3, H, W) -> (W, n, 3, H, W)


@torch.no_grad()
def firing(
    local: Callable[[Tensor], Tensor],
    images: ImageSet,
    words: Tensor,
    count: int = 6,
    *,
    batch_size: int = 100,
) -> Firing:
    """Where each of `words` (K, C) fires most: its `count` nearest places in `images`, one of an image at most.

    local: images (B, 3, H, W) in [0, 1] -> features at T places, (B, T, C), on the device of the words.
    """
    device, K, count = words.device, len(words), min(count, len(images))
    best = torch.full((K, count), torch.inf, device=device)
    rows, places = (torch.zeros(K, count, dtype=torch.long, device=device) for _ in range(2))
    hits = torch.zeros(K, device=device)
    for x, index, _ in images.batches(batch_size, device=device):
        d = torch.cdist(local(x).float(), words.float())  # (B, T, K)
        hits += torch.bincount(d.argmin(2).flatten(), minlength=K)
        found, place = d.min(1)  # (B, K): the nearest place of each image
        best, chosen = torch.cat([best, found.T], 1).topk(count, largest=False)  # of (K, count + B)
        rows = torch.cat([rows, index.to(device).expand(K, -1)], 1).gather(1, chosen)
        places = torch.cat([places, place.T], 1).gather(1, chosen)
    return Firing(rows, places, best, hits / hits.sum())


def place_boxes(places: Tensor, side: int, size: int, around: float = 0.5) -> Tensor:
    """The pixels of places of a map, side x side, over images of size x size: (...,) -> (..., 4) top, left, height, width.

    With `around` of a place's width on all sides, shifted where it would leave the image. A feature sees more than
    this: its receptive field; here is what it stands for.
    """
    cell = size / side
    length = min(cell * (1 + 2 * around), size)
    corner = torch.stack([places // side, places % side], -1) * cell - around * cell
    return torch.cat([corner.clamp(0, size - length), corner.new_full(corner.shape, length)], -1)
