"""Lines, bars, matrices and scatters of numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, PercentFormatter

from sslcourse.plots.figure import BLACK, DASHES, GREY, MARKERS, PALETTE, canvas, styled, with_alt


def numbers(values) -> np.ndarray:
    """Tensor, Scores, list or array -> float array."""
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu().double().numpy()
    elif not isinstance(values, np.ndarray):
        values = [getattr(v, "value", v) for v in values]  # a list of Scores, numbers or lists
    return np.asarray(values, dtype=float)


def mean_spread(value) -> tuple[float, float]:
    """A number, a Score, or (mean, spread) -> (mean, spread), spread 0 where there is none."""
    if isinstance(value, Sequence):
        return float(value[0]), float(value[1])
    return float(getattr(value, "value", value)), 0.0


def _in_unit(values) -> bool:
    values = np.asarray(list(values), dtype=float)
    return bool(np.isfinite(values).all() and values.min(initial=0) >= 0 and values.max(initial=0) <= 1.0)


def _short(value: float) -> str:
    return f"{value:.3g}"


def _finish_lines(axes, many: bool, xlabel: str, ylabel: str, random: float | None) -> None:
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    if xlabel in ("epoch", "step") and axes.get_xscale() == "linear":
        axes.xaxis.get_major_locator().set_params(integer=True)
    if random is not None:
        axes.axhline(random, color=BLACK, linewidth=1.2, linestyle=(0, (2, 2)), label="random init", zorder=1)
    if many or random is not None:
        axes.legend()


@styled
def curves(
    lines: Mapping[str, Sequence],
    x: Sequence | None = None,
    xlabel: str = "epoch",
    ylabel: str = "",
    caption: str = "",
    alt: str = "",
    *,
    log_x: bool = False,
    log_y: bool = False,
    random: float | None = None,
    height: float = 3.4,
) -> Figure:
    """One line per name. Values (T,), or (seeds, T): then the mean, with the range over seeds shaded.

    x: (T,) shared by all lines, default 1..T. random: a dashed line, the score at random initialisation.
    """
    figure, axes = canvas(height, caption)
    said = []
    for i, (name, values) in enumerate(lines.items()):
        values = np.atleast_2d(numbers(values))  # (T,) or (seeds, T) -> (seeds, T)
        mean = values.mean(axis=0)
        ticks = np.arange(1, len(mean) + 1) if x is None else numbers(x)[: len(mean)]
        marker = MARKERS[i % 8] if len(mean) <= 25 else None
        axes.plot(ticks, mean, label=name, color=PALETTE[i % 8], linestyle=DASHES[i % 8], marker=marker)
        if len(values) > 1:
            low, high = values.min(axis=0), values.max(axis=0)
            axes.fill_between(ticks, low, high, color=PALETTE[i % 8], alpha=0.18, linewidth=0)
        said.append(f"{name} from {_short(mean[0])} to {_short(mean[-1])}")
    if log_x:
        axes.set_xscale("log")
        if x is not None and len(x) <= 8:  # name the points, not the powers of ten
            axes.xaxis.set_major_locator(FixedLocator(numbers(x)))
            axes.xaxis.set_minor_locator(NullLocator())
            axes.xaxis.set_major_formatter(lambda v, _: f"{v:,g}")
    if log_y:
        axes.set_yscale("log")
    _finish_lines(axes, len(lines) > 1, xlabel, ylabel, random)
    axes.margins(x=0.02)
    alt = alt or f"Line chart of {ylabel or 'values'} against {xlabel}: {'; '.join(said)}."
    return with_alt(figure, alt, caption)


@styled
def history(
    rows: Sequence[Mapping],
    keys: Sequence[str] = (),
    caption: str = "",
    alt: str = "",
    *,
    beside: Mapping[str, tuple[str, float]] | None = None,
) -> Figure:
    """A run's history, one panel per key. keys: default the loss and up to three other numbers it logged.

    beside: key -> a name and a number for a dashed line, such as {"loss": ("chance", 1.386)}.
    """
    book = {"epoch", "step", "lr", "images_per_second", "seconds", "loss", "epochs", "images"}
    others = [k for k, v in rows[-1].items() if k not in book and isinstance(v, int | float)]
    keys = list(keys) or ["loss", *others[:3]]
    figure, panels = canvas(2.6, caption or "Training, one point per epoch.", 1, len(keys), squeeze=False)
    said = []
    for i, (key, axes) in enumerate(zip(keys, panels[0], strict=True)):
        points = [(row.get("epoch", t), row[key]) for t, row in enumerate(rows) if row.get(key) is not None]
        epochs, values = zip(*points, strict=True)
        axes.plot(epochs, values, color=PALETTE[i % 8], marker="o" if len(values) <= 25 else None)
        axes.set_title(key.replace("_", " "))
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        said.append(f"{key} from {_short(values[0])} to {_short(values[-1])}")
        if beside and key in beside:
            name, value = beside[key]
            axes.axhline(
                value, color=BLACK, linewidth=1.2, linestyle=(0, (2, 2)), label=f"{name} {_short(value)}"
            )
            axes.legend()
            said[-1] += f" ({name} {_short(value)})"
    return with_alt(figure, alt or f"Training curves over {len(rows)} epochs: {'; '.join(said)}.", caption)


@styled
def bars(
    values: Mapping[str, object],
    caption: str = "",
    alt: str = "",
    *,
    xlabel: str = "",
    random: float | Mapping[str, float] | None = None,
) -> Figure:
    """Horizontal bars. values: name -> number, Score or (mean, spread); or name -> {series: any of these}.

    random: the score at random initialisation, one for all or one per name, drawn as a black tick.
    """
    groups = {n: v if isinstance(v, Mapping) else {"": v} for n, v in values.items()}
    series = list(dict.fromkeys(s for group in groups.values() for s in group))
    first = {s: next(name for name, group in groups.items() if s in group) for s in series}
    long = sum(len(s) + 6 for s in series) > 80  # the legend takes two lines
    thick = 0.8 / len(series)
    figure, axes = canvas(0.75 + 0.2 * long + (0.1 + 0.17 * len(series)) * len(groups), caption)
    pairs = [mean_spread(value) for group in groups.values() for value in group.values()]
    top, spreads = max(mean + spread for mean, spread in pairs), any(spread for _, spread in pairs)
    form = ".3f" if _in_unit(mean for mean, _ in pairs) else ".3g"
    said = []
    for row, (name, group) in enumerate(groups.items()):
        for which, value in group.items():
            mean, spread = mean_spread(value)
            y = row + (series.index(which) - (len(series) - 1) / 2) * thick
            colour = PALETTE[series.index(which) % 8]
            axes.barh(y, mean, thick * 0.9, color=colour, label=which if name == first[which] else None)
            if spread:
                axes.errorbar(mean, y, xerr=spread, color=BLACK, capsize=2.5, linewidth=1.2)
            text = f"{mean:{form}}" + (f" ± {spread:{form}}" if spread else "")
            if isinstance(random, Mapping) and len(series) == 1:
                text += f" (random {random[name]:{form}})"
            axes.text(mean + spread + 0.012 * top, y, text, va="center", fontsize=9)
            said.append(f"{name}{' ' + which if which else ''} {text}")
        if random is not None:
            base = random[name] if isinstance(random, Mapping) else random
            axes.plot([base, base], [row - 0.42, row + 0.42], color=BLACK, linewidth=2.2)
    if random is not None:
        axes.plot([], [], color=BLACK, linewidth=2.2, label="random init")
        said.append(f"random init {random}" if not isinstance(random, Mapping) else "ticks mark random init")
    if len(series) > 1 or random is not None:
        axes.legend(ncols=3 if long else 6, loc="lower left", bbox_to_anchor=(0, 1.0), borderaxespad=0.1)
    axes.set_yticks(range(len(groups)), groups)
    axes.set_ylim(len(groups) - 0.45, -0.55)
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(right=top * (1.12 + 0.08 * spreads + 0.15 * isinstance(random, Mapping)))
    axes.set_xlabel(xlabel)
    alt = alt or f"Bar chart{' of ' + xlabel if xlabel else ''}: {'; '.join(said)}."
    return with_alt(figure, alt, caption)


@styled
def label_curves(
    lines: Mapping[str, Mapping[float, object]],
    caption: str = "",
    alt: str = "",
    *,
    ylabel: str = "test accuracy",
) -> Figure:
    """Accuracy against the share of labels, log axis.

    lines: name -> {fraction in (0, 1]: number, Score or (mean, spread)}.
    """
    figure, axes = canvas(3.6, caption)
    said = []
    for i, (name, points) in enumerate(lines.items()):
        x = sorted(points)
        mean, spread = np.array([mean_spread(points[f]) for f in x]).T
        axes.errorbar(
            x, mean, yerr=spread if spread.any() else None, label=name, capsize=3,
            color=PALETTE[i % 8], linestyle=DASHES[i % 8], marker=MARKERS[i % 8],
        )  # fmt: skip
        said.append(f"{name} " + ", ".join(f"{m:.2f} at {f:.0%}" for f, m in zip(x, mean, strict=True)))
    ticks = sorted({f for points in lines.values() for f in points})
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda f, _: f"{100 * f:.3g}%")
    _finish_lines(axes, True, "share of the labels", ylabel, None)
    return with_alt(figure, alt or f"{ylabel} against share of labels: {'; '.join(said)}.", caption)


@styled
def heatmap(
    matrix, rows: Sequence[str], columns: Sequence[str], caption: str = "", alt: str = "", *,
    xlabel: str = "", ylabel: str = "", digits: int | None = 2, limits: tuple[float, float] | None = None,
    own_scales: bool = False,
) -> Figure:  # fmt: skip
    """A matrix (len(rows), len(columns)) as coloured cells with their numbers (`digits` None: without); NaN stays blank.

    matrix: or several by name, side by side on one scale of colours, or (`own_scales`) each on its own. limits: of the
    scale, default those of the values. Where they lie on both sides of 0, scales diverge from 0 and are made symmetric.
    """
    panels = {n: numbers(m) for n, m in (matrix if isinstance(matrix, Mapping) else {"": matrix}).items()}
    everything = np.concatenate([values.ravel() for values in panels.values()])
    lowest, highest = limits or (np.nanmin(everything), np.nanmax(everything))
    signed = lowest < 0 < highest
    figure, axes = canvas(
        max(1.6, 0.36 * len(rows)) + 1.1, caption, 1, len(panels), squeeze=False, sharey=True
    )
    size = 8.5 if len(panels) == 1 else min(8.5, 60 / (len(columns) * len(panels)) * 2)
    said = []
    for cells, (name, values) in zip(axes[0], panels.items(), strict=True):
        low, high = (np.nanmin(values), np.nanmax(values)) if own_scales else (lowest, highest)
        if signed:
            high = max(-low, high)
            low = -high
        colours = "RdBu_r" if signed else "Blues"
        shown = cells.imshow(values, cmap=colours, vmin=low, vmax=high + 1e-12, aspect="auto")
        for (r, c), value in np.ndenumerate(values):
            if np.isfinite(value) and digits is not None:
                dark = abs(value) > 0.6 * high if signed else value >= low + 0.55 * (high - low)
                ink = {"fontsize": size, "color": "white" if dark else BLACK}
                # + 0.0: what rounds to 0 is "0" and not "-0"
                cells.text(c, r, f"{round(value, digits) + 0.0:.{digits}f}", ha="center", va="center", **ink)
        slant = max(map(len, columns)) * len(columns) * len(panels) > 75
        cells.set_xticks(range(len(columns)), columns, **({"rotation": 35, "ha": "right"} if slant else {}))
        cells.set_yticks(range(len(rows)), rows)
        cells.grid(False)
        cells.spines[:].set_visible(False)
        cells.tick_params(length=0)
        cells.set_title(name)
        cells.set_xlabel(xlabel)
        r, c = np.unravel_index(np.nanargmax(values), values.shape)
        ends = f"from {np.nanmin(values):.3g} to {np.nanmax(values):.3g}, highest at {rows[r]}, {columns[c]}"
        said.append(f"{name}: {ends}" if name else ends)
    axes[0][0].set_ylabel(ylabel)
    if not own_scales:
        bar = figure.colorbar(shown, ax=axes[0].tolist(), pad=0.015, aspect=25)
        bar.outline.set_visible(False)
    number = f"Matrix of {len(rows)} by {len(columns)} numbers"
    return with_alt(figure, alt or f"{number}, {'; '.join(said)}.", caption)


def confusion(matrix, classes: Sequence[str], caption: str = "", alt: str = "") -> Figure:
    """Counts (C, C), row = true class, column = predicted; drawn as shares of each row."""
    counts = numbers(matrix)
    shares = counts / counts.sum(axis=1, keepdims=True).clip(1)
    right = np.trace(counts) / max(counts.sum(), 1)
    off = shares - np.diag(np.diag(shares))
    r, c = np.unravel_index(off.argmax(), off.shape)
    worst = f"most often {classes[r]} is taken for {classes[c]} ({off[r, c]:.0%})"
    alt = alt or f"Confusion matrix of {len(classes)} classes: {right:.0%} right; {worst}."
    return heatmap(shares, classes, classes, caption, alt, xlabel="predicted", ylabel="true", limits=(0, 1))


@styled
def scatter(
    points: Mapping[str, tuple[float, float]], xlabel: str, ylabel: str, caption: str = "", alt: str = "", *,
    arrows: Sequence[tuple[str, str]] = (), height: float = 3.6,
) -> Figure:  # fmt: skip
    """Named points. arrows: (from, to) names, such as a leak and its cure."""
    figure, axes = canvas(height, caption)
    for i, (name, (x, y)) in enumerate(points.items()):
        axes.plot(x, y, linestyle="", marker=MARKERS[i % 8], color=PALETTE[i % 8], markersize=8)
        axes.annotate(name, (x, y), xytext=(7, 5), textcoords="offset points", fontsize=9)
    for a, b in arrows:
        line = {"arrowstyle": "->", "color": GREY, "linewidth": 1.4, "shrinkA": 6, "shrinkB": 6}
        axes.annotate("", points[b], points[a], arrowprops=line)
    if _in_unit(v for p in points.values() for v in p):
        axes.xaxis.set_major_formatter(PercentFormatter(1.0))
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.margins(0.14, 0.12)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    said = "; ".join(f"{n} ({_short(x)}, {_short(y)})" for n, (x, y) in points.items())
    return with_alt(figure, alt or f"{ylabel} against {xlabel}: {said}.", caption)
