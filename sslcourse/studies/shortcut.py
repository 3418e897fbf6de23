"""Lesson 12: one shortcut, every variant; `sslcourse record shortcut_gap`."""

from __future__ import annotations

from sslcourse.shortcuts import SHORTCUTS
from sslcourse.shortcuts.experiment import experiment


def study(seed: int, name: str):
    for row in experiment(SHORTCUTS[name], seed):
        yield {"method": row["variant"], "protocol": "linear", "value": row["probe_accuracy"], **row}
