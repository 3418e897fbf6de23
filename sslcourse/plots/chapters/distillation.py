"""Self-distillation's pictures: BYOL's two networks, a teacher's answers, and how dimensions correlate."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from sslcourse.plots.chapters.crops import _picture
from sslcourse.plots.chapters.drawings import INK, _arrow, _box, _sheet
from sslcourse.plots.charts import numbers
from sslcourse.plots.figure import BLUE, GREEN, GREY, ORANGE, VERMILLION, canvas, styled, with_alt


@styled
def bootstrap(image: Tensor, first: Tensor, second: Tensor, caption: str = "", alt: str = "") -> Figure:
    """BYOL's data flow with an image (3, H, W) and two views of it. The drawing is ours."""
    figure, axes = _sheet(3.3, caption)
    axes.set_autoscale_on(False)
    top, low = 0.95, 2.5  # the middles of the two branches
    middle = {"ha": "center", "va": "center", "color": INK}
    _picture(axes, image, 0.05, 1.3, 0.85)
    axes.text(0.47, 2.28, "image $x$", fontsize=9.5, **middle)
    for view, y, t, name in ((first, top, "$t$", "$x_1$"), (second, low, "$t'$", "$x_2$")):
        _arrow(axes, (0.95, 1.72), (1.4, y))
        axes.text(1.1, (1.72 + y) / 2 + (0.08 if y > 1.72 else -0.1), t, fontsize=10.5, **middle)
        _picture(axes, view, 1.45, y - 0.4, 0.8)
        axes.text(1.85, y + 0.53, name, fontsize=10.5, **middle)
    for y, mark, frozen in ((top, "", False), (low, "'", True)):
        colour = GREY if frozen else BLUE
        _arrow(axes, (2.3, y), (2.58, y))
        _box(axes, 2.62, y - 0.3, 1.0, 0.6, f"encoder\n$f{mark}$", colour, frozen)
        _arrow(axes, (3.64, y), (3.83, y))
        _box(axes, 3.87, y - 0.3, 0.95, 0.6, f"projector\n$g{mark}$", colour, frozen)
        _arrow(axes, (4.84, y), (5.02, y))
        axes.text(5.19, y, "$t_2$" if frozen else "$z_1$", fontsize=12.5, **middle)
    _arrow(axes, (5.36, top), (5.54, top))
    _box(axes, 5.58, top - 0.3, 0.95, 0.6, "predictor\n$q$", ORANGE)
    _arrow(axes, (6.55, top), (6.73, top))
    axes.text(6.91, top, "$p_1$", fontsize=12.5, **middle)
    _arrow(axes, (3.72, top + 0.36), (3.72, low - 0.36), ORANGE, linewidth=2)
    axes.text(3.82, 1.72, r"$\xi \leftarrow \tau\xi + (1-\tau)\theta$", fontsize=10.5, va="center", color=INK)
    axes.text(3.25, top - 0.45, r"online: $\theta$ learns", fontsize=9.5, va="center", color=BLUE)
    axes.text(2.62, low + 0.47, r"target: $\xi$ follows slowly", fontsize=9.5, va="center", color=GREY)
    _box(axes, 6.0, 1.42, 1.85, 0.6, r"$|\bar p_1 - \bar t_2|^2$" + "\nof unit vectors", GREEN)
    _arrow(axes, (6.91, top + 0.17), (6.91, 1.39), GREEN)
    axes.plot([5.38, 6.91], [low, low], color=GREEN, linewidth=1.4, zorder=1)
    _arrow(axes, (6.91, low), (6.91, 2.05), GREEN)
    for x in (5.98, 6.08):  # the cut
        axes.plot([x - 0.06, x + 0.06], [low + 0.14, low - 0.14], color=VERMILLION, linewidth=2.4, zorder=3)
    axes.text(6.03, low + 0.3, "sg: no gradient", fontsize=9, color=VERMILLION, ha="center", va="center")
    dashed = {"color": VERMILLION, "linewidth": 1.4, "linestyle": (0, (4, 2))}
    axes.plot([7.5, 7.5, 3.1], [1.39, 0.25, 0.25], **dashed)
    _arrow(axes, (3.1, 0.25), (3.1, top - 0.34), VERMILLION)
    label = {"fontsize": 9, "color": VERMILLION, "backgroundcolor": "white"}
    axes.text(6.05, 0.25, "gradient", ha="center", va="center", **label)
    axes.text(
        7.95, 3.12, "and once more with the views exchanged", fontsize=9, ha="right", va="center", color=INK
    )
    said = (
        "Diagram: an image x gives two views. View 1 passes the online network, encoder f, projector g and predictor q, "
        "to p1; view 2 passes the target network, f' and g', to t2. The loss is the squared distance of their "
        "directions. The gradient goes to the online weights theta alone, through p1; t2 is cut off, sg. The target's "
        "weights xi follow theta slowly."
    )
    return with_alt(figure, alt or said, caption)


