"""Every committed lesson and solution, those of `more/` too: valid, executed in order, small, described, checked."""

import ast
from functools import cache
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from sslcourse.lesson import form
from sslcourse.lesson.course import WIDGET
from sslcourse.lesson.notebooks import BOOTSTRAP, is_more, python

ROOT = Path(__file__).resolve().parents[1]
BOOKS, ANSWERS = ROOT / "notebooks", ROOT / "notebooks/solutions"
LESSONS = sorted(BOOKS.glob("*.ipynb")) + sorted(BOOKS.glob("more/*.ipynb"))
SOLUTIONS = sorted(ANSWERS.glob("*.ipynb")) + sorted(ANSWERS.glob("more/*.ipynb"))


@cache
def package_classes() -> frozenset[str]:
    files = (ROOT / "sslcourse").rglob("*.py")
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in files)
    return frozenset(node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef))


def text_of(output) -> str:
    said = output.get("text", "") or output.get("data", {}).get("text/plain", "")
    return said + str(output.get("data", {}).get("text/html", ""))


def figure_defects(place: str, cell, output, following: str) -> list[str]:
    """Alt text and caption in the output's metadata, in the cell's, or as markdown below ("Figure: ...")."""
    if not {"image/png", "image/jpeg", "image/svg+xml"} & set(output.get("data", {})):
        return []
    kind = next(iter({"image/png", "image/jpeg", "image/svg+xml"} & set(output.data)))
    told = output.metadata.get(kind, {})
    below = following.lstrip("*_ ").startswith("Figure")
    found = (
        [f"{place}: figure without alt text"]
        if not (told.get("alt") or cell.metadata.get("alt") or below)
        else []
    )
    return found + ([f"{place}: figure without caption"] if not (told.get("caption") or below) else [])


def defects(notebook, size: int, solution: bool) -> list[str]:
    """Everything that is wrong with a notebook, in words. size: of the file, in bytes."""
    found = []
    try:
        nbformat.validate(notebook)
    except nbformat.ValidationError as error:
        found.append(f"not a valid notebook: {error}")
    if size >= 1_000_000:
        found.append(f"{size / 1e6:.2f} MB, 1 MB is the limit")
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    first = code[0].source if code else ""
    if not first.startswith(BOOTSTRAP) or "sc.lesson.setup(" not in first:
        found.append("the first code cell is not the standard bootstrap and sc.lesson.setup()")
    if solution and "strict=True" not in first:
        found.append("a solution calls sc.lesson.setup(strict=True)")
    if not solution and sum("# NBVAL_CHECK_OUTPUT" in cell.source for cell in code) < 3:
        found.append("fewer than 3 cells with # NBVAL_CHECK_OUTPUT")
    for i, cell in enumerate(notebook.cells):
        if cell.cell_type == "code":
            following = notebook.cells[i + 1].source if i + 1 < len(notebook.cells) else ""
            found += cell_defects(code.index(cell) + 1, cell, following)
    if WIDGET in str(notebook) or "widgets" in notebook.metadata:
        found.append("widget state is committed")
    return found


def cell_defects(number: int, cell, following: str) -> list[str]:
    place, found = f"code cell {number}", []
    if cell.execution_count != number:
        found.append(f"{place}: not executed in order (count {cell.execution_count})")
    if len(cell.source.splitlines()) > 25:
        found.append(f"{place}: {len(cell.source.splitlines())} lines, 25 is the limit")
    try:
        names = {node.name for node in ast.walk(python(cell.source)) if isinstance(node, ast.ClassDef)}
    except SyntaxError as error:
        return [*found, f"{place}: {error}"]
    found += [f"{place}: defines {name}, as the package does" for name in sorted(names & package_classes())]
    for output in cell.outputs:
        if output.output_type == "error":
            found.append(f"{place}: {output.ename}")
        elif "not judged (smoke)" in text_of(output) or "profile smoke" in text_of(output):
            found.append(f"{place}: output of the smoke profile")
        found += figure_defects(place, cell, output, following)
    return found


@pytest.mark.parametrize("path", LESSONS + SOLUTIONS, ids=lambda path: str(path.relative_to(ROOT)))
def test_notebook_is_fit_to_read(path):
    notebook = nbformat.read(path, as_version=4)
    assert not defects(notebook, path.stat().st_size, path in SOLUTIONS)


def test_every_lesson_has_a_solution():
    """A notebook of `more/` has one if it has an exercise."""
    asked = [path for path in LESSONS if not is_more(path) or form.measure(path).exercises]
    assert [path.relative_to(BOOKS) for path in asked] == [path.relative_to(ANSWERS) for path in SOLUTIONS]


def a_lesson():
    png = {"image/png": "aGk="}
    figure = new_output("display_data", png, metadata={"image/png": {"alt": "a car", "caption": "A car."}})
    check = [new_code_cell(f"# NBVAL_CHECK_OUTPUT\n{i}", execution_count=i) for i in (2, 3, 4)]
    first = new_code_cell(BOOTSTRAP + "\nimport sslcourse as sc\n\nsc.lesson.setup()", execution_count=1)
    drawn = new_code_cell("%matplotlib inline\nx", execution_count=5, outputs=[figure])
    return new_notebook(cells=[new_markdown_cell("# Title"), first, *check, drawn])


def test_the_checks_themselves_find_what_is_wrong():
    assert defects(a_lesson(), 1000, False) == []
    assert (
        "strict" in defects(a_lesson(), 1000, True)[0] and "1 MB" in defects(a_lesson(), 1_000_000, False)[0]
    )

    def broken(change):
        notebook = a_lesson()
        change(notebook.cells)
        return " ".join(defects(notebook, 1000, False))

    def smoke(cells):
        cells[2].outputs = [new_output("stream", text="claim: x\n  not judged (smoke): 1 > 0")]

    def error(cells):
        cells[2].outputs = [new_output("error", ename="ValueError", evalue="", traceback=[])]

    def widget(cells):
        cells[2].outputs = [new_output("display_data", {WIDGET: {"model_id": "1"}, "text/plain": "x"})]

    assert "in order (count 9)" in broken(lambda cells: cells[3].update(execution_count=9))
    assert "26 lines" in broken(lambda cells: cells[5].update(source="x = 1\n" * 26))
    assert "defines ImageSet" in broken(lambda cells: cells[5].update(source="class ImageSet:\n    pass"))
    assert "fewer than 3" in broken(lambda cells: cells[2].update(source="2"))
    assert "bootstrap" in broken(
        lambda cells: cells[1].update(source="import sslcourse as sc\nsc.lesson.setup()")
    )
    assert "smoke profile" in broken(smoke) and "ValueError" in broken(error) and "widget" in broken(widget)
    bare = broken(lambda cells: cells[5].outputs[0].update(metadata={}))
    assert "without alt text" in bare and "without caption" in bare
    below = new_markdown_cell("*Figure: a car, seen from the side.*")
    noted = broken(lambda cells: (cells[5].outputs[0].update(metadata={}), cells.append(below)))
    assert noted == ""
