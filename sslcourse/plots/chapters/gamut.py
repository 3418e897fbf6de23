"""The bins of the ab plane, in their own colours."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from sslcourse.plots.charts import numbers
from sslcourse.plots.figure import SEQUENTIAL, canvas, styled, with_alt
from sslcourse.views import lab_to_rgb, rgb_to_lab


def bin_colours(centres: Tensor) -> Tensor:
    """An sRGB colour for every bin (Q, 2), at the lightness at which a screen shows its a and b best: (Q, 3)."""
    L = torch.linspace(30, 90, 13)
    lab = torch.cat([L.repeat_interleave(len(centres))[:, None], centres.repeat(len(L), 1)], 1)  # (13 * Q, 3)
    rgb = lab_to_rgb(lab[:, :, None, None])  # (13 * Q, 3) -> (13 * Q, 3, 1, 1)
    off = (rgb_to_lab(rgb)[:, 1:, 0, 0] - lab[:, 1:]).norm(dim=1).view(len(L), -1)  # (13 * Q,) -> (13, Q)
    best = (off + 0.02 * (L - 65).abs()[:, None]).argmin(0)  # where many do, the middle one
    return rgb[..., 0, 0].view(len(L), -1, 3)[best, torch.arange(len(centres))]  # (13 * Q, 3) -> (13, Q, 3)


@styled
def gamut(
    centres: Tensor, values: Mapping[str, object] | None = None, caption: str = "", alt: str = ""
) -> Figure:
    """The bins (Q, 2) of the ab plane in their colours, and beside them a map of each of `values` (Q,)."""
    centres, values = centres.detach().cpu().float(), values or {}
    a, b = (axis.unique() for axis in centres.T)
    step = float(b[1] - b[0])
    down, right = (
        torch.searchsorted(line, x.contiguous()) for line, x in ((b, centres[:, 1]), (a, centres[:, 0]))
    )
    sides = [float(v) for v in (a[0] - step / 2, a[-1] + step / 2, b[0] - step / 2, b[-1] + step / 2)]
    figure, axes = canvas(2.9, caption, 1, 1 + len(values), squeeze=False, sharey=True)
    picture = np.ones((len(b), len(a), 3))
    picture[down, right] = bin_colours(centres)
    axes[0, 0].imshow(picture, extent=sides, origin="lower")
    axes[0, 0].set_title(f"{len(centres)} colours")
    axes[0, 0].set_ylabel("b: blue to yellow")
    for ax, (name, value) in zip(axes[0, 1:], values.items(), strict=True):
        field = np.full((len(b), len(a)), np.nan)
        field[down, right] = numbers(value)
        shown = ax.imshow(field, extent=sides, origin="lower", cmap=SEQUENTIAL)
        figure.colorbar(shown, ax=ax, shrink=0.75, pad=0.02).outline.set_visible(False)
        ax.set_title(name)
    for ax in axes[0]:
        ax.set_xlabel("a: green to red")
        ax.set_xticks([-80, 0, 80])
        ax.grid(False)
    said = "; ".join(f"{n} from {numbers(v).min():.3g} to {numbers(v).max():.3g}" for n, v in values.items())
    return with_alt(
        figure, alt or f"{len(centres)} squares of the ab plane, each in its colour. {said}", caption
    )
