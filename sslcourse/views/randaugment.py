"""RandAugment (Cubuk et al. 2020, 1909.13719): a few of fourteen operations, every image with its own."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from sslcourse.errors import UserError
from sslcourse.views.colour import brightness_, contrast_, saturation_
from sslcourse.views.compose import Compose, weak_view
from sslcourse.views.distort import Cutout
from sslcourse.views.view import View, uniform

FILL = 0.5  # what comes in from outside the image: AutoAugment's grey


class RandAugment(View):
    """`operations` of the fourteen one after another, drawn with replacement, each at its own magnitude.

    `magnitude` is on the paper's scale of 0 to 10, and 10 is the end of AutoAugment's ranges: 30 degrees,
    shear 0.3, 0.45 of the side, factors of 1 +- 0.9, 4 bits, everything solarised. With `vary` it is drawn
    uniformly from [0, magnitude] for every image and operation, as UDA and FixMatch do; without, it is the
    same everywhere, as in the paper's final version. Directions are drawn in any case. Between pixels the
    warps are bilinear, where PIL's default, which the authors use, takes the nearest.
    """

    in_place = True

    def __init__(self, operations: int = 2, magnitude: float = 10, vary: bool = True):
        if operations < 1 or not 0 <= magnitude <= 30:
            raise UserError(
                f"RandAugment({operations}, {magnitude}): use operations from 1, magnitude 0 to 30"
            )
        self.operations, self.magnitude, self.vary = operations, magnitude, vary

    def draw(self, images: Tensor, generator: torch.Generator | None) -> tuple:
        shape, last = (len(images), self.operations), len(OPERATIONS) - 1
        operation = uniform(shape, 0, last + 1, images, generator).long().clamp_(max=last)
        level = uniform(shape, 0.0 if self.vary else 1.0, 1.0, images, generator) * (self.magnitude / 10)
        sign = torch.where(uniform(shape, 0.0, 1.0, images, generator) < 0.5, -1.0, 1.0)
        return operation, level * sign

    def apply(self, images: Tensor, operation: Tensor, level: Tensor) -> Tensor:
        for k in range(self.operations):
            images = randaugment_(images, operation[:, k], level[:, k])
        return images


def strong_view(size: int | None = None, operations: int = 2, magnitude: float = 10) -> Compose:
    """FixMatch's (Sohn et al. 2020, 2001.07685): shift and flip, RandAugment, Cutout of half the side."""
    return Compose([*weak_view(size).views, RandAugment(operations, magnitude), Cutout(0.5)])


def randaugment_(images: Tensor, operation: Tensor, level: Tensor) -> Tensor:
    """Operations (B,), as places in OPERATIONS, at levels (B,) in [-1, 1], on images (B, 3, H, W), in place.

    Every operation works once: on a CPU on the rows that drew it; a GPU would have to wait to learn which
    these are, so there it works on all rows and `where` picks.
    """
    on_rows = _gathered if images.device.type == "cpu" else _masked
    geometric = operation >= len(OPERATIONS) - len(WARPS)
    images = on_rows(images, geometric, lambda x, o, s: warp(x, *_motion(o, s)), operation, level)
    level = level[:, None, None, None]  # (B,) -> (B, 1, 1, 1)
    for i, change in enumerate(COLOURS.values()):
        if change is not None:
            images = on_rows(images, operation == i, change, level)
    return images


def _gathered(images: Tensor, chosen: Tensor, change: Callable, *parameters: Tensor) -> Tensor:
    """The images with `change` made to those that are chosen (B,); parameters start with B."""
    rows = chosen.nonzero()[:, 0]
    if len(rows):
        images[rows] = change(images[rows], *(p[rows] for p in parameters))
    return images


def _masked(images: Tensor, chosen: Tensor, change: Callable, *parameters: Tensor) -> Tensor:
    """The same without looking at `chosen`."""
    return torch.where(chosen[:, None, None, None], change(images.clone(), *parameters), images)


# Changes that keep every pixel in its place take images (B, 3, H, W) and levels (B, 1, 1, 1) in [-1, 1].


def autocontrast(images: Tensor, level: Tensor | None = None) -> Tensor:
    """Stretch each channel to [0, 1]; a channel of one value stays."""
    low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    return torch.where(high > low, (images - low) / (high - low).clamp(min=1e-6), images).clamp_(0, 1)


