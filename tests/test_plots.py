"""Every figure helper returns a figure with caption and alt text, small enough for a page."""

from io import BytesIO

import matplotlib as mpl
import numpy as np
import pytest
import torch
from PIL import Image

from sslcourse import plots
from sslcourse.plots.figure import LARGE, WIDTH, bundle
from sslcourse.plots.images import overlay, pixels

X = torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))
HISTORY = [{"epoch": i, "loss": 2.0 - i / 10, "lr": 0.1, "knn": i / 10, "seconds": 1.0} for i in range(5)]
ARROWS = [("leak", "cure")]
FIGURES = {
    "grid": lambda c: plots.grid(X, [f"image {i}" for i in range(8)], 4, c),
    "views": lambda c: plots.views({"image": X, "view": X.flip(3)}, c),
    "neighbours": lambda c: plots.neighbours(X[:2], [X[2:5], X[4:7]], [[True, False, True]] * 2, c),
    "attention": lambda c: plots.attention(X, torch.rand(8, 4, 4), c),
    "segments": lambda c: plots.segments(X, {"truth": torch.randint(4, (8, 16, 16))}, c),
    "curves": lambda c: plots.curves({"a": [1, 2, 3], "b": [[1, 2, 3], [2, 3, 4]]}, ylabel="loss", caption=c),
    "history": lambda c: plots.history(HISTORY, caption=c),
    "bars": lambda c: plots.bars({"a": 0.5, "b": (0.7, 0.1)}, c, random=0.3),
    "groups": lambda c: plots.bars({"a": {"frozen": 0.5, "tuned": 0.6}, "b": {"tuned": 0.7}}, c, random=0.1),
    "label_curves": lambda c: plots.label_curves({"scratch": {0.01: 0.2, 0.1: (0.5, 0.1), 1.0: 0.9}}, c),
    "heatmap": lambda c: plots.heatmap(torch.eye(3), ["a", "b", "c"], ["x", "y", "z"], c),
    "confusion": lambda c: plots.confusion(torch.tensor([[8, 2], [1, 9]]), ["car", "tree"], c),
    "scatter": lambda c: plots.scatter({"leak": (0.9, 0.3), "cure": (0.5, 0.5)}, "x", "y", c, arrows=ARROWS),
    "taxonomy": plots.taxonomy,
    "pipeline": plots.pipeline,
}  # fmt: skip


@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_wide_captioned_described_and_small(name):
    caption = "What this figure shows."
    figure = FIGURES[name](caption)
    assert isinstance(figure, mpl.figure.Figure) and figure.get_figwidth() == WIDTH
    assert [t.get_text() for t in figure.texts] == [caption] and figure.caption == caption
    assert len(figure.alt) > 20
    data, metadata = bundle(figure)
    assert (
        metadata["image/png"] == {"alt": figure.alt, "caption": caption} and figure.alt in data["text/plain"]
    )
    assert len(data["image/png"]) < 1.4 * LARGE


def test_alt_text_says_the_numbers_or_what_it_is_told():
    assert "b 0.700 ± 0.100" in plots.bars({"a": 0.5, "b": (0.7, 0.1)}).alt
    assert "a from 1 to 3" in plots.curves({"a": [1, 2, 3]}).alt
    said = FIGURES["confusion"]("").alt
    assert "85% right" in said and "car is taken for tree (20%)" in said
    assert plots.grid(X, alt="eight\n squares").alt == "eight squares"


def test_drawing_leaves_the_style_of_the_process_alone():
    before = dict(mpl.rcParams)
    FIGURES["bars"]("x")
    assert dict(mpl.rcParams) == before


def test_pixels_reads_every_kind_of_image():
    assert (pixels(torch.full((3, 2, 2), 128, dtype=torch.uint8)) == 128).all()
    assert (pixels(torch.full((1, 2, 2), 0.5)) == 128).all() and pixels(torch.ones(2, 5)).shape == (2, 5, 3)
    assert pixels(torch.full((3, 2, 2), 1.7)).max() == 255 and pixels(np.eye(3) > 0).max() == 255
    with pytest.raises(ValueError, match=r"\(3, H, W\)"):
        pixels(torch.zeros(4, 2, 2))


def test_a_grid_shows_each_image_where_it_belongs():
    colours = torch.tensor([[255, 0, 0], [0, 255, 0], [0, 0, 255]], dtype=torch.uint8)
    figure = plots.grid(colours[:, :, None, None].expand(3, 3, 4, 4), columns=3)
    picture = np.asarray(Image.open(BytesIO(plots.png(figure))).convert("RGB")).astype(int)
    row = picture[picture.shape[0] // 2]
    places = [np.flatnonzero((abs(row - colour) < 6).all(1)).mean() for colour in colours.numpy().astype(int)]
    assert places[0] < places[1] < places[2]


def test_overlay_is_brightest_where_attention_is():
    heat = torch.zeros(4, 4)
    heat[0, 0] = 7.0
    shown = overlay(torch.full((3, 16, 16), 0.5), heat).sum(0)
    assert shown.argmax() < 2 * 16 and shown[15, 15] == shown.min()


def test_tables_align_mark_the_best_and_dash_the_missing():
    made = plots.table(
        [{"m": "a<b", "x": 0.5, "y": None}, {"m": "c", "x": 0.75, "y": 2}], best=["x"], digits=2
    )
    assert repr(made).splitlines() == ["m       x  y", "---  ----  -", "a<b  0.50  –", "c    0.75  2"]
    html = made._repr_html_()
    assert "<b>0.75</b>" in html and "<b>0.50</b>" not in html and "a&lt;b" in html
    assert "text-align:right" in html


def test_pyplot_figures_get_alt_text_and_are_shown_once():
    plt = pytest.importorskip("matplotlib.pyplot")
    figure = plots.with_alt(plt.figure(), "a line", "A line.")
    assert (figure.alt, figure.caption) == ("a line", "A line.") and figure.number not in plt.get_fignums()
