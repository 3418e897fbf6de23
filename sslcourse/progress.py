"""Progress bars that stay quiet where nobody watches."""

from __future__ import annotations

import sys

from tqdm.auto import tqdm


def in_notebook() -> bool:
    shell = sys.modules.get("IPython")
    return shell is not None and type(shell.get_ipython()).__name__ == "ZMQInteractiveShell"


def progress(total: int, what: str, unit: str = "it", initial: int = 0) -> tqdm:
    """A bar on a terminal or in a notebook; nothing in a log file or a pipe."""
    quiet = not (in_notebook() or sys.stderr.isatty())
    return tqdm(total=total, desc=what, unit=unit, initial=initial, disable=quiet, leave=False)
