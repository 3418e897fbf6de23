"""The form of a lesson, one class hour: measured from its notebook, and held by limits.

`python -m sslcourse.lesson.form` prints the measures of every notebook; `... form 06` also what lesson 06 lacks.
"""

from __future__ import annotations

import ast
import math
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from sslcourse.errors import UserError
from sslcourse.lesson.notebooks import find_lessons, is_more, python, without_bootstrap
from sslcourse.studies.records import ROOT, device_name
from sslcourse.text import table

# Lessons that have the form: tests hold them to it.
FORMED: tuple[str, ...] = ("02", "06", "08", "09")

# What an hour is made of.
WORDS_A_MINUTE = 200  # slower than a story: every sentence may hold a symbol, and figures stand between
EXERCISE = 5  # minutes: a few lines of code, one look at the hint, one more try
QUESTION = 1  # minutes: think, then unfold the answer
EXPERIMENT = 5  # minutes, for all its cells: choose, predict, change a line, compare (its run counts as run)

LIMITS = {
    "cells": 50,
    "words": 1800,
    "figures": 8,
    "claims": 6,
    "longest": 15,
    "longest_check": 25,
    "training": 90,
    "seconds": 140,
    "megabytes": 1,
    "minutes": 60,
}
MORE_LIMITS = {"longest": 25, "longest_check": 25, "megabytes": 1}  # notebooks/more: as long as they need

SAID = {
    "cells": "{:,} cells",
    "words": "{:,} words",
    "figures": "{} figures",
    "claims": "{} claims",
    "longest": "a code cell of {} lines",
    "longest_check": "an exercise's check of {} lines",
    "training": "{} s of training",
    "seconds": "{} s to run",
    "megabytes": "{:.2f} MB",
    "minutes": "{} minutes",
}

# Headings of the second level, in this order; more may follow on the same line ("## The question: which way up?").
PARTS = (
    "The question",
    "The idea",
    "The method",
    "Training",
    "The evidence",
    "Play",
    "Your experiment",
    "Pros and cons",
    "In production",
    "Recap",
)
EXERCISES, QUESTIONS = 4, 5  # at least: the loss and three exercises, and five folded answers

TRAINS = {"pretrain", "finetune", "semisupervised"}
CLAIM_ID = re.compile(r"\d\d\.\d+")
TIME = re.compile(r"^\*\*Time:\*\*.*$", re.M)
FENCED = re.compile(r"^\s*(```|~~~).*?^\s*\1", re.M | re.S)
IMAGE = r"!\[[^\]]*\]\([^)]*\)|<img\b[^>]*>"
BADGE = re.compile(rf"\[\s*(?:{IMAGE})\s*\]\([^)]*\)")
NOT_READ = re.compile(rf"<!--.*?-->|{IMAGE}|</?[A-Za-z][\w-]*(?:\s[^<>]*)?/?>|<?https?://[^\s)>]*>?", re.S)
LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")


@dataclass(frozen=True)
class Form:
    """What a committed notebook holds. seconds, training: measured by `write_back`, None where they never were.

    words: of markdown, folded answers with them; not of fenced code, addresses, tags or images. figures: images
    in outputs and in markdown, no badges. claims: different registered
    ids that cells give to `claim`; unnamed: calls of it without a literal id. longest: lines of the longest code cell, the
    Colab bootstrap apart; longest_check: of those with an exercise's check. training: seconds of cells that call one
    of TRAINS, or have the tag "training". exercises: different checks. questions: folded answers. experiments: cells with
    the tag "experiment". parts: those of PARTS that its headings name, as they come. said: its line of minutes, or "".
    """

    name: str
    cells: int
    words: int
    figures: int
    claims: int
    unnamed: int
    longest: int
    longest_check: int
    megabytes: float
    seconds: int | None
    training: int | None
    exercises: int
    questions: int
    experiments: int
    parts: tuple[str, ...]
    said: str

    @property
    def reading(self) -> int:
        """Minutes, rounded up."""
        return math.ceil(self.words / WORDS_A_MINUTE)

    @property
    def running(self) -> int | None:
        """Minutes, rounded up; None if never measured."""
        return None if self.seconds is None else math.ceil(self.seconds / 60)

    @property
    def doing(self) -> int:
        """Minutes for exercises, questions and the reader's own experiment."""
        own = EXPERIMENT if self.experiments else 0
        return EXERCISE * self.exercises + QUESTION * self.questions + own

    @property
    def minutes(self) -> int | None:
        """All three together; None if the run was never measured."""
        return None if self.running is None else self.reading + self.running + self.doing

    @property
    def time_line(self) -> str:
        """What the head of the lesson should say; "" if the run was never measured."""
        if self.minutes is None:
            return ""
        parts = f"{self.reading} to read, {self.running} to run, {self.doing} to do"
        return f"**Time:** about {self.minutes} minutes: {parts}."


def measure(path: str | Path) -> Form:
    """The form of a notebook, as it is committed. Raises SyntaxError if a code cell is not Python."""
    path = Path(path)
    return _measured(nbformat.read(path, as_version=4), path.stem, path.stat().st_size)


def calls(source: str, names: set[str]) -> list[ast.Call]:
    """The calls in a code cell of functions or methods with one of these names."""
    found = [node for node in ast.walk(python(source)) if isinstance(node, ast.Call)]
    return [c for c in found if getattr(c.func, "attr", getattr(c.func, "id", None)) in names]


