"""Every figure helper: plain functions that return a matplotlib Figure with a caption and alt text."""

from sslcourse.plots.chapters.circle import pulls
from sslcourse.plots.chapters.crops import crop_pairs, histograms, two_branches
from sslcourse.plots.chapters.distillation import bootstrap, correlations, targets
from sslcourse.plots.chapters.drawings import pipeline, taxonomy
from sslcourse.plots.chapters.gamut import gamut
from sslcourse.plots.chapters.leaks import layout, leak, leaks
from sslcourse.plots.chapters.queue import follower, in_queue, momentum_contrast, norm_groups, queue
from sslcourse.plots.chapters.turns import rotation_task
from sslcourse.plots.chapters.words import bag_of_words, painted, word_fires, word_patches
from sslcourse.plots.charts import (
    bars,
    confusion,
    curves,
    heatmap,
    history,
    label_curves,
    scatter,
)
from sslcourse.plots.columns import bar_columns, curve_columns, curve_panels
from sslcourse.plots.figure import PALETTE, png, style, with_alt
from sslcourse.plots.images import attention, grid, neighbours, overlay, segments, views
from sslcourse.plots.tables import Table, spread, table

__all__ = [
    "PALETTE",
    "Table",
    "attention",
    "bag_of_words",
    "bar_columns",
    "bars",
    "bootstrap",
    "confusion",
    "correlations",
    "crop_pairs",
    "curve_columns",
    "curve_panels",
    "curves",
    "follower",
    "gamut",
    "grid",
    "heatmap",
    "histograms",
    "history",
    "in_queue",
    "label_curves",
    "layout",
    "leak",
    "leaks",
    "momentum_contrast",
    "neighbours",
    "norm_groups",
    "overlay",
    "painted",
    "pipeline",
    "png",
    "pulls",
    "queue",
    "rotation_task",
    "scatter",
    "segments",
    "spread",
    "style",
    "table",
    "targets",
    "taxonomy",
    "two_branches",
    "views",
    "with_alt",
    "word_fires",
    "word_patches",
]
