"""What SimCLR's crops look like: the two branches, pairs of boxes in an image, and histograms of intensities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from sslcourse.plots.chapters.drawings import INK, _arrow, _box, _sheet
from sslcourse.plots.figure import BLUE, GREY, ORANGE, VERMILLION, canvas, styled, with_alt
from sslcourse.plots.images import pixels
from sslcourse.views import resized_crop


def _picture(axes: Axes, image: Tensor, x: float, y: float, side: float, frame: str = INK) -> None:
    axes.imshow(pixels(image), extent=(x, x + side, y + side, y), interpolation="nearest", zorder=2)
    axes.add_patch(Rectangle((x, y), side, side, fill=False, edgecolor=frame, linewidth=1.2, zorder=3))
    axes.set_aspect("equal")


@styled
def two_branches(image: Tensor, first: Tensor, second: Tensor, caption: str = "", alt: str = "") -> Figure:
    """SimCLR's data flow with an image (3, H, W) and two views of it. The drawing is ours."""
    figure, axes = _sheet(2.85, caption)
    axes.set_autoscale_on(False)
    _picture(axes, image, 0.1, 0.85, 0.95)
    axes.text(0.57, 1.93, "image $x$", ha="center", va="center", fontsize=9.5, color=INK)
    for view, y, i, t in ((first, 0.1, "i", "t"), (second, 1.6, "j", "t'")):
        middle = y + 0.47
        _arrow(axes, (1.12, 1.32), (1.82, middle))
        axes.text(
            1.4, (1.32 + middle) / 2 + (0.17 if i == "j" else -0.17), f"${t}$", fontsize=10.5, ha="center"
        )
        _picture(axes, view, 1.9, y, 0.95)
        for a, b in ((2.9, 3.2), (4.35, 4.65), (4.95, 5.25), (6.35, 6.65)):
            _arrow(axes, (a, middle), (b, middle))
        _box(axes, 3.25, middle - 0.3, 1.1, 0.6, "encoder $f$", BLUE)
        _box(axes, 5.3, middle - 0.3, 1.05, 0.6, "head $g$", GREY)
        for x, text in ((4.8, f"$h_{i}$"), (6.85, f"$z_{i}$")):
            axes.text(x, middle, text, ha="center", va="center", fontsize=12, color=INK)
    both = {"arrowstyle": "<->", "mutation_scale": 12, "linewidth": 1.8}
    _arrow(axes, (6.85, 0.78), (6.85, 1.86), ORANGE, **both)
    axes.text(6.98, 1.12, "$\\mathrm{sim}(z_i, z_j)/\\tau$", va="center", fontsize=10, color=INK)
    axes.text(6.98, 1.45, "same image: up", va="center", fontsize=8.5, color=INK)
    _arrow(axes, (6.85, 2.3), (6.85, 2.56), VERMILLION, **both)
    axes.text(
        6.75,
        2.7,
        "$z_k$ of all others: $\\mathrm{sim}(z_i, z_k)/\\tau$ down",
        fontsize=8.5,
        ha="center",
        color=INK,
    )
    for x, text in ((3.8, "the same weights"), (5.82, "the same weights")):
        axes.plot([x, x], [0.9, 1.74], color=GREY, linewidth=1, linestyle=(0, (2, 2)))
        axes.text(x, 1.32, text, ha="center", va="center", fontsize=8.5, color=GREY, backgroundcolor="white")
    said = (
        "Diagram: an image gives two random views; each passes through the same encoder f to h and the same head g "
        "to z. The similarity of the two z of one image, divided by tau, shall go up, that to all other z down."
    )
    return with_alt(figure, alt or said, caption)


Box = tuple[int, int, int, int]  # top, left, height, width in pixels


@styled
def crop_pairs(
    image: Tensor, pairs: Mapping[str, tuple[Box, Box]], caption: str = "", alt: str = ""
) -> Figure:
    """For each named pair of boxes: the image (3, H, W) in [0, 1] with both framed, and both resized to squares.

    A box is top, left, height, width in pixels. Letters run on over the pairs: A, B, then C, D.
    """
    side, gap = 1.16, 0.1
    width = 3 * side + 2 * gap  # of one pair, in inches
    figure, axes = _sheet(side + 0.62, caption)
    axes.set_autoscale_on(False)
    scale, letters = side / image.shape[-1], iter("ABCDEFGH")
    for k, (name, boxes) in enumerate(pairs.items()):
        x0, y0 = 0.12 + k * (width + 0.35), 0.32
        axes.text(x0 + width / 2, 0.13, name, ha="center", va="center", fontsize=10, color=INK)
        _picture(axes, image, x0, y0, side)
        for j, (box, colour) in enumerate(zip(boxes, (BLUE, VERMILLION), strict=True)):
            letter, (top, left, h, w) = next(letters), box
            crop = resized_crop(image[None].float(), torch.tensor([box]).float(), image.shape[-1])[0]
            x = x0 + (j + 1) * (side + gap)
            _picture(axes, crop.clamp(0, 1), x, y0, side, colour)
            axes.text(
                x + side / 2, y0 + side + 0.12, letter, ha="center", va="center", fontsize=10, color=colour
            )
            corner = (x0 + left * scale, y0 + top * scale)
            frame = {"fill": False, "edgecolor": colour, "linewidth": 2, "zorder": 4}
            axes.add_patch(Rectangle(corner, w * scale, h * scale, **frame))
            tag = {"facecolor": colour, "edgecolor": "none", "boxstyle": "square,pad=0.12"}
            axes.text(
                corner[0] + w * scale - 0.075, corner[1] + 0.075, letter, bbox=tag, color="white", fontsize=7.5,
                ha="center", va="center", zorder=5,
            )  # fmt: skip
    said = f"One image with pairs of framed crops, and the crops enlarged: {', '.join(pairs)}."
    return with_alt(figure, alt or said, caption)


@styled
def histograms(
    rows: Mapping[str, Tensor],
    titles: Sequence[str] = (),
    caption: str = "",
    alt: str = "",
    *,
    bins: int = 16,
) -> Figure:
    """Named rows of images (N, 3, H, W) in [0, 1]; below each the histogram of its intensities over all channels.

    All axes have the same range. titles: one for each of the N columns.
    """
    count = max(len(images) for images in rows.values())
    figure, axes = canvas(
        1.45 * len(rows) + (0.2 if titles else 0), caption, 2 * len(rows), count, squeeze=False,
        height_ratios=[1.2, 1] * len(rows),
    )  # fmt: skip
    shares = {
        name: torch.stack([torch.histc(x.float().cpu(), bins, 0, 1) / x.numel() for x in images])
        for name, images in rows.items()
    }
    top = max(float(s.max()) for s in shares.values()) * 1.05
    for r, (name, images) in enumerate(rows.items()):
        for c, image in enumerate(images):
            above, below = axes[2 * r, c], axes[2 * r + 1, c]
            above.imshow(pixels(image))
            above.axis("off")
            if r == 0 and titles:
                above.set_title(titles[c], fontsize=9)
            below.bar((torch.arange(bins) + 0.5) / bins, shares[name][c], 1 / bins, color=BLUE, linewidth=0)
            below.set(xlim=(0, 1), ylim=(0, top), xticks=[], yticks=[])
            below.grid(False)
        axes[2 * r + 1, 0].set_ylabel(name, fontsize=9.5)
    alt = alt or f"Crops of {', '.join(rows)} with histograms of their intensities below. {caption}"
    return with_alt(figure, alt, caption)
