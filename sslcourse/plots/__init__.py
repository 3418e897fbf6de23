"""Every figure helper: plain functions that return a matplotlib Figure with a caption and alt text."""

from sslcourse.plots.charts import (
    bars,
    confusion,
    curves,
    heatmap,
    history,
    label_curves,
    scatter,
)
from sslcourse.plots.drawings import pipeline, taxonomy
from sslcourse.plots.figure import PALETTE, png, style, with_alt
from sslcourse.plots.gamut import gamut
from sslcourse.plots.images import attention, grid, neighbours, overlay, segments, views
from sslcourse.plots.leaks import layout, leak, leaks
from sslcourse.plots.tables import Table, table

__all__ = [
    "PALETTE",
    "Table",
    "attention",
    "bars",
    "confusion",
    "curves",
    "gamut",
    "grid",
    "heatmap",
    "history",
    "label_curves",
    "layout",
    "leak",
    "leaks",
    "neighbours",
    "overlay",
    "pipeline",
    "png",
    "scatter",
    "segments",
    "style",
    "table",
    "taxonomy",
    "views",
    "with_alt",
]
