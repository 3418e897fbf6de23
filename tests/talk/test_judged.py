"""The talk's statements with the verdicts of the lessons."""

import json
from datetime import date

import pytest

from sslcourse.cli import main
from sslcourse.errors import UserError
from sslcourse.talk import Statement, judged, registry
from sslcourse.talk.registry import Claim

SAME = dict(kind="talk", text="t", left="a", right="b", measure="m", because="c", written=date(2026, 1, 2))


@pytest.fixture
def a_talk(monkeypatch):
    said = [
        Statement("one.1", "One", "It works.", ("01",)),
        Statement("one.2", "One", "It is cheap.", ("01",)),
        Statement("one.3", "One", "People like it.", ("01",), unjudged="nobody is asked here"),
    ]
    known = [
        Claim("01.1", **SAME, statements=("one.1",), toys="toybox", photographs="cifar10"),
        Claim("01.2", **SAME, statements=("one.1",), toys="toybox"),
        Claim("01.3", **{**SAME, "kind": "ours"}, toys="toybox"),
    ]
    found = [
        {"id": "01.1", "on": "toys", "status": "holds", "numbers": "1 and 0"},
        {"id": "01.2", "on": "toys", "status": "not settled", "numbers": "1 and 1"},
        {"id": "01.3", "on": "toys", "status": "does not hold", "numbers": "0 and 1"},
    ]
    monkeypatch.setattr(judged, "statements", lambda: tuple(said))
    monkeypatch.setattr(judged, "claims", lambda: {claim.id: claim for claim in known})
    monkeypatch.setattr(judged, "verdicts", lambda: found)


def test_every_statement_has_its_verdicts(a_talk):
    one, two, three, ours = judged.judged()
    assert one["toys"] == "holds / not settled" and one["photographs"] == "not judged yet"
    assert [c["id"] for c in one["claims"]] == ["01.1", "01.2"] and one["claims"][0]["toys"] == "1 and 0"
    assert two["toys"] == two["photographs"] == "not judged yet" and three["toys"] == "-"
    assert ours["id"] == "01.3" and ours["kind"] == "ours" and ours["toys"] == "does not hold"
    said = "on toys 1 not judged yet, 1 beyond this course, 1 with several verdicts; on photographs 2 not judged yet"
    assert judged.counts(judged.judged()).startswith(said)


def test_the_command_tells_them(a_talk, capsys):
    main(["claims", "--json"])
    rows = json.loads(capsys.readouterr().out)
    assert [row["id"] for row in rows] == ["one.1", "one.2", "one.3", "01.3"]
    main(["claims"])
    assert "holds / not settled" in capsys.readouterr().out


def test_the_verdicts_of_a_notebook_take_the_place_of_its_old_ones(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "HERE", tmp_path)
    monkeypatch.setattr(registry, "claims", lambda: {name: None for name in ("01.1", "01.2")})

    def row(name, on, notebook):
        return {"id": name, "on": on, "notebook": notebook}

    (tmp_path / "verdicts.json").write_text("[]\n")
    registry.keep_verdicts("01_a", [row("01.2", "toys", "01_a"), row("01.1", "photographs", "01_a")])
    registry.keep_verdicts("01_more", [row("01.1", "toys", "01_more")])
    assert [(r["id"], r["on"]) for r in registry.verdicts()] == [
        ("01.1", "toys"),
        ("01.1", "photographs"),
        ("01.2", "toys"),
    ]
    registry.keep_verdicts("01_a", [])
    assert [r["notebook"] for r in registry.verdicts()] == ["01_more"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("", "registered twice"),
        ('id = "01.2"\nkind = "mine"', "needs a kind"),
        ('id = "01.2"\nsize = 3', "unknown field 'size'"),
    ],
)
def test_a_faulty_registry_is_told_in_one_line(tmp_path, monkeypatch, change, said):
    entry = '[[claim]]\nid = "01.1"\nkind = "talk"\ntext = "t"\nleft = "a"\nright = "b"\nmeasure = "m"\ntoys = "toybox"\n'
    entry += 'because = "c"\nwritten = 2026-01-02\n'
    other = entry
    for line in change.splitlines():
        key = line.split(" ")[0]
        kept = [old for old in other.splitlines() if not old.startswith(f"{key} ")]
        other = "\n".join([*kept, line]) + "\n"
    (tmp_path / "claims.toml").write_text(entry + other)
    monkeypatch.setattr(registry, "HERE", tmp_path)
    registry.claims.cache_clear()
    with pytest.raises(UserError, match=said):
        registry.claims()
    registry.claims.cache_clear()
