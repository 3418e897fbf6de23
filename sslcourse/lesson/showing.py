"""Showing source and HTML in a notebook, and plain text elsewhere."""

from __future__ import annotations

import inspect
import sys
import textwrap
from html import escape
from pathlib import Path

from sslcourse.errors import UserError
from sslcourse.studies.records import ROOT


def _emit(html: str, text: str) -> None:
    """Show HTML in a notebook, with `text` for terminals and plain outputs."""
    if "IPython" in sys.modules:
        from IPython import get_ipython
        from IPython.display import display

        if getattr(get_ipython(), "kernel", None) is not None:
            display({"text/html": html, "text/plain": text}, raw=True)
            return
    print(text)


def show(thing) -> None:
    """Print the source of a class, method, function or module, highlighted, with its file and line."""
    target = inspect.unwrap(thing.func if hasattr(thing, "func") else thing)
    try:
        lines, first = inspect.getsourcelines(target)
        path = Path(inspect.getsourcefile(target) or "")
    except (TypeError, OSError):
        kind = type(thing).__name__
        raise UserError(f"show: no Python source for this {kind}; give a class, method or function") from None
    source = textwrap.dedent("".join(lines)).rstrip()
    path = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path.name
    place = f"{path}:{max(first, 1)}"
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonLexer

    code = highlight(source, PythonLexer(), HtmlFormatter(noclasses=True, nobackground=True, style="default"))
    box = "border-left:3px solid #0072B2;padding:2px 10px;overflow-x:auto"
    _emit(
        f'<div style="{box}"><small><code>{escape(place)}</code></small>{code}</div>', f"# {place}\n{source}"
    )
