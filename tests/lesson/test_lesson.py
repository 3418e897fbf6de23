"""Claims, checks, records and source listings."""

import json
import math
import subprocess
from datetime import date

import pytest
import torch

from sslcourse import lesson
from sslcourse.errors import UserError
from sslcourse.studies import records
from sslcourse.talk import registry
from sslcourse.talk.registry import Claim


@pytest.fixture(autouse=True)
def sandbox(tmp_path, monkeypatch):
    monkeypatch.setenv("SSLCOURSE_BUILD", str(tmp_path))
    monkeypatch.setenv("SSLCOURSE_PROFILE", "laptop")
    monkeypatch.setenv("SSLCOURSE_LESSON", "06_simclr")
    monkeypatch.delenv("SSLCOURSE_STRICT", raising=False)
    return tmp_path


def logged(folder):
    return [json.loads(line) for line in (folder / "claims.jsonl").read_text().splitlines()]


@pytest.fixture(autouse=True)
def a_registry(monkeypatch):
    """Three claims: plain, with a margin, and of a level."""
    same = dict(
        kind="talk", left="A", right="B", measure="linear probe", because="so", written=date(2026, 1, 2)
    )
    found = {
        "06.1": Claim("06.1", text="a beats b", toys="toybox", photographs="digits", **same),
        "06.2": Claim("06.2", text="a beats b by far", toys="toybox", margin=0.25, **same),
        "06.3": Claim("06.3", text="a is b", toys="toybox", relation="within", margin=0.25, **same),
    }
    monkeypatch.setattr(registry, "claims", lambda: found)


def test_a_claim_that_holds_is_printed_and_logged(sandbox, capsys):
    lesson.claim("06.2", 0.8, 0.5)
    said = capsys.readouterr().out
    assert "claim 06.2 (the talk's), on toys: a beats b by far" in said
    assert "holds: A 0.8, B 0.5; difference 0.3; asked: more by over 0.25" in said
    (row,) = logged(sandbox)
    assert row["lesson"] == "06_simclr" and row["profile"] == "laptop" and row["source"] == "live"
    assert row["id"] == "06.2" and row["status"] == "holds" and not row["failed"]
    assert row["left"] == [0.8] and row["margin"] == 0.25


@pytest.mark.parametrize(
    ("name", "left", "right"), [("06.1", 0.5, 0.5), ("06.2", 0.75, 0.5), ("06.1", math.nan, 0)]
)
def test_a_claim_is_strict_and_fails_the_cell_after_logging(sandbox, name, left, right):
    with pytest.raises(lesson.ClaimError, match=r"does not hold|nan"):
        lesson.claim(name, left, right)
    assert logged(sandbox)[0]["failed"]
    if math.isnan(left):
        with pytest.raises(lesson.ClaimError):
            lesson.claim(name, left, right, expect="not settled")


def test_a_lesson_says_which_verdict_it_expects(capsys):
    with pytest.raises(UserError, match="needs why"):
        lesson.claim("06.1", 1, 2, expect="does not hold")
    with pytest.raises(UserError, match="no verdict"):
        lesson.claim("06.1", 1, 2, expect="fails")
    lesson.claim("06.1", 1, 2, expect="does not hold", why="too few epochs")
    assert "does not hold: A 1, B 2" in (said := capsys.readouterr().out) and "too few epochs" in said
    with pytest.raises(lesson.ClaimError, match="on toys: holds, and the lesson expects 'does not hold'"):
        lesson.claim("06.1", 2, 1, expect="does not hold", why="too few epochs")


def test_only_what_is_registered_is_judged():
    with pytest.raises(UserError, match=r"06.9.*not registered.*claims.toml before its experiment"):
        lesson.claim("06.9", 1, 0)
    with pytest.raises(UserError, match="not registered on 'photographs'"):
        lesson.claim("06.2", 1, 0, on="photographs")
    assert lesson.judge("06.1", [1, 1, 1], 0, on="photographs", source="recorded: x").status == "holds"


def test_nothing_is_judged_under_smoke(sandbox, monkeypatch, capsys):
    monkeypatch.setenv("SSLCOURSE_PROFILE", "smoke")
    lesson.claim("06.1", 1, 2, source="recorded: x")
    assert "not judged (smoke)" in capsys.readouterr().out
    assert not logged(sandbox)[0]["failed"]


def test_seeds_are_averaged_and_paired(capsys):
    lesson.claim(
        "06.1", [0.7, 0.8, 0.9], torch.tensor([0.5, 0.7, 0.6]), source="recorded: x", expect="not settled"
    )
    said = capsys.readouterr().out
    # differences 0.2, 0.1, 0.3: mean 0.2, sd 0.1, t(2) = 4.303 -> half width 4.303 * 0.1 / sqrt(3) = 0.248
    assert "difference 0.2 ± 0.25 (95%, 3 seeds)" in said and "A 0.8 (0.7, 0.8, 0.9)" in said
    with pytest.raises(UserError, match="3 numbers on the left and 2"):
        lesson.judge("06.1", [1, 2, 3], [1, 2])


