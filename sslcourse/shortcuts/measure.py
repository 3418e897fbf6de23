"""A shortcut by its name: every variant of it, measured."""

from __future__ import annotations

from collections.abc import Sequence

from sslcourse.errors import UserError
from sslcourse.shortcuts.experiment import experiment


def run(name: str, seed: int = 0, variants: Sequence[str] | None = None, device: str = "auto") -> list[dict]:
    """The rows of one shortcut by name; see `experiment`. Under the smoke profile it learns nothing."""
    from sslcourse.shortcuts.catalogue import SHORTCUTS

    if name not in SHORTCUTS:
        raise UserError(f"no shortcut {name!r}: choose from {', '.join(SHORTCUTS)}")
    return list(experiment(SHORTCUTS[name], seed, variants, device))
