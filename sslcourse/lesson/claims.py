"""Claims: judged by numbers, said with every one of them, logged."""

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
from sslcourse.training import recipes


class ClaimError(AssertionError):
    """A claim does not hold, or one that was expected to fail does."""


def build_dir() -> Path:
    """Where claims and pages go: `$SSLCOURSE_BUILD`, else `build/` of the repository or current folder."""
    if "SSLCOURSE_BUILD" in os.environ:
        return Path(os.environ["SSLCOURSE_BUILD"])
    return (ROOT if (ROOT / "notebooks").is_dir() else Path.cwd()) / "build"


@dataclass(frozen=True)
class Verdict:
    """One judged claim. left, right: every number given; their means are compared."""

    text: str
    left: list[float]
    right: list[float]
    margin: float
    holds: bool
    expect: bool
    why: str
    source: str
    profile: str
    lesson: str

    @property
    def status(self) -> str:
        if self.profile == "smoke":
            return "not judged (smoke)"
        if self.expect:
            return "holds" if self.holds else "does not hold"
        return "holds, though it was expected not to" if self.holds else "does not hold here"

    @property
    def failed(self) -> bool:
        return self.profile != "smoke" and self.holds != self.expect

    @property
    def numbers(self) -> str:
        """`0.751 > 0.342 + 0.1`, with every seed's number and an interval of the paired difference.

        Not settled: the interval reaches across the margin, so that other seeds might give the other verdict.
        """
        mark = ">" if self.holds else "≤"
        margin = f" + {self.margin:g}" if self.margin else ""
        said = f"{_mean(self.left)} {mark} {_mean(self.right)}{margin}"
        if len(self.left) == len(self.right) >= 3:
            gap = [a - b for a, b in zip(self.left, self.right, strict=True)]
            half = _T95[min(len(gap) - 2, len(_T95) - 1)] * statistics.stdev(gap) / math.sqrt(len(gap))
            said += f"; difference {statistics.fmean(gap):.3g} ± {half:.2g} (95%, {len(gap)} pairs)"
            if abs(statistics.fmean(gap) - self.margin) <= half:
                said += ", not settled"
        return said

    def __str__(self) -> str:
        why = f"\n  why: {self.why}" if self.why else ""
        where = "" if self.source == "live" else f"\n  {self.source}"
        return f"claim: {self.text}\n  {self.status}: {self.numbers}{why}{where}"

    def html(self) -> str:
        colour = plots.figure.VERMILLION if self.failed else plots.figure.GREEN
        if not self.failed and self.status != "holds":
            colour = plots.figure.GREY if self.profile == "smoke" else "#9A6700"
        extra = "".join(
            f"<br><small>{escape(t)}</small>" for t in (self.why, self.source) if t and t != "live"
        )
        pill = f"background:{colour};color:#fff;border-radius:4px;padding:1px 7px"
        badge = f'<span style="{pill}">{self.status}</span>'
        box = f"border-left:4px solid {colour};padding:4px 12px;margin:4px 0"
        text = f"<b>Claim.</b> {escape(self.text)}<br>{badge} {escape(self.numbers)}{extra}"
        return f'<div style="{box}">{text}</div>'


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
    mean = f"{statistics.fmean(values):.4g}"
    return mean if len(values) == 1 else f"{mean} (mean of {', '.join(f'{v:.4g}' for v in values)})"


def _floats(value) -> list[float]:
    """A number, a Score, a one-element tensor, or a sequence of them -> list of floats."""
    value = getattr(value, "value", value)
    if isinstance(value, torch.Tensor | np.ndarray):
        return [float(v) for v in value.reshape(-1)]
    if isinstance(value, Sequence):
        return [_floats(v)[0] for v in value]
    return [float(value)]


def judge(text, left, right, margin=0.0, *, source="live", expect=True, why="") -> Verdict:
    """The verdict on `left > right + margin`, with no side effects. See `claim`."""
    left, right = _floats(left), _floats(right)
    if not left or not right:
        raise UserError(f"claim {text!r}: no numbers to compare")
    if not expect and not why:
        raise UserError(f"claim {text!r}: expect=False needs why=..., found by experiment")
    holds = statistics.fmean(left) > statistics.fmean(right) + margin
    return Verdict(
        text, left, right, float(margin), holds, expect, why, source, recipes.profile(), lesson_name()
    )


def claim(text, left, right, margin=0, *, source="live", expect=True, why="") -> None:
    """Judge `left > right + margin`, print every number, log to `build/claims.jsonl`; failing fails the cell.

    left, right: numbers, Scores, or one per seed (means count). source: "live", or "recorded: NAME".
    expect=False: a claim of the talk that does not hold at this scale, with `why`; it fails the day it holds.
    Under `smoke` nothing is judged. Raises ClaimError.
    """
    verdict = judge(text, left, right, margin, source=source, expect=expect, why=why)
    path = build_dir() / "claims.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    row = asdict(verdict) | {"status": verdict.status, "failed": verdict.failed, "numbers": verdict.numbers}
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row, ensure_ascii=False) + "\n")
    _emit(verdict.html(), str(verdict))
    finite = all(math.isfinite(v) for v in (*verdict.left, *verdict.right))
    if verdict.failed or (not finite and verdict.profile != "smoke"):
        status = verdict.status if finite else "a number is not finite"
        raise ClaimError(f"{text}: {status} ({verdict.numbers})")


def lesson_name() -> str:
    """The lesson that runs: `$SSLCOURSE_LESSON` (course runs), else the notebook Jupyter opened, else ""."""
    return os.environ.get("SSLCOURSE_LESSON") or Path(os.environ.get("JPY_SESSION_NAME", "")).stem
