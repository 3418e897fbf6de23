"""The form of a lesson: what is measured, what is too much, and the lessons that are held to it."""

from dataclasses import replace

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from sslcourse.lesson import course, form
from sslcourse.lesson.notebooks import BOOTSTRAP, find_lessons
from sslcourse.studies.records import ROOT

HEAD = """\
# 99 · A lesson

[![Open in Colab](colab.svg)](https://colab.research.google.com/x) three words here

**Time:** not measured yet
"""
MEASURED = {"seconds": 93, "training": 61, "profile": "laptop", "device": "CPU"}


def png():
    return new_output("display_data", {"image/png": "aGk=", "text/plain": "<Figure>"})


def a_lesson():
    """A notebook with all parts of the form, small."""
    cells = [
        new_markdown_cell(HEAD),
        new_code_cell(BOOTSTRAP + "\nimport sslcourse as sc\n\nsc.lesson.setup()"),
    ]
    for part in form.PARTS:
        cells.append(new_markdown_cell(f"## {part}: a lesson's\n"))
    cells += [new_code_cell(f"sc.lesson.check(x, lambda x: x == {i}, 'exercise {i}')") for i in range(4)]
    cells += [
        new_markdown_cell("<details><summary>Why?</summary>\n\nBecause.\n\n</details>") for _ in range(5)
    ]
    cells.append(new_code_cell("run = sc.pretrain('rotnet', data)", outputs=[png()]))
    cells.append(new_code_cell("x = 1", metadata={"tags": ["experiment"]}))
    return new_notebook(cells=cells, metadata={"sslcourse": MEASURED})


def measured(tmp_path, *cells, metadata=None):
    path = tmp_path / "99_x.ipynb"
    nbformat.write(new_notebook(cells=list(cells), metadata=metadata or {}), path)
    return form.measure(path)


def test_words_are_those_of_the_text_with_folded_answers(tmp_path):
    text = """\
## Two words

One [linked word](https://example.org/not/words), a `code` span, **bold**: <b>tagged</b>.

```python
not = "counted at all"
```

| a | b |
|--:|---|

![not this](figure.png) https://example.org <!-- nor this -->

<details><summary>Unfold</summary>four more words here</details>
"""
    assert measured(tmp_path, new_markdown_cell(text), new_code_cell("# no words")).words == 2 + 8 + 2 + 5


def test_figures_are_images_and_no_badges(tmp_path):
    svg = new_output("display_data", {"image/svg+xml": "<svg/>"})
    html = new_output("display_data", {"text/html": "<div><svg></svg></div>"})
    table = new_output("display_data", {"text/html": "<table></table>"})
    text = "![a](a.png) [![b](b.svg)](https://b.org) ![c](https://img.org/badge/c.svg) <img src='d.png'>"
    drawn = new_code_cell("x", outputs=[png(), png(), svg, html, table, new_output("stream", text="x")])
    assert measured(tmp_path, new_markdown_cell(text), drawn).figures == 4 + 2


def test_a_claim_is_counted_once_by_its_id(tmp_path):
    cells = [
        'sc.lesson.claim("06.2", toys)\nsc.lesson.claim("06.2", photographs)',
        '%matplotlib inline\nclaim(\n    "06.11",\n    toys,\n)',
        'sc.lesson.claim("a text without an id", 1, 0)\nclaim(name, 1, 0)\nclaimed("06.3")',
        '# claim("06.4")\nprint(\'claim("06.5")\')',
    ]
    found = measured(tmp_path, *map(new_code_cell, cells))
    assert (found.claims, found.unnamed) == (2, 2)
    assert '2 calls of claim without an id such as "06.2"' in form.lacks(found)


def test_exercises_are_told_apart_by_their_names_and_their_cells_are_longer(tmp_path):
    cells = [
        "def f(): ...\n\n\nsc.lesson.check(f, right, 'exercise 1')",
        "check(f, right, name='exercise 1')",
        "check(\n    g,\n    right,\n    'exercise 2',\n)",
        "check(h, right)\ncheck(k, right)",
        "a\nb\n\nc",
    ]
    found = measured(tmp_path, *map(new_code_cell, cells))
    assert found.exercises == 4 and found.longest_check == 5 and found.longest == 4


def test_the_bootstrap_is_no_line_of_a_lesson(tmp_path):
    first = new_code_cell(BOOTSTRAP + "\nimport sslcourse as sc\n\nlesson = sc.lesson.setup()")
    assert measured(tmp_path, first).longest == 3


def test_minutes_are_made_of_reading_running_and_doing(tmp_path):
    cells = [
        new_markdown_cell("word " * 1000 + "\n\n<details>\n</details>\n" * 2),
        new_code_cell("check(f, right)"),
        *[new_code_cell("x", metadata={"tags": ["experiment"]}) for _ in range(2)],
    ]
    found = measured(tmp_path, *cells, metadata={"sslcourse": MEASURED})
    assert (found.reading, found.running, found.doing) == (5, 2, 5 + 2 + 5) and found.minutes == 19
    assert found.time_line == "**Time:** about 19 minutes: 5 to read, 2 to run, 12 to do."
    assert (found.questions, found.experiments, found.seconds, found.training) == (2, 2, 93, 61)
    unmeasured = measured(tmp_path, *cells)
    assert unmeasured.minutes is unmeasured.seconds is unmeasured.training is None
    assert unmeasured.time_line == "" and form.faults(unmeasured) == []


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("cells", 94, "94 cells, 50 at most"),
        ("words", 1801, "1,801 words, 1,800 at most"),
        ("figures", 9, "9 figures, 8 at most"),
        ("claims", 7, "7 claims, 6 at most"),
        ("longest", 16, "a code cell of 16 lines, 15 at most"),
        ("longest_check", 26, "an exercise's check of 26 lines, 25 at most"),
        ("training", 91, "91 s of training, 90 at most"),
        ("seconds", 141, "141 s to run, 140 at most"),
        ("megabytes", 1.25, "1.25 MB, 1 at most"),
        ("exercises", 10, "63 minutes, 60 at most"),
    ],
)
def test_every_limit_is_said_when_it_is_passed_and_not_before(tmp_path, name, value, said):
    path = tmp_path / "99_x.ipynb"
    nbformat.write(a_lesson(), path)
    good = form.measure(path)
    assert form.faults(replace(good, exercises=9)) == []  # 58 minutes
    assert form.faults(replace(good, **{name: value})) == [said]
    if name in form.LIMITS:
        assert form.faults(replace(good, **{name: form.LIMITS[name]})) == []


