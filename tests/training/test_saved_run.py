"""A run that older code made, stopped after one of its two epochs: it loads, is evaluated, and goes on."""

import json
import shutil
from dataclasses import fields
from pathlib import Path

import pytest

import sslcourse as sc

SAVED = Path(__file__).parent / "saved_run"  # made at commit 98034b0, by RotNet on 64 digits of 16 px


@pytest.fixture
def digits():
    return sc.load("digits", limit=64, size=16, device="cpu")


def test_a_run_of_older_code_is_loaded_and_evaluated(digits):
    run = sc.Run.load(SAVED, "cpu")
    assert run.config["method"] == "rotnet" and [line["epoch"] for line in run.history] == [1]
    assert 0 < sc.evaluate.knn(run.encoder, digits, device="cpu", beside_random=False).value < 1


def test_and_goes_on_as_it_would_have_then(digits, tmp_path):
    folder = shutil.copytree(SAVED, tmp_path / "run")
    saved = json.loads((folder / "config.json").read_text())["recipe"]
    known = {field.name for field in fields(sc.Recipe)}
    assert saved.keys() <= known
    run = sc.pretrain("rotnet", digits, recipe=sc.Recipe(**saved), out=folder, device="cpu")
    assert [line["epoch"] for line in run.history] == [1, 2]
    assert run.history[-1]["loss"] == pytest.approx(1.500308871269226, abs=1e-4)  # that of the older code
