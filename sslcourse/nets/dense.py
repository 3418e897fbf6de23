"""Dense read-outs: from all layers of an encoder to one vector for every few pixels, or for chosen points."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sslcourse.nets.encoder import Encoder


class DenseHead(nn.Module):
    """An encoder's layers -> a map (B, outputs, H / stride, W / stride), coarse to fine. Images are square.

    A feature pyramid (Lin et al. 2017, 1612.03144): the deepest map is projected to `width` channels; going up, it is
    enlarged and the projection of the next finer map is added; the last is smoothed and read out by a 1x1 convolution.
    Maps finer than the output are averaged down to it first. With `skip=False` only the deepest map is used,
    so that it must carry everything.
    """

    def __init__(
        self,
        encoder: Encoder,
        outputs: int,
        size: int,
        *,
        stride: int = 4,
        width: int = 64,
        skip: bool = True,
    ):
        super().__init__()
        self.side, self.skip = size // stride, skip
        channels = widths(encoder, size)
        self.project = nn.ModuleList([nn.Conv2d(c, width, 1) for c in (channels if skip else channels[-1:])])
        self.smooth = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        )
        self.read = nn.Conv2d(width, outputs, 1)

    def forward(self, layers: dict[str, Tensor]) -> Tensor:
        maps = [as_map(layer) for layer in layers.values()]
        maps = [resize(m, min(m.shape[-1], self.side)) for m in (maps if self.skip else maps[-1:])]
        x = self.project[-1](maps[-1])
        for project, finer in zip(reversed(self.project[:-1]), reversed(maps[:-1]), strict=True):
            x = resize(x, finer.shape[-1]) + project(finer)
        return self.read(self.smooth(resize(x, self.side)))


def hypercolumns(layers: dict[str, Tensor], points: Tensor) -> Tensor:
    """All layers at some points, one after the other: (B, N, C), C the sum over layers.

    points (B, N, 2) are x and y in -1..1, from edge to edge of the image. Between places a layer is
    interpolated, as if it were enlarged to the image bilinearly (Hariharan et al. 2015, 1411.5752).
    """
    columns = []
    for layer in layers.values():
        x = as_map(layer)
        x = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        grid = points[:, :, None].to(x)  # (B, N, 2) -> (B, N, 1, 2)
        columns.append(F.grid_sample(x, grid, padding_mode="border", align_corners=False)[..., 0])
    return torch.cat(columns, 1).transpose(1, 2)  # (B, C, N) -> (B, N, C)


@torch.no_grad()
def tried(encoder: Encoder, question, size: int):
    """What `question` (encoder.layers, encoder.final_map) answers to one blank image of `size` pixels."""
    training = encoder.training
    encoder.eval()
    answer = question(torch.zeros(1, 3, size, size, device=next(encoder.parameters()).device))
    encoder.train(training)
    return answer


def widths(encoder: Encoder, size: int) -> list[int]:
    """Channels of every layer, first to last."""
    return [as_map(layer).shape[1] for layer in tried(encoder, encoder.layers, size).values()]


def map_shape(encoder: Encoder, size: int) -> tuple[int, int, int]:
    """(C, h, w) of the last map that the encoder makes of images of `size` pixels."""
    return tuple(tried(encoder, encoder.final_map, size).shape[1:])


def as_map(layer: Tensor) -> Tensor:
    """A transformer's patch tokens as the square map that they are: (B, h * w, C) -> (B, C, h, w)."""
    if layer.ndim == 4:
        return layer
    side = round(layer.shape[1] ** 0.5)
    return layer.transpose(1, 2).unflatten(2, (side, side))  # (B, T, C) -> (B, C, T) -> (B, C, h, w)


def resize(x: Tensor, side: int) -> Tensor:
    """(B, C, h, h) -> (B, C, side, side): averaged down, or enlarged bilinearly."""
    if x.shape[-1] == side:
        return x
    if x.shape[-1] > side:
        return F.adaptive_avg_pool2d(x, side)
    return F.interpolate(x, size=(side, side), mode="bilinear", align_corners=False)
