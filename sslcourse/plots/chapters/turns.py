"""RotNet's data flow, drawn with one image."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from sslcourse.plots.chapters.crops import _picture
from sslcourse.plots.chapters.drawings import INK, _arrow, _box, _sheet
from sslcourse.plots.figure import BLUE, GREY, ORANGE, styled, with_alt
from sslcourse.views import four_rotations


@styled
def rotation_task(image: Tensor, caption: str = "", alt: str = "") -> Figure:
    """RotNet with an image (3, H, H): four turned copies, one network, four answers each. The drawing is ours."""
    side, gap = 0.72, 0.14
    figure, axes = _sheet(4 * (side + gap) + 0.3, caption)
    axes.set_autoscale_on(False)
    copies, _ = four_rotations(image[None].float().cpu() / (255 if not image.is_floating_point() else 1))
    middle = 2 * (side + gap) + 0.2
    _picture(axes, image, 0.1, middle - 0.5, 0.95)
    axes.text(0.57, middle + 0.62, "image $x$", ha="center", va="center", fontsize=9.5, color=INK)
    small = {"ha": "center", "va": "center", "fontsize": 9, "color": INK}
    for y, copy in enumerate(copies):
        top = 0.27 + y * (side + gap)
        centre = top + side / 2
        _arrow(axes, (1.12, middle), (1.98, centre))
        _picture(axes, copy, 2.05, top, side)
        axes.text(3.08, centre, f"$g(x, {y})$\n{90 * y}°", linespacing=1.5, **small)
        _arrow(axes, (3.42, centre), (3.92, centre))
        _arrow(axes, (5.12, centre), (5.52, centre))
        for k in range(4):  # a network that knows nothing: four equal bars
            colour = ORANGE if k == y else "#D0D0D0"
            box = {"facecolor": colour, "edgecolor": GREY, "linewidth": 0.7}
            axes.add_patch(Rectangle((5.62 + 0.2 * k, centre - 0.08), 0.15, 0.32, **box))
            axes.text(
                5.695 + 0.2 * k, centre + 0.34, f"{k}", ha="center", va="center", fontsize=7, color=GREY
            )
        axes.text(6.02, centre - 0.22, f"$F^{y}$", fontsize=9.5, ha="center", va="center", color="#A86400")
        _arrow(axes, (6.5, centre), (6.98, middle), ORANGE)
    _box(axes, 3.97, 0.27, 1.1, 4 * (side + gap) - gap, "one\nnetwork $F$", BLUE)
    axes.text(
        7.45, middle, "$-\\log F^y$\nmean: $\\mathcal{L}$", fontsize=10.5, ha="center", va="center", color=INK
    )
    for x, text in ((2.41, "four copies"), (5.95, "belief in each turn"), (0.57, "no label")):
        axes.text(x, 0.12, text, ha="center", va="center", fontsize=9, color=GREY)
    said = (
        "Diagram: an image x gives four copies g(x, y), turned by 0, 90, 180 and 270 degrees. One network F gives each copy "
        "a belief in each of the four turns. The loss is the mean of minus log F^y, the belief in the turn that was made."
    )
    return with_alt(figure, alt or said, caption)
