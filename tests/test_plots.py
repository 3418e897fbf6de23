"""Every figure helper returns a figure with caption and alt text, small enough for a page."""

import math
from io import BytesIO

import matplotlib as mpl
import numpy as np
import pytest
import torch
from PIL import Image

from sslcourse import plots
from sslcourse.methods.parts.bank import Queue
from sslcourse.methods.parts.gamut import gamut_bins
from sslcourse.plots.chapters.gamut import bin_colours
from sslcourse.plots.chapters.words import lit
from sslcourse.plots.figure import WIDTH, bundle
from sslcourse.plots.images import overlay, pixels

X = torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))
HISTORY = [{"epoch": i, "loss": 2.0 - i / 10, "lr": 0.1, "knn": i / 10, "seconds": 1.0} for i in range(5)]
ARROWS = [("leak", "cure")]
BINS = gamut_bins(40)
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
    "heatmap, several": lambda c: plots.heatmap({"a": torch.eye(3), "b": torch.eye(3)}, ["a", "b", "c"], ["x", "y", "z"], c),
    "bar_columns": lambda c: plots.bar_columns({"toys": {"a": [0.2, 0.3, 0.4], "b": 0.5}, "paper": {"b": 0.7}}, c),
    "curve_columns": lambda c: plots.curve_columns({"toys": {"a": {32: [0.2, 0.3], 64: [0.4, 0.5]}}, "paper": {"b": {8: 0.7}}}, c),
    "curve_panels": lambda c: plots.curve_panels({"loss": {"a": [3, 2], "b": [[1, 2], [2, 3]]}, "std": {"a": [1, 0]}}, c),
    "bootstrap": lambda c: plots.bootstrap(*X[:3], c),
    "targets": lambda c: plots.targets(torch.randn(4, 6), torch.full((4, 6), 1 / 6), torch.full((6,), 1 / 6), c),
    "correlations": lambda c: plots.correlations({"before": torch.eye(5), "after": -torch.eye(5)}, c),
    "confusion": lambda c: plots.confusion(torch.tensor([[8, 2], [1, 9]]), ["car", "tree"], c),
    "scatter": lambda c: plots.scatter({"leak": (0.9, 0.3), "cure": (0.5, 0.5)}, "x", "y", c, arrows=ARROWS),
    "gamut": lambda c: plots.gamut(BINS, {"p": torch.arange(len(BINS))}, c),
    "taxonomy": plots.taxonomy,
    "pipeline": plots.pipeline,
    "rotation_task": lambda c: plots.rotation_task(X[0], c),
    "two_branches": lambda c: plots.two_branches(*X[:3], c),
    "crop_pairs": lambda c: plots.crop_pairs(X[0], {"a part": ((0, 0, 16, 16), (4, 4, 8, 8))}, c),
    "histograms": lambda c: plots.histograms({"a": X[:4], "b": X[4:]}, ["crop"] * 4, c),
    "bag_of_words": lambda c: plots.bag_of_words(X[0], X[1:3], [(0, 0, 8, 8), (4, 4, 6, 6)], c),
    "painted": lambda c: plots.painted(torch.randint(8, (6, 4, 4)), 8, "ABCDEF", caption=c),
    "word_patches": lambda c: plots.word_patches({"a": X[:6].unflatten(0, (2, 3))}, {"a": ["1", "2"]}, c),
    "word_fires": lambda c: plots.word_fires(X[:4], torch.rand(4, 2, 2), X[4:], torch.tensor([[0, 4, 8, 8]] * 4), c),
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
    assert len(data["image/png"]) < 84_000


def test_alt_text_says_the_numbers_or_what_it_is_told():
    assert "b 0.700 ± 0.100" in plots.bars({"a": 0.5, "b": (0.7, 0.1)}).alt
    assert "a from 1 to 3" in plots.curves({"a": [1, 2, 3]}).alt
    said = FIGURES["confusion"]("").alt
    assert "85% right" in said and "car is taken for tree (20%)" in said
    assert plots.grid(X, alt="eight\n squares").alt == "eight squares"


