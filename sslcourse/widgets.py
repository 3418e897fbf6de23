"""Things to play with: thin ipywidgets over plain functions that return figures."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from matplotlib.colors import hsv_to_rgb, rgb_to_hsv
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import rotate

from sslcourse.data.toybox import WORLDS
from sslcourse.data.toybox.load import render_block, workers
from sslcourse.data.toybox.world import PATTERNS, Draw, draw_factors
from sslcourse.errors import UserError
from sslcourse.plots.figure import BLUE, ORANGE, bundle, canvas, styled, with_alt
from sslcourse.plots.images import grid, pixels
from sslcourse.views import rotate90


def controls(**choices) -> dict[str, object]:
    """One ipywidget per name: (low, high[, step]) is a slider, a list a menu, a bool a box."""
    from ipywidgets import Widget, interactive

    made = {}
    for name, choice in choices.items():
        widget = choice if isinstance(choice, Widget) else interactive.widget_from_abbrev(choice)
        if widget is None:
            raise UserError(
                f"play: {name}={choice!r} is no control; give (low, high, step), a list or a bool"
            )
        widget.description = name.replace("_", " ")
        if hasattr(widget, "continuous_update"):
            widget.continuous_update = False  # redraw when the slider is let go
        widget.style.description_width = "initial"
        made[name] = widget
    return made


def play(function: Callable[..., Figure], **choices) -> None:
    """Controls above the figure that `function(**values)` returns; moving one redraws it.

    choices: see `controls`. The figure at the controls' first values is an ordinary output, so a page that
    cannot run shows it, with its caption and alt text. ipywidgets 7.7 and 8.
    """
    from IPython.display import display
    from ipywidgets import VBox

    made = controls(**choices)

    def draw() -> tuple[dict, dict]:
        return bundle(function(**{name: widget.value for name, widget in made.items()}))

    data, metadata = draw()
    widget = {"version_major": 2, "version_minor": 0, "model_id": VBox(list(made.values())).model_id}
    note = f"[controls, live in a running notebook: {', '.join(w.description for w in made.values())}]"
    display({"application/vnd.jupyter.widget-view+json": widget, "text/plain": note}, raw=True)
    shown = display(data, metadata=metadata, raw=True, display_id=True)

    def redraw(_change: dict) -> None:
        data, metadata = draw()
        shown.update(data, metadata=metadata, raw=True)

    for control in made.values():
        control.observe(redraw, names="value")


@torch.no_grad()
def turn_belief(method, images: Tensor, angle: float) -> tuple[Tensor, Tensor]:
    """Images (B, 3, H, H) turned counter-clockwise by `angle` degrees, and RotNet's softmax (B, 4)."""
    quarters = torch.full((len(images),), int(angle // 90))
    turned = (
        rotate90(images, quarters)
        if angle % 90 == 0
        else rotate(images, float(angle), InterpolationMode.BILINEAR)
    )
    training = method.training
    method.eval()
    belief = F.softmax(method.logits(turned.to(next(method.parameters()).device)).float(), dim=1).cpu()
    method.train(training)
    return turned, belief


@styled
def rotation_belief(run, image: Tensor, angle: float = 0.0, caption: str = "") -> Figure:
    """An image (3, H, H), uint8 or in [0, 1], turned by `angle` degrees, and what a RotNet run believes."""
    image = image.float() / 255 if image.dtype == torch.uint8 else image
    turned, belief = turn_belief(run.method, image[None].cpu(), angle)
    belief = belief[0]
    caption = caption or "What the network believes the turn to be."
    figure, (left, right) = canvas(2.4, caption, 1, 2, width_ratios=(1, 2))
    left.imshow(pixels(turned[0]), interpolation="nearest")
    left.axis("off")
    names = ["0°", "90°", "180°", "270°"]
    best = int(belief.argmax())
    colours = [ORANGE if i == best else BLUE for i in range(4)]
    right.bar(names, belief.numpy(), color=colours)
    for i, p in enumerate(belief.tolist()):
        right.text(i, p + 0.02, f"{p:.2f}", ha="center", fontsize=9)
    right.set_ylim(0, 1.12)
    right.set_ylabel("belief")
    right.grid(axis="x", visible=False)
    said = ", ".join(f"{name} {p:.2f}" for name, p in zip(names, belief.tolist(), strict=True))
    return with_alt(figure, f"An image turned by {angle:g} degrees; the network believes {said}.", caption)


def play_rotation(run, images: Tensor) -> None:
    """`rotation_belief` with a slider for the angle and a menu of images (N, 3, H, H)."""

    def draw(image: int, angle: int) -> Figure:
        return rotation_belief(run, images[image], angle)

    from ipywidgets import IntSlider

    play(draw, image=list(range(len(images))), angle=IntSlider(90, 0, 345, 15))


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

    def draw(**values) -> Figure:
        told = ", ".join(f"{name} {value}" for name, value in values.items())
        image = toybox_image(size=size, world=world, **values)
        return grid([image], caption="One toy, its factors set by hand.", alt=f"A rendered toy: {told}.")

    play(
        draw, toy=list(WORLDS[world].classes), example=(0, 20), yaw=(-180, 180, 15), hue=(0.0, 1.0, 0.05),
        toy_size=(0.5, 0.95, 0.05), x=(-0.2, 0.2, 0.05), y=(-0.2, 0.2, 0.05),
        light_azimuth=(-180, 180, 15), camera_elevation=(5, 90, 5), camera_roll=(-30, 30, 5),
        floor=list(PATTERNS), floor_hue=(0.0, 1.0, 0.05),
    )  # fmt: skip
