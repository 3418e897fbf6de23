"""RESULTS.md: every record of data/results as tables, by the list in `sslcourse.studies.printed`."""

from __future__ import annotations

import json
from dataclasses import replace
from fnmatch import fnmatch
from itertools import pairwise
from pathlib import Path
from statistics import fmean, stdev

from sslcourse.errors import UserError
from sslcourse.studies.printed import LINES, NAMES, PROTOCOLS, TABLES, Table, Value
from sslcourse.studies.records import results_dir
from sslcourse.talk.judged import counts, judged
from sslcourse.talk.registry import ON

COMMAND = "sslcourse report --markdown > RESULTS.md"
HEAD = f"""# Results

Made from the records in [data/results](data/results) by `{COMMAND}`: do not edit it by hand.

Accuracy in %, mean ± standard deviation over seeds (a bare number: one seed); *random* is the same network at random
initialisation. Above each table stands where its numbers come from: command, commit, seeds, device, date,
and how long the command took (runs that were in the cache already were not trained again)."""
SOURCES = "Where the numbers come from"


class Ambiguous(UserError):
    """Two numbers of one seed fall into one cell: the table needs another key in `rows` or `across`."""

    def __init__(self, what: str):
        super().__init__(f"{what}: name the key that tells them apart in sslcourse/studies/printed.py")


def read(results: Path | None = None) -> dict[str, dict]:
    """Name -> record of every data/results/*.json. Raises UserError for a file that holds none."""
    records = {}
    for path in sorted((results or results_dir()).glob("*.json")):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise UserError(
                f"{path} is not JSON: {error}; make it again with the command in data/README.md"
            ) from None
        if not isinstance(record, dict):
            raise UserError(f"{path} holds a {type(record).__name__}, not a record; record it again")
        records[path.stem] = record
    return records


def rows_of(record: dict) -> list[dict]:
    found = record.get("results", [])
    return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []


def tables(results: Path | None = None) -> list[dict]:
    """What RESULTS.md shows: dicts of "title", "source", "note", "columns" and "rows", every cell as text.

    "align" has a letter for each column: l for text, r for numbers.
    """
    records = read(results)
    found = [_glance(records)]
    for entry in TABLES:
        found += _tables(entry, {name: r for name, r in records.items() if fnmatch(name, entry.record)})
    for name, record in records.items():
        if not any(fnmatch(name, entry.record) for entry in TABLES):
            found += _unlisted(name, record)
    if results is None:
        found.append(_talk())
    found.append(_sources(records))
    found = [table for table in found if table["rows"]]
    for table, after in reversed(list(pairwise(found))):
        if after["source"] and after["source"] == table["source"]:
            after["source"] = "From the same record."
    return found


def markdown(found: list[dict]) -> str:
    """The text of RESULTS.md, without the newline at its end."""
    parts = [HEAD]
    for table in found:
        parts += [f"## {table['title']}", f"{table['source']}\n{table['note']}".strip()]
        rule = [{"l": "---", "r": "--:"}[side] for side in table["align"]]
        lines = [table["columns"], rule, *table["rows"]]
        parts.append("\n".join("| " + " | ".join(line) + " |" for line in lines))
    return "\n\n".join(part for part in parts if part)


def _unlisted(name: str, record: dict) -> list[dict]:
    """The table of a record that nobody has described: a line for each method, or for each method and data set."""
    for rows in (("method",), ("method", "data"), ("method", "data", "probe")):
        try:
            return [_table(Table(name, name, rows, where={"protocol": PROTOCOLS}), {name: record})]
        except Ambiguous:
            continue
    return []  # the last table names it all the same


def _tables(entry: Table, records: dict[str, dict]) -> list[dict]:
    if not entry.by:
        return [_table(entry, records)]
    kinds = dict.fromkeys(row.get(entry.by) for record in records.values() for row in rows_of(record))
    kinds = [kind for kind in kinds if kind in entry.where.get(entry.by, kinds)]
    found = []
    for kind in kinds:
        title, where = f"{entry.title}: {entry.kinds.get(kind, kind)}", entry.where | {entry.by: (kind,)}
        found.append(_table(replace(entry, title=title, where=where), records))
    return found


