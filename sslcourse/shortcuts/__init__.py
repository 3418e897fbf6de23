"""The leaks the talk warns of: each with its cure, a control without content, and its measurement.

    from sslcourse import shortcuts
    rows = shortcuts.run("gap", seed=0)          # a row per variant, leaky and cured
    sslcourse.plots.leak(rows)

A shortcut lets a network solve its pretext task without looking at content. So pretext accuracy rises, the
probe does not, and images without content give it away: whatever is learned from them is the shortcut.
"""

from __future__ import annotations

from sslcourse.shortcuts.catalogue import SHORTCUTS
from sslcourse.shortcuts.experiment import Shortcut, Variant, heldout_accuracy
from sslcourse.shortcuts.measure import run
from sslcourse.shortcuts.tasks import AbsolutePosition, recovered_layout

__all__ = [
    "SHORTCUTS", "AbsolutePosition", "Shortcut", "Variant", "heldout_accuracy", "recovered_layout", "run",
]  # fmt: skip
