"""Run the lessons in order: execute, render to HTML, collect the claims."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from sslcourse.data.images import cache_dir
from sslcourse.errors import UserError
from sslcourse.lesson import form
from sslcourse.lesson.claims import build_dir
from sslcourse.lesson.notebooks import find_lessons, is_more, refresh_bootstrap
from sslcourse.lesson.pages import Result, claims_table, index_html, tally, title_of, to_html
from sslcourse.studies.records import ROOT
from sslcourse.talk.registry import keep_verdicts
from sslcourse.training import recipes

WIDGET = "application/vnd.jupyter.widget-view+json"
ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class Progress:
    """One line per code cell, or one line that changes on a terminal; and each cell's time, in its metadata."""

    def __init__(self, name: str, total: int):
        self.name, self.total, self.done, self.live = name, total, 0, sys.stdout.isatty()
        self.begun = 0.0

    def start(self, cell: NotebookNode, cell_index: int) -> None:
        if self.live and cell.cell_type == "code":
            place = f"{self.name}  cell {self.done + 1}/{self.total}"
            print(f"\r\033[K{place}: {first_line(cell)}", end="", flush=True)
        self.begun = time.perf_counter()

    def end(self, cell: NotebookNode, cell_index: int, execute_reply: dict) -> None:
        cell.metadata["seconds"] = time.perf_counter() - self.begun
        if execute_reply["content"]["status"] != "ok":
            return
        self.done += 1
        if not self.live:
            print(f"{self.name}  cell {self.done}/{self.total} done", flush=True)

    def close(self) -> None:
        if self.live:
            print("\r\033[K", end="")


def first_line(cell: NotebookNode) -> str:
    lines = [line for line in cell.source.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    return (lines or [""])[0][:70]


def execute(notebook: NotebookNode, name: str, folder: Path, environment: dict, timeout: float | None) -> str:
    """Run every cell in a fresh kernel whose working directory is `folder`; outputs land in `notebook`,
    and how long a cell took in its `metadata["seconds"]`.

    Returns "" or what went wrong, in one block that names the cell.
    """
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    progress = Progress(name, len(code))
    client = NotebookClient(
        notebook, resources={"metadata": {"path": str(folder)}}, kernel_name="python3", timeout=timeout,
        record_timing=False, store_widget_state=False,
        on_cell_execute=progress.start, on_cell_executed=progress.end,
    )  # fmt: skip
    try:
        client.execute(env=os.environ | environment)
        return ""
    except CellExecutionError as error:
        what = ANSI.sub("", f"{error.ename}: {error.evalue}")
        trace = ANSI.sub("", error.traceback).strip().splitlines()[-12:]
    except (CellTimeoutError, DeadKernelError) as error:
        what, trace = f"{type(error).__name__}: {str(error).splitlines()[0]}", []
    finally:
        progress.close()
    cell = code[min(progress.done, len(code) - 1)]
    shown = cell.source.splitlines()[:8]
    lines = [f"{name}: code cell {progress.done + 1} of {len(code)} failed: {what}"]
    return "\n".join(lines + [f"    {line}" for line in shown] + [f"  | {line}" for line in trace])


def clean(notebook: NotebookNode) -> NotebookNode:
    """Make an executed notebook fit to commit: no widget state, progress bars or machine details.

    What `form.stamp` measured stays: the seconds of the whole run, its profile and its device.
    """
    stamped = {key: notebook.metadata[key] for key in notebook.metadata if key == "sslcourse"}
    notebook.metadata = NotebookNode(
        kernelspec={"display_name": "Python 3", "language": "python", "name": "python3"},
        language_info={"name": "python"},
        **stamped,
    )
    count = 0
    for cell in notebook.cells:
        cell.metadata = NotebookNode({k: v for k, v in cell.metadata.items() if k in ("tags", "alt")})
        if cell.cell_type != "code":
            continue
        count += bool(cell.source.strip())
        cell.execution_count = count if cell.source.strip() else None
        cell.outputs = [output for output in map(_clean_output, cell.outputs) if output is not None]
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = count
    return notebook


def _clean_output(output: NotebookNode) -> NotebookNode | None:
    if output.output_type == "stream":
        lines = (line.rsplit("\r", 1)[-1] for line in output.text.replace("\r\n", "\n").split("\n"))
        output.text = ANSI.sub("", "\n".join(lines))
        return output if output.text.strip() else None
    if WIDGET in output.get("data", {}):
        del output.data[WIDGET]
        if re.search(r"\d+%\|", output.data.get("text/plain", "")) or not output.data.get("text/plain"):
            return None  # a progress bar
    return output


def read_claims(build: Path, skip: int) -> list[dict]:
    """The lines of `claims.jsonl` after the first `skip`."""
    path = build / "claims.jsonl"
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()[skip:]]


