"""The talk, statement by statement, with the verdicts of the lessons that judge it."""

from __future__ import annotations

from sslcourse.talk import statements
from sslcourse.talk.registry import KINDS, ON, claims, verdicts

OPEN, BEYOND = "not judged yet", "-"


def judged() -> list[dict]:
    """A row for each statement in the talk's order, then one for each claim that is not the talk's.

    "toys" and "photographs" hold the verdict: where several claims judge a statement and differ, all of them; OPEN
    where no lesson has; BEYOND where no experiment of this course can, and "unjudged" says why.
    """
    found = {(row["id"], row["on"]): row for row in verdicts()}

    def verdict(names: list[str], on: str) -> str:
        said = [
            found[n, on]["status"] if (n, on) in found else OPEN for n in names if getattr(claims()[n], on)
        ]
        return " / ".join(dict.fromkeys(said)) or OPEN

    def told(name: str) -> dict:
        claim = claims()[name]
        numbers = {on: found[name, on]["numbers"] for on in ON if (name, on) in found}
        fields = {key: getattr(claim, key) for key in ("id", "text", "kind", "asked", "because", "known")}
        return {**fields, "written": claim.written.isoformat(), **numbers}

    def row(
        name: str, kind: str, section: str, says: str, lessons, names: list[str], unjudged: str = ""
    ) -> dict:
        verdicts = {on: BEYOND if unjudged else verdict(names, on) for on in ON}
        head = {"id": name, "kind": kind, "section": section, "statement": says, "lessons": list(lessons)}
        return {**head, **verdicts, "claims": [told(n) for n in names], "unjudged": unjudged}

    judging: dict[str, list[str]] = {}  # statement -> claims
    for claim in claims().values():
        for name in claim.statements:
            judging.setdefault(name, []).append(claim.id)
    rows = [
        row(s.id, "talk", s.section, s.says, s.lessons, judging.get(s.id, []), s.unjudged)
        for s in statements()
    ]
    for claim in claims().values():
        if not claim.statements:
            rows.append(row(claim.id, claim.kind, KINDS[claim.kind], claim.text, [claim.lesson], [claim.id]))
    return rows


def counts(rows: list[dict]) -> str:
    """How many statements of the talk have which verdict, in words, on toys and on photographs."""

    def said(on: str) -> str:
        found = [row[on] for row in rows if row["kind"] == "talk"]
        known = ("holds", "not settled", "does not hold", OPEN, BEYOND)
        parts = [
            f"{found.count(v)} {v if v != BEYOND else 'beyond this course'}" for v in known if v in found
        ]
        differ = sum(v not in known for v in found)
        return ", ".join(parts + [f"{differ} with several verdicts"] * bool(differ))

    return f"on toys {said('toys')}; on photographs {said('photographs')}"