@pytest.mark.parametrize(
    ("shift", "status"), [(0.6, "holds"), (0.3, "not settled"), (0.2, "not settled"), (-0.1, "does not hold")]
)
def test_an_interval_that_reaches_the_margin_settles_nothing(shift, status):
    right = [0.5, 0.5, 0.8]
    left = [
        b + d + shift for b, d in zip(right, (0.0, 0.1, -0.1), strict=True)
    ]  # shift ± 0.25; the margin is 0.25
    assert lesson.judge("06.2", left, right, source="recorded: x").status == status


@pytest.mark.parametrize(
    ("gap", "status"), [(0.0, "holds"), (0.2, "not settled"), (-0.3, "not settled"), (-0.6, "does not hold")]
)
def test_a_level_is_judged_on_both_sides(gap, status):
    left = [gap, gap + 0.05, gap - 0.05]  # gap ± 0.12; the margin is 0.25
    assert lesson.judge("06.3", left, 0, source="recorded: x").status == status


def test_one_recorded_seed_settles_nothing_and_a_live_number_does():
    assert lesson.judge("06.1", 1, 0).status == "holds"
    assert lesson.judge("06.1", 1, 0, source="recorded: x").status == "not settled"


def test_what_was_formed_after_the_numbers_is_no_claim(sandbox, capsys):
    lesson.explored("b is late", [0.1, 0.2], 0.4, sides=("b", "a"))
    assert "explored: b is late\n  b 0.15 (0.1, 0.2), a 0.4; difference -0.25" in capsys.readouterr().out
    (row,) = logged(sandbox)
    assert row["status"] == "explored" and row["id"] == "" and not row["failed"]


def test_a_score_is_read_by_its_value():
    score = type("Score", (), {"value": 0.6})()
    assert lesson.judge("06.1", score, 0.5).status == "holds"
    assert lesson.judge("06.1", [score, score], [0.5, 0.1]).row()["left"] == [0.6, 0.6]


def stub(x): ...


def stub_with_docstring(x):
    """Say something."""


def raiser(x):
    raise NotImplementedError


@pytest.mark.parametrize("answer", [None, ..., stub, stub_with_docstring, raiser])
def test_an_exercise_not_attempted_never_raises_unless_strict(answer, capsys, monkeypatch):
    def test(answer):
        assert answer(1) == 2 if callable(answer) else answer == 2

    lesson.check(answer, test)
    assert capsys.readouterr().out == "exercise: not attempted\n"
    monkeypatch.setenv("SSLCOURSE_STRICT", "1")
    with pytest.raises(lesson.CheckError, match="not attempted"):
        lesson.check(answer, test)


def test_answers_are_right_or_wrong_with_a_reason(capsys, monkeypatch):
    def by_assert(x):
        assert x == 2, "two was asked for"

    lesson.check(2, by_assert, "E1")
    lesson.check(3, by_assert)
    lesson.check(3, lambda x: True if x == 2 else "it is too large")
    lesson.check(lambda x: x + 1, lambda f: f(1) == 2)
    lesson.check(torch.tensor(2), lambda x: x == 2)
    lesson.check(3, lambda x: x == 2)
    lesson.check("a", lambda x: x + 1 == 2)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "E1: right" and lines[1] == "exercise: wrong, because two was asked for"
    assert (
        lines[2] == "exercise: wrong, because it is too large" and lines[3] == lines[4] == "exercise: right"
    )
    assert lines[5] == "exercise: wrong, because the check says no" and "raised TypeError" in lines[6]
    monkeypatch.setenv("SSLCOURSE_STRICT", "1")
    with pytest.raises(lesson.CheckError, match="too large"):
        lesson.check(3, lambda x: "it is too large")


def test_a_lesson_goes_on_with_the_package_unless_the_answer_is_right(capsys):
    def own(x):
        return x + 1

    def right(f):
        return f(1) == 2

    assert lesson.check(own, right, otherwise=abs) is own
    assert lesson.check(stub, right, otherwise=abs) is abs and lesson.check(abs, right, otherwise=own) is own
    assert lesson.check(own, right) is None


def test_a_function_that_returns_its_argument_counts_as_attempted(capsys):
    lesson.check(lambda x: x, lambda f: f(1) == 1)
    lesson.check(lambda x: 3, lambda f: f(1) == 3)
    assert capsys.readouterr().out == "exercise: right\n" * 2


