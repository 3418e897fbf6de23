"""A toy whose factors the reader turns."""

from __future__ import annotations

import math

import torch
from matplotlib.colors import hsv_to_rgb, rgb_to_hsv
from matplotlib.figure import Figure
from torch import Tensor

from sslcourse.data.toybox import WORLDS
from sslcourse.data.toybox.load import render_block, workers
from sslcourse.data.toybox.world import PATTERNS, Draw, draw_factors
from sslcourse.errors import UserError
from sslcourse.plots.images import grid
from sslcourse.widgets.controls import play


def turn_hue(colours: Tensor, turn: float) -> Tensor:
    """sRGB colours (..., 3) in [0, 1] with their hue moved round the wheel by `turn` in [0, 1]."""
    hsv = rgb_to_hsv(colours.numpy())
    hsv[..., 0] = (hsv[..., 0] + turn) % 1
    return torch.from_numpy(hsv_to_rgb(hsv)).to(colours)


def toybox_image(
    toy: str = "car", example: int = 0, size: int = 96, world: str = "toybox", **factors
) -> Tensor:
    """One Toybox image (3, size, size) uint8: an example's factors, some of them set by hand.

    example: which toy of its kind (proportions, colours and everything not set). Angles in degrees:
    yaw, camera_elevation, camera_roll, light_azimuth, light_elevation. Fractions: x, y in [-1, 1]; toy_size
    of the side; hue, floor_hue turn the colours round the wheel, in [0, 1]; floor names a pattern.
    """
    known = WORLDS[world]
    row = example * len(known.classes) + len(known.classes)  # labels are balanced in blocks of one per class
    f = {name: value[row - 1 : row] for name, value in draw_factors(known, "train", row).items()}
    f["label"] = torch.full_like(f["label"], known.classes.index(toy))
    for name, value in factors.items():
        if name in ("x", "y"):
            f["place"][:, "xy".index(name)] = value
        elif name in ("hue", "floor_hue"):
            colour = name.replace("hue", "colour")
            f[colour] = turn_hue(f[colour], value)
        elif name == "floor":
            f["floor_kind"].fill_(list(PATTERNS).index(value))
        elif name == "toy_size":
            f["size"].fill_(value)
        elif name in ("yaw", "camera_elevation", "camera_roll", "light_azimuth", "light_elevation"):
            f[name].fill_(math.radians(value))
        else:
            raise UserError(f"toybox_image: factor {name!r} is unknown; see help(toybox_image)")
    with workers() as pool:
        return render_block(known, f, size, pool, Draw(known, "train", row, 0), row - 1)["images"][0]


def toybox_explorer(world: str = "toybox", size: int = 96) -> None:
    """Turn Toybox's factors by sliders: `play` over `toybox_image`."""

    from ipywidgets import IntSlider

    def draw(**values) -> Figure:
        told = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in values.items())
        image = toybox_image(size=size, world=world, **values)
        return grid([image], caption=f"Set by hand: {told}.", alt=f"A rendered toy: {told}.")

    play(
        draw, toy=list(WORLDS[world].classes), example=(0, 20),
        yaw=IntSlider(-45, -180, 180, 15), hue=(0.0, 1.0, 0.05),
        toy_size=(0.5, 0.95, 0.05), x=(-0.2, 0.2, 0.05), y=(-0.2, 0.2, 0.05),
        light_azimuth=(-180, 180, 15), camera_elevation=IntSlider(30, 5, 90, 5), camera_roll=(-30, 30, 5),
        floor=list(PATTERNS), floor_hue=(0.0, 1.0, 0.05),
    )  # fmt: skip
