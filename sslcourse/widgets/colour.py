"""Colours by temperature, and where a pixel of a video points."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor
from torch.nn import functional as F

from sslcourse.errors import UserError
from sslcourse.methods.pretext.video_color import pointer
from sslcourse.plots.figure import (
    VERMILLION,
    canvas,
    styled,
    with_alt,
)
from sslcourse.plots.images import pixels
from sslcourse.plots.images import views as rows_of
from sslcourse.views import lab_to_rgb, rgb_to_lab
from sslcourse.widgets.controls import play


def coloured(run, images: Tensor, T: float = 0.38, caption: str = "") -> Figure:
    """Images (N, 3, H, H) in [0, 1], their lightness, and the colours that a colorization run gives them at T."""
    method = run.method.eval()
    L = rgb_to_lab(images.cpu())
    L[:, 1:] = 0
    given = method.colourise(images.to(next(method.parameters()).device), T=T).cpu()
    rows = {"true": images, "lightness": lab_to_rgb(L), f"T = {T:.2f}": given}
    chroma = {n: rgb_to_lab(x.cpu())[:, 1:].norm(dim=1).mean().item() for n, x in rows.items()}
    caption = (
        caption or "Colours given by the network. Chroma is the mean distance from grey, in units of Lab."
    )
    rows = {f"{n}\nchroma {chroma[n]:.0f}": x for n, x in rows.items()}
    said = f"True, grey and given colours of {len(images)} images at T = {T:.2f}."
    return rows_of(rows, caption, f"{said} {caption}")


def play_temperature(run, images: Tensor) -> None:
    """`coloured` with a slider for the temperature of the annealed mean."""
    from ipywidgets import FloatSlider

    play(
        lambda temperature: coloured(run, images, temperature),
        temperature=FloatSlider(0.38, min=0.02, max=1.0, step=0.04),
    )


@torch.no_grad()
def pointed(
    method, clip: Tensor, target: int, row: int, column: int, temperature: float = 0.5
) -> tuple[Tensor, Tensor, Tensor]:
    """Where one place of a grey frame points, for a clip (T, 3, H, H) in [0, 1] and a VideoColor.

    Returns A (R, h, w) over the R frames before `target`, which sums to 1, and two colours (3,) with the place's own
    lightness: the true one and the copied one.
    """
    first = target - method.references
    if first < 0:
        raise UserError(f"frame {target} has no {method.references} frames before it: choose a later target")
    frames = clip[None, first : target + 1].to(next(method.parameters()).device)
    training = method.training
    f = method.eval().embed(frames)  # (1, R + 1, d, h, w)
    method.train(training)
    R, h, w = method.references, *f.shape[-2:]
    A = pointer(f[:, :-1], f[:, -1], temperature)[0, :, row * w + column].view(
        R, h, w
    )  # (R * h * w,) -> (R, h, w)
    ab = method.small_ab(frames)[0]  # (R + 1, 2, h, w)
    L = rgb_to_lab(F.avg_pool2d(frames[0, -1:], method.stride))[0, :1, row, column]
    own, copied = ab[-1, :, row, column], torch.einsum("rhw,rchw->c", A, ab[:-1])
    true, given = (
        lab_to_rgb(torch.cat([L, c])[None, :, None, None])[0, :, 0, 0].cpu() for c in (own, copied)
    )
    return A.cpu(), true, given


@styled
def pointing(
    run,
    clip: Tensor,
    target: int = 3,
    row: int = 8,
    column: int = 8,
    temperature: float = 0.5,
    caption: str = "",
) -> Figure:
    """A place of the target frame, and heat maps of where it points in the frames before; see `pointed`."""
    A, true, given = pointed(run.method, clip, target, row, column, temperature)
    caption = (
        caption
        or "Left: the place that asks. Then where it points in the frames before (one scale for all), and what it copies."
    )
    figure, axes = canvas(1.8, caption, 1, len(A) + 2)
    grey = clip.cpu().mean(1, keepdim=True)  # (T, 3, H, H) -> (T, 1, H, H)
    side, step = clip.shape[-1], clip.shape[-1] // A.shape[-1]
    axes[0].imshow(pixels(clip[target]))
    square = {"fill": False, "edgecolor": "white", "linewidth": 2}
    axes[0].add_patch(Rectangle((column * step - 0.5, row * step - 0.5), step, step, **square))
    axes[0].set_title(f"frame {target}", fontsize=9)
    heat = np.zeros((*A.shape[1:], 4))
    heat[..., :3] = to_rgb(VERMILLION)
    for ax, frame, share in zip(axes[1:], range(target - len(A), target), A, strict=False):
        ax.imshow(pixels(grey[frame]))
        heat[..., 3] = (share / A.max()).sqrt().numpy() * 0.9
        ax.imshow(heat, extent=(-0.5, side - 0.5, side - 0.5, -0.5), interpolation="nearest")
        ax.set_title(f"frame {frame}: {share.sum():.0%}", fontsize=9)
    both = torch.stack([true, given]).T[:, :, None]  # (2, 3) -> (3, 2, 1): true above, copied below
    axes[-1].imshow(pixels(both), aspect=0.5)
    for y, name in enumerate(("true", "copied")):
        dark = float((true, given)[y].mean()) < 0.55
        axes[-1].text(0, y, name, ha="center", va="center", fontsize=9, color="white" if dark else "black")
    axes[-1].set_title("its colour", fontsize=9)
    for ax in axes:
        ax.axis("off")
    shares = ", ".join(f"{s:.0%}" for s in A.sum((1, 2)).tolist())
    return with_alt(
        figure, f"Place {row}, {column} of frame {target} points into earlier frames: {shares}.", caption
    )


def play_pointer(run, clip: Tensor, target: int = 3, row: int = 8, column: int = 8) -> None:
    """`pointing` with sliders for the place in the grid, and a menu of target frames. clip (T, 3, H, H) in [0, 1]."""
    from ipywidgets import Dropdown, IntSlider

    last = clip.shape[-1] // run.method.stride - 1
    targets = list(range(run.method.references, len(clip)))
    play(
        lambda row, column, target: pointing(run, clip, target, row, column),
        row=IntSlider(row, 0, last), column=IntSlider(column, 0, last), target=Dropdown(options=targets, value=target),
    )  # fmt: skip
