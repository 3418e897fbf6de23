"""A table that reads well in a notebook, a page and a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from statistics import fmean, stdev


@dataclass
class Table:
    """Cells as text; `numeric` marks the columns to align right, `best` the cells to print bold, `references` how
    many first rows are grey."""

    columns: list[str]
    cells: list[list[str]]
    numeric: list[bool]
    best: set[tuple[int, int]]
    caption: str = ""
    references: int = 0

    def __repr__(self) -> str:
        widths = [max(len(row[c]) for row in [self.columns, *self.cells]) for c in range(len(self.columns))]

        def line(row: Sequence[str]) -> str:
            pairs = zip(row, widths, self.numeric, strict=True)
            return "  ".join(v.rjust(w) if right else v.ljust(w) for v, w, right in pairs).rstrip()

        lines = [line(self.columns), "  ".join("-" * w for w in widths), *map(line, self.cells)]
        return "\n".join(lines + ([self.caption] if self.caption else []))

    def _repr_html_(self) -> str:
        def row(cells: Sequence[str], tag: str, r: int = -1) -> str:
            parts = []
            for c, text in enumerate(cells):
                text = escape(text).replace("\n", "<br>")
                text = f"<b>{text}</b>" if (r, c) in self.best else text
                side = "right" if self.numeric[c] else "left"
                grey = ";color:#777" if 0 <= r < self.references else ""
                parts.append(f'<{tag} style="text-align:{side}{grey}">{text}</{tag}>')
            return f"<tr>{''.join(parts)}</tr>"

        caption = f'<caption style="caption-side:bottom;text-align:left">{escape(self.caption)}</caption>'
        body = "".join(row(cells, "td", r) for r, cells in enumerate(self.cells))
        head = row(self.columns, "th")
        return f"<table>{caption if self.caption else ''}<thead>{head}</thead><tbody>{body}</tbody></table>"


def table(
    rows: Sequence[Sequence | Mapping],
    columns: Sequence[str] | None = None,
    caption: str = "",
    *,
    digits: int = 3,
    best: Sequence[str] = (),
    references: int = 0,
) -> Table:
    """Rows as lists, or as dicts (columns: default all their keys). None is a dash, a Score its value.

    best: columns whose highest number is printed bold. references: so many first rows are only there to be compared
    with: grey, and never bold.
    """
    if columns is None:
        columns = list(dict.fromkeys(key for row in rows for key in row))
    raw = [[row.get(c) for c in columns] if isinstance(row, Mapping) else list(row) for row in rows]

    def plain(value):
        value = getattr(value, "value", value)
        return value.item() if hasattr(value, "item") else value  # one-element tensors, numpy numbers

    raw = [[plain(value) for value in row] for row in raw]

    def text(value) -> str:
        if value is None:
            return "–"
        return f"{value:.{digits}f}" if isinstance(value, float) else str(value)

    def is_number(value) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool)

    numeric = [all(row[c] is None or is_number(row[c]) for row in raw) for c in range(len(columns))]
    bold = set()
    for c, name in enumerate(columns):
        values = [(row[c], r) for r, row in enumerate(raw) if r >= references and is_number(row[c])]
        if name in best and values:
            bold |= {(r, c) for value, r in values if value == max(values)[0]}
    cells = [[text(v) for v in row] for row in raw]
    return Table([str(c) for c in columns], cells, numeric, bold, caption, references)


def spread(shares: Sequence[float]) -> str:
    """One number per seed, each in [0, 1] -> mean ± standard deviation in per cent, "81.3 ± 0.5"; of one seed, "81.3"."""
    mean = f"{100 * fmean(shares):.1f}"
    return f"{mean} ± {100 * stdev(shares):.1f}" if len(shares) > 1 else mean
