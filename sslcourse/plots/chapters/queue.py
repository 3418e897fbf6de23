"""MoCo's pictures: two encoders and a queue, a queue being filled, and groups that share a batch norm."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle
from torch import Tensor

from sslcourse.plots.chapters.crops import _picture
from sslcourse.plots.chapters.drawings import INK, _arrow, _box, _sheet
from sslcourse.plots.figure import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PALETTE,
    VERMILLION,
    WIDTH,
    canvas,
    styled,
    with_alt,
)


@styled
def momentum_contrast(image: Tensor, query: Tensor, key: Tensor, caption: str = "", alt: str = "") -> Figure:
    """MoCo's data flow with an image (3, H, W) and two views of it. The drawing is ours."""
    figure, axes = _sheet(3.15, caption)
    axes.set_autoscale_on(False)
    top, low = 0.87, 2.35  # the middles of the two branches
    _picture(axes, image, 0.1, 1.15, 0.9)
    axes.text(0.55, 2.17, "image $x$", ha="center", va="center", fontsize=9.5, color=INK)
    names = (("encoder $f_\\theta$", "q", BLUE, False), ("momentum\nencoder $f_\\psi$", "k", GREY, True))
    for view, y, (text, symbol, colour, frozen) in zip((query, key), (top, low), names, strict=True):
        _arrow(axes, (1.05, 1.6), (1.4, y))
        _picture(axes, view, 1.45, y - 0.42, 0.84)
        _arrow(axes, (2.33, y), (2.68, y))
        _box(axes, 2.72, y - 0.3, 1.2, 0.6, text, colour, frozen)
        _arrow(axes, (3.96, y), (4.26, y))
        axes.text(4.42, y, f"${symbol}$", ha="center", va="center", fontsize=13, color=INK)
    _arrow(axes, (3.1, top + 0.34), (3.1, low - 0.34), ORANGE, linewidth=2)
    axes.text(3.2, 1.6, r"$\psi \leftarrow m\psi + (1-m)\theta$", va="center", fontsize=10, color=INK)
    left, cells, side = 5.2, 9, 0.27
    for i in range(cells):  # the newest key at the left, dark
        face = {"facecolor": GREEN, "alpha": 0.75 * (1 - i / (cells + 1)), "edgecolor": "none"}
        axes.add_patch(Rectangle((left + i * side, low - 0.2), side, 0.4, **face))
        axes.add_patch(
            Rectangle((left + i * side, low - 0.2), side, 0.4, fill=False, edgecolor=INK, linewidth=0.9)
        )
    end = left + cells * side
    _arrow(axes, (4.58, low), (left - 0.05, low))
    _arrow(axes, (end + 0.03, low), (end + 0.3, low), GREY)
    for x, text, side_ in ((left, "new keys enter", "left"), (end, "the oldest leave", "right")):
        axes.text(x, low + 0.33, text, ha=side_, va="center", fontsize=9, color=INK)
    axes.text(
        (left + end) / 2,
        low + 0.55,
        "queue: $K$ keys of the last steps",
        ha="center",
        va="center",
        fontsize=9.5,
        color=INK,
    )
    _box(axes, 5.35, top - 0.32, 2.2, 0.64, "which of these\nis my key? (InfoNCE)", ORANGE)
    _arrow(axes, (4.58, top), (5.3, top))
    _arrow(axes, (4.56, low - 0.12), (5.5, top + 0.36), GREEN)
    axes.text(5.25, 1.75, "$k_+$", ha="center", va="center", fontsize=11, color=INK)
    _arrow(axes, (6.45, low - 0.24), (6.45, top + 0.36), GREY)
    axes.text(6.55, 1.6, "$k_1 \\ldots k_K$: negatives", va="center", fontsize=9.5, color=INK)
    bend = {"connectionstyle": "arc3,rad=0.18", "linestyle": (0, (4, 2))}
    _arrow(axes, (6.1, top - 0.36), (3.4, top - 0.34), VERMILLION, **bend)
    axes.text(
        4.75,
        0.38,
        "gradient",
        ha="center",
        va="center",
        fontsize=9,
        color=VERMILLION,
        backgroundcolor="white",
    )
    said = (
        "Diagram: two views of an image; one passes through the encoder f theta to q, the other through the momentum "
        "encoder f psi to its key. q must find this key among those in a queue of the last steps. The gradient "
        "goes to theta alone; psi follows theta slowly; new keys enter the queue and the oldest leave."
    )
    return with_alt(figure, alt or said, caption)