@styled
def targets(outputs: Tensor, P: Tensor, mean: Tensor, caption: str = "", alt: str = "") -> Figure:
    """What a teacher says of a few images: its centred outputs (N, K), signed, above the targets P (N, K) made of them.

    mean: (K,), the mean target over many more images, in a column of its own. Entropies are shares of log K.
    """
    outputs, P, mean = numbers(outputs), numbers(P), numbers(mean)
    count, K = P.shape
    figure, axes = canvas(3.2, caption, 2, count + 1, sharey="row")
    reach = 1.1 * abs(outputs).max()
    said = []
    for i in range(count + 1):
        above, below = axes[0, i], axes[1, i]
        shown, name = (P[i], f"image {i + 1}") if i < count else (mean, "mean of all")
        if i < count:
            above.bar(range(K), outputs[i], 0.85, color=[BLUE if v > 0 else VERMILLION for v in outputs[i]])
            above.axhline(0, color=INK, linewidth=0.8)
            above.set(ylim=(-reach, reach), xticks=[])
        else:
            above.axis("off")
        below.bar(range(K), shown, 0.85, color=GREEN)
        below.set(ylim=(0, 1.02), xticks=[])
        share = _evenness(shown)
        below.set_xlabel(f"entropy {share:.0%}", fontsize=9)
        (above if i < count else below).set_title(name, fontsize=9.5)
        said.append(f"{name} {share:.0%}")
    axes[0, 0].set_ylabel("$g_t - c$")
    axes[1, 0].set_ylabel("target $P_t$")
    said = (
        f"Bars of a teacher's outputs and targets for {count} images. Entropy over log K: {', '.join(said)}."
    )
    return with_alt(figure, alt or said, caption)


def _evenness(P: np.ndarray) -> float:
    """The entropy of probabilities (K,) over log K."""
    used = P[P > 0]
    return abs(float((used * np.log(used)).sum())) / np.log(len(P))  # and never -0


@styled
def correlations(matrices: Mapping[str, Tensor], caption: str = "", alt: str = "") -> Figure:
    """Correlation matrices (D, E) side by side as coloured cells from -1 to 1, with no numbers."""
    figure, axes = canvas(3.3, caption, 1, len(matrices), squeeze=False)
    said = []
    for cells, (name, C) in zip(axes[0], matrices.items(), strict=True):
        C = numbers(C)
        shown = cells.imshow(C, cmap="RdBu_r", vmin=-1, vmax=1)
        cells.set(xlabel="dimension of view 2", ylabel="dimension of view 1")
        cells.grid(False)
        on, all_ = abs(C.diagonal()).mean(), abs(C).sum()
        off = (all_ - abs(C.diagonal()).sum()) / (C.size - len(C.diagonal()))
        said.append(f"{name}: {on:.2f} on the diagonal, {off:.2f} off it")
        cells.set_title(said[-1].replace(": ", "\nmean size "), fontsize=9.5)
    bar = figure.colorbar(shown, ax=axes[0].tolist(), pad=0.015, aspect=25)
    bar.outline.set_visible(False)
    return with_alt(figure, alt or f"Correlation matrices, mean size: {'; '.join(said)}.", caption)
