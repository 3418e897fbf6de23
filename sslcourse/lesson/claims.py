"""Claims: registered beforehand, judged by numbers, said with every one of them, logged."""

from __future__ import annotations

import json
import math
import os
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path

import numpy as np
import torch

from sslcourse import plots
from sslcourse.errors import UserError
from sslcourse.lesson.showing import _emit
from sslcourse.studies.records import ROOT
from sslcourse.talk.registry import KINDS, ON, STATUSES, Claim, registered
from sslcourse.training import recipes

AMBER = "#9A6700"
COLOURS = {"holds": plots.figure.GREEN, "not settled": plots.figure.GREY, "does not hold": AMBER}


class ClaimError(AssertionError):
    """A claim's verdict is not the one that the lesson expects."""


def build_dir() -> Path:
    """Where claims and pages go: `$SSLCOURSE_BUILD`, else `build/` of the repository or current folder."""
    if "SSLCOURSE_BUILD" in os.environ:
        return Path(os.environ["SSLCOURSE_BUILD"])
    return (ROOT if (ROOT / "notebooks").is_dir() else Path.cwd()) / "build"


@dataclass(frozen=True)
class Comparison:
    """Numbers of two sides, one per seed or a single one; the differences are of the same seed."""

    left: list[float]
    right: list[float]

    @property
    def differences(self) -> list[float]:
        n = max(len(self.left), len(self.right))
        sides = (side * n if len(side) == 1 else side for side in (self.left, self.right))
        return [a - b for a, b in zip(*sides, strict=True)]

    @property
    def interval(self) -> tuple[float, float | None]:
        """Mean difference and half the width of its 95% interval (Student's t); None below three seeds."""
        gap = self.differences
        if len(gap) < 3:
            return statistics.fmean(gap), None
        half = _T95[min(len(gap) - 2, len(_T95) - 1)] * statistics.stdev(gap) / math.sqrt(len(gap))
        return statistics.fmean(gap), half

    def said(self, left: str, right: str) -> str:
        """`RotNet 0.81 (0.8, 0.82, 0.81), random 0.35; difference 0.46 ± 0.02 (95%, 3 seeds)`."""
        mean, half = self.interval
        seeds = "" if half is None else f" ± {half:.2g} (95%, {len(self.differences)} seeds)"
        return f"{left} {_mean(self.left)}, {right} {_mean(self.right)}; difference {mean:.3g}{seeds}"


@dataclass(frozen=True)
class Verdict:
    """One judged claim. left, right: every number given; on: the kind of images."""

    claim: Claim
    on: str
    numbers_of: Comparison
    expect: str
    why: str
    source: str
    profile: str

    @property
    def status(self) -> str:
        """What the numbers say, a word of STATUSES; under `smoke` nothing.

        Not settled: the interval reaches the margin, or the numbers were recorded with fewer than three seeds.
        """
        if self.profile == "smoke":
            return "not judged (smoke)"
        mean, half = self.numbers_of.interval
        if half is None:
            if self.source != "live":
                return "not settled"
            half = 0.0
        if self.claim.relation == "within":
            inside, outside = abs(mean) + half <= self.claim.margin, abs(mean) - half > self.claim.margin
        else:
            inside, outside = mean - half > self.claim.margin, mean + half <= self.claim.margin
        return "holds" if inside else "does not hold" if outside else "not settled"

    @property
    def failed(self) -> bool:
        finite = all(math.isfinite(v) for v in (*self.numbers_of.left, *self.numbers_of.right))
        return self.profile != "smoke" and (self.status != self.expect or not finite)

    @property
    def numbers(self) -> str:
        return f"{self.numbers_of.said(self.claim.left, self.claim.right)}; asked: {self.claim.asked}"

    def row(self) -> dict:
        """Everything, as plain values."""
        return {
            "id": self.claim.id, "text": self.claim.text, "kind": self.claim.kind, "on": self.on,
            **asdict(self.numbers_of), "relation": self.claim.relation, "margin": self.claim.margin,
            "status": self.status, "expect": self.expect, "why": self.why, "source": self.source,
            "profile": self.profile, "lesson": lesson_name(), "failed": self.failed, "numbers": self.numbers,
        }  # fmt: skip

    def __str__(self) -> str:
        lines = [
            f"claim {self.claim.id} ({KINDS[self.claim.kind]}), on {self.on}: {self.claim.text}",
            f"{self.status}: {self.numbers}",
        ]
        lines += [f"why: {self.why}"] if self.why else []
        return "\n  ".join(lines + ([self.source] if self.source != "live" else []))

    def html(self) -> str:
        colour = plots.figure.VERMILLION if self.failed else COLOURS.get(self.status, plots.figure.GREY)
        small = [f"{self.claim.measure}; {getattr(self.claim, self.on)}", self.why]
        small += [self.source] if self.source != "live" else []
        head = f"<b>Claim {self.claim.id}</b> ({KINDS[self.claim.kind]}), on {self.on}. {escape(self.claim.text)}"
        return _box(colour, head, self.status, self.numbers, small)