def stamp(notebook: NotebookNode, profile: str) -> None:
    """Store what the run of a notebook took, whole seconds, and bring its `**Time:**` line up to date.

    Every code cell that was run has its time in `metadata["seconds"]`.
    """
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    took = {
        "seconds": sum(cell.metadata.get("seconds", 0) for cell in code),
        "training": sum(cell.metadata.get("seconds", 0) for cell in code if _trains(cell)),
    }
    took = {name: round(seconds) for name, seconds in took.items()}
    notebook.metadata["sslcourse"] = took | {"profile": profile, "device": device_name()}
    for _ in range(2):  # the line is read, too: the first pass gives it its length
        line = _measured(notebook, "", 0).time_line
        for cell in _head(notebook):
            cell.source = TIME.sub(line, cell.source)


def faults(form: Form, limits: dict[str, float] = LIMITS) -> list[str]:
    """One line per limit that is passed, such as "94 cells, 50 at most". What was never measured is no fault."""
    values = {name: getattr(form, name) for name in limits}
    return [
        f"{SAID[name].format(values[name])}, {limit:,} at most"
        for name, limit in limits.items()
        if values[name] is not None and values[name] > limit
    ]


def lacks(form: Form) -> list[str]:
    """What a lesson of the form must have, and this one has not, one line each."""
    found = []
    if form.parts != PARTS:
        found.append(f"its parts are {', '.join(form.parts) or 'none'}, and should be {', '.join(PARTS)}")
    if form.exercises < EXERCISES:
        found.append(f"{form.exercises} exercises, the loss and {EXERCISES - 1} more at least")
    if form.questions < QUESTIONS:
        found.append(f"{form.questions} folded answers, {QUESTIONS} at least")
    if form.unnamed:
        found.append(f'{form.unnamed} calls of claim without an id such as "06.2"')
    if not form.experiments:
        found.append('no cell with the tag "experiment"')
    if form.seconds is None:
        found.append("its run was never measured: sslcourse course --lessons NN --write-back")
    elif form.said != form.time_line:
        found.append(f"its head says {form.said!r}, and should say {form.time_line!r}")
    return found


def _head(notebook: NotebookNode) -> list[NotebookNode]:
    """The cells that may say how long the lesson takes."""
    return [cell for cell in notebook.cells if cell.cell_type == "markdown"][:2]


def _trains(cell: NotebookNode) -> bool:
    return "training" in cell.metadata.get("tags", []) or bool(calls(cell.source, TRAINS))


def _draws(output: NotebookNode) -> bool:
    data = output.get("data", {})
    return any(kind.startswith("image/") for kind in data) or "<svg" in data.get("text/html", "")


def _measured(notebook: NotebookNode, name: str, size: int) -> Form:
    """size: of the file, in bytes."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    text = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    text = BADGE.sub("", FENCED.sub("", text))
    checks = {id(cell): calls(cell.source, {"check"}) for cell in code}
    lengths = {id(cell): len(without_bootstrap(cell.source).splitlines()) for cell in code}
    ids = [_claim_id(call) for cell in code for call in calls(cell.source, {"claim"})]
    images = [image for image in re.findall(IMAGE, text) if "badge" not in image.lower()]
    headings = re.findall(r"^## +(.+)$", text, re.M)
    parts = [part for heading in headings for part in PARTS if re.match(rf"{part}\b", heading)]
    took = notebook.metadata.get("sslcourse", {})
    said = [line for cell in _head(notebook) for line in TIME.findall(cell.source)]
    return Form(
        name=name,
        cells=len(notebook.cells),
        words=sum(any(map(str.isalnum, word)) for word in LINK.sub(r"\1", NOT_READ.sub(" ", text)).split()),
        figures=sum(_draws(output) for cell in code for output in cell.outputs) + len(images),
        claims=len(set(ids) - {""}),
        unnamed=ids.count(""),
        longest=max((lengths[key] for key in checks if not checks[key]), default=0),
        longest_check=max((lengths[key] for key in checks if checks[key]), default=0),
        megabytes=size / 1e6,
        seconds=took.get("seconds"),
        training=took.get("training"),
        exercises=len({_exercise(call) for found in checks.values() for call in found}),
        questions=len(re.findall(r"<details\b", text)),
        experiments=sum("experiment" in cell.metadata.get("tags", []) for cell in notebook.cells),
        parts=tuple(dict.fromkeys(parts)),
        said=said[0] if said else "",
    )


def _claim_id(call: ast.Call) -> str:
    """Such as "06.2"; "" if the first argument is no such literal."""
    given = getattr(call.args[0], "value", None) if call.args else None
    return given if isinstance(given, str) and CLAIM_ID.fullmatch(given) else ""


def _exercise(call: ast.Call) -> str:
    """What tells one `check(answer, test, name)` from another: its name, else the answer."""
    given = [k.value for k in call.keywords if k.arg == "name"] + call.args[2:3] + call.args[:1]
    return ast.unparse(given[0]) if given else ""


def main(wanted: list[str]) -> None:
    """Print a row for every notebook and a line for every fault; those `wanted`, or of the form, also hear what they lack."""
    folder, rows, said = ROOT / "notebooks", [], []
    for path in find_lessons(wanted, folder, more=not wanted):
        form, more = measure(path), is_more(path)
        found = faults(form, MORE_LIMITS if more else LIMITS)
        if not more and (wanted or path.stem[:2] in FORMED):
            found += lacks(form)
        name = f"more/{path.stem}" if more else path.stem
        said += [f"{name}: {fault}" for fault in found]
        row = {
            "notebook": name,
            **{name: getattr(form, name) for name in ("cells", "words", "figures", "claims")},
            "lines": form.longest,
            "in a check": form.longest_check,
            "MB": f"{form.megabytes:.2f}",
            "minutes": form.minutes,
            "run s": form.seconds,
            "training s": form.training,
            "faults": len(found),
        }
        rows.append({name: "?" if value is None else value for name, value in row.items()})
    print("\n".join([table(rows), "", *said] if said else [table(rows)]))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except UserError as error:
        sys.exit(f"form: {error}")
