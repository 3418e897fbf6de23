"""The notebooks of the course as files: where they lie, and the head that all of them share."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path

from nbformat import NotebookNode

from sslcourse.errors import UserError

# The one constant of the Colab bootstrap; `write_back` copies the bootstrap into every notebook.
SOURCE = "git+https://github.com/sslcourse/sslcourse"

BOOTSTRAP = f'''\
# Colab: install the course beside the torch, torchvision and numpy that are already there
import importlib.util
import subprocess
import sys
from importlib.metadata import version

if importlib.util.find_spec("sslcourse") is None:
    kept = [f"{{name}}=={{version(name)}}\\n" for name in ("torch", "torchvision", "numpy")]
    open("kept.txt", "w").writelines(kept)
    source = "{SOURCE}"
    subprocess.check_call([sys.executable, "-m", "pip", "install", "-q", "-c", "kept.txt", source])
'''

PATTERN = "[0-9][0-9]_*.ipynb"


def find_lessons(lessons: Iterable[str] | None, folder: Path, more: bool = False) -> list[Path]:
    """The lessons NN_*.ipynb of `folder` in order, then the notebooks of `folder/more` that are asked for.

    lessons: numbers or names, such as "02" or "06_simclr", default all. Notebooks of `more` go by their name, such
    as "06_semisupervised", and all together by "more". more: all of them besides `lessons`.
    Raises UserError for an unknown one.
    """
    paths, beyond = sorted(folder.glob(PATTERN)), sorted((folder / "more").glob(PATTERN))
    if not paths:
        raise UserError(f"no lessons in {folder}: run this in a checkout of the course")
    chosen = [*(beyond if more else []), *([] if lessons else paths)]
    for wanted in lessons or []:
        name = Path(wanted).stem
        name = name.zfill(2) if name.isdigit() else name
        found = [path for path in paths if name in (path.stem, path.stem[:2])]
        found += [path for path in beyond if name in (path.stem, "more")]
        if not found and name == "more":
            raise UserError(f"no notebooks in {folder / 'more'}")
        if not found:
            names = ", ".join(path.stem for path in paths + beyond)
            raise UserError(f"lesson {wanted!r} is unknown: choose from {names}")
        chosen += found
    return [path for path in paths + beyond if path in chosen]


def is_more(path: Path) -> bool:
    """Whether a notebook belongs to `more/`, and is no lesson."""
    return path.parent.name == "more"


def python(source: str) -> ast.Module:
    """A cell's code without its magics. Raises SyntaxError."""
    kept = (line for line in source.splitlines() if not line.lstrip().startswith(("%", "!")))
    return ast.parse("\n".join(kept))


def without_bootstrap(source: str) -> str:
    """A code cell's own lines: those after the Colab bootstrap, or all if it has none."""
    _, mark, rest = source.partition("\nimport sslcourse")
    return mark[1:] + rest if mark and source.startswith(BOOTSTRAP.splitlines()[0]) else source


def refresh_bootstrap(notebook: NotebookNode) -> None:
    """Bring the Colab bootstrap at the head of the first code cell up to date."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    if code and (own := without_bootstrap(code[0].source)) != code[0].source:
        code[0].source = f"{BOOTSTRAP}\n{own}"