def test_a_column_of_bars_may_have_a_dashed_line():
    panels = {"toys": {"RotNet": [0.6, 0.8]}, "paper": {"RotNet": 0.9}}
    figure = plots.bar_columns(panels, line={"toys": ("untrained", 0.25)})
    toys, paper = figure.axes
    assert [text.get_text() for text in toys.get_legend().texts] == ["untrained 25.0%"]
    assert toys.lines[-1].get_xdata() == [0.25, 0.25] and not paper.lines
    assert "toys: RotNet 70.0%, untrained 25.0%. paper: RotNet 90.0%" in figure.alt


def test_a_history_may_stand_beside_chance():
    figure = plots.history(HISTORY, ("loss", "knn"), beside={"loss": ("chance", 1.386)})
    lines = [[line.get_label() for line in axes.lines[1:]] for axes in figure.axes]
    assert lines == [["chance 1.39"], []] and "1.6 (chance 1.39)" in figure.alt


def test_a_legend_names_every_series_and_stays_on_the_figure():
    some, rest = (
        {"frozen random": 0.2, "frozen simclr": 0.3},
        ("frozen rotnet", "scratch", "fine-tuned rotnet"),
    )
    figure = plots.bars({"first world": some, "second world": dict.fromkeys(rest, 0.5)})
    figure.draw_without_rendering()
    legend = figure.axes[0].get_legend()
    assert {t.get_text() for t in legend.get_texts()} == {*some, *rest}
    assert legend.get_window_extent().x1 <= figure.bbox.x1


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
    compared = plots.table(
        [["labels", 0.9], ["ours", 0.7]], ["m", "x"], best=["x"], references=1
    )._repr_html_()
    assert "<b>0.700</b>" in compared and "<b>0.900</b>" not in compared and 'color:#777">0.900' in compared


def test_pyplot_figures_get_alt_text_and_are_shown_once():
    plt = pytest.importorskip("matplotlib.pyplot")
    figure = plots.with_alt(plt.figure(), "a line", "A line.")
    assert (figure.alt, figure.caption) == ("a line", "A line.") and figure.number not in plt.get_fignums()


def test_a_leak_shows_every_variant_in_every_measurement_it_has():
    row = {"kind": "leaky", "chance": 0.25, "random_probe": 0.3, "control_accuracy": None}
    rows = [
        {**row, "variant": "open", "pretext_accuracy": 0.9, "probe_accuracy": p, "seed": i}
        for i, p in enumerate((0.3, 0.5))
    ]
    figure = plots.leak([*rows, {**rows[0], "variant": "shut", "kind": "cured", "pretext_accuracy": 0.5}])
    assert len(figure.axes) == 2  # no control was measured
    assert "open, linear probe: 0.40" in figure.alt and "shut, the task, on toys: 0.50" in figure.alt


def test_leaks_are_arrows_from_leak_to_cure_in_shares_of_the_way_from_chance():
    row = {"chance": 0.25, "pretext_accuracy": 0.9, "probe_accuracy": 0.5, "random_probe": 0.3}
    rows = [
        {**row, "variant": "a", "kind": "leaky", "control_accuracy": 1.0},
        {**row, "variant": "b", "kind": "cured", "control_accuracy": 0.25, "probe_accuracy": 0.6},
    ]
    assert "gap from (1.00, 0.50) to (0.00, 0.60)" in plots.leaks({"gap": rows}).alt


def test_a_layout_measures_how_far_patches_are_from_their_places():
    places = torch.cartesian_prod(torch.arange(3.0), torch.arange(3.0)).flip(1) / 2
    exact = plots.layout(torch.rand(9, 3, 4, 4), places, places * 0.2 + 0.4)  # timid, but right
    assert "error 0.00" in exact.alt
    assert "error 0.00" not in plots.layout(torch.rand(9, 3, 4, 4), places, places.flip(0)).alt


