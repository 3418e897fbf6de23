"""Pictures of visual words: how bags of them teach, images painted with words, and what a word fires on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from sslcourse.plots.chapters.crops import _picture
from sslcourse.plots.chapters.drawings import INK, _arrow, _box, _sheet
from sslcourse.plots.figure import BLUE, GREEN, GREY, ORANGE, PALETTE, VERMILLION, WIDTH, styled, with_alt
from sslcourse.plots.images import _board, _put
from sslcourse.views import resized_crop

CELLS = (
    0,
    0,
    3,
    3,
    0,
    1,
    2,
    3,
    4,
    1,
    2,
    4,
    4,
    4,
    4,
    4,
)  # of the drawing: the word of each place of a 4x4 map


def _write(axes: Axes, x: float, y: float, text: str, size: float = 9, colour: str = INK, **kw) -> None:
    axes.text(x, y, text, **{"ha": "center", "va": "center", "fontsize": size, "color": colour} | kw)


def _bag(axes: Axes, x: float, y: float, shares: Sequence[float], width: float, height: float) -> None:
    """Bars in the colours of the words, standing on (x, y); the highest has `height`."""
    step = width / len(shares)
    for k, share in enumerate(shares):
        tall = height * float(share) / max(map(float, shares))
        axes.add_patch(
            Rectangle((x + k * step, y - tall), 0.85 * step, tall, color=PALETTE[k % 8], linewidth=0)
        )
    axes.plot([x - 0.03, x + width], [y, y], color=INK, linewidth=1)


@styled
def bag_of_words(
    image: Tensor,
    crops: Sequence[Tensor],
    boxes: Sequence[Sequence[float]] = (),
    caption: str = "",
    alt: str = "",
) -> Figure:
    """Data flow of BoWNet and OBoW with an image (3, H, W) and two parts of it. What only OBoW does is orange.

    boxes: top, left, height, width of each part, framed on the image. The drawing is ours.
    """
    figure, axes = _sheet(3.75, caption)
    axes.set_autoscale_on(False)
    top, low = 0.8, 2.9  # the middles of the two branches
    _picture(axes, image, 0.1, 1.35, 0.95)
    _write(axes, 0.57, 2.43, "image", 9.5)
    scale = 0.95 / image.shape[-1]
    for (y, x, h, w), colour in zip(boxes, (BLUE, VERMILLION), strict=False):
        frame = {"fill": False, "edgecolor": colour, "linewidth": 1.6, "zorder": 4}
        axes.add_patch(Rectangle((0.1 + x * scale, 1.35 + y * scale), w * scale, h * scale, **frame))

    _arrow(axes, (1.1, 1.6), (1.6, top + 0.1))
    _write(axes, 1.12, 1.14, "whole", 8.5)
    _box(axes, 1.65, top - 0.3, 0.95, 0.6, "teacher $T$", GREY, frozen=True)
    _arrow(axes, (2.64, top), (2.92, top))
    for i, k in enumerate(CELLS):
        square = {"facecolor": PALETTE[k], "edgecolor": "white", "linewidth": 0.8}
        axes.add_patch(Rectangle((2.97 + 0.2 * (i % 4), top - 0.4 + 0.2 * (i // 4)), 0.2, 0.2, **square))
    _write(axes, 3.37, top - 0.56, "$x(u)$: its nearest word", 8.5)
    _arrow(axes, (3.82, top), (4.72, top))
    _write(axes, 4.27, top - 0.15, "$q_k(u)$", 9.5)
    _bag(axes, 4.8, top + 0.34, [CELLS.count(k) for k in range(5)], 0.95, 0.62)
    _write(axes, 5.27, top - 0.52, "bag $y$", 9.5)

    for k in range(5):
        square = {"facecolor": PALETTE[k], "edgecolor": INK, "linewidth": 0.8}
        axes.add_patch(Rectangle((3.87 + 0.17 * k, 1.72), 0.17, 0.24, **square))
    _write(axes, 3.8, 1.84, "words $v_1 \\ldots v_K$", 9, ha="right")
    _arrow(axes, (4.27, 1.68), (4.27, top + 0.08))
    _arrow(axes, (3.37, top + 0.43), (3.83, 1.7), ORANGE, connectionstyle="arc3,rad=0.25", linewidth=1.8)
    _write(axes, 3.3, 1.45, "new words", 8.5, ORANGE, ha="right")
    _arrow(axes, (4.27, 2.0), (4.27, low - 0.34))
    _write(axes, 4.36, 2.28, "$G$", 10.5, ORANGE, ha="left")

    _arrow(axes, (1.1, 2.05), (1.38, low - 0.05))
    for j, (crop, colour) in enumerate(zip(crops, (BLUE, VERMILLION), strict=False)):
        side = 0.62 if j == 0 else 0.42
        _picture(axes, crop, 1.42, low - 0.62 + 0.7 * j, side, colour)
    _write(axes, 1.73, low + 0.65, "parts, changed", 8.5)
    _arrow(axes, (2.08, low), (2.36, low))
    _box(axes, 2.4, low - 0.3, 0.95, 0.6, "student $S$", BLUE)
    _arrow(axes, (3.39, low), (3.77, low))
    _write(axes, 3.58, low - 0.16, "$f$", 10.5)
    _box(axes, 3.81, low - 0.3, 1.2, 0.6, "softmax\n$\\kappa\\, f \\cdot G(v_k)$", BLUE)
    _arrow(axes, (5.05, low), (5.3, low))
    _bag(axes, 5.38, low + 0.3, (3.2, 2.4, 1.9, 2.6, 4.6), 0.95, 0.6)
    _write(axes, 5.85, low + 0.45, "$p$: the bag, guessed", 9)

    _box(axes, 6.35, 1.42, 1.55, 0.88, "", GREEN)
    _write(axes, 7.12, 1.63, "cross-entropy", 9.5)
    _write(axes, 7.12, 1.98, "$-\\sum_k\\, y_k \\log p_k$", 10)
    _arrow(axes, (5.85, top + 0.1), (7.0, 1.38))
    _arrow(axes, (6.4, low - 0.1), (7.0, 2.34))
    _arrow(axes, (2.75, low - 0.34), (2.1, top + 0.35), ORANGE, linewidth=1.8)
    _write(axes, 2.28, 2.1, "$T$ follows $S$", 8.5, ORANGE, ha="right")
    _write(axes, WIDTH - 0.08, 0.14, "orange: OBoW only", 8.5, ORANGE, ha="right")
    said = (
        "Diagram: the teacher T makes a map of the whole image; each place x(u) is compared with the words v, and the "
        "bag y says which words the image holds. The student S sees parts of the image and gives f; softmax of kappa f "
        "G(v) guesses the bag, by cross-entropy. In OBoW only: T follows S, new words come from T's map, and G makes "
        "the weights of the words."
    )
    return with_alt(figure, alt or said, caption)


@styled
def painted(
    words: Tensor,
    count: int,
    titles: Sequence[str],
    images: Tensor | None = None,
    caption: str = "",
    alt: str = "",
) -> Figure:
    """Images as maps (N, h, w) of the numbers of their words, of `count` at most 8, in colours; below each its bag.

    The bag is each word's share of the places, as bars. images (N, 3, H, W): shown above.
    """
    side = min(1.15, (WIDTH - 0.7) / len(words) - 0.1)
    above = 0 if images is None else side + 0.08
    figure, axes = _sheet(above + 2 * side + 0.5, caption)
    axes.set_autoscale_on(False)
    colours = torch.tensor([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in PALETTE])  # (8, 3)
    shares = torch.stack([torch.bincount(m.flatten(), minlength=count) / m.numel() for m in words.cpu()])
    start = (WIDTH - len(words) * (side + 0.1)) / 2
    for i, (title, shown) in enumerate(zip(titles, words.cpu(), strict=True)):
        x = start + i * (side + 0.1)
        _write(axes, x + side / 2, 0.12, title, 10)
        if images is not None:
            _picture(axes, images[i], x, 0.26, side)
        _picture(axes, colours[shown].permute(2, 0, 1), x, 0.26 + above, side)  # (h, w, 3) -> (3, h, w)
        floor = 0.26 + above + side + 0.08
        base, step = floor + 0.9 * side, side / count
        for k, share in enumerate(shares[i].tolist()):
            tall = 0.9 * side * share / float(shares.max())
            axes.add_patch(
                Rectangle((x + k * step, base - tall), 0.85 * step, tall, color=PALETTE[k], linewidth=0)
            )
        axes.plot([x, x + side], [base, base], color=INK, linewidth=1)
    said = "; ".join(
        f"{title}: {', '.join(f'{share:.0%}' for share in row)}"
        for title, row in zip(titles, shares.tolist(), strict=True)
    )
    return with_alt(
        figure, alt or f"{len(words)} images as maps of {count} words. Shares of the words: {said}.", caption
    )


@styled
def word_patches(
    panels: Mapping[str, Tensor], names: Mapping[str, Sequence[str]], caption: str = "", alt: str = ""
) -> Figure:
    """Side by side for each title: patches (W, n, 3, s, s), one row for each of W words, called as `names` has them."""
    panels = {title: patches.cpu() for title, patches in panels.items()}
    rows = max(len(p) for p in panels.values())
    columns = sum(p.shape[1] for p in panels.values())
    name, gap = 0.62, 0.2  # inches, left of a row and between panels
    side = min(0.62, (WIDTH - 0.1 - len(panels) * (name + gap)) / columns)
    figure, axes = _sheet(0.32 + rows * (side + 0.05), caption)
    axes.set_autoscale_on(False)
    x0 = 0.05
    for title, patches in panels.items():
        wide = patches.shape[1] * side
        _write(axes, x0 + name + wide / 2, 0.14, title, 10)
        for r, row in enumerate(patches):
            y = 0.3 + r * (side + 0.05)
            _write(axes, x0 + name - 0.06, y + side / 2, names[title][r], 8.5, ha="right")
            for c, patch in enumerate(row):
                _picture(axes, patch, x0 + name + c * side + 0.015, y, side - 0.03, "#BBBBBB")
        x0 += name + wide + gap
    said = "; ".join(f"{title}: {', '.join(names[title])}" for title in panels)
    return with_alt(
        figure, alt or f"Rows of image patches on which words fire most. {said}. {caption}", caption
    )


def lit(image: Tensor, q: Tensor) -> Tensor:
    """An image (3, H, W) in [0, 1], as bright at each place of q (h, w) in [0, 1] as q is high; nowhere quite black."""
    light = torch.nn.functional.interpolate(q[None, None].float().cpu(), tuple(image.shape[1:]))[
        0
    ]  # (1, H, W)
    return image.cpu() * (0.2 + 0.8 * light.clamp(0, 1))


@styled
def word_fires(
    images: Tensor, q: Tensor, best: Tensor, boxes: Tensor, caption: str = "", alt: str = ""
) -> Figure:
    """A word at work. Above, images (N, 3, H, W), dark where its q (N, h, w) is low beside the highest of all; the
    numbers are the highest of each image.

    Below, the images (M, 3, H, W) with its nearest places framed, boxes (M, 4) of top, left, height, width in pixels,
    and these places enlarged.
    """
    rows, size = (
        {
            "images": images,
            "q at each place": [lit(x, m / q.max().clamp(min=1e-12)) for x, m in zip(images, q, strict=True)],
        },
        best.shape[-1],
    )
    patches = resized_crop(best.cpu().float(), boxes.cpu().float(), size).clamp(0, 1)
    rows |= {"nearest places": best, "enlarged": patches}
    columns = max(len(images), len(best))
    left = 1.15 / min(1.3, (WIDTH - 1.4) / (columns * 1.08))  # cells for the names of the rows
    figure, axes, _ = _board(columns, len(rows), caption, left=left)
    for r, (name, shown) in enumerate(rows.items()):
        axes.text(-0.1, r * 1.08 + 0.5, name, ha="right", va="center", fontsize=9.5)
        for c, image in enumerate(shown):
            _put(axes, image, c * 1.08, r * 1.08)
            if r == 1:
                tag = {"facecolor": "white", "edgecolor": "none", "pad": 1, "alpha": 0.85}
                axes.text(c * 1.08 + 0.97, r * 1.08 + 0.95, f"{float(q[c].max()):.2f}", ha="right", va="bottom",
                          fontsize=7.5, bbox=tag)  # fmt: skip
            if r == 2:
                y, x, h, w = (float(v) / size for v in boxes[c])
                frame = {"fill": False, "edgecolor": VERMILLION, "linewidth": 2}
                axes.add_patch(Rectangle((c * 1.08 + x, r * 1.08 + y), w, h, **frame))
    highest = ", ".join(f"{float(m.max()):.2f}" for m in q)
    said = f"{len(images)} images lit where a word fires, highest q {highest}; and {len(best)} images with its nearest places."
    return with_alt(figure, alt or said, caption)
