"""Where does the second patch lie? The reader's guess, then the network's."""

from __future__ import annotations

import math

import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor
from torch.nn import functional as F

from sslcourse.errors import UserError
from sslcourse.plots.figure import (
    BLACK,
    GREEN,
    GREY,
    ORANGE,
    canvas,
    styled,
    with_alt,
)
from sslcourse.plots.images import pixels
from sslcourse.views import cut, grid_corners
from sslcourse.widgets.controls import PLACES, play


@torch.no_grad()
def place_belief(method, image: Tensor, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, int]:
    """A puzzle of context prediction: the middle patch of an image (3, H, H) in [0, 1], and a neighbour.

    Returns corners (2, 2), patches (2, 3, s, s), what the method believes of the eight PLACES (8,), and the truth.
    """
    side, gap, jitter = method.geometry(image.shape[-1])
    generator = torch.Generator().manual_seed(seed)
    truth = int(torch.randint(8, (1,), generator=generator))
    pair = [4, truth + (truth > 3)]  # the fifth of nine places is the middle
    corners = grid_corners(image[None], side, gap, jitter, generator)[:, pair]  # (1, 9, 2) -> (1, 2, 2)
    patches = cut(image[None], corners, side)[0]
    training = method.training
    method.eval()
    first, second = patches[:, None].to(next(method.parameters()).device)  # (1, 3, s, s) each
    belief = F.softmax(method.logits(first, second).float(), dim=1)[0].cpu()
    method.train(training)
    return corners[0], patches, belief, truth


@styled
def patch_puzzle(run, image: Tensor, guess: str = "?", seed: int = 0, caption: str = "") -> Figure:
    """Two patches of an image (3, H, H), uint8 or in [0, 1]; once there is a `guess`, one of PLACES, the answer.

    The answer: what a context prediction run believes of the eight places, and the image with both patches framed.
    """
    if guess not in ("?", *PLACES):
        raise UserError(f"patch_puzzle: guess {guess!r} is no place; choose from ?, {', '.join(PLACES)}")
    image = (image.float() / 255 if image.dtype == torch.uint8 else image).cpu()
    corners, patches, belief, truth = place_belief(run.method, image, seed)
    caption = caption or "Green: the truth. Dashed orange: the guess."
    figure, (left, middle, right) = canvas(2.5, caption, 1, 3, width_ratios=(1.6, 1, 1))
    cells = [(i % 3, i // 3) for i in range(9) if i != 4]  # column and row of the eight places
    frame = {"fill": False, "linewidth": 1.2, "edgecolor": GREY}
    for x, y in cells:
        left.add_patch(Rectangle((x + 0.06, y + 0.06), 0.88, 0.88, linestyle=(0, (3, 2)), **frame))
        left.text(x + 0.5, y + 0.5, "?", ha="center", va="center", fontsize=12, color=GREY)
    for patch, x in zip(patches, (1, 3.7), strict=True):
        left.imshow(pixels(patch), extent=(x + 0.06, x + 0.94, 1.94, 1.06), interpolation="nearest")
    left.text(4.2, 0.9, "where does\nthis one lie?", ha="center", va="bottom", fontsize=9.5)
    left.set(xlim=(0, 4.9), ylim=(3, 0), aspect="equal")
    for ax in (left, middle, right):
        ax.axis("off")
    if guess == "?":
        middle.text(0.5, 0.5, "Guess, and the answer\nappears here.", ha="center", va="center", color=GREY)
        alt = (
            "Two patches: one in the middle of a three by three board, the other beside it, its place asked."
        )
        return with_alt(figure, alt, caption)
    board = torch.full((9,), math.nan)
    board[[i for i in range(9) if i != 4]] = belief
    middle.imshow(board.view(3, 3).numpy(), cmap="Blues", vmin=0, vmax=1, extent=(0, 3, 3, 0))
    middle.set_title("the network's belief", fontsize=9.5)
    for (x, y), p in zip(cells, belief.tolist(), strict=True):
        middle.text(
            x + 0.5, y + 0.5, f"{p:.2f}", ha="center", va="center", color="white" if p > 0.5 else BLACK
        )
    for name, colour, line, inset in ((PLACES[truth], GREEN, "-", 0.04), (guess, ORANGE, (0, (2, 1)), 0.13)):
        x, y = cells[PLACES.index(name)]
        box = {"fill": False, "linewidth": 2.4, "edgecolor": colour, "linestyle": line}
        middle.add_patch(Rectangle((x + inset, y + inset), 1 - 2 * inset, 1 - 2 * inset, **box))
    right.imshow(pixels(image), interpolation="nearest")
    right.set_title("the image", fontsize=9.5)
    side = patches.shape[-1]
    for (top, start), colour in zip(corners.tolist(), (BLACK, GREEN), strict=True):
        box = {"fill": False, "linewidth": 2, "edgecolor": colour}
        right.add_patch(Rectangle((start - 0.5, top - 0.5), side, side, **box))
    said = ", ".join(f"{name} {p:.2f}" for name, p in zip(PLACES, belief.tolist(), strict=True))
    alt = f"Two patches of an image; the second lies {PLACES[truth]}. Guessed: {guess}. The network believes: {said}."
    return with_alt(figure, alt, caption)


def play_patches(run, images: Tensor) -> None:
    """`patch_puzzle` with a menu of images (N, 3, H, H) and one of places; a new puzzle hides the answer again."""
    from ipywidgets import Dropdown

    puzzle = Dropdown(options=[(str(i + 1), i) for i in range(len(images))])
    guess = Dropdown(options=["?", *PLACES])
    puzzle.observe(lambda _change: setattr(guess, "value", "?"), names="value")
    play(
        lambda puzzle, your_guess: patch_puzzle(run, images[puzzle], your_guess, puzzle),
        puzzle=puzzle,
        your_guess=guess,
    )
