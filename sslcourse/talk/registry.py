"""The registry of claims: what is compared, on which images, by how much, decided before the experiment.

`claims.toml` holds the claims, `verdicts.json` what the committed lessons found (written by `sslcourse course
--write-back`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from datetime import date
from functools import cache
from pathlib import Path

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

from sslcourse.errors import UserError

HERE = Path(__file__).parent
KINDS = {"talk": "the talk's", "field": "the field's", "ours": "ours"}
RELATIONS = ("more", "within")
ON = ("toys", "photographs")  # what a claim may be judged on
STATUSES = ("holds", "not settled", "does not hold")


@dataclass(frozen=True)
class Claim:
    """One registered claim: `left` is more than `right` by `margin`, or `within` it.

    id: lesson and number, such as "06.2". kind: whose it is, a key of KINDS. statements: the talk's that it judges, by
    id. left, right: what is compared, in a few words. measure: protocol and budget of both sides. toys, photographs:
    the images, "" if it is not judged on such. because: why this margin. written: the day of the entry. known: what
    was already known of its numbers on that day, "" if nothing.
    """

    id: str
    kind: str
    text: str
    left: str
    right: str
    measure: str
    because: str
    written: date
    statements: tuple[str, ...] = ()
    toys: str = ""
    photographs: str = ""
    relation: str = "more"
    margin: float = 0.0
    known: str = ""

    @property
    def lesson(self) -> str:
        return self.id.partition(".")[0]

    @property
    def asked(self) -> str:
        """What the difference must be, in words."""
        if self.relation == "within":
            return f"at most {self.margin:g} apart"
        if self.margin < 0:
            return f"at most {-self.margin:g} less"
        return f"more by over {self.margin:g}" if self.margin else "more"


@cache
def claims() -> dict[str, Claim]:
    """Every registered claim by its id, in the file's order."""
    found = {}
    for entry in tomllib.loads((HERE / "claims.toml").read_text(encoding="utf-8"))["claim"]:
        name = entry.get("id", "?")
        if unknown := entry.keys() - {field.name for field in fields(Claim)}:
            raise UserError(f"claims.toml: claim {name} has an unknown field {sorted(unknown)[0]!r}")
        claim = Claim(**{**entry, "statements": tuple(entry.get("statements", ()))})
        if claim.id in found:
            raise UserError(f"claims.toml: claim {claim.id} is registered twice")
        if (
            claim.kind not in KINDS
            or claim.relation not in RELATIONS
            or not (claim.toys or claim.photographs)
        ):
            raise UserError(
                f"claims.toml: claim {claim.id} needs a kind of {', '.join(KINDS)}, a relation of "
                f"{', '.join(RELATIONS)}, and toys or photographs"
            )
        found[claim.id] = claim
    return found


def registered(name: str) -> Claim:
    """The claim of that id."""
    if name not in claims():
        raise UserError(
            f"claim {name!r} is not registered: write it into {HERE / 'claims.toml'} before its experiment"
        )
    return claims()[name]


def verdicts() -> list[dict]:
    """What the committed lessons found: a row for each claim and kind of images."""
    return json.loads((HERE / "verdicts.json").read_text(encoding="utf-8"))


def keep_verdicts(notebook: str, rows: list[dict]) -> None:
    """Put the verdicts of one notebook in the place of those it gave before."""
    order = list(claims())
    kept = [row for row in verdicts() if row["notebook"] != notebook and row["id"] in order] + rows
    kept.sort(key=lambda row: (order.index(row["id"]), row["on"] != "toys"))
    text = json.dumps(kept, indent=1, ensure_ascii=False) + "\n"
    (HERE / "verdicts.json").write_text(text, encoding="utf-8")