def _table(entry: Table, records: dict[str, dict]) -> dict:
    cells: dict[tuple, dict[tuple, dict]] = {}  # line -> column -> seed -> number
    told: dict[tuple, list] = {}  # line -> what it says besides
    columns: dict[tuple, None] = {}  # in order of appearance
    for row in (row for record in records.values() for row in rows_of(record)):
        numbers = {value: number for value in entry.values if (number := _number(row, value.key)) is not None}
        if not numbers or any(row.get(key) not in allowed for key, allowed in entry.where.items()):
            continue
        line, across = (tuple(row.get(key) for key in keys) for keys in (entry.rows, entry.across))
        told.setdefault(line, [row.get(key) for key in entry.told if key not in entry.rows])
        columns[across] = None
        for value, number in numbers.items():
            seeds = cells.setdefault(line, {}).setdefault((*across, value), {})
            if row.get("seed") in seeds:
                raise Ambiguous(f"{entry.title}: two numbers for {line}, {across}, seed {row.get('seed')}")
            seeds[row.get("seed")] = number
    order = [(*across, value) for across in columns for value in entry.values]
    order = _one_random(cells, [c for c in order if any(c in line for line in cells.values())])
    keys, texts = list(dict.fromkeys((*entry.rows, *entry.told))), [[*line, *told[line]] for line in cells]
    used = [i for i, _ in enumerate(keys) if any(text[i] is not None for text in texts)]
    found = [
        [_cell(text[i], keys[i], entry) for i in used] + [_spread(line.get(c), c[-1]) for c in order]
        for text, line in zip(texts, cells.values(), strict=True)
    ]
    sources = [_source(record) for record in records.values()]
    many = f"From {', '.join(map(_link, records))}: see *{SOURCES}*, the last table."
    return {
        "title": entry.title,
        "source": sources[0] if len(sources) == 1 else many,
        "note": entry.note,
        "columns": [_name(keys[i], entry) for i in used] + [_heading(c, entry) for c in order],
        "rows": found,
        "align": "l" * len(used) + "r" * len(order),
    }


def _one_random(cells: dict, columns: list[tuple]) -> list[tuple]:
    """The columns; where all those of random initialisation say the same, one of them, at the end."""
    random = [column for column in columns if column[-1].key == "random"]
    same = all(len({json.dumps(line[c]) for c in random if c in line}) == 1 for line in cells.values())
    return [c for c in columns if c not in random] + random[:1] if len(random) > 1 and same else columns


def _glance(records: dict[str, dict]) -> dict:
    """The first table, of LINES: a number, what it is beside, and their record."""
    found = []
    for line in LINES:
        if line.record not in records:
            continue
        value = _of(records[line.record], line.where, line.key)
        beside = (
            _of(records[line.record], line.beside_where or line.where, line.beside_key) if line.beside else ""
        )
        found += [[line.what, value, line.beside, beside, _link(line.record)]] if value else []
    columns = ["", "%", "beside", "%", "record"]
    note = "The small network throughout, on Toybox unless photographs are named; the tables below have the rest."
    return {
        "title": "At a glance",
        "source": "",
        "note": note,
        "columns": columns,
        "rows": found,
        "align": "lrlrl",
    }


def _of(record: dict, where: dict, key: str) -> str:
    rows = [row for row in rows_of(record) if all(row.get(k) == v for k, v in where.items())]
    found = [(row.get("seed"), number) for row in rows if (number := _number(row, key)) is not None]
    numbers = dict(found)
    if len(numbers) != len(found):
        raise Ambiguous(f"{record.get('name')}: {where} has {len(found)} rows for {len(numbers)} seeds")
    return _spread(numbers, Value(key))


