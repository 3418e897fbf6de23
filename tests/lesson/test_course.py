"""The course runner, on tiny notebooks."""

import contextlib
import io
import json
import re

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from sslcourse.errors import UserError
from sslcourse.lesson import course, notebooks

CLAIM = """
import os, json
with open(os.environ["SSLCOURSE_BUILD"] + "/claims.jsonl", "a") as file:
    row = dict(lesson=os.environ["SSLCOURSE_LESSON"], text="up > down", numbers="2 > 1", failed=False)
    file.write(json.dumps(row | dict(id="01.1", on="toys", status="holds")) + "\\n")
    file.write(json.dumps(row | dict(id="", text="so it went", status="explored")) + "\\n")
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
    assert "01_good: done in" in said and "1 of 2 lessons ran, 1 verdicts: 1 holds; 1 explored" in said
    assert "failed: 02_fails" in said and "01_good  cell 2/2 done" in said


def test_claims_are_tabled_and_pages_rendered(ran):
    _, said, folder = ran
    assert re.search(r"01 +01.1 +up > down +toys +2 > 1 +holds", said)
    assert "so it went" in said
    page = (folder / "build/course/01.html").read_text()
    assert 'href="02.html#part"' in page and "laptop" in page
    index = (folder / "build/course/index.html").read_text()
    assert 'href="02.html"' in index and "A title" in index and "up &gt; down" in index and "failed" in index
    assert "1 verdicts: 1 holds; 1 explored" in index


def test_verdicts_are_kept_of_the_courses_own_lessons_alone(tmp_path, monkeypatch):
    kept = []
    monkeypatch.setattr(course, "keep_verdicts", lambda notebook, rows: kept.append((notebook, rows)))
    source = CLAIM.strip().replace(
        'on="toys"', 'on="toys", left=[2], right=[1], why="", source="live", profile="laptop"'
    )
    for folder in (tmp_path / "notebooks", tmp_path / "notebooks/solutions", tmp_path / "elsewhere"):
        folder.mkdir()
        write(folder, "01_a.ipynb", source)
    monkeypatch.setattr(course, "ROOT", tmp_path)
    for folder in ("notebooks", "notebooks/solutions", "elsewhere"):
        course.run_course(
            None, "laptop", tmp_path / "build", html=False, folder=tmp_path / folder, write_back=True
        )
    ((notebook, (row,)),) = kept  # not the explored one
    assert notebook == row["notebook"] == "01_a" and row["id"] == "01.1" and row["status"] == "holds"


def test_only_good_lessons_are_written_back_executed_and_clean(ran):
    _, _, folder = ran
    good = nbformat.read(folder / "01_good.ipynb", as_version=4)
    assert [c.execution_count for c in good.cells if c.cell_type == "code"] == [1, 2]
    assert (
        good.cells[1].outputs[0].text == f"laptop {folder}\n"
        and good.cells[2].outputs[0].data["text/plain"] == "2"
    )
    took = good.metadata.pop("sslcourse")
    assert set(took) == {"seconds", "training", "profile", "device"} and took["profile"] == "laptop"
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
        notebooks.BOOTSTRAP.replace(notebooks.SOURCE, "git+https://old")
        + "\nimport sslcourse as sc\n\nsc.lesson.setup()"
    )
    notebook = new_notebook(cells=[new_code_cell(old), new_code_cell("y = 1")])
    notebooks.refresh_bootstrap(notebook)
    assert notebook.cells[0].source == notebooks.BOOTSTRAP + "\nimport sslcourse as sc\n\nsc.lesson.setup()"
    assert notebook.cells[1].source == "y = 1" and len(notebooks.BOOTSTRAP.splitlines()) <= 14
    compile(notebooks.BOOTSTRAP, "bootstrap", "exec")


def test_lessons_are_found_by_number_or_name(tmp_path):
    with pytest.raises(UserError, match="no lessons"):
        notebooks.find_lessons(None, tmp_path)
    for name in ("02_b", "10_c", "01_a", "notes"):
        (tmp_path / f"{name}.ipynb").touch()

    def names(wanted):
        return [path.stem for path in notebooks.find_lessons(wanted, tmp_path)]

    assert names(None) == ["01_a", "02_b", "10_c"] and names(["10", "1"]) == ["01_a", "10_c"]
    assert names(["02_b.ipynb", "02"]) == ["02_b"]
    with pytest.raises(UserError, match=r"'07'.*01_a, 02_b, 10_c"):
        names(["07"])


def test_notebooks_of_more_go_by_name_and_come_after_the_lessons(tmp_path):
    (tmp_path / "more").mkdir()
    for name in ("06_simclr", "02_b", "more/06_semisupervised", "more/02_rows"):
        (tmp_path / f"{name}.ipynb").touch()

    def names(*arguments):
        found = notebooks.find_lessons(*arguments)
        return [path.relative_to(tmp_path).with_suffix("").as_posix() for path in found]

    assert names(None, tmp_path) == ["02_b", "06_simclr"]
    assert names(None, tmp_path, True) == ["02_b", "06_simclr", "more/02_rows", "more/06_semisupervised"]
    assert names(["06_semisupervised", "06"], tmp_path) == ["06_simclr", "more/06_semisupervised"]
    assert names(["more/06_semisupervised.ipynb"], tmp_path) == ["more/06_semisupervised"]
    assert names(["more"], tmp_path) == ["more/02_rows", "more/06_semisupervised"]
    assert names(["02"], tmp_path, True) == ["02_b", "more/02_rows", "more/06_semisupervised"]
    with pytest.raises(UserError, match=r"'07_x'.*06_simclr, 02_rows, 06_semi"):
        names(["07_x"], tmp_path)
    with pytest.raises(UserError, match=r"no notebooks in .*more"):
        names(["more"], tmp_path / "more")


def test_notebooks_of_more_run_in_their_folder_and_have_pages_that_link_both_ways(tmp_path, capsys):
    (tmp_path / "more").mkdir()
    write(tmp_path, "06_simclr.ipynb", "1")
    write(tmp_path, "more/06_rows.ipynb", CLAIM.strip())
    assert course.run_course(["06_rows"], "laptop", tmp_path / "build", folder=tmp_path, write_back=True) == 0
    done = nbformat.read(tmp_path / "more/06_rows.ipynb", as_version=4)
    assert done.cells[1].outputs[0].text == f"laptop {tmp_path / 'more'}\n"
    pages = tmp_path / "build/course"
    assert (pages / "more/06_rows.html").is_file()
    assert 'href="more/06_rows.html"' in (pages / "index.html").read_text()
    assert "more/06_rows  up > down" in capsys.readouterr().out

    def links(text, more):
        page = course.to_html(new_notebook(cells=[new_markdown_cell(text)]), "x", more)
        return [part.split('"')[0] for part in page.split('href="')[1:] if part.split('"')[0].count(".html")]

    text = (
        "[a](06_simclr.ipynb#b) [c](./07_moco.ipynb) [d](more/06_rows.ipynb#e) [f](https://x.org/06_y.ipynb)"
    )
    assert links(text, False) == ["06.html#b", "07.html", "more/06_rows.html#e"]
    text = "[a](../06_simclr.ipynb#b) [c](./07_keys.ipynb) [d](06_rows.ipynb)"
    assert links(text, True) == ["../06.html#b", "07_keys.html", "06_rows.html"]


def test_smoke_is_never_written_back(tmp_path):
    with pytest.raises(UserError, match="smoke"):
        course.run_course(None, "smoke", tmp_path, folder=tmp_path, write_back=True)


def test_a_failed_claim_fails_the_course(tmp_path, capsys):
    write(
        tmp_path,
        "01_a.ipynb",
        CLAIM.strip().replace("failed=False", "failed=True").replace('"holds"', '"does not hold"'),
    )
    assert course.run_course(["01"], "smoke", tmp_path, html=False, folder=tmp_path) == 1
    assert json.loads((tmp_path / "claims.jsonl").read_text())["failed"]
    assert not list(tmp_path.glob("course/*.html")) and "does not hold" in capsys.readouterr().out
