"""Our own drawings: the families of pretext tasks and the two-stage pipeline."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Polygon, Rectangle

from sslcourse.plots.figure import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    WIDTH,
    canvas,
    styled,
    with_alt,
)

INK = "#222222"
FAMILIES = (  # group, family, colour, what is predicted, methods, lessons
    ("change an image,\nask about the change", "transformation", BLUE, "which transformation was applied",
     "RotNet", "02"),
    ("", "structure", SKY, "how the parts fit, or a missing channel",
     "context, jigsaw, counting, colour", "03 04"),
    ("compare\ntwo views", "contrastive", ORANGE, "which other view is of the same image",
     "NPID, CPC, SimCLR, MoCo", "05-07"),
    ("", "self-distillation", VERMILLION, "what a copy says of the other view",
     "BYOL, DINO, OBoW, SwAV", "08 09"),
    ("hide a part,\nfill it in", "masked", PURPLE, "the hidden patches: pixels, tokens or features",
     "BEiT, MAE, iBOT, MOCA", "10 14"),
    ("", "generative", GREEN, "the next pixel, or the whole image from a code",
     "PixelCNN, iGPT, BiGAN", "11"),
    ("share out\nthe scene", "objects", GREY, "the image again, from a few slots",
     "Slot Attention, DINOSAUR, SPOT", "13"),
)  # fmt: skip


def _square(axes: Axes, x: float, y: float, side: float, colour: str, angle: float = 0, **kw) -> None:
    kw = {"facecolor": colour, "edgecolor": INK, "linewidth": 0.9} | kw
    axes.add_patch(Rectangle((x, y), side, side, angle=angle, rotation_point="center", **kw))


def _arrow(axes: Axes, start, end, colour: str = INK, **kw) -> None:
    style = {
        "arrowstyle": "-|>",
        "mutation_scale": 11,
        "linewidth": 1.4,
        "color": colour,
        "shrinkA": 0,
        "shrinkB": 0,
    }
    axes.add_patch(FancyArrowPatch(start, end, **(style | kw)))


def _house(axes: Axes, x: float, y: float, s: float, colour: str, turned: bool = False) -> None:
    """A house of side s standing in a frame, or the frame turned by 90 degrees. y points down."""
    wall = [(0.28, 0.85), (0.72, 0.85), (0.72, 0.45), (0.86, 0.45), (0.5, 0.14), (0.14, 0.45), (0.28, 0.45)]
    points = [(v, 1 - u) if turned else (u, v) for u, v in wall]
    _square(axes, x, y, s, "white")
    axes.add_patch(Polygon([(x + u * s, y + v * s) for u, v in points], facecolor=colour, edgecolor="none"))


def _icon(axes: Axes, family: str, x: float, y: float, c: str) -> None:
    """A sketch of the family in a box 0.9 wide and 0.42 high, top left at (x, y)."""
    if family == "transformation":
        _house(axes, x, y, 0.38, c)
        _arrow(axes, (x + 0.4, y + 0.19), (x + 0.52, y + 0.19), mutation_scale=7)
        _house(axes, x + 0.54, y, 0.38, c, turned=True)
    elif family == "structure":
        for i in range(9):
            _square(
                axes, x + 0.27 + 0.14 * (i % 3), y + 0.14 * (i // 3) - 0.01, 0.115, c if i == 4 else "white"
            )
        axes.text(x + 0.27 + 0.28 + 0.057, y + 0.06, "?", ha="center", va="center", fontsize=7)
    elif family == "contrastive":
        for dx, colour in ((0.0, c), (0.27, c), (0.62, "white")):
            axes.add_patch(
                Circle((x + 0.14 + dx, y + 0.2), 0.11, facecolor=colour, edgecolor=INK, linewidth=0.9)
            )
        _arrow(
            axes, (x + 0.53, y + 0.2), (x + 0.64, y + 0.2), arrowstyle="<->", mutation_scale=6, linewidth=1
        )
    elif family == "self-distillation":
        for dy, alpha in ((0.0, 1.0), (0.23, 0.35)):
            box = {"boxstyle": "round,pad=0,rounding_size=0.04", "edgecolor": INK, "linewidth": 0.9}
            axes.add_patch(FancyBboxPatch((x + 0.2, y + dy), 0.5, 0.15, facecolor=c, alpha=alpha, **box))
        _arrow(axes, (x + 0.78, y + 0.31), (x + 0.78, y + 0.07), mutation_scale=7)
    elif family == "masked":
        for i in range(9):
            filled = i in (0, 4, 5)
            _square(axes, x + 0.27 + 0.13 * (i % 3), y + 0.13 * (i // 3), 0.13, c if filled else "#D9D9D9")
    elif family == "generative":
        for i in range(9):
            _square(axes, x + 0.27 + 0.13 * (i % 3), y + 0.13 * (i // 3), 0.13, c if i < 5 else "white")
    else:
        _square(axes, x + 0.27, y, 0.39, "white")
        axes.add_patch(Circle((x + 0.38, y + 0.13), 0.075, color=ORANGE, linewidth=0))
        axes.add_patch(Circle((x + 0.53, y + 0.25), 0.09, color=SKY, linewidth=0))


def _sheet(height: float, caption: str):
    """Axes in inches, (0, 0) at the top left."""
    figure, axes = canvas(height, caption)
    axes.set_xlim(0, WIDTH)
    axes.set_ylim(height, 0)
    axes.set_aspect("equal")
    axes.axis("off")
    return figure, axes


@styled
def taxonomy(caption: str = "", alt: str = "") -> Figure:
    """The families of pretext tasks: what is predicted, and in which lesson.

    The idea of such a map is Weng & Kim's (NeurIPS 2021 tutorial); families and drawing are ours.
    """
    caption = (
        caption or "Families of pretext tasks: where targets come from when nobody has labelled the images."
    )
    row, top = 0.62, 0.32
    figure, axes = _sheet(top + row * len(FAMILIES) + 0.05, caption)
    for x, text in ((1.45, "family"), (4.1, "what the network must predict"), (7.75, "lesson")):
        axes.text(x, 0.18, text, fontsize=9, color=GREY, va="center", ha="right" if x > 7 else "left")
    for i, (group, family, colour, target, methods, lessons) in enumerate(FAMILIES):
        y = top + i * row
        if group:
            span = 2 if i + 1 < len(FAMILIES) and not FAMILIES[i + 1][0] else 1
            axes.add_patch(Rectangle((1.28, y + 0.04), 0.035, span * row - 0.1, color=GREY, linewidth=0))
            place = {"ha": "right", "va": "center", "fontsize": 9, "color": INK, "linespacing": 1.2}
            axes.text(1.2, y + span * row / 2 - 0.02, group, **place)
        shape = FancyBboxPatch((1.45, y + 0.03), 6.4, row - 0.1, boxstyle="round,pad=0,rounding_size=0.06")
        shape.set(facecolor=colour, alpha=0.12, linewidth=0)
        axes.add_patch(shape)
        axes.add_patch(Rectangle((1.45, y + 0.03), 0.07, row - 0.1, color=colour, linewidth=0))
        axes.text(1.6, y + row / 2 - 0.02, family, fontsize=10, fontweight="bold", va="center", color=INK)
        _icon(axes, family, 3.0, y + 0.1, colour)
        axes.text(4.1, y + 0.19, target, fontsize=9, va="center", color=INK)
        axes.text(4.1, y + 0.39, methods, fontsize=8.5, va="center", color="#555555", style="italic")
        axes.text(7.75, y + row / 2 - 0.02, lessons, fontsize=9, va="center", ha="right", color=INK)
    said = "Table-like drawing of seven families of pretext tasks: " + "; ".join(
        f"{family} predicts {target} ({methods})" for _, family, _, target, methods, _ in FAMILIES
    )
    return with_alt(figure, alt or said + ".", caption)


def _box(
    axes: Axes, x: float, y: float, w: float, h: float, text: str, colour: str, frozen: bool = False
) -> None:
    shape = FancyBboxPatch(
        (x, y), w, h, boxstyle="round,pad=0,rounding_size=0.08", linewidth=1.5, edgecolor=colour
    )
    shape.set_facecolor((*_rgb(colour), 0.06 if frozen else 0.22))
    shape.set_linestyle((0, (3, 2)) if frozen else "-")
    axes.add_patch(shape)
    axes.text(x + w / 2, y + h / 2, text, ha="center", va="center", fontsize=9.5, color=INK, linespacing=1.3)


def _rgb(colour: str) -> tuple[float, float, float]:
    return tuple(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))


def _stack(axes: Axes, x: float, y: float, label: str, tag: str = "") -> None:
    for k, colour in enumerate((SKY, ORANGE, GREEN)):
        _house(axes, x + 0.12 * k, y + 0.1 * k, 0.5, colour)
    axes.text(x + 0.37, y + 0.84, label, ha="center", va="center", fontsize=9, color=INK)
    if tag:
        axes.text(x + 0.37, y + 1.02, tag, ha="center", va="center", fontsize=9, color=VERMILLION)


@styled
def pipeline(caption: str = "", alt: str = "") -> Figure:
    """The two stages: a pretext task without labels, then the encoder in use, frozen or fine-tuned."""
    caption = caption or (
        "Stage 1 trains the encoder on a task that needs no labels. Stage 2 keeps the encoder alone: frozen "
        "under a linear classifier, or fine-tuned together with a classifier on the few labels there are."
    )
    figure, axes = _sheet(4.2, caption)
    for y, h, text in (
        (0.08, 1.3, "1  pretext task, no labels"),
        (1.72, 2.4, "2  the task we want, few labels"),
    ):
        axes.add_patch(Rectangle((0.05, y), WIDTH - 0.1, h, facecolor="#F5F5F5", linewidth=0))
        axes.text(0.15, y + 0.15, text, fontsize=10, fontweight="bold", va="center", color=INK)
    _stack(axes, 0.45, 0.4, "many images")
    _box(axes, 2.2, 0.5, 1.3, 0.6, "encoder", BLUE)
    _box(axes, 4.1, 0.5, 1.3, 0.6, "head\n(thrown away)", GREY)
    _box(axes, 6.0, 0.5, 1.8, 0.6, "pretext loss:\ntarget from the image", ORANGE)
    for a, b in ((1.32, 2.15), (3.55, 4.05), (5.45, 5.95)):
        _arrow(axes, (a, 0.8), (b, 0.8))
    rows = ((2.15, "encoder, frozen", True, "linear\nclassifier", "frozen features"),
            (3.25, "encoder, training on", False, "classifier", "fine-tuning"))  # fmt: skip
    _stack(axes, 0.45, 2.55, "few images", "with labels")
    for y, text, frozen, head, name in rows:
        _box(axes, 2.2, y, 1.3, 0.6, text.replace(", ", ",\n"), BLUE, frozen)
        _box(axes, 4.2, y, 1.1, 0.6, head, GREEN)
        axes.text(6.1, y + 0.3, f"class, box, mask, ...\n({name})", fontsize=9.5, va="center", color=INK)
        _arrow(axes, (1.32, 2.95), (2.15, y + 0.3))
        _arrow(axes, (3.55, y + 0.3), (4.15, y + 0.3))
        _arrow(axes, (5.35, y + 0.3), (6.0, y + 0.3))
    _arrow(axes, (2.85, 1.13), (2.85, 2.1), BLUE, linewidth=2.4, mutation_scale=15)
    _arrow(axes, (2.85, 2.78), (2.85, 3.22), BLUE, linewidth=2.4, mutation_scale=15)
    axes.text(2.72, 1.56, "copy the weights", fontsize=9, va="center", ha="right", color=BLUE)
    said = (
        "Diagram of two stages. Stage 1: many unlabelled images pass through an encoder and a head to a "
        "pretext loss; the head is thrown away. Stage 2: the encoder's weights are copied; a few labelled "
        "images pass either through the frozen encoder and a linear classifier, or through an encoder that "
        "trains on and a classifier."
    )
    return with_alt(figure, alt or said, caption)
