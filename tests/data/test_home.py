"""Where nobody's home is known: HOME unset, and a user id that no passwd entry has (any container's)."""

import os
import pwd
from pathlib import Path

import pytest

from sslcourse import cli, doctor
from sslcourse.cli import verbs
from sslcourse.data.catalog import load
from sslcourse.data.images import cache_dir
from sslcourse.errors import UserError
from sslcourse.lesson import course


@pytest.fixture
def homeless(monkeypatch):
    def unknown(uid):
        raise KeyError(uid)

    for name in ("HOME", "XDG_CACHE_HOME", "SSLCOURSE_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    with pytest.raises(RuntimeError):
        Path.home()


def test_the_cache_named_comes_first(homeless, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_dir() == tmp_path / "xdg" / "sslcourse"
    monkeypatch.setenv("SSLCOURSE_CACHE", str(tmp_path))
    assert cache_dir() == tmp_path
    cli.main(["data"])


def test_an_empty_name_names_nothing(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_CACHE_HOME", "SSLCOURSE_CACHE"):
        monkeypatch.setenv(name, "")
    assert cache_dir() == tmp_path / ".cache" / "sslcourse"


@pytest.mark.parametrize("act", [cache_dir, lambda: load("toybox", limit=2), lambda: verbs.data(None)])
def test_without_any_one_line_names_the_variable(homeless, act):
    with pytest.raises(UserError, match="SSLCOURSE_CACHE"):
        act()


def test_doctor_tells_it_in_its_table(homeless):
    (row,) = [row for row in doctor.examine() if row["check"] == "cache"]
    assert not row["ok"] and "SSLCOURSE_CACHE" in row["advice"]


def test_a_path_that_begins_at_an_unknown_home(homeless, monkeypatch, tmp_path):
    with pytest.raises(UserError, match="write the whole path"):
        load("folder:~/photos")
    with pytest.raises(UserError, match="'~/photos' is unknown"):
        load("~/photos")
    monkeypatch.setenv("SSLCOURSE_CACHE", "~/cache")
    with pytest.raises(UserError, match="~/cache: no home"):
        cache_dir()


def test_the_course_gives_its_kernels_a_home(homeless, monkeypatch, tmp_path):
    monkeypatch.setenv("SSLCOURSE_CACHE", str(tmp_path))
    monkeypatch.setenv("HOME", "to be restored after the test")
    monkeypatch.delenv("HOME")
    with pytest.raises(UserError, match="no lessons"):
        course.run_course(folder=tmp_path, build=tmp_path)
    assert os.environ["HOME"] == str(tmp_path / "home") and (tmp_path / "home").is_dir()
