"""Pictures of pictures: grids, views, neighbours, attention, masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor
from torch.nn import functional as F

from sslcourse.plots.figure import (
    GLOW,
    GREEN,
    GREY,
    PALETTE,
    VERMILLION,
    WIDTH,
    canvas,
    styled,
    with_alt,
)

GAP = 0.08  # between cells, in cells
LARGEST = 1.3  # inches, side of a cell


def pixels(image: Tensor | np.ndarray) -> np.ndarray:
    """(3, H, W), (1, H, W) or (H, W), uint8 or float in [0, 1], on any device -> (H, W, 3) uint8."""
    image = torch.as_tensor(image).detach().cpu()
    if image.dtype == torch.bool or image.is_floating_point():
        image = image.float().clamp(0, 1).mul(255).round()
    image = image.to(torch.uint8)
    if image.ndim == 2:
        image = image[None]  # (H, W) -> (1, H, W)
    if image.ndim != 3 or image.shape[0] not in (1, 3):
        raise ValueError(f"an image is (3, H, W), (1, H, W) or (H, W), not {tuple(image.shape)}")
    return image.expand(3, -1, -1).permute(1, 2, 0).numpy()  # (1 or 3, H, W) -> (H, W, 3)


def _as_list(images) -> list:
    single = (
        isinstance(images, Tensor | np.ndarray) and images.ndim <= 3 and (images.ndim < 3 or len(images) == 3)
    )
    return [images] if single else list(images)


def _board(columns: float, rows: int, caption: str, left: float = 0.0, title: float = 0.0):
    """Axes in units of one cell, x in [-left, columns], y downwards in [0, rows * (1 + title)]."""
    side = min(LARGEST, (WIDTH - 0.2) / (columns * (1 + GAP) + left))
    figure, axes = canvas(side * rows * (1 + GAP + title) + 0.1, caption)
    axes.axis("off")
    axes.set_xlim(-left, columns * (1 + GAP) - GAP)
    axes.set_ylim(rows * (1 + GAP + title) - GAP, 0)
    axes.set_aspect("equal", anchor="W" if left else "C")
    axes.set_autoscale_on(False)
    return figure, axes, side


def _put(axes, image, x: float, y: float) -> None:
    axes.imshow(pixels(image), extent=(x, x + 1, y + 1, y), aspect="auto", interpolation="nearest")
    axes.set_aspect("equal")


@styled
def grid(
    images, titles: Sequence[str] | None = None, columns: int = 8, caption: str = "", alt: str = ""
) -> Figure:
    """Images (N, 3, H, W) or a list of them, row by row, each with a title above it if there are titles."""
    images = _as_list(images)
    columns = max(1, min(columns, len(images)))
    rows = -(-len(images) // columns)
    lines = max((str(t).count("\n") + 1 for t in titles or [""]), default=1)
    side = min(LARGEST, (WIDTH - 0.2) / (columns * (1 + GAP)))
    title = 0.0 if titles is None else (0.16 * lines + 0.06) / side  # cells
    figure, axes, side = _board(columns, rows, caption, title=title)
    for i, image in enumerate(images):
        x, y = (i % columns) * (1 + GAP), (i // columns) * (1 + GAP + title) + title
        _put(axes, image, x, y)
        if titles is not None and i < len(titles):
            size = 9 if side > 0.9 else 8
            axes.text(x + 0.5, y - 0.04, str(titles[i]), ha="center", va="bottom", fontsize=size)
    named = f": {', '.join(str(t) for t in titles)}" if titles is not None and len(titles) <= 16 else ""
    return with_alt(figure, alt or f"{len(images)} images, {columns} to a row{named}. {caption}", caption)


@styled
def views(rows: Mapping[str, Tensor], caption: str = "", alt: str = "") -> Figure:
    """Named rows of images (N, 3, H, W), the same source in each column: {"image": x, "view 1": a, ...}."""
    rows = {name: _as_list(images) for name, images in rows.items()}
    columns = max(len(images) for images in rows.values())
    longest = max(len(line) for name in rows for line in name.split("\n"))
    side = min(LARGEST, (WIDTH - 0.2 - 0.085 * longest) / (columns * (1 + GAP)))
    figure, axes, _ = _board(columns, len(rows), caption, left=(0.085 * longest + 0.1) / side)
    for r, (name, images) in enumerate(rows.items()):
        axes.text(-0.1, r * (1 + GAP) + 0.5, name, ha="right", va="center", fontsize=9.5)
        for c, image in enumerate(images):
            _put(axes, image, c * (1 + GAP), r * (1 + GAP))
    return with_alt(figure, alt or f"Rows of {columns} images: {', '.join(rows)}. {caption}", caption)


@styled
def neighbours(queries, results, right=None, caption: str = "", alt: str = "") -> Figure:
    """Each query (Q, 3, H, W) and its nearest images (Q, K, 3, H, W), nearest first.

    right: (Q, K) bool, same class as the query: solid green frames, else dashed red ones.
    """
    columns, start = len(results[0]), 1.35
    figure, axes, _ = _board(columns + start / (1 + GAP), len(queries), caption)
    for q, query in enumerate(queries):
        y = q * (1 + GAP)
        _put(axes, query, 0, y)
        axes.text(1.12, y + 0.5, "→", ha="center", va="center", fontsize=11, color=GREY)
        for k, image in enumerate(results[q]):
            x = start + k * (1 + GAP)
            _put(axes, image, x, y)
            if right is not None:
                good = bool(right[q][k])
                frame = {
                    "edgecolor": GREEN if good else VERMILLION,
                    "linestyle": "-" if good else (0, (2, 1)),
                }
                axes.add_patch(
                    Rectangle((x + 0.03, y + 0.03), 0.94, 0.94, fill=False, linewidth=2.2, **frame)
                )
    share = ""
    if right is not None:
        hits = [bool(value) for row in right for value in row]
        share = f" {np.mean(hits):.0%} are of the query's class."
    said = f"{len(queries)} query images, each with its {columns} nearest neighbours.{share} {caption}"
    return with_alt(figure, alt or said, caption)


def overlay(image: Tensor, heat: Tensor, strength: float = 0.65) -> Tensor:
    """Attention (h, w) over a grey image (3, H, W): (3, H, W) in [0, 1], dark where it is low, glowing where it is high.

    Colours run from the 2nd to the 98th percentile of the map, so that one cell cannot hide all others.
    """
    size = tuple(image.shape[-2:])
    image = torch.as_tensor(pixels(image)).permute(2, 0, 1).float() / 255  # (H, W, 3) -> (3, H, W)
    heat = heat.detach().float().cpu()
    heat = F.interpolate(heat[None, None], size, mode="bilinear")[0, 0]  # (h, w) -> (H, W)
    low, high = heat.quantile(torch.tensor([0.02, 0.98]))
    heat = ((heat - low) / (high - low).clamp_min(1e-8)).clamp(0, 1)
    colour = torch.as_tensor(mpl.colormaps[GLOW](heat.numpy())).float()  # (H, W, 4)
    colour = colour[..., :3].permute(2, 0, 1)  # (H, W, 3) -> (3, H, W)
    return (1 - strength) * image.mean(0, keepdim=True) + strength * colour


def attention(images, maps: Tensor | Mapping[str, Tensor], caption: str = "", alt: str = "") -> Figure:
    """Images (N, 3, H, W), and below them named sets of maps (N, h, w) laid over them; bright is high."""
    maps = maps if isinstance(maps, Mapping) else {"attention": maps}
    rows = {"image": list(images)}
    for name, heat in maps.items():
        rows[name] = [overlay(image, h) for image, h in zip(images, heat, strict=True)]
    figure = views(rows, caption)
    return with_alt(
        figure, alt or f"{len(rows['image'])} images with maps of {', '.join(maps)}. {caption}", caption
    )


def segments(images, masks: Tensor | Mapping[str, Tensor], caption: str = "", alt: str = "") -> Figure:
    """Images (N, 3, H, W), and below them integer masks (N, H, W) in colours; 0 is grey."""
    masks = masks if isinstance(masks, Mapping) else {"masks": masks}
    colours = torch.tensor([mpl.colors.to_rgb(c) for c in PALETTE if c != "#000000"])  # (7, 3)
    rows = {"image": list(images)}
    for name, sets in masks.items():
        rows[name] = []
        for image, mask in zip(images, sets, strict=True):
            grey = torch.as_tensor(pixels(image)).float().mean(-1, keepdim=True) / 255  # (H, W, 1)
            mask = mask.detach().cpu().long()
            paint = torch.where(mask[..., None] > 0, colours[(mask - 1) % len(colours)], grey)  # (H, W, 3)
            rows[name].append((0.35 * grey + 0.65 * paint).permute(2, 0, 1))  # (H, W, 3) -> (3, H, W)
    figure = views(rows, caption)
    return with_alt(
        figure, alt or f"{len(rows['image'])} images with {', '.join(masks)} coloured in. {caption}", caption
    )
