"""What the talk says: its claim-bearing statements in its order, and in `tables` the numbers that it prints."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sslcourse.talk.tables import (
    FEW_LABELS,
    FEW_LABELS_COLUMNS,
    RESNET,
    RESNET_COLUMNS,
    VOC,
    VOC_COLUMNS,
)

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

# The tables stay here too: notebooks that a reader has kept say `from sslcourse import talk` and mean them.
__all__ = [
    "FEW_LABELS",
    "FEW_LABELS_COLUMNS",
    "RESNET",
    "RESNET_COLUMNS",
    "VOC",
    "VOC_COLUMNS",
    "Statement",
    "statements",
]


@dataclass(frozen=True)
class Statement:
    """Something the talk says that a measurement could show to be true or false, in our words.

    id: the slug of its section and a number that counts within it. lessons: the numbers of the lessons that must judge
    it, as "02". unjudged: why nothing that runs here can judge it; "" where something can.
    """

    id: str
    section: str
    says: str
    lessons: tuple[str, ...]
    unjudged: str = ""


@cache
def statements() -> tuple[Statement, ...]:
    """All of them, in the talk's order, from statements.toml. A table with a key missing or too many is a TypeError."""
    text = (Path(__file__).parent / "statements.toml").read_text(encoding="utf-8")
    tables = tomllib.loads(text)["statement"]
    return tuple(Statement(**{**table, "lessons": tuple(table["lessons"])}) for table in tables)