def test_what_a_lesson_of_the_form_lacks_is_named(tmp_path):
    path = tmp_path / "99_x.ipynb"

    def lacks(change):
        notebook = a_lesson()
        change(notebook)
        nbformat.write(notebook, path)
        return " | ".join(form.lacks(replace(found := form.measure(path), said=found.time_line)))

    assert lacks(lambda notebook: None) == ""
    assert "its parts are The question, The method" in lacks(lambda n: n.cells.pop(3))
    assert "its parts are The idea, The question" in lacks(lambda n: n.cells.insert(3, n.cells.pop(2)))
    assert lacks(lambda n: n.cells[12].update(source="1")) == "3 exercises, the loss and 3 more at least"
    assert lacks(lambda n: n.cells.pop(16)) == "4 folded answers, 5 at least"
    assert "experiment" in lacks(lambda n: n.cells.pop())
    assert "never measured" in lacks(lambda n: n.metadata.pop("sslcourse"))
    (wrong,) = form.lacks(replace(form.measure(path), seconds=93))
    assert "says '**Time:** not measured yet', and should say '**Time:** about" in wrong


def test_a_run_is_timed_and_its_minutes_stand_in_the_head(tmp_path, capsys):
    sleep = "import time\n\n\ndef pretrain():\n    time.sleep(1.6)\n\n\ntime.sleep(1)"
    cells = [
        new_markdown_cell(HEAD),
        new_code_cell(sleep),
        new_code_cell("pretrain()"),
        new_code_cell("time.sleep(1)", metadata={"tags": ["training"]}),
        new_markdown_cell("Second."),
        new_markdown_cell("**Time:** stays in a third cell"),
    ]
    path = tmp_path / "99_x.ipynb"
    nbformat.write(new_notebook(cells=cells), path)
    before = path.read_text()
    assert course.run_course(None, "laptop", tmp_path / "build", html=False, folder=tmp_path) == 0
    assert path.read_text() == before
    course.run_course(None, "laptop", tmp_path / "build", html=False, folder=tmp_path, write_back=True)
    notebook = nbformat.read(path, as_version=4)
    took = notebook.metadata["sslcourse"]
    assert 2 < took["training"] < took["seconds"] and {type(took[k]) for k in ("training", "seconds")} == {
        int
    }
    assert took["profile"] == "laptop" and took["device"]
    found = form.measure(path)
    assert (found.seconds, found.training) == (took["seconds"], took["training"])
    head, last = notebook.cells[0].source, notebook.cells[-1].source
    assert head.rstrip().endswith("**Time:** about 2 minutes: 1 to read, 1 to run, 0 to do.")
    assert found.said == found.time_line and last == "**Time:** stays in a third cell"
    assert course.clean(notebook).metadata["sslcourse"] == took
    assert all("seconds" not in cell.metadata for cell in notebook.cells)


def test_the_line_of_minutes_counts_its_own_words():
    text = "word " * (2 * form.WORDS_A_MINUTE - 5)
    notebook = new_notebook(cells=[new_markdown_cell("# A"), new_markdown_cell(f"**Time:** ?\n\n{text}")])
    form.stamp(notebook, "laptop")
    assert notebook.cells[1].source.startswith("**Time:** about 3 minutes: 3 to read, 0 to run, 0 to do.\n")


def test_a_lesson_without_the_line_is_left_alone():
    notebook = new_notebook(cells=[new_markdown_cell("# A\n\nTime: none")])
    form.stamp(notebook, "laptop")
    assert notebook.cells[0].source == "# A\n\nTime: none"


def test_the_table_has_every_notebook(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(form, "ROOT", tmp_path)
    (tmp_path / "notebooks/more").mkdir(parents=True)
    long = a_lesson()
    long.cells += [new_markdown_cell("x") for _ in range(50)]
    del long.metadata["sslcourse"]
    for name in ("98_long", "99_x", "more/98_long"):
        nbformat.write(a_lesson() if name == "99_x" else long, tmp_path / f"notebooks/{name}.ipynb")
    form.main([])
    long_row, row, more_row, _, *said = capsys.readouterr().out.splitlines()[2:]
    assert long_row.startswith("98_long ") and long_row.endswith("1") and " ? " in long_row
    assert said == ["98_long: 73 cells, 50 at most"]
    assert row.split()[0] == "99_x" and row.split()[-4:] == ["33", "93", "61", "0"]
    assert more_row.startswith("more/98_long") and more_row.endswith("0")
    form.main(["99"])
    assert "its head says" in capsys.readouterr().out


@pytest.mark.parametrize("number", form.FORMED)
def test_a_lesson_of_the_form_has_it(number):
    (path,) = find_lessons([number], ROOT / "notebooks")
    found = form.measure(path)
    assert form.faults(found) + form.lacks(found) == []
