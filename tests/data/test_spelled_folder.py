"""One folder however it is spelled, and from wherever it is named."""

import json

import pytest

from sslcourse import cli
from sslcourse.errors import UserError
from tests.data.folders import make_old, pictures, train


@pytest.fixture
def place(tmp_path, monkeypatch):
    """PLACE/images and PLACE/link to it; PLACE is where one stands."""
    pictures(tmp_path / "images", each=20)
    (tmp_path / "link").symlink_to("images")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("old", [False, True])
def test_a_run_goes_on_under_every_spelling(place, old):
    history = train("images", place / "run").history
    if old:
        make_old(place / "run")
    for spelling in (
        "images/",
        "./images",
        str(place / "images"),
        "link",
        "images/../link/",
        "link/../images",
    ):
        assert train(spelling, place / "run").history == history


def test_a_folder_of_the_same_spelling_elsewhere_is_another(place, monkeypatch):
    train("images", place / "run")
    pictures(place / "other" / "images", each=20)
    monkeypatch.chdir(place / "other")
    with pytest.raises(UserError) as error:
        train("images", place / "run")
    assert f"folder:{place}/images" in str(error.value) and f"folder:{place}/other/images" in str(error.value)


def evaluated(capsys, *arguments) -> list[dict]:
    capsys.readouterr()
    cli.main(["evaluate", *arguments, "--protocols", "knn", "--device", "cpu", "--json"])
    return json.loads(capsys.readouterr().out)


def test_evaluate_finds_the_images_from_anywhere_and_says_what_was_given(place, monkeypatch, capsys):
    config = train("images/", place / "run").config
    assert config["data"] == "folder:images/" and config["folder"] == str(place / "images")
    here = evaluated(capsys, "run")
    (place / "below").mkdir()
    monkeypatch.chdir(place / "below")
    there = evaluated(capsys, "../run")
    assert [row["data"] for row in there] == ["folder:images/"] * 2
    assert [row["value"] for row in here] == [row["value"] for row in there]
    (row, _) = evaluated(capsys, "../run", "--data", "folder:../link")
    assert row["data"] == "folder:../link"


def test_an_older_run_is_evaluated_from_where_its_spelling_holds(place, monkeypatch, capsys):
    train("images", place / "run")
    make_old(place / "run")
    assert evaluated(capsys, "run")[0]["data"] == "folder:images"
    monkeypatch.chdir("/")
    with pytest.raises(SystemExit):
        evaluated(capsys, str(place / "run"))
    assert "folder images does not exist" in capsys.readouterr().err


def test_a_folder_that_was_moved_is_asked_for(place, capsys):
    train("images", place / "run")
    (place / "images").rename(place / "moved")
    with pytest.raises(SystemExit):
        evaluated(capsys, "run")
    line = capsys.readouterr().err
    assert f"{place}/images is not there any more" in line and "--data folder:PATH" in line
    assert evaluated(capsys, "run", "--data", "folder:moved")[0]["data"] == "folder:moved"
