"""What every figure shares: palette, style, width, a caption beneath the axes, and alt text.

Figures are made without pyplot, so a notebook shows each once: as the last line of its cell, or by `display`.
"""

from __future__ import annotations

import base64
import functools
import io
import sys
import textwrap
from types import MethodType

import matplotlib as mpl
from matplotlib.figure import Figure
from PIL import Image

# Okabe & Ito (2008): told apart by colour-blind readers. Yellow is last, too light for thin lines.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000", "#F0E442")
BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY, BLACK, YELLOW = PALETTE
GREY = "#6B6B6B"
MARKERS = "osD^vPX*"
DASHES = ("-", "--", "-.", ":", "-", "--", "-.", ":")
WIDTH, DPI = 8.0, 110  # inches, dots per inch
LARGE = 25_000  # bytes of a PNG
SEQUENTIAL = "cividis"  # dark to light, readable without colour
GLOW = "inferno"  # black to bright yellow, for maps laid over grey images

_STYLE = {
    "font.size": 10,
    "axes.titlesize": 10.5,
    "axes.labelsize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E3E3E3",
    "grid.linewidth": 0.8,
    "lines.linewidth": 2,
    "lines.markersize": 5,
    "legend.framealpha": 0.8,
    "legend.edgecolor": "none",
    "legend.fontsize": 9.5,
    "figure.dpi": DPI,
    "savefig.dpi": DPI,
    "axes.prop_cycle": mpl.cycler(color=PALETTE),
    "image.interpolation": "nearest",
}


def style() -> None:
    """Set the course's figure style for this process (`lesson.setup` calls it)."""
    mpl.rcParams.update(_STYLE)


def styled(draw):
    """Decorate a function that draws: the course's style, whatever the process has set."""

    @functools.wraps(draw)
    def wrapper(*args, **kwargs):
        with mpl.rc_context(_STYLE):
            return draw(*args, **kwargs)

    return wrapper


def canvas(height: float, caption: str = "", rows: int = 1, columns: int = 1, **subplots):
    """A WIDTH x (height + caption) inch figure and its axes (as `Figure.subplots` returns them)."""
    lines = textwrap.wrap(caption, 112)
    foot = 0.17 * len(lines) + 0.12 if lines else 0.0  # inches
    total = height + foot
    figure = Figure(figsize=(WIDTH, total), dpi=DPI, layout="constrained")
    figure.get_layout_engine().set(rect=(0, foot / total, 1, height / total), w_pad=0.07, h_pad=0.05)
    axes = figure.subplots(rows, columns, **subplots)
    if lines:
        text = {"va": "top", "fontsize": 9, "color": "#333333", "linespacing": 1.25}
        figure.text(0.012, (foot - 0.05) / total, "\n".join(lines), **text)
    return figure, axes


def with_alt(figure: Figure, alt: str, caption: str = "") -> Figure:
    """Give any matplotlib figure alt text (and a caption, which is not drawn here); returns it.

    In notebooks the PNG then carries both in its metadata: nbconvert writes `<img alt=...>`.
    """
    figure.alt, figure.caption = " ".join(alt.split()), " ".join(caption.split())
    figure._ipython_display_ = MethodType(_display, figure)
    if "matplotlib.pyplot" in sys.modules:  # a pyplot figure would be shown a second time
        import matplotlib.pyplot as plt

        plt.close(figure)
    return figure


def png(figure: Figure) -> bytes:
    """The figure as PNG bytes; above LARGE bytes, with its best 256 colours (pages hold many figures)."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, facecolor="white")
    if buffer.tell() > LARGE:
        small = Image.open(buffer).convert("RGB").quantize(256, kmeans=3, dither=Image.Dither.NONE)
        buffer = io.BytesIO()
        small.save(buffer, "png", optimize=True)
    return buffer.getvalue()


def bundle(figure: Figure) -> tuple[dict, dict]:
    """(MIME data, metadata) for `IPython.display.display(data, metadata=metadata, raw=True)`."""
    alt, caption = getattr(figure, "alt", ""), getattr(figure, "caption", "")
    data = {"image/png": base64.b64encode(png(figure)).decode(), "text/plain": f"[Figure: {alt or caption}]"}
    return data, {"image/png": {"alt": alt, "caption": caption}}


def _display(figure: Figure) -> None:
    from IPython.display import display

    data, metadata = bundle(figure)
    display(data, metadata=metadata, raw=True)