def test_bins_have_their_own_colours():
    rgb = bin_colours(
        torch.tensor([[80.0, 60.0], [-60.0, 60.0], [20.0, -80.0], [0.0, 0.0]])
    )  # red, green, blue, grey
    assert rgb[:3].argmax(1).tolist() == [0, 1, 2] and float(rgb[3].max() - rgb[3].min()) < 0.01
    figure = plots.gamut(BINS, {"p": torch.arange(len(BINS))})
    colours, values = figure.axes[0].images[0].get_array(), figure.axes[1].images[0].get_array()
    assert (
        int((np.asarray(colours) < 1).any(2).sum())
        == len(BINS)
        == int(np.isfinite(np.ma.filled(values, np.nan)).sum())
    )
    rows, columns = values.shape
    assert values[0].max() > values[0].min() and (rows, columns) == (
        len(BINS[:, 1].unique()),
        len(BINS[:, 0].unique()),
    )
    place = [int((BINS[:, k].unique() == BINS[7, k]).nonzero()) for k in (1, 0)]
    assert values[tuple(place)] == 7


def test_a_lower_temperature_gives_the_nearest_negative_more_of_the_push():
    shares = [
        plots.pulls(0.7, (0.9, 0.0), temperature).axes[1].patches[0].get_height()
        for temperature in (0.1, 1.0)
    ]
    assert shares[0] == pytest.approx(1 / (1 + math.exp(-9)), abs=1e-6)
    assert shares[1] == pytest.approx(1 / (1 + math.exp(-0.9)), abs=1e-6)


def test_logarithmic_ticks_name_the_points():
    axes = plots.curves({"a": [1.0, 2.0, 3.0]}, x=[256, 4096, 16384], log_x=True).axes[0]
    assert [axes.xaxis.get_major_formatter()(v, 0) for v in axes.get_xticks()] == ["256", "4,096", "16,384"]


def test_crop_pairs_cut_what_they_frame():
    image = torch.zeros(3, 16, 16)
    image[0, :8, :8] = 1.0  # red upper left
    figure = plots.crop_pairs(
        image, {"inside": ((0, 0, 16, 16), (0, 0, 8, 8)), "beside": ((0, 8, 8, 8), (8, 0, 8, 8))}
    )
    shown = [np.asarray(i.get_array()) for i in figure.axes[0].images]
    assert [int(x[..., 0].mean()) for x in shown] == [63, 63, 255, 63, 0, 0]  # image, A, B; image, C, D
    texts = [t.get_text() for t in figure.axes[0].texts]
    assert all(texts.count(letter) == 2 for letter in "ABCD")


def test_histograms_share_their_range_and_sum_to_one():
    dark, light = torch.full((2, 3, 8, 8), 0.1), torch.full((2, 3, 8, 8), 0.9)
    figure = plots.histograms({"dark": dark, "light": light}, ["a", "b"], bins=4)
    below = [ax for ax in figure.axes if ax.patches]
    heights = [[p.get_height() for p in ax.patches] for ax in below]
    assert len({ax.get_ylim() for ax in below}) == 1
    assert heights == [[1, 0, 0, 0]] * 2 + [[0, 0, 0, 1]] * 2


def test_a_queue_overwrites_its_oldest_keys():
    assert plots.in_queue(0, 6, 4) == [None] * 6
    assert plots.in_queue(1, 6, 4) == [(0, 1), (1, 1), (2, 1), (3, 1), None, None]
    assert plots.in_queue(2, 6, 4) == [(6, 1), (7, 1), (2, 2), (3, 2), (4, 1), (5, 1)]
    pushed, images = Queue(6, 8), torch.eye(8)
    for batch in images[:8].split(4):
        pushed.push(batch)
    assert pushed.keys.argmax(1).tolist() == [key for key, _ in plots.in_queue(2, 6, 4)]
    figure = plots.queue(torch.rand(12, 3, 4, 4), 1, length=6, batch=4)
    assert (
        "1, 1, 1, 1, random, random" in figure.alt
        and "4 of 6 slots hold keys, of mean age 1.0" in figure.caption
    )