def test_show_prints_source_with_its_place(capsys):
    lesson.show(lesson.Setup.pick)
    said = capsys.readouterr().out
    assert said.startswith("# sslcourse/lesson/session.py:") and "\ndef pick(self, smoke" in said
    with pytest.raises(UserError, match="no Python source"):
        lesson.show(len)


def plumbed(x, device="cpu"):
    """Double x, on a device."""
    x = x.to(device)  # pragma: no cover
    if x.is_cuda:
        y = torch.utils.checkpoint.checkpoint(
            torch.mul,
            x,
            2,
        )
    else:
        y = 2 * x
    # the device again
    return y


def test_show_leaves_out_what_only_plumbs_and_says_so(capsys):
    lesson.show(plumbed, leave_out=("to(device)", "the device again"))
    first, *shown = capsys.readouterr().out.splitlines()
    assert first.endswith("; 2 lines that only plumb are left out")
    assert shown[:3] == [
        'def plumbed(x, device="cpu"):',
        '    """Double x, on a device."""',
        "    if x.is_cuda:",
    ]
    assert shown[-1] == "    return y" and "        y = 2 * x" in shown and len(shown) == 11
    # the statement goes with all its lines, and its block remains
    lesson.show(plumbed, leave_out=["torch.mul"])
    said = capsys.readouterr().out
    assert "5 lines that only plumb" in said and "    if x.is_cuda:\n        ...\n    else:\n" in said
    compile(said, "shown", "exec")
    # a compound statement goes with its blocks; signature and docstring stay, though they hold the word
    lesson.show(plumbed, leave_out="device")
    said = capsys.readouterr().out
    assert "; 2 lines" in said and "Double x, on a device" in said and 'device="cpu"' in said
    lesson.show(plumbed, leave_out=["is_cuda"])
    said = capsys.readouterr().out
    assert "y = " not in said and "; 8 lines" in said
    lesson.show(plumbed, leave_out=["return y"])
    assert "; 1 line that only plumbs is left out" in capsys.readouterr().out
    with pytest.raises(UserError, match="no statement holds 'Double x'"):
        lesson.show(plumbed, leave_out=["Double x"])


def test_setup_seeds_and_reads_the_profile(monkeypatch, capsys):
    first = lesson.setup(3)
    a = torch.rand(2)
    lesson.setup(3)
    assert torch.equal(a, torch.rand(2)) and first.profile == "laptop" and first.pick(smoke=1, laptop=2) == 2
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 2 and "torch" in said[0] and "profile laptop" in said[0]
    assert lesson.setup(profile="gpu").pick(smoke=1, laptop=2) == 2
    monkeypatch.setenv("SSLCOURSE_PROFILE", "fast")
    with pytest.raises(UserError, match="smoke"):
        lesson.setup()


def test_records_are_written_whole_and_read_with_their_caption(sandbox, monkeypatch, capsys):
    monkeypatch.setattr(records, "results_dir", lambda: sandbox)
    results = {"scores": torch.tensor([0.5, 0.25])}
    path = lesson.save_record("sweep", results, "sslcourse sweep", 700, seed=[0, 1], device="cpu")
    found = lesson.record("sweep")
    assert found["results"] == {"scores": [0.5, 0.25]} and found["seed"] == [0, 1] and found["seconds"] == 700
    assert {"commit", "date", "device", "versions", "command"} <= set(found) and found["versions"]["torch"]
    said = capsys.readouterr().out
    assert "sweep" in said and "12 min" in said and found["date"] in said and "sslcourse sweep" in said
    assert len(said.splitlines()) == 1
    path.write_text(path.read_text()[:50])
    with pytest.raises(UserError, match="damaged"):
        lesson.record("sweep")
    with pytest.raises(UserError, match=r"nothing.*records here: sweep"):
        lesson.record("nothing")


def test_the_commit_of_a_record_is_dirty_by_code_and_not_by_other_records(tmp_path, monkeypatch):
    def git(*words):
        names = ("-c", "user.name=t", "-c", "user.email=t@example.org")
        return subprocess.run(
            ["git", "-C", str(tmp_path), *names, *words], check=True, capture_output=True, text=True
        )

    (tmp_path / "data/results").mkdir(parents=True)
    code, other = tmp_path / "code.py", tmp_path / "data/results/other.json"
    code.write_text("1")
    other.write_text("1")
    git("init"), git("add", "."), git("commit", "-m", "first")
    monkeypatch.setattr(records, "ROOT", tmp_path)
    head = git("rev-parse", "--short=10", "HEAD").stdout.strip()
    other.write_text("2")
    assert lesson.commit() == head
    code.write_text("2")
    assert lesson.commit() == f"{head}-dirty"
    monkeypatch.setattr(records, "ROOT", tmp_path / "data")  # not the root of the repository: still the same
    assert lesson.commit() == f"{head}-dirty"
