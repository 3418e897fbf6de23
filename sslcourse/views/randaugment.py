"""RandAugment (Cubuk et al. 2020, 1909.13719): a few of many operations, every image with its own.

Four laws say which operations, how often and how strong: FixMatch's, UDA's and InfoMin's, read off their
authors' code, and the paper's. `randaugment_` makes the operations.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sslcourse.errors import UserError
from sslcourse.views.colour import brightness_, contrast_, saturation_
from sslcourse.views.compose import Compose
from sslcourse.views.crops import HorizontalFlip, ShiftCrop
from sslcourse.views.distort import Cutout, square
from sslcourse.views.view import View, constant, uniform

FILL = 0.5  # what comes in from outside the image: AutoAugment's grey


class RandAugment(View):
    """`operations` of the law's list one after another, drawn with replacement, each by a coin of its own.

    law     | operations                                  | each made with p | magnitude of 10
    fixmatch| 14, identity among them                     | 0.5 | one of 1, ..., `magnitude` - 1, equally likely
    uda     | invert and cutout for identity: 15          | 0.5 | the same
    infomin | invert and solarise_add for identity: 15    | 0.5 | N(`magnitude`, 0.5), cut to [0, 10]
    paper   | FixMatch's 14                               | 1   | `magnitude`, up to 30

    Every image and operation has its own draw, but for the paper's magnitude; directions are drawn. At 10 of
    10: 30 degrees, shear 0.3, shift of 10 px of 32 (InfoMin 0.45 of the side, paper 150/331). Colour, contrast,
    brightness and sharpness take 0.1 + 1.8 m / 10, so that 5 changes nothing; the paper's are 1 +- 0.9 m / 10.

    Differs: between pixels the warps are bilinear (FixMatch, UDA: the nearest; InfoMin: bilinear or bicubic by
    a coin). All fill with grey 0.5 (UDA, InfoMin: the mean colour of their images; and in FixMatch's and
    UDA's code an autocontrast, equalise, invert, solarise or posterise that follows a warp finds black there).
    FixMatch and UDA shift by 10 px, and UDA cuts out up to 18 px, whatever the image's size; here it is a share.
    FixMatch's ImageNet code has another list (16, with invert and solarise_add) and levels 0, ..., 10.
    """

    in_place = True

    def __init__(self, operations: int = 2, magnitude: float = 10, law: str = "fixmatch"):
        if law not in LAWS:
            raise UserError(f"law {law!r} of RandAugment is unknown: choose from {', '.join(LAWS)}")
        if operations < 1:
            raise UserError(f"operations {operations} of RandAugment: use 1 or more")
        low, high = LAWS[law].range
        if not low <= magnitude <= high:
            raise UserError(f"magnitude {magnitude} of RandAugment by {law}'s law: use {low} to {high}")
        self.operations, self.magnitude, self.law = operations, magnitude, LAWS[law]

    def draw(self, images: Tensor, generator: torch.Generator | None) -> tuple:
        law, shape = self.law, (len(images), self.operations)
        listed = tuple(OPERATIONS.index(name) for name in law.amounts)
        place = uniform(shape, 0, len(listed), images, generator).long().clamp_(max=len(listed) - 1)
        operation = constant(listed, images.device, torch.long)[place]
        level = law.level(self.magnitude, shape, images, generator) / 10
        sign = torch.where(uniform(shape, 0.0, 1.0, images, generator) < 0.5, -1.0, 1.0).to(level)
        amount = torch.zeros_like(level)
        for i, change in zip(listed, law.amounts.values(), strict=True):
            if change is not None:
                amount = torch.where(operation == i, change(level, sign), amount)
        made = uniform(shape, 0.0, 1.0, images, generator) < law.p
        operation = torch.where(made, operation, OPERATIONS.index("identity"))
        return operation, amount, uniform((*shape, 2), 0.0, 1.0, images, generator)

    def apply(self, images: Tensor, operation: Tensor, amount: Tensor, place: Tensor) -> Tensor:
        for k in range(self.operations):
            images = randaugment_(images, operation[:, k], amount[:, k], place[:, k])
        return images


def strong_view(size: int | None = None, operations: int = 2, magnitude: float = 10) -> Compose:
    """FixMatch's (Sohn et al. 2020, 2001.07685): shift and flip, RandAugment, Cutout of half the side.

    It keeps the images' size; `size` is accepted so that recipes can be exchanged.
    """
    return Compose([*shift_and_flip().views, RandAugment(operations, magnitude), Cutout(0.5)])


def shift_and_flip() -> Compose:
    """FixMatch's and UDA's weak view: a shift by up to 4 px, reflected at the border, and a flip."""
    return Compose([ShiftCrop(4, "reflect"), HorizontalFlip(0.5)])


def randaugment_(images: Tensor, operation: Tensor, amount: Tensor, place: Tensor | None = None) -> Tensor:
    """Operations (B,), as places in OPERATIONS, by amounts (B,) in their own units, on images (B, 3, H, W), in place.

    An amount is a factor (colour, contrast, brightness, sharpness), a threshold of 256 (solarise), values of
    255 to add (solarise_add), bits to keep (posterise), a share of the side (cutout, translate), radians or
    a slope. `place` (B, 2) in [0, 1]: the middle of a cutout; without, none is made. Every operation works once: on a CPU on the rows that drew it; a GPU would have to wait to learn which
    these are, so there it works on all rows and `where` picks.
    """
    on_rows = _gathered if images.device.type == "cpu" else _masked
    geometric = operation >= len(OPERATIONS) - len(WARPS)
    images = on_rows(images, geometric, lambda x, o, a: warp(x, *_motion(o, a)), operation, amount)
    if place is not None:
        images = on_rows(images, operation == OPERATIONS.index("cutout"), _hide, place, amount)
    amount = amount[:, None, None, None]  # (B,) -> (B, 1, 1, 1)
    for i, change in enumerate(COLOURS.values()):
        if change is not None:
            images = on_rows(images, operation == i, change, amount)
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


# Changes that keep every pixel in its place take images (B, 3, H, W) and amounts (B, 1, 1, 1).


def autocontrast(images: Tensor, _: Tensor | None = None) -> Tensor:
    """Stretch each channel to [0, 1]; a channel of one value stays."""
    low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    return torch.where(high > low, (images - low) / (high - low).clamp(min=1e-6), images).clamp_(0, 1)


def equalise(images: Tensor, _: Tensor | None = None) -> Tensor:
    """Flatten each channel's histogram of 256 values, as PIL does."""
    value = (images * 255).round_().long().flatten(2)  # (B, 3, H, W) -> (B, 3, H * W)
    ones = torch.ones_like(value, dtype=torch.float32)
    count = ones.new_zeros(*value.shape[:2], 256).scatter_add_(2, value, ones)
    largest = value.amax(2, keepdim=True)
    step = ((value.shape[2] - count.gather(2, largest)) / 255).floor_()  # (B, 3, 1)
    below = count.cumsum(2) - count  # (B, 3, 256): pixels darker than each value
    table = ((below + (step / 2).floor_()) / step.clamp(min=1)).floor_().clamp_(max=255) / 255
    equal = table.gather(2, value).to(images.dtype).view_as(images)
    return torch.where(step[..., None] > 0, equal, images)


def invert(images: Tensor, _: Tensor | None = None) -> Tensor:
    return 1 - images


def solarise(images: Tensor, threshold: Tensor) -> Tensor:
    """Invert what reaches `threshold` of 255: everything at 0, nothing at 256."""
    return torch.where(images >= threshold / 255, 1 - images, images)


def solarise_add(images: Tensor, add: Tensor) -> Tensor:
    """Add so much of 255 to what is darker than 128."""
    return torch.where(images < 128 / 255, (images + add / 255).clamp(max=1), images)


def posterise(images: Tensor, bits: Tensor) -> Tensor:
    """Keep the upper `bits` of 8: nothing at 0."""
    step = 2 ** (8 - bits)
    return ((images * 255).round_() / step).floor_().mul_(step) / 255


def sharpness(images: Tensor, factor: Tensor) -> Tensor:
    """`factor` times the distance from a 3x3 smoothing, which leaves the border as it is."""
    kernel = images.new_ones(3, 1, 3, 3)
    kernel[:, :, 1, 1] = 5
    smooth = images.clone()
    smooth[:, :, 1:-1, 1:-1] = F.conv2d(images, kernel / 13, groups=3)
    return torch.lerp(smooth, images, factor).clamp_(0, 1)


def _hide(images: Tensor, place: Tensor, share: Tensor) -> Tensor:
    return torch.where(square(images, place, share), FILL, images)


COLOURS: dict[str, Callable | None] = {
    "identity": None,
    "autocontrast": autocontrast,
    "equalise": equalise,
    "invert": invert,
    "solarise": solarise,
    "solarise_add": solarise_add,
    "posterise": posterise,
    "colour": saturation_,
    "contrast": contrast_,
    "brightness": brightness_,
    "sharpness": sharpness,
}
WARPS = ("rotate", "shear_x", "shear_y", "translate_x", "translate_y")
OPERATIONS = (*COLOURS, "cutout", *WARPS)


def _motion(operation: Tensor, amount: Tensor) -> list[Tensor]:
    """Radians, slopes and shares of the side (B,) that the operations (B,) ask for; all but one are 0."""
    first = len(OPERATIONS) - len(WARPS)
    return [amount * (operation == first + i) for i in range(len(WARPS))]


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


# The laws. An amount is a function of the level, magnitude / 10, and of a sign.


@dataclass(frozen=True)
class Law:
    """`amounts`: name -> (level, sign) -> amount; each made with probability `p`; `level`: draws magnitudes (B, n)."""

    amounts: dict[str, Callable | None]
    p: float
    level: Callable
    range: tuple[float, float]


def _one(magnitude: float, shape: tuple, images: Tensor, generator: torch.Generator | None) -> Tensor:
    return images.new_full(shape, magnitude)


def _whole(magnitude: float, shape: tuple, images: Tensor, generator: torch.Generator | None) -> Tensor:
    """One of 1, ..., magnitude - 1."""
    most = int(magnitude) - 1
    return (uniform(shape, 0, most, images, generator).floor_() + 1).clamp_(max=most)


def _normal(magnitude: float, shape: tuple, images: Tensor, generator: torch.Generator | None) -> Tensor:
    device = images.device if generator is None else generator.device
    noise = torch.randn(shape, generator=generator, device=device, dtype=torch.float32)
    return (magnitude + 0.5 * noise).clamp_(0, 10).to(images.device, images.dtype)


def _signed(most: float) -> Callable:
    return lambda level, sign: most * level * sign


def _factor(level: Tensor, sign: Tensor) -> Tensor:
    return 0.1 + 1.8 * level


def _around_one(level: Tensor, sign: Tensor) -> Tensor:
    return (1 + 0.9 * level * sign).clamp(min=0)


def _amounts(factor: Callable, shift: float, **others: Callable | None) -> dict[str, Callable | None]:
    """What the laws have in common, and their own."""
    factors = dict.fromkeys(("colour", "contrast", "brightness", "sharpness"), factor)
    warps = {
        "rotate": math.pi / 6,
        "shear_x": 0.3,
        "shear_y": 0.3,
        "translate_x": shift,
        "translate_y": shift,
    }
    common = {"autocontrast": None, "equalise": None, **factors}
    return {**common, **{name: _signed(most) for name, most in warps.items()}, **others}


# FixMatch and UDA keep 4 bits of a weak and 1 of a strong image, InfoMin's code 0 to 4, the strongest most.
_UP = {
    "solarise": lambda level, sign: 256 - (256 * level).floor(),
    "posterise": lambda level, sign: 4 - (4 * level).floor(),
}
LAWS = {
    "fixmatch": Law(_amounts(_factor, 10 / 32, **_UP, identity=None), 0.5, _whole, (2, 10)),
    "uda": Law(
        _amounts(_factor, 10 / 32, **_UP, invert=None, cutout=lambda level, sign: 20 / 32 * level),
        0.5, _whole, (2, 10),
    ),
    "infomin": Law(
        _amounts(
            _factor, 0.45, invert=None,
            solarise=lambda level, sign: (256 * level).floor(),
            solarise_add=lambda level, sign: (110 * level).floor(),
            posterise=lambda level, sign: (4 * level).floor(),
        ),
        0.5, _normal, (0, 10),
    ),
    "paper": Law(
        _amounts(
            _around_one, 150 / 331, identity=None,
            solarise=lambda level, sign: 256 * (1 - level),
            posterise=lambda level, sign: (8 - (4 * level).round()).clamp(min=1),
        ),
        1.0, _one, (0, 30),
    ),
}  # fmt: skip