def in_queue(steps: int, length: int, batch: int) -> list[tuple[int, int] | None]:
    """What lies in each slot of a queue after `steps` batches: (how manieth key it is, its age in steps), or None.

    The newest keys have age 1: they are one step old when they are first used.
    """
    given = steps * batch
    found: list[tuple[int, int] | None] = []
    for slot in range(length):
        key = given - 1 - (given - 1 - slot) % length
        found.append((key, steps - key // batch) if key >= 0 else None)
    return found


@styled
def queue(images: Tensor, steps: int = 0, length: int = 12, batch: int = 4, caption: str = "") -> Figure:
    """A queue after `steps` batches, every key drawn as its image, of images (N, 3, H, W) in order; and the next batch."""
    side = min(0.78, (WIDTH - 0.3) / max(length, batch) * 0.92)
    pitch, slots = side * 1.06, in_queue(steps, length, batch)
    known = [slot for slot in slots if slot]
    mean = f"{np.mean([age for _, age in known]):.1f}" if known else "–"
    caption = caption or (
        f"After {steps} steps of {batch} keys. {len(known)} of {length} slots hold keys, of mean age {mean}. "
        "?: a random vector, from the start. Framed: the newest."
    )
    figure, axes = _sheet(2 * side + 1.05, caption)
    axes.set_autoscale_on(False)
    start, top = (WIDTH - pitch * length) / 2, 0.3
    write = steps * batch % length
    first = start + min(write, max(length - batch, 0)) * pitch
    for j in range(batch):
        _picture(axes, images[(steps * batch + j) % len(images)], first + j * pitch, top, side)
    place = {"ha": "center", "va": "center", "fontsize": 9.5, "color": INK}
    axes.text(first + batch * pitch / 2, top - 0.14, "next batch", **place)
    below, pointer = top + side + 0.3, start + write * pitch + side / 2
    _arrow(axes, (pointer, top + side + 0.04), (pointer, below - 0.03), ORANGE, linewidth=2.4)
    for j, slot in enumerate(slots):
        x = start + j * pitch
        if slot is None:
            axes.add_patch(
                Rectangle((x, below), side, side, facecolor="#E3E3E3", edgecolor=GREY, linewidth=0.8)
            )
            axes.text(x + side / 2, below + side / 2, "?", ha="center", va="center", color=GREY, fontsize=12)
            continue
        key, age = slot
        _picture(axes, images[key % len(images)], x, below, side)
        if age == 1:
            axes.add_patch(
                Rectangle((x, below), side, side, fill=False, edgecolor=ORANGE, linewidth=3, zorder=4)
            )
        axes.text(
            x + side / 2, below + side + 0.13, str(age), ha="center", va="center", fontsize=9.5, color=INK
        )
    axes.text(start - 0.06, below + side + 0.13, "age", ha="right", va="center", fontsize=9, color=GREY)
    ages = ", ".join("random" if slot is None else str(slot[1]) for slot in slots)
    alt = f"A queue of {length} slots after {steps} batches of {batch}; ages of its keys in steps: {ages}."
    return with_alt(figure, alt, caption)


@styled
def norm_groups(images: Tensor, orders: dict[str, Sequence[int]], rows: int = 4, caption: str = "") -> Figure:
    """Images (B, 3, H, W) in groups of `rows` that share a batch norm, once for each named order.

    A frame's colour tells the group of an image in the first order.
    """
    count, wide = len(images), 1.25
    gap = 0.18
    side = min(0.62, (WIDTH - wide - 0.2 - gap * (count // rows - 1)) / count)
    figure, axes = _sheet((side + 0.28) * len(orders) + 0.05, caption)
    axes.set_autoscale_on(False)
    first = list(next(iter(orders.values())))
    for r, (name, order) in enumerate(orders.items()):
        y = 0.12 + r * (side + 0.28)
        axes.text(wide - 0.1, y + side / 2, name, ha="right", va="center", fontsize=9.5, color=INK)
        for j, i in enumerate(order):
            x = wide + j * side + (j // rows) * gap
            if j % rows == 0:
                box = FancyBboxPatch(
                    (x - 0.05, y - 0.06),
                    side * rows + 0.1,
                    side + 0.12,
                    boxstyle="round,pad=0,rounding_size=0.06",
                )
                box.set(facecolor="#EDEDED", edgecolor="none", zorder=0)
                axes.add_patch(box)
            colour = PALETTE[(first.index(i) // rows) % 8]
            _picture(axes, images[i], x + 0.03, y + 0.03, side - 0.06, colour)
            axes.add_patch(
                Rectangle(
                    (x + 0.03, y + 0.03),
                    side - 0.06,
                    side - 0.06,
                    fill=False,
                    edgecolor=colour,
                    linewidth=2.6,
                    zorder=4,
                )
            )
    said = "; ".join(
        f"{name}: {', '.join(str(first.index(i) // rows + 1) for i in order)}"
        for name, order in orders.items()
    )
    alt = f"{count} images in groups of {rows}. Group of each in the first row, in order: {said}."
    return with_alt(figure, alt, caption)


@styled
def follower(momentum: float = 0.95, noise: float = 0.3, steps: int = 400, caption: str = "") -> Figure:
    """A noisy signal that turns round halfway, and its moving average psi <- m psi + (1 - m) theta."""
    draw = np.random.default_rng(0).standard_normal(steps)
    trend = np.abs(np.arange(steps) - steps / 2) * -2 / steps + 1
    theta = trend + noise * draw
    psi = np.empty(steps)
    psi[0] = theta[0]
    for t in range(1, steps):
        psi[t] = momentum * psi[t - 1] + (1 - momentum) * theta[t]
    lag, calm = momentum / (1 - momentum), ((1 - momentum) / (1 + momentum)) ** 0.5
    caption = caption or (
        f"m = {momentum:g}: psi shows theta as it was m / (1 - m) = {lag:.0f} steps ago, with {calm:.0%} of its noise."
    )
    figure, axes = canvas(2.9, caption)
    axes.plot(theta, color=GREY, linewidth=0.8, alpha=0.7, label="θ, the encoder")
    axes.plot(trend, color=GREY, linestyle=(0, (2, 2)), linewidth=1.4, label="θ without its noise")
    axes.plot(psi, color=ORANGE, label="ψ, the momentum encoder")
    axes.set(xlabel="step", ylim=(-1.6, 2.6))
    axes.legend(ncols=3, loc="lower left", bbox_to_anchor=(0, 1.0), borderaxespad=0.1)
    axes.margins(x=0.01)
    alt = (
        f"A noisy signal and its moving average with momentum {momentum:g}: it lags {lag:.0f} steps behind and keeps "
        f"{calm:.0%} of the noise."
    )
    return with_alt(figure, alt, caption)
