"""Turn an image, and see what a network believes of its rotation."""

from __future__ import annotations

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import rotate

from sslcourse.plots.figure import (
    BLACK,
    BLUE,
    ORANGE,
    canvas,
    styled,
    with_alt,
)
from sslcourse.plots.images import pixels
from sslcourse.views import rotate90
from sslcourse.widgets.controls import play


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
    truth = angle % 360 / 90  # in bars; between two of them where no answer is right
    right.axvline(truth if truth <= 3.5 else truth - 4, color=BLACK, linewidth=1.4, linestyle=(0, (2, 2)))
    for i, p in enumerate(belief.tolist()):
        ground = {
            "facecolor": "white",
            "edgecolor": "none",
            "pad": 1,
        }  # hides the dashed line behind the number
        right.text(i, p + 0.03, f"{p:.2f}", ha="center", fontsize=9, bbox=ground)
    right.set_ylim(0, 1.12)
    right.set_ylabel("belief")
    right.set_xlabel("turn (dashed: the truth; orange: the strongest belief)")
    right.grid(axis="x", visible=False)
    said = ", ".join(f"{name} {p:.2f}" for name, p in zip(names, belief.tolist(), strict=True))
    return with_alt(figure, f"An image turned by {angle:g} degrees; the network believes {said}.", caption)


def play_rotation(run, images: Tensor) -> None:
    """`rotation_belief` with a slider for the angle and a menu of images (N, 3, H, H)."""

    def draw(image: int, angle: int) -> Figure:
        return rotation_belief(run, images[image], angle)

    from ipywidgets import IntSlider

    play(draw, image=list(range(len(images))), angle=IntSlider(90, 0, 345, 15))
