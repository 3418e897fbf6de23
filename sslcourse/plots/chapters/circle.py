"""Embeddings on a circle: who pulls, and who pushes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from sslcourse.plots.figure import BLACK, GREEN, GREY, VERMILLION, canvas, styled, with_alt


@styled
def pulls(
    own: float = 0.7,
    others: Sequence[float] = (0.9, 0.6, 0.3, 0.0, -0.4, -0.8),
    temperature: float = 0.2,
    caption: str = "",
    alt: str = "",
) -> Figure:
    """A query on the unit circle, its own key and other keys at these cosines, and each one's share of the force.

    The gradient of -log softmax pulls towards the own key with weight 1 - p and pushes from another with
    its p: thickness on the left, and on the right the share of the push that each of the others has.
    """
    scores = np.asarray([own, *others]) / temperature
    p = np.exp(scores - scores.max())
    p /= p.sum()
    share = p[1:] / p[1:].sum()
    caption = caption or f"Temperature {temperature:g}. Green pulls the query, orange pushes it away."
    figure, (left, right) = canvas(2.9, caption, 1, 2, width_ratios=(1, 1.5))
    turn = np.linspace(0, 2 * np.pi, 200)
    left.plot(np.cos(turn), np.sin(turn), color="#C8C8C8", linewidth=1)
    angles = np.arccos([own, *others]) * np.where((np.arange(len(p)) + 1) // 2 % 2, -1, 1)  # to both sides
    x, y = np.sin(angles), np.cos(angles)  # the query is at the top
    for i in range(len(p)):
        force, colour = (1 - p[0], GREEN) if i == 0 else (p[i], VERMILLION)
        left.plot([0, x[i]], [1, y[i]], color=colour, linewidth=0.3 + 7 * force, alpha=0.6, zorder=1)
        left.plot(x[i], y[i], marker="s" if i == 0 else "o", color=colour, markersize=8, zorder=2)
    left.plot(0, 1, marker="*", color=BLACK, markersize=15, zorder=3)
    left.set(xlim=(-1.3, 1.3), ylim=(-1.5, 1.2), aspect="equal")
    left.axis("off")
    left.text(0, -1.3, "★ query   ■ its own key   ● others", ha="center", va="center", fontsize=9, color=GREY)
    names = [f"{cosine:g}" for cosine in others]
    right.bar(names, share, color=VERMILLION, alpha=0.8)
    for i, value in enumerate(share):
        right.text(i, value + 0.02, f"{value:.0%}", ha="center", fontsize=9)
    right.set(ylim=(0, 1.14), xlabel="cosine with the query", ylabel="share of the push")
    right.grid(axis="x", visible=False)
    said = ", ".join(f"cosine {name} {value:.0%}" for name, value in zip(names, share, strict=True))
    said = f"Keys on a circle at temperature {temperature:g}. Pull of the own key {1 - p[0]:.2f}; shares of the push: {said}."
    return with_alt(figure, alt or said, caption)
