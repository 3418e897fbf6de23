"""The table and figure of every recorded result in data/results."""

from __future__ import annotations

from pathlib import Path

from sslcourse.errors import UserError
from sslcourse.studies.records import results_dir
from sslcourse.studies.results import markdown, read, rows_of, tables


def report(build: Path, results: Path | None = None) -> tuple[list[dict], str]:
    """Every row of every record that carries `method`, `protocol` and `value`, and a figure in `build/report.png`.

    A record is a JSON object with "name", "command", "commit", "seed", "device", "seconds" and "results".
    """
    from sslcourse.text import table

    results = results or results_dir()
    rows = [
        {"record": name, "device": record.get("device", ""), **row}
        for name, record in read(results).items()
        for row in rows_of(record)
        if {"method", "protocol", "value"} <= row.keys()
    ]
    if not rows:
        return [], f"no results recorded in {results}"
    figure = draw(rows, build)
    columns = ["record", "data", "method", "protocol", "value", "seed", "seconds", "device"]
    return rows, f"{table(rows, columns)}\n\nfigure: {figure}"


def report_markdown(results: Path | None = None) -> tuple[list[dict], str]:
    """The tables of RESULTS.md, and its text."""
    found = tables(results)
    return found, markdown(found) if found else f"no results recorded in {results or results_dir()}"


def draw(rows: list[dict], build: Path) -> Path:
    """Mean value per record, method and protocol as horizontal bars; every single value as a dot."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    from sslcourse import plots

    plots.style()
    groups: dict[str, list[float]] = {}
    for row in rows:
        groups.setdefault(f"{row['record']}: {row['method']}, {row['protocol']}", []).append(row["value"])
    figure, axis = plt.subplots(figsize=(8, 1 + 0.28 * len(groups)), layout="constrained")
    for y, values in enumerate(groups.values()):
        axis.barh(y, sum(values) / len(values), color="#0072B2", alpha=0.6)
        axis.plot(values, [y] * len(values), "k.", markersize=4)
    axis.set(yticks=range(len(groups)), yticklabels=groups, xlim=(0, 1), xlabel="score")
    axis.invert_yaxis()
    path = build / "report.png"
    try:
        build.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=120)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}; choose another --build") from error
    finally:
        plt.close(figure)
    return path
