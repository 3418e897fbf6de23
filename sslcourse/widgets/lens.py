"""A lens and its cures."""

from __future__ import annotations

from matplotlib.figure import Figure
from torch import Tensor

from sslcourse.plots.figure import (
    canvas,
    styled,
    with_alt,
)
from sslcourse.plots.images import pixels
from sslcourse.views import Lens
from sslcourse.widgets.controls import play


@styled
def lens_view(image: Tensor, aberration: float = 0.03, cure: str = "none", caption: str = "") -> Figure:
    """An image (3, H, H) behind a lens, its upper left corner enlarged, and that corner after a cure."""
    from sslcourse.shortcuts.tasks import CURES

    seen = Lens(aberration)(image[None].float())
    corner = seen[..., : image.shape[-1] // 4, : image.shape[-1] // 4]
    cured = CURES[cure](corner).clamp(0, 1)
    caption = caption or "Red is magnified, blue is reduced; the fringes point to the centre."
    figure, axes = canvas(2.5, caption, 1, 3)
    titles = (f"aberration {aberration:.2f}", "its upper left corner", f"the corner, cure: {cure}")
    for ax, shown, title in zip(axes, (seen, corner, cured), titles, strict=True):
        ax.imshow(pixels(shown[0]))
        ax.set_title(title, fontsize=9.5)
        ax.axis("off")
    return with_alt(
        figure,
        f"A picture through a lens of aberration {aberration:.2f}, and a corner before and after: {cure}.",
        caption,
    )


def play_lens(image: Tensor) -> None:
    """Turn up a lens's chromatic aberration, and try the cures. image (3, H, H) in [0, 1]."""
    from sslcourse.shortcuts.tasks import CURES

    play(
        lambda aberration, cure: lens_view(image, aberration, cure),
        aberration=(0.0, 0.1, 0.01),
        cure=list(CURES),
    )