def equalise(images: Tensor, level: Tensor | None = None) -> Tensor:
    """Flatten each channel's histogram of 256 values, as PIL does."""
    value = (images * 255).round_().long().flatten(2)  # (B, 3, H, W) -> (B, 3, H * W)
    ones = torch.ones_like(value, dtype=images.dtype)
    count = images.new_zeros(*value.shape[:2], 256).scatter_add_(2, value, ones)
    largest = value.amax(2, keepdim=True)
    step = ((value.shape[2] - count.gather(2, largest)) / 255).floor_()  # (B, 3, 1)
    below = count.cumsum(2) - count  # (B, 3, 256): pixels darker than each value
    table = ((below + (step / 2).floor_()) / step.clamp(min=1)).floor_().clamp_(max=255) / 255
    equal = table.gather(2, value).to(images.dtype).view_as(images)
    return torch.where(step[..., None] > 0, equal, images)


def solarise(images: Tensor, level: Tensor) -> Tensor:
    """Invert what reaches 256 (1 - |level|) of 255: nothing at level 0, everything at 1."""
    return torch.where(images >= 256 / 255 * (1 - level.abs()), 1 - images, images)


def posterise(images: Tensor, level: Tensor) -> Tensor:
    """Keep the upper 8 - 4 |level| bits of 8, rounded, and at least one."""
    step = 2 ** (4 * level.abs()).round().clamp(max=7)
    return ((images * 255).round_() / step).floor_().mul_(step) / 255


def sharpness(images: Tensor, level: Tensor) -> Tensor:
    """1 + 0.9 level times the distance from a 3x3 smoothing, which leaves the border as it is."""
    kernel = images.new_ones(3, 1, 3, 3)
    kernel[:, :, 1, 1] = 5
    smooth = images.clone()
    smooth[:, :, 1:-1, 1:-1] = F.conv2d(images, kernel / 13, groups=3)
    return torch.lerp(smooth, images, _factor(level)).clamp_(0, 1)


def _factor(level: Tensor) -> Tensor:
    """1 at level 0, 0.1 and 1.9 at the ends, never negative."""
    return (1 + 0.9 * level).clamp(min=0)


COLOURS: dict[str, Callable | None] = {
    "identity": None,
    "autocontrast": autocontrast,
    "equalise": equalise,
    "solarise": solarise,
    "posterise": posterise,
    "colour": lambda images, level: saturation_(images, _factor(level)),
    "contrast": lambda images, level: contrast_(images, _factor(level)),
    "brightness": lambda images, level: brightness_(images, _factor(level)),
    "sharpness": sharpness,
}
WARPS = {
    "rotate": math.pi / 6,
    "shear_x": 0.3,
    "shear_y": 0.3,
    "translate_x": 150 / 331,
    "translate_y": 150 / 331,
}
OPERATIONS = (*COLOURS, *WARPS)


def _motion(operation: Tensor, level: Tensor) -> list[Tensor]:
    """Radians, shears and shares of the side (B,) that the operations (B,) ask for; all but one are 0."""
    first = len(COLOURS)
    return [level * most * (operation == first + i) for i, most in enumerate(WARPS.values())]


def warp(
    images: Tensor, angle: Tensor, shear_x: Tensor, shear_y: Tensor, shift_x: Tensor, shift_y: Tensor
) -> Tensor:
    """Turn images (B, 3, H, W) counter-clockwise about their centre, shear from the corner, shift: (B,) each.

    Place (x, y) of the result, in pixels from the upper left corner, shows the image's place
    (x + shear_x y + shift_x W, y + shear_y x + shift_y H).
    """
    h, w = images.shape[2:]
    cos, sin = angle.cos(), angle.sin()
    # In pixels from the centre, then in grid_sample's units of half a side: x = W / 2 u, y = H / 2 v.
    u = torch.stack([cos, (shear_x - sin) * h / w, shear_x * h / w + 2 * shift_x], 1)
    v = torch.stack([(shear_y + sin) * w / h, cos, shear_y * w / h + 2 * shift_y], 1)
    places = F.affine_grid(torch.stack([u, v], 1).to(images.dtype), list(images.shape), align_corners=False)
    # Less the fill, what lies outside is 0.
    return F.grid_sample(images - FILL, places, align_corners=False).add_(FILL).clamp_(0, 1)
