"""Quarter turns by flips and transposes alone: nothing is interpolated, so nothing but the content tells."""

import torch
from torch import Tensor

from sslcourse.errors import UserError


def rotate90(images: Tensor, y: Tensor) -> Tensor:
    """Turn image i counter-clockwise by y[i] quarter turns: images (B, C, H, H), y (B,) -> (B, C, H, H).

    1: transpose, then flip vertically; 2: flip both ways; 3: flip vertically, then transpose (RotNet, Gidaris
    et al. 2018, 1803.07728). Flipping vertically before a transpose is flipping horizontally after it.
    """
    _check_square(images)
    y = (y % 4)[:, None, None, None]
    images = torch.where(y % 2 == 1, images.mT, images)
    images = torch.where((y == 1) | (y == 2), images.flip(2), images)
    return torch.where(y >= 2, images.flip(3), images)


def four_rotations(images: Tensor) -> tuple[Tensor, Tensor]:
    """All four turns of every image: (B, C, H, H) -> (4B, C, H, H), targets (4B,); all at 0 come first."""
    _check_square(images)
    turned = torch.cat((images, images.mT.flip(2), images.flip(2, 3), images.flip(2).mT))
    return turned, torch.arange(4, device=images.device).repeat_interleave(len(images))


def _check_square(images: Tensor) -> None:
    if images.ndim != 4 or images.shape[2] != images.shape[3]:
        shape = tuple(images.shape)
        raise UserError(f"rotations need square images (B, C, H, H), not {shape}: crop them first")
