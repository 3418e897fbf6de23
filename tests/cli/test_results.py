"""RESULTS.md: made from the records, up to date, and never a mean over numbers that differ in kind."""

import json
import re

import pytest

from sslcourse.errors import UserError
from sslcourse.studies.printed import TABLES
from sslcourse.studies.records import ROOT
from sslcourse.studies.results import COMMAND, markdown, tables

HOW = f"{{}} is out of date: run `{COMMAND}` in the repository and commit it"


def lines(name: str) -> list[str]:
    return (ROOT / name).read_text(encoding="utf-8").splitlines()


def row(method: str, protocol: str = "knn", value: float = 0.5, seed: int = 0, **more) -> dict:
    return {"method": method, "data": "toybox", "protocol": protocol, "value": value, "seed": seed, **more}


def write(folder, name: str, rows: list[dict], **more) -> None:
    told = {
        "command": f"sslcourse record {name}",
        "commit": "abc",
        "seed": [0, 1],
        "device": "CPU",
        "date": "2026-01-02",
    }
    record = {"name": name, **told, "seconds": 90.0, **more, "results": rows}
    (folder / f"{name}.json").write_text(json.dumps(record))


def shown(found: list[dict], title: str) -> list[list[str]]:
    (table,) = [table for table in found if table["title"] == title]
    return table["rows"]


def test_the_committed_file_is_what_the_records_say():
    committed, made = lines("RESULTS.md"), markdown(tables()).splitlines()
    differ = [(a, b) for a, b in zip(committed, made, strict=False) if a != b]
    assert committed == made, f"{HOW.format('RESULTS.md')}; first difference: {differ[:1] or 'its length'}"


def test_the_numbers_of_the_readme_stand_in_results():
    text = lines("README.md")
    start = text.index("## What was measured")
    ours = [line for line in text[start : text.index("## How fast")] if re.match(r"\|.*\d", line)]
    assert len(ours) >= 5
    stale = [line for line in ours if line not in lines("RESULTS.md")]
    assert not stale, f"README.md has lines that RESULTS.md has otherwise (At a glance), copy them: {stale}"


def test_every_record_and_every_entry_is_used():
    found, records = tables(), {path.stem for path in (ROOT / "data/results").glob("*.json")}
    titles = " | ".join(table["title"] for table in found)
    assert not [entry.title for entry in TABLES if entry.title not in titles]
    assert len(found[-1]["rows"]) == len(records)
    text = markdown(found)
    for name in records:  # every record has a table, and not only a line among the sources
        assert f"`sslcourse record {name} --seeds" in text
        assert any(f"{name}" in table["source"] for table in found[:-1]), (
            f"give {name} a Table in sslcourse/studies/printed.py"
        )


def test_rows_of_a_new_method_appear_by_themselves(tmp_path):
    rows = [
        row(method, protocol, value, seed, random=random)
        for seed, value in enumerate((0.5, 0.75))
        for method in ("simclr", "brand_new")
        for protocol, random in (("knn", 0.25), ("linear", 0.375))
    ]
    rows += [row("brand_new", "lowshot", 0.125, seed, fraction=0.01) for seed in range(2)]
    write(tmp_path, "contrastive", rows)
    found = tables(tmp_path)
    (table,) = [t for t in found if t["title"] == "Chapter two: telling instances apart"]
    assert table["columns"] == [
        "method",
        "trained on",
        "k-NN",
        "random",
        "linear",
        "random",
        "few labels, 1%",
    ]
    # the mean of 50 and 75; their standard deviation is 25 / sqrt 2
    both = ["toybox", "62.5 ± 17.7", "25.0 ± 0.0", "62.5 ± 17.7", "37.5 ± 0.0"]
    assert table["rows"] == [["SimCLR", *both, ""], ["brand_new", *both, "12.5 ± 0.0"]]
    text = markdown(found)
    assert "`sslcourse record contrastive`: commit abc, seeds 0 1, CPU, 2026-01-02, 2 min." in text
    assert "| brand_new | toybox | 62.5 ± 17.7 |" in text and "| --- | --- | --: |" in text


def test_a_record_that_nobody_described_has_a_table_too(tmp_path):
    rows = [row("byol", value=0.25), row("byol", "chroma", 29.6), {"note": "no score"}]
    write(tmp_path, "unheard_of", rows, seed=0, note="Half of it | by hand.")
    found = tables(tmp_path)
    assert shown(found, "unheard_of") == [["BYOL", "toybox", "25.0"]]
    assert "commit abc, seed 0, CPU, 2026-01-02, 2 min. Half of it" in markdown(found)
    assert r"Half of it \| by hand." in found[-1]["rows"][0]  # a bar would end the cell


def test_worlds_and_settings_are_never_averaged(tmp_path):
    two = [row("byol", value=0.25), row("byol", value=0.75, data="toybox-sky")]
    write(tmp_path, "unheard_of", two)
    assert shown(tables(tmp_path), "unheard_of") == [
        ["BYOL", "toybox", "25.0"],
        ["BYOL", "toybox-sky", "75.0"],
    ]
    write(tmp_path, "unheard_of", [row("byol", rate=1), row("byol", rate=2)])
    assert [table["title"] for table in tables(tmp_path)] == ["Where the numbers come from"]
    write(tmp_path, "structure", [row("jigsaw", gap=0), row("jigsaw", gap=4)])
    with pytest.raises(UserError, match=r"Chapter one: structure: two numbers for .*jigsaw.*printed.py"):
        tables(tmp_path)


def test_a_first_line_over_two_settings_is_refused(tmp_path):
    rows = [{"method": "frozen", "fraction": 0.01, "value": value, "seed": 0} for value in (0.25, 0.75)]
    write(tmp_path, "labels", rows)
    with pytest.raises(UserError, match=r"labels: .*2 rows for 1 seeds"):
        tables(tmp_path)


def test_what_is_no_record_is_named(tmp_path):
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(UserError, match=r"a.json is not JSON"):
        tables(tmp_path)
    (tmp_path / "a.json").write_text("[]")
    with pytest.raises(UserError, match=r"a.json holds a list, not a record; record it again"):
        tables(tmp_path)