def _talk() -> dict:
    """Every statement of the talk and the verdicts on it, then the claims that are not the talk's."""
    rows = judged()
    found = [
        [
            *(
                row["id"],
                _text(row["statement"]),
                _text(row["lessons"]),
                _text([c["id"] for c in row["claims"]]),
            ),
            *(_text(row["unjudged"]) or row[on] for on in ON),
        ]
        for row in rows
    ]
    return {
        "title": "The talk, statement by statement",
        "source": "From the committed lessons, which have the numbers.",
        "note": f"How many: {counts(rows)}. *Not settled*: the 95% interval over seeds reaches the margin, or there are "
        "fewer than three seeds. Where no experiment here can judge a statement, the reason stands.",
        "columns": ["", "statement", "lessons", "claims", *ON],
        "rows": found,
        "align": "llllll",
    }


def _sources(records: dict[str, dict]) -> dict:
    found = []
    for name, record in records.items():
        told = [_link(name), f"`{record.get('command', '')}`"]
        told += [_text(record.get(key)) for key in ("commit", "seed", "device", "date")]
        found.append([*told, _text(record.get("note")), _minutes(record)])
    columns = ["record", "command", "commit", "seeds", "device", "date", "note", "minutes"]
    return {
        "title": SOURCES,
        "source": "",
        "note": "",
        "columns": columns,
        "rows": found,
        "align": "l" * 7 + "r",
    }


def _link(name: str) -> str:
    return f"[{name}](data/results/{name}.json)"


def _source(record: dict) -> str:
    commit, seed, device, day = (_text(record.get(key)) for key in ("commit", "seed", "device", "date"))
    told = f"commit {commit}, seed{'s' * (' ' in seed)} {seed}, {device}, {day}, {_minutes(record)} min"
    return f"`{record.get('command')}`: {told}. {record.get('note', '')}".strip()


def _minutes(record: dict) -> str:
    return f"{record['seconds'] / 60:.0f}" if isinstance(record.get("seconds"), (int, float)) else ""


def _number(row: dict, key: str) -> float | None:
    """row[key]; `a.b` is the mean of the list row["a"]["b"]."""
    for part in key.split("."):
        row = row.get(part) if isinstance(row, dict) else None
    if isinstance(row, list) and row:
        return fmean(row)
    return float(row) if isinstance(row, (int, float)) and not isinstance(row, bool) else None


def _spread(seeds: dict | None, value: Value) -> str:
    """Numbers by seed as mean ± standard deviation."""
    if not seeds:
        return ""
    numbers = [value.scale * number for number in seeds.values()]
    mean = f"{fmean(numbers):,.{value.digits}f}"
    return mean if len(numbers) == 1 else f"{mean} ± {stdev(numbers):,.{value.digits}f}"


def _cell(value, key: str, entry: Table) -> str:
    """A cell that names a line: only methods have names that are known everywhere."""
    if key == "method" or not isinstance(value, str):
        return _name(value, entry)
    return _text(entry.names.get(value, value))


def _name(value, entry: Table) -> str:
    """What people call it: `split_brain, auto` is `Split-brain, auto`."""
    if not isinstance(value, str):
        return _text(value)
    names = {**NAMES, **entry.names}
    first, comma, rest = value.partition(",")
    return _text(names.get(value) or names.get(first, first) + comma + rest)


def _heading(column: tuple, entry: Table) -> str:
    *across, value = column
    if value.key == "random" and across:
        return "random"
    parts = [
        f"{100 * part:g}%" if key == "fraction" else _name(part, entry)
        for key, part in zip(entry.across, across, strict=True)
        if part is not None
    ]
    return ", ".join(parts + [value.heading] * bool(value.heading)) or "%"


def _text(value) -> str:
    """One line that a cell can hold."""
    if isinstance(value, list):
        value = " ".join(map(str, value))
    text = f"{value:,}" if isinstance(value, int) else "" if value is None else str(value)
    return text.replace("|", r"\|").replace("\n", " ")
