"""Showing source and HTML in a notebook, and plain text elsewhere."""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from collections.abc import Sequence
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


def show(thing, leave_out: Sequence[str] = ()) -> None:
    """Print the source of a class, method, function or module, highlighted, with its file and line.

    leave_out: statements of which a line holds one of these strings only plumb (devices, gathering, checkpointing) and
    are not shown; the caption counts their lines. A block that has no other statement shows `...`. Docstrings and
    the first lines of `thing`, its signature, always stay. Raises UserError if a string is nowhere.
    """
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
    if leave_out:
        source, count = _without(source, [leave_out] if isinstance(leave_out, str) else leave_out)
        place += f"; {count} line{'s that only plumb are' if count > 1 else ' that only plumbs is'} left out"
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonLexer

    code = highlight(source, PythonLexer(), HtmlFormatter(noclasses=True, nobackground=True, style="default"))
    box = "border-left:3px solid #0072B2;padding:2px 10px;overflow-x:auto"
    _emit(
        f'<div style="{box}"><small><code>{escape(place)}</code></small>{code}</div>', f"# {place}\n{source}"
    )


def _lines(node: ast.stmt) -> set[int]:
    """The numbers of a statement's lines, decorators included."""
    first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
    return set(range(first, node.end_lineno + 1))


def _without(source: str, strings: Sequence[str]) -> tuple[str, int]:
    """Source without the innermost statements (or comment lines) that hold one of the strings, and how many lines went."""
    tree, lines = ast.parse(source), source.splitlines()
    statements = [node for node in ast.walk(tree) if isinstance(node, ast.stmt)]
    root = tree.body[0] if len(tree.body) == 1 else tree
    fixed = set()
    if root is not tree and hasattr(root, "body"):
        fixed |= set(range(1, max(root.lineno + 1, min(_lines(root.body[0])))))
    for node in statements:
        if isinstance(node, ast.Expr) and isinstance(getattr(node.value, "value", None), str):
            fixed |= _lines(node)  # a docstring
    gone = set()
    for string in strings:
        held = {n for n, line in enumerate(lines, 1) if string in line} - fixed
        if not held:
            raise UserError(f"show: nothing to leave out, no statement holds {string!r}")
        for n in held:
            spans = [_lines(node) for node in statements if n in _lines(node) and node is not root]
            gone |= min(spans, key=len, default={n})
    shown = dict(enumerate(lines, 1))
    for n in gone:
        del shown[n]
    for node in ast.walk(tree):
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, None)
            if isinstance(block, list) and block and all(_lines(statement) <= gone for statement in block):
                first = block[0]
                if getattr(node, "lineno", 0) in shown and first.col_offset > node.col_offset:
                    shown[first.lineno] = f"{' ' * first.col_offset}..."
    return "\n".join(shown[n] for n in sorted(shown)), sum(bool(lines[n - 1].strip()) for n in gone)