def run_course(
    lessons: Iterable[str] | None = None,
    profile: str | None = None,
    build: str | Path | None = None,
    html: bool = True,
    *,
    more: bool = False,
    folder: str | Path | None = None,
    write_back: bool = False,
    timeout: float | None = None,
) -> int:
    """Execute the lessons in order, render them to BUILD/course/NN.html, and print the claims table.

    lessons: such as ["02", "06_semisupervised"], default all; more: those of `folder/more` after them (`find_lessons`).
    folder: default `notebooks/` (or its `solutions`).
    write_back: store the executed, cleaned notebooks in `folder` (never under smoke, never a failed one), with their
    measured seconds and minutes (`form.stamp`).
    timeout: seconds per cell. Returns 1 if a lesson or a claim failed, else 0; the rest run all the same.
    """
    profile = recipes.profile(profile)
    give_home()
    if write_back and profile == "smoke":
        raise UserError("write_back under profile smoke: lessons are committed executed under laptop or gpu")
    folder = (Path(folder) if folder else ROOT / "notebooks").resolve()
    build = (Path(build) if build else build_dir()).resolve()
    pages = build / ("course" if folder.name != "solutions" else "course/solutions")
    pages.mkdir(parents=True, exist_ok=True)
    results, begun = [], time.perf_counter()
    for path in find_lessons(lessons, folder, more):
        results.append(run_lesson(path, profile, build, pages if html else None, write_back, timeout))
    if html:
        (pages / "index.html").write_text(index_html(results, profile), encoding="utf-8")
    report(results, time.perf_counter() - begun, pages if html else None)
    return int(any(r.error or any(c["failed"] for c in r.claims) for r in results))


def give_home() -> None:
    """Jupyter keeps files in a home directory: where none is known, in a folder of the cache."""
    try:
        Path.home()
    except RuntimeError:
        home = cache_dir() / "home"
        home.mkdir(parents=True, exist_ok=True)
        os.environ["HOME"] = str(home)


def run_lesson(
    path: Path, profile: str, build: Path, pages: Path | None, write_back: bool, timeout: float | None
) -> Result:
    """Execute one notebook; see `run_course`."""
    notebook = nbformat.read(path, as_version=4)
    refresh_bootstrap(notebook)
    title = title_of(notebook, path.stem)
    print(f"{path.stem}: {title}", flush=True)
    before = len(read_claims(build, 0))
    environment = {"SSLCOURSE_PROFILE": profile, "SSLCOURSE_LESSON": path.stem, "SSLCOURSE_BUILD": str(build)}
    begun = time.perf_counter()
    error = execute(notebook, path.stem, path.parent, environment, timeout)
    seconds = time.perf_counter() - begun
    mine = [c for c in read_claims(build, before) if c["lesson"] == path.stem]
    result = Result(path.stem, title, seconds, error, mine, is_more(path))
    if write_back and not error:
        form.stamp(notebook, profile)
    clean(notebook)
    if write_back and not error:
        nbformat.validate(notebook)
        nbformat.write(notebook, path)
        if ROOT / "notebooks" in path.parents and "solutions" not in path.parts:
            keep_verdicts(path.stem, [verdict(claim) for claim in mine if claim["id"]])
    if pages:
        page = pages / result.page
        page.parent.mkdir(exist_ok=True)
        page.write_text(to_html(notebook, title, result.more), encoding="utf-8")
    print(f"{path.stem}: {'FAILED' if error else 'done'} in {seconds:.0f} s", flush=True)
    if error:
        print(f"\n{error}\n", flush=True)
    return result


def verdict(claim: dict) -> dict:
    """What the registry keeps of a judged claim."""
    kept = ("id", "on", "status", "numbers", "left", "right", "why", "source", "profile")
    return {**{key: claim[key] for key in kept}, "notebook": claim["lesson"]}


def report(results: list[Result], seconds: float, pages: Path | None) -> None:
    """Print the claims table, what failed, and the total."""
    print()
    if any(r.claims for r in results):
        print(claims_table(results), end="\n\n")
    failed = [r.name for r in results if r.error]
    said = f"{len(results) - len(failed)} of {len(results)} lessons ran, "
    said += tally([c for r in results for c in r.claims])
    print(f"{said}, {seconds / 60:.1f} min" + (f"; pages in {pages}" if pages else ""))
    if failed:
        print(f"failed: {', '.join(failed)}")
