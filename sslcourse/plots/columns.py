"""The same comparison side by side: on toys, on photographs, and as a paper prints it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, PercentFormatter

from sslcourse.plots.charts import numbers
from sslcourse.plots.figure import BLACK, DASHES, MARKERS, PALETTE, canvas, styled, with_alt

Seeds = float | Sequence[float]  # a printed number, or one number for each seed


def _said(values: np.ndarray) -> str:
    return f"{100 * values.mean():.1f}%"


@styled
def bar_columns(
    panels: Mapping[str, Mapping[str, Seeds]],
    caption: str = "",
    alt: str = "",
    *,
    xlabel: str = "",
    line: Mapping[str, tuple[str, float]] | None = None,
) -> Figure:
    """A column of bars for each of `panels`, title -> {name: share in [0, 1], one number or one per seed}.

    A bar is the mean and every seed a dot. All columns have the rows of the first, from top to bottom, and one axis;
    a name that a column lacks stays empty there. line: title -> a name and a number for a dashed line in that column,
    such as ("chance", 0.25).
    """
    line = line or {}
    names = list(dict.fromkeys(name for panel in panels.values() for name in panel))
    figure, columns = canvas(
        0.85 + 0.2 * bool(line) + 0.3 * len(names), caption, 1, len(panels), squeeze=False, sharey=True
    )
    shares = {t: {n: np.atleast_1d(numbers([v] if np.isscalar(v) else v)) for n, v in p.items()}
              for t, p in panels.items()}  # fmt: skip
    top = max(values.max() for panel in shares.values() for values in panel.values())
    said = []
    for axes, (title, panel) in zip(columns[0], shares.items(), strict=True):
        for name, values in panel.items():
            row = names.index(name)
            axes.barh(row, values.mean(), 0.62, color=PALETTE[row % 8], alpha=0.75)
            if len(values) > 1:
                axes.plot(values, [row] * len(values), "o", color=BLACK, markersize=3)
            axes.text(values.max() + 0.03 * top, row, _said(values), va="center", fontsize=9)
        told = [f"{name} {_said(values)}" for name, values in panel.items()]
        if title in line:
            what, value = line[title]
            label = f"{what} {100 * value:.1f}%"
            axes.axvline(value, label=label, color=BLACK, linewidth=1.3, linestyle=(0, (2, 2)))
            axes.legend(fontsize=8.5, loc="lower center", bbox_to_anchor=(0.5, 0.98), borderaxespad=0)
            told.append(label)
        said.append(f"{title}: {', '.join(told)}")
        axes.set_title(title, pad=20 if line else None)
        axes.set_xlim(0, 1.28 * top)
        axes.xaxis.set_major_formatter(PercentFormatter(1.0))
        axes.set_xlabel(xlabel)
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
    columns[0][0].set_yticks(range(len(names)), names)
    columns[0][0].set_ylim(len(names) - 0.5, -0.5)
    return with_alt(figure, alt or f"Bars of {xlabel or 'shares'}. {'. '.join(said)}.", caption)


@styled
def curve_columns(
    panels: Mapping[str, Mapping[str, Mapping[float, Seeds]]],
    caption: str = "",
    alt: str = "",
    *,
    xlabel: str = "",
    ylabel: str = "",
) -> Figure:
    """Curves in a column for each of `panels`, title -> {line: {x: share in [0, 1], one number or one per seed}}.

    A point is the mean and every seed a small dot. The x-axis is logarithmic, and each column has axes of its own.
    """
    figure, columns = canvas(3.3, caption, 1, len(panels), squeeze=False)
    said = []
    for axes, (title, lines) in zip(columns[0], panels.items(), strict=True):
        for i, (name, points) in enumerate(lines.items()):
            values = {x: np.atleast_1d(numbers([v] if np.isscalar(v) else v)) for x, v in points.items()}
            means = [v.mean() for v in values.values()]
            look = {"color": PALETTE[i % 8], "linestyle": DASHES[i % 8], "marker": MARKERS[i % 8]}
            axes.plot(list(values), means, label=name, **look)
            for x, seeds in values.items():
                if len(seeds) > 1:
                    axes.plot([x] * len(seeds), seeds, ".", color=PALETTE[i % 8], markersize=3.5, alpha=0.7)
            ends = list(values.values())
            said.append(f"{title}, {name}: from {_said(ends[0])} to {_said(ends[-1])}")
        ticks = sorted({x for points in lines.values() for x in points})
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator(ticks))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
        axes.tick_params(axis="x", labelsize=8, labelrotation=35 if len(ticks) > 4 else 0)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        axes.set_title(title)
        axes.set_xlabel(xlabel)
        axes.legend(fontsize=8)
        axes.margins(0.06, 0.1)
    columns[0][0].set_ylabel(ylabel)
    return with_alt(figure, alt or f"Curves of {ylabel} against {xlabel}. {'; '.join(said)}.", caption)


@styled
def curve_panels(
    panels: Mapping[str, Mapping[str, Sequence]],
    caption: str = "",
    alt: str = "",
    *,
    xlabel: str = "epoch",
    start: int = 1,
    beside: Mapping[str, tuple[str, float]] | None = None,
) -> Figure:
    """Curves in a panel for each of `panels`, title -> {line: values (T,), or (seeds, T)}, each with an axis of its own.

    Of several seeds: the mean, with their range shaded. The T points are `start`, start + 1, ... A line has one colour
    in all panels, and one legend serves them all. beside: title -> a name and a number for a dotted line.
    """
    names = list(dict.fromkeys(name for panel in panels.values() for name in panel))
    beside = beside or {}
    figure, columns = canvas(2.75, caption, 1, len(panels), squeeze=False)
    said, shown = [], {}
    for axes, (title, lines) in zip(columns[0], panels.items(), strict=True):
        told = []
        for name, values in lines.items():
            i, values = names.index(name), np.atleast_2d(numbers(values))  # (T,) or (seeds, T) -> (seeds, T)
            mean, x = values.mean(0), np.arange(start, start + values.shape[1])
            marker = MARKERS[i % 8] if len(x) <= 25 else None
            look = {"color": PALETTE[i % 8], "linestyle": DASHES[i % 8], "marker": marker}
            shown[name] = axes.plot(x, mean, **look)[0]
            if len(values) > 1:
                low, high = values.min(0), values.max(0)
                axes.fill_between(x, low, high, color=PALETTE[i % 8], alpha=0.18, linewidth=0)
            told.append(f"{name} from {mean[0]:.3g} to {mean[-1]:.3g}")
        if title in beside:
            what, value = beside[title]
            shown[what] = axes.axhline(value, color=BLACK, linewidth=1.4, linestyle=(0, (1, 2)))
            told.append(f"{what} {value:.3g}")
        said.append(f"{title}: {', '.join(told)}")
        axes.set_title(title)
        axes.set_xlabel(xlabel)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.margins(0.04, 0.08)
    rows = 1 + sum(len(name) + 8 for name in shown) // 110
    figure.legend(shown.values(), shown, loc="outside upper left", ncols=-(-len(shown) // rows), fontsize=9)
    return with_alt(figure, alt or f"Curves against {xlabel}. {'; '.join(said)}.", caption)
