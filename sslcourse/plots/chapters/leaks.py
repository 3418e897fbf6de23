"""Shortcuts as figures: what a leak does to the pretext task, to images without content, and to the probe."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

from sslcourse.plots.figure import BLACK, GREY, MARKERS, PALETTE, canvas, styled, with_alt
from sslcourse.plots.images import pixels

KINDS = {"leaky": PALETTE[1], "cured": PALETTE[0], "between": GREY, "baseline": GREY}
TOLD = {"leaky": "leaky", "cured": "with a cure", "between": "in between", "baseline": "for comparison"}


def spread(rows: Sequence[Mapping], key: str, **wanted) -> tuple[float, float] | None:
    """Mean and standard deviation over seeds of `key`, or None where no row has it."""
    found = [r[key] for r in rows if all(r.get(k) == v for k, v in wanted.items()) and r.get(key) is not None]
    return (float(np.mean(found)), float(np.std(found, ddof=1)) if len(found) > 1 else 0.0) if found else None


def floor(rows: Sequence[Mapping]) -> float:
    """What guessing is worth on the control: where its images tell a part of the answer, more than on toys."""
    return rows[0].get("control_chance") or rows[0]["chance"]


@styled
def leak(
    rows: Sequence[Mapping], caption: str = "", alt: str = "", *, control: str = "images without content"
) -> Figure:
    """The rows of one shortcut (any number of seeds): a line per variant, a panel per measurement.

    Dashed: chance of the task. Black tick: the probe of the random encoder. Whiskers: standard deviation over seeds.
    """
    variants = list(dict.fromkeys(row["variant"] for row in rows))
    kinds = {row["variant"]: row["kind"] for row in rows}
    panels = {
        "pretext_accuracy": "the task, on toys",
        "control_accuracy": f"the task, on {control}",
        "closed_accuracy": "the same, leak closed at test",
        "probe_accuracy": "linear probe",
    }
    panels = {key: title for key, title in panels.items() if spread(rows, key)}
    figure, axes = canvas(1.6 + 0.34 * len(variants), caption, 1, len(panels), sharey=True, squeeze=False)
    said = []
    for ax, (key, title) in zip(axes[0], panels.items(), strict=True):
        for y, variant in enumerate(variants):
            mean, deviation = spread(rows, key, variant=variant) or (np.nan, 0.0)
            ax.barh(y, max(mean, 0), 0.62, color=KINDS[kinds[variant]])
            if deviation:
                ax.errorbar(mean, y, xerr=deviation, color=BLACK, capsize=2.5, linewidth=1.1)
            ax.text(max(mean, 0) + deviation + 0.02, y, f"{mean:.2f}", va="center", fontsize=8.5)
            said.append(f"{variant}, {title}: {mean:.2f}")
            if key == "probe_accuracy" and (base := spread(rows, "random_probe", variant=variant)):
                ax.plot([base[0]] * 2, [y - 0.4, y + 0.4], color=BLACK, linewidth=2)
        chance = floor(rows) if key == "control_accuracy" else rows[0]["chance"]
        if key != "probe_accuracy" and chance:
            ax.axvline(chance, color=BLACK, linestyle="--", linewidth=1)
        ax.set_title(textwrap.fill(title, 26), fontsize=9.5)
        explained = not rows[0]["chance"] and key != "probe_accuracy"
        ax.set_xlabel("share of variance explained" if explained else "accuracy", fontsize=8.5)
        ax.set_xlim(0, 1.17)
        ax.set_xticks([0, 0.5, 1])
        ax.grid(axis="y", visible=False)
    axes[0][0].set_yticks(range(len(variants)), variants)
    axes[0][0].set_ylim(len(variants) - 0.5, -0.5)
    for ax in axes[0]:
        ax.tick_params(axis="y", length=0)
    shown = [Patch(color=KINDS[kind], label=TOLD[kind]) for kind in dict.fromkeys(kinds.values())]
    figure.legend(handles=shown, loc="outside upper left", ncols=len(shown), fontsize=8.5, frameon=False)
    return with_alt(figure, alt or f"Bars per variant. {'; '.join(said)}.", caption)


@styled
def leaks(records: Mapping[str, Sequence[Mapping]], caption: str = "", alt: str = "") -> Figure:
    """Every shortcut at once: an arrow from its leaky variant to its (last) cured one.

    Across: how much of the way from chance to 1 the control, which has no content, is solved. Up: the probe.
    """
    figure, ax = canvas(4.3, caption)
    said = []
    for i, (name, rows) in enumerate(records.items()):
        ends = []
        for kind in ("leaky", "cured"):
            named = [row["variant"] for row in rows if row["kind"] == kind]
            if not named or not spread(rows, "control_accuracy", variant=named[-1]):
                break
            chance = floor(rows)
            x = (spread(rows, "control_accuracy", variant=named[-1])[0] - chance) / (1 - chance)
            ends.append((x, spread(rows, "probe_accuracy", variant=named[-1])[0]))
        if len(ends) < 2:
            continue
        colour, marker = PALETTE[i % 8], MARKERS[i % 8]
        ax.annotate("", ends[1], ends[0], arrowprops={"arrowstyle": "->", "color": colour, "linewidth": 1.5})
        ax.plot(*ends[0], marker=marker, color=colour, linestyle="", markersize=8, label=name)
        ax.plot(*ends[1], marker=marker, color="white", markeredgecolor=colour, linestyle="", markersize=8)
        said.append(
            f"{name} from ({ends[0][0]:.2f}, {ends[0][1]:.2f}) to ({ends[1][0]:.2f}, {ends[1][1]:.2f})"
        )
    ax.set_xlabel("of the way from chance to perfect, on images without content")
    ax.set_ylabel("linear probe")
    ax.xaxis.set_major_formatter(PercentFormatter(1.0))
    ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    ax.legend(ncols=1, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return with_alt(figure, alt or f"Arrows from leak to cure: {'; '.join(said)}.", caption)


@styled
def layout(patches, true, guessed, caption: str = "", alt: str = "") -> Figure:
    """Patches (N, 3, s, s) laid out where they were, true (N, 2), and where a network thinks they were, guessed (N, 2).

    Places are x, y from 0 to 1; guesses are stretched to the same square, for a cautious network stays in the middle.
    """
    figure, axes = canvas(3.5, caption, 1, 2)
    guessed = guessed - guessed.min(0).values
    guessed = guessed / guessed.max(0).values.clamp_min(1e-9)
    error = float((guessed - true).square().sum(1).mean().sqrt())
    titles = "where they were", f"where the network puts them (error {error:.2f})"
    for ax, places, title in zip(axes, (true, guessed), titles, strict=True):
        for patch, (x, y), (tx, ty) in zip(patches, places.tolist(), true.tolist(), strict=True):
            ax.plot([x, tx], [y, ty], color=BLACK, linewidth=0.8, zorder=3)
            ax.imshow(pixels(patch), extent=(x - 0.07, x + 0.07, y + 0.07, y - 0.07))
        ax.set(xlim=(-0.1, 1.1), ylim=(1.1, -0.1), xticks=[], yticks=[], aspect="equal")
        ax.set_title(title, fontsize=9.5)
    said = f"{len(patches)} patches at their true places and at the guessed ones"
    return with_alt(figure, alt or f"{said}; root mean square error {error:.2f}.", caption)
