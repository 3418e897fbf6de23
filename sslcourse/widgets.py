"""Things to play with: thin ipywidgets over plain functions that return figures."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from matplotlib.colors import hsv_to_rgb, rgb_to_hsv, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import rotate

from sslcourse.data.toybox import WORLDS
from sslcourse.data.toybox.load import render_block, workers
from sslcourse.data.toybox.world import PATTERNS, Draw, draw_factors
from sslcourse.errors import UserError
from sslcourse.methods.pretext.video_color import pointer
from sslcourse.plots.figure import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    VERMILLION,
    bundle,
    canvas,
    styled,
    with_alt,
)
from sslcourse.plots.images import grid, pixels
from sslcourse.plots.images import views as rows_of
from sslcourse.views import Lens, cut, grid_corners, lab_to_rgb, rgb_to_lab, rotate90


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


PLACES = ("upper left", "above", "upper right", "left", "right", "lower left", "below", "lower right")


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
