"""CONTRIBUTING.md: its example trains, and its map names the rooms that there are."""

import re
from pathlib import Path

import sslcourse as sc
from tests.test_imports import GROUND, PEOPLE, ROOMS

TEXT = (Path(__file__).resolve().parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_the_example_is_a_method_that_trains():
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.S)
    known: dict = {}
    exec(code.replace('sc.load("digits", limit=256)', 'sc.load("digits", limit=96, device="cpu")'), known)
    first, *_, last = (line["loss"] for line in known["run"].history)
    assert isinstance(known["run"].method, sc.Method) and last < first / 2


def test_the_map_names_every_room():
    named = set(re.findall(r"`(\w+)(?:/|\.py)`", TEXT))
    assert {*ROOMS, *GROUND, *(PEOPLE - {"__main__"})} <= named
    assert f"`{' <- '.join(ROOMS)} <- what people see`" in TEXT
