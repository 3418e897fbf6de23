"""The course runner, on tiny notebooks."""

import contextlib
import io
import json

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from sslcourse.errors import UserError
from sslcourse.lesson import course

CLAIM = """
import os, json
with open(os.environ["SSLCOURSE_BUILD"] + "/claims.jsonl", "a") as file:
    row = dict(lesson=os.environ["SSLCOURSE_LESSON"], text="up > down", numbers="2 > 1")
    file.write(json.dumps(row | dict(status="holds", failed=False)) + "\\n")
print(os.environ["SSLCOURSE_PROFILE"], os.getcwd())
"""


def write(folder, name, *sources):
    cells = [new_markdown_cell("# A title\n\nSee [the next](02_fails.ipynb#part).")]
    nbformat.write(new_notebook(cells=cells + [new_code_cell(source) for source in sources]), folder / name)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A good lesson and one whose second cell fails, run once: (status, output, folder)."""
    folder = tmp_path_factory.mktemp("notebooks")
    write(folder, "01_good.ipynb", CLAIM.strip(), "1 + 1")
    write(
        folder,
        "02_fails.ipynb",
        "x = 1",
        "def f():\n    raise ValueError('too small')\nf()",
        "print('never')",
    )
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        status = course.run_course(None, "laptop", folder / "build", folder=folder, write_back=True)
    return status, out.getvalue(), folder


def test_a_failing_lesson_is_named_with_its_cell_and_the_rest_run(ran):
    status, said, _ = ran
    assert status == 1
    assert "02_fails: code cell 2 of 3 failed: ValueError: too small" in said and "def f():" in said
    assert "01_good: done in" in said and "1 of 2 lessons ran, 1 claims (1 holds)" in said
    assert "failed: 02_fails" in said and "01_good  cell 2/2 done" in said


def test_claims_are_tabled_and_pages_rendered(ran):
    _, said, folder = ran
    assert "01      up > down  2 > 1    holds" in said
    page = (folder / "build/course/01.html").read_text()
    assert 'href="02.html#part"' in page and "laptop" in page
    index = (folder / "build/course/index.html").read_text()
    assert 'href="02.html"' in index and "A title" in index and "up &gt; down" in index and "failed" in index


def test_only_good_lessons_are_written_back_executed_and_clean(ran):
    _, _, folder = ran
    good = nbformat.read(folder / "01_good.ipynb", as_version=4)
    assert [c.execution_count for c in good.cells if c.cell_type == "code"] == [1, 2]
    assert (
        good.cells[1].outputs[0].text == f"laptop {folder}\n"
        and good.cells[2].outputs[0].data["text/plain"] == "2"
    )
    assert dict(good.metadata) == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    assert all(cell.metadata == {} for cell in good.cells)
    fails = nbformat.read(folder / "02_fails.ipynb", as_version=4)
    assert all(not cell.outputs for cell in fails.cells if cell.cell_type == "code")


def test_cleaning_drops_progress_bars_and_widget_state():
    bar = {
        course.WIDGET: {"model_id": "1"},
        "text/plain": "rotnet:   0%|          | 0/10 [00:00<?, ?epoch/s]",
    }
    controls = {
        course.WIDGET: {"model_id": "2"},
        "text/plain": "[controls: angle]",
    }
    outputs = [new_output("display_data", data) for data in (bar, controls)]
    outputs += [new_output("stream", name="stderr", text="\r 10%\r 100%\x1b[0m done\n")]
    cell = new_code_cell(
        "x", outputs=outputs, execution_count=7, metadata={"execution": {"a": "b"}, "tags": ["t"]}
    )
    notebook = new_notebook(cells=[cell, new_code_cell("")], metadata={"widgets": {}})
    course.clean(notebook)
    first = notebook.cells[0]
    assert [list(o.data) for o in first.outputs[:-1]] == [["text/plain"]] and first.outputs[
        -1
    ].text == " 100% done\n"
    assert first.execution_count == 1 and notebook.cells[1].execution_count is None
    assert first.metadata == {"tags": ["t"]} and "widgets" not in notebook.metadata


def test_alt_text_reaches_the_page():
    data, metadata = {"image/png": "aGk="}, {"image/png": {"alt": "eight <cars>"}}
    cell = new_code_cell("x", outputs=[new_output("display_data", data, metadata=metadata)])
    assert 'alt="eight &lt;cars&gt;"' in course.to_html(new_notebook(cells=[cell]), "x")


def test_the_bootstrap_is_refreshed_and_nothing_else():
    old = (
        course.BOOTSTRAP.replace(course.SOURCE, "git+https://old")
        + "\nimport sslcourse as sc\n\nsc.lesson.setup()"
    )
    notebook = new_notebook(cells=[new_code_cell(old), new_code_cell("y = 1")])
    course.refresh_bootstrap(notebook)
    assert notebook.cells[0].source == course.BOOTSTRAP + "\nimport sslcourse as sc\n\nsc.lesson.setup()"
    assert notebook.cells[1].source == "y = 1" and len(course.BOOTSTRAP.splitlines()) <= 14
    compile(course.BOOTSTRAP, "bootstrap", "exec")


def test_lessons_are_found_by_number_or_name(tmp_path):
    with pytest.raises(UserError, match="no lessons"):
        course.find_lessons(None, tmp_path)
    for name in ("02_b", "10_c", "01_a", "notes"):
        (tmp_path / f"{name}.ipynb").touch()

    def names(wanted):
        return [path.stem for path in course.find_lessons(wanted, tmp_path)]

    assert names(None) == ["01_a", "02_b", "10_c"] and names(["10", "1"]) == ["01_a", "10_c"]
    assert names(["02_b.ipynb", "02"]) == ["02_b"]
    with pytest.raises(UserError, match=r"'07'.*01_a, 02_b, 10_c"):
        names(["07"])


def test_smoke_is_never_written_back(tmp_path):
    with pytest.raises(UserError, match="smoke"):
        course.run_course(None, "smoke", tmp_path, folder=tmp_path, write_back=True)


def test_a_failed_claim_fails_the_course(tmp_path, capsys):
    write(
        tmp_path,
        "01_a.ipynb",
        CLAIM.strip().replace("failed=False", "failed=True").replace("holds", "does not hold"),
    )
    assert course.run_course(["01"], "smoke", tmp_path, html=False, folder=tmp_path) == 1
    assert json.loads((tmp_path / "claims.jsonl").read_text())["failed"]
    assert not list(tmp_path.glob("course/*.html")) and "does not hold" in capsys.readouterr().out