def test_a_slow_follower_lags_and_calms_as_the_formula_says():
    figure = plots.follower(0.9, noise=0.0)
    _, trend, psi = (line.get_ydata() for line in figure.axes[0].lines)
    assert psi[150] == pytest.approx(trend[150 - 9], abs=1e-3)
    assert "9 steps behind" in figure.alt
    _, trend, psi = (line.get_ydata() for line in plots.follower(0.0, noise=0.0).axes[0].lines)
    assert np.allclose(trend, psi)


def test_moco_is_drawn_with_its_groups_named():
    image = torch.rand(3, 8, 8)
    assert "the gradient goes to theta alone" in plots.momentum_contrast(image, image, image).alt.lower()
    alt = plots.norm_groups(torch.rand(4, 3, 4, 4), {"q": [0, 1, 2, 3], "k": [2, 0, 3, 1]}, rows=2).alt
    assert alt.endswith("q: 1, 1, 2, 2; k: 2, 1, 2, 1.")


def test_bar_columns_show_every_seed_in_the_row_of_its_name():
    figure = plots.bar_columns({"toys": {"a": [0.2, 0.3, 0.4], "b": 0.5}, "paper": {"b": 0.7}})
    toys, paper = figure.axes
    assert [(round(bar.get_width(), 3), round(bar.get_y() + bar.get_height() / 2)) for bar in toys.patches] == [
        (0.3, 0), (0.5, 1),
    ]  # fmt: skip
    assert [line.get_xdata().tolist() for line in toys.lines] == [[0.2, 0.3, 0.4]]
    assert [round(bar.get_y() + bar.get_height() / 2) for bar in paper.patches] == [1]
    assert "paper: b 70.0%" in figure.alt and not paper.lines


def test_curve_columns_go_through_the_means_and_show_every_seed():
    figure = plots.curve_columns({"toys": {"a": {32: [0.2, 0.4], 64: [0.5, 0.5]}}, "paper": {"b": {8: 0.7}}})
    toys, paper = figure.axes
    assert toys.lines[0].get_ydata() == pytest.approx([0.3, 0.5])
    assert [line.get_ydata().tolist() for line in toys.lines[1:]] == [[0.2, 0.4], [0.5, 0.5]]
    assert len(paper.lines) == 1 and toys.get_xscale() == "log"


def test_close_curves_have_ticks_that_differ():
    figure = plots.curve_columns({"toys": {"a": {32: 0.473, 64: 0.482}}})
    figure.canvas.draw()
    low, high = figure.axes[0].get_ylim()
    labels = [t.get_text() for t in figure.axes[0].get_yticklabels() if low <= t.get_position()[1] <= high]
    assert len(labels) > 1 and len(set(labels)) == len(labels)


def test_signed_matrices_have_a_scale_that_diverges_from_zero():
    names = ["a", "b"]
    signed = plots.heatmap(
        {"before": [[0.1, -0.2], [0.0, 0.3]], "after": [[0.9, -0.5], [0, 0]]}, names, names
    )
    for axes in signed.axes[:2]:
        assert (
            axes.images[0].get_clim() == pytest.approx((-0.9, 0.9)) and axes.images[0].cmap.name == "RdBu_r"
        )
    plain = plots.heatmap([[0.1, 0.2], [0.0, 0.3]], names, names)
    assert plain.axes[0].images[0].cmap.name == "Blues" and plain.axes[0].images[0].get_clim()[0] == 0
    assert "before: from -0.2 to 0.3, highest at b, b" in signed.alt


def test_matrices_on_scales_of_their_own_share_the_colours_of_signs():
    panels = {"far": [[-4.0, 38.0]], "near": [[1.0, 13.0]]}
    far, near = plots.heatmap(
        panels, ["a"], ["b", "c"], own_scales=True
    ).axes  # no bar of colours: cells have numbers
    assert far.images[0].get_clim() == pytest.approx((-38, 38))
    assert near.images[0].get_clim() == pytest.approx((-13, 13))
    assert far.images[0].cmap.name == near.images[0].cmap.name == "RdBu_r"