def _box(colour: str, head: str, badge: str, said: str, small: Sequence[str]) -> str:
    pill = f'<span style="background:{colour};color:#fff;border-radius:4px;padding:1px 7px">{badge}</span>'
    extra = "".join(f"<br><small>{escape(line)}</small>" for line in small if line)
    box = f"border-left:4px solid {colour};padding:4px 12px;margin:4px 0"
    return f'<div style="{box}">{head}<br>{pill} {escape(said)}{extra}</div>'


# two-sided 95% quantiles of Student's t with 1, 2, ... degrees of freedom
_T95 = (
    12.706,
    4.303,
    3.182,
    2.776,
    2.571,
    2.447,
    2.365,
    2.306,
    2.262,
    2.228,
    2.201,
    2.179,
    2.160,
    2.145,
    2.131,
)


def _mean(values: Sequence[float]) -> str:
    mean = f"{statistics.fmean(values):.3g}"
    return mean if len(values) == 1 else f"{mean} ({', '.join(f'{v:.3g}' for v in values)})"


def _floats(value) -> list[float]:
    """A number, a Score, a one-element tensor, or a sequence of them -> list of floats."""
    value = getattr(value, "value", value)
    if isinstance(value, torch.Tensor | np.ndarray):
        return [float(v) for v in value.reshape(-1)]
    if isinstance(value, Sequence):
        return [_floats(v)[0] for v in value]
    return [float(value)]


def _compared(what: str, left, right) -> Comparison:
    left, right = _floats(left), _floats(right)
    if not left or not right:
        raise UserError(f"{what}: no numbers to compare")
    if len(left) != len(right) and 1 not in (len(left), len(right)):
        raise UserError(
            f"{what}: {len(left)} numbers on the left and {len(right)} on the right: one per seed, or one"
        )
    return Comparison(left, right)


def judge(name: str, left, right, *, on="toys", source="live", expect="holds", why="") -> Verdict:
    """The verdict on the claim registered as `name`, with no side effects. See `claim`."""
    found = registered(name)
    if on not in ON or not getattr(found, on):
        raise UserError(f"claim {name!r} is not registered on {on!r}: see `sslcourse claims`")
    if expect not in STATUSES:
        raise UserError(f"claim {name!r}: expect={expect!r} is no verdict: give {', '.join(STATUSES)}")
    if expect == "does not hold" and not why:
        raise UserError(f"claim {name!r}: what does not hold needs why=..., found by experiment")
    return Verdict(
        found, on, _compared(f"claim {name!r}", left, right), expect, why, source, recipes.profile()
    )


def claim(name: str, left, right, *, on="toys", source="live", expect="holds", why="") -> None:
    """Judge the registered claim `name`, such as "06.2": text, sides and margin stand in `sslcourse/talk/claims.toml`.

    left, right: measured numbers or Scores, one or one per seed (a pair is of one seed). on: "toys" or
    "photographs". source: "live", or "recorded: NAME". expect: the verdict that the committed lesson has,
    "holds", "not settled" or "does not hold"; for the last, `why`.
    Prints every number and logs to `build/claims.jsonl`. Another verdict than the expected fails the cell
    (ClaimError), but under `smoke` nothing is judged.
    """
    verdict = judge(name, left, right, on=on, source=source, expect=expect, why=why)
    _log(verdict.row())
    _emit(verdict.html(), str(verdict))
    if verdict.failed:
        raise ClaimError(
            f"claim {name} on {on}: {verdict.status}, and the lesson expects {expect!r} ({verdict.numbers})"
        )


def explored(text: str, left, right, *, sides=("left", "right"), source="live") -> None:
    """Show a comparison that was formed after its numbers were seen: no claim, no verdict.

    left, right, source: as in `claim`. sides: what the two are called.
    """
    numbers = _compared(f"explored {text!r}", left, right)
    said = numbers.said(*sides)
    _log({"id": "", "text": text, "status": "explored", **asdict(numbers), "numbers": said, "source": source,
          "profile": recipes.profile(), "lesson": lesson_name(), "failed": False})  # fmt: skip
    where = [source] if source != "live" else []
    lines = [f"explored: {text}", said, *where]
    _emit(_box(plots.figure.BLUE, escape(text), "explored", said, where), "\n  ".join(lines))


def _log(row: dict) -> None:
    path = build_dir() / "claims.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row, ensure_ascii=False) + "\n")


def lesson_name() -> str:
    """The lesson that runs: `$SSLCOURSE_LESSON` (course runs), else the notebook Jupyter opened, else ""."""
    return os.environ.get("SSLCOURSE_LESSON") or Path(os.environ.get("JPY_SESSION_NAME", "")).stem