def test_what_rounds_to_zero_has_no_sign():
    figure = plots.heatmap([[-0.4, 2.0]], ["a"], ["b", "c"], digits=0)
    assert [text.get_text() for text in figure.axes[0].texts] == ["0", "2"]


def test_spread_says_mean_and_deviation_of_seeds_in_per_cent():
    assert plots.spread([0.80, 0.81, 0.82]) == "81.0 ± 1.0" and plots.spread([0.5]) == "50.0"


def test_panels_of_curves_share_colours_and_say_their_ends():
    panels = {"loss": {"whole": [[2, 1], [4, 3]], "sick": [1, 0]}, "std": {"sick": [0.5, 0]}}
    figure = plots.curve_panels(panels, start=0, beside={"std": ("isotropic", 1.0)})
    loss, std = figure.axes
    assert list(loss.lines[0].get_xdata()) == [0, 1] and list(loss.lines[0].get_ydata()) == [3, 2]
    assert len(loss.collections) == 1 and loss.lines[1].get_color() == std.lines[0].get_color()
    assert [text.get_text() for text in figure.legends[0].texts] == ["whole", "sick", "isotropic"]
    assert "loss: whole from 3 to 2, sick from 1 to 0; std: sick from 0.5 to 0, isotropic 1." in figure.alt


def test_byol_is_drawn_and_targets_and_correlations_say_their_numbers():
    image = torch.rand(3, 8, 8)
    assert "the gradient goes to the online weights theta alone" in plots.bootstrap(*[image] * 3).alt.lower()
    P = torch.tensor([[1.0, 0, 0, 0], [0.25] * 4])
    figure = plots.targets(torch.tensor([[0.3, -0.2, 0, 0]] * 2), P, P.mean(0))
    assert "image 1 0%, image 2 100%, mean of all 77%" in figure.alt
    up, down = (figure.axes[0].patches[i].get_facecolor() for i in (0, 1))
    assert up != down
    C = torch.eye(4) * 0.75 + 0.25
    assert "after: 1.00 on the diagonal, 0.25 off it" in plots.correlations({"after": -C}).alt


def test_a_heatmap_may_go_without_its_numbers():
    shown = plots.heatmap(torch.eye(3), ["a", "b", "c"], [""] * 3, digits=None)
    assert not shown.axes[0].texts and "highest at a" in shown.alt


def test_painted_images_have_the_colours_and_the_bags_of_their_words():
    words = torch.tensor([[[0, 0], [1, 2]], [[2, 2], [2, 2]]])
    figure = plots.painted(words, 3, ["A", "B"])
    first = np.asarray(figure.axes[0].images[0].get_array())
    assert (first[0, 0] == first[0, 1]).all() and (first[0, 0] != first[1, 1]).any()
    assert "A: 50%, 25%, 25%; B: 0%, 0%, 100%" in figure.alt


def test_a_word_that_fires_nowhere_leaves_the_image_dark():
    image = torch.full((3, 8, 8), 0.5)
    q = torch.tensor([[1.0, 0.0], [0.0, 0.5]])
    shown = lit(image, q)
    assert shown[0, ::4, ::4].tolist() == [pytest.approx([0.5, 0.1]), pytest.approx([0.1, 0.3])]
    figure = plots.word_fires(image[None], q[None] / 4, image[None], torch.tensor([[2.0, 4.0, 4.0, 4.0]]))
    frame = figure.axes[0].patches[-1]
    assert (frame.get_x(), frame.get_width()) == (0.5, 0.5) and frame.get_y() == 2 * 1.08 + 0.25
    assert "highest q 0.25" in figure.alt
    brightest = np.asarray(figure.axes[0].images[1].get_array())  # light is beside the highest q of all
    assert (brightest[0, 0] == 128).all() and (brightest[0, -1] == 26).all()
