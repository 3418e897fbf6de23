"""The code behind a result, as a key: a hash of the package's modules that made it, without comments and docstrings."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parent
# Modules that training imports and that do not count. The registry of methods imports every one, so that mending one
# would throw away the runs of all: `digest` is given the method's own module instead. What a recipe says, and what a
# study asks for, is in the key of a run by itself.
APART = {"sslcourse.methods", "sslcourse.training.recipes", "sslcourse.studies"}


@cache
def texts(package: Path = PACKAGE) -> dict[str, str]:
    """Every module of the package by its full name, read once: what is edited while a study runs is not what runs."""
    found = {}
    for path in package.rglob("*.py"):
        parts = [package.name, *path.relative_to(package).with_suffix("").parts]
        found[".".join(parts).removesuffix(".__init__")] = path.read_text(encoding="utf-8")
    return found


def digest(modules: Iterable[str]) -> str:
    """12 hexadecimal digits that stay as they are until one of these modules does something else."""
    said = [f"{name} {essence(texts()[name])}" for name in sorted(modules)]
    return hashlib.sha256("\n".join(said).encode()).hexdigest()[:12]


def inside(package: str) -> set[str]:
    """The modules of a part of the package."""
    return {name for name in texts() if name == package or name.startswith(f"{package}.")}


def behind(*modules: str) -> set[str]:
    """These modules of the package, and those they import, directly or not, also inside functions."""
    known, found, todo = texts(), set(), list(modules)
    while todo:
        name = todo.pop()
        if name in known and name not in found and name not in APART:
            found.add(name)
            todo += imported(name, known)
    return found


def imported(module: str, known: dict[str, str]) -> Iterable[str]:
    for node in ast.walk(tree(known[module])):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module in known:
            yield from (home(node.module, alias.name, known) for alias in node.names)


def home(module: str, name: str, known: dict[str, str]) -> str:
    """The module in which `from module import name` finds what it takes: a package may have it from elsewhere."""
    if f"{module}.{name}" in known:
        return f"{module}.{name}"
    for node in tree(known[module]).body:
        if isinstance(node, ast.ImportFrom) and node.module in known:
            if name in [alias.asname or alias.name for alias in node.names]:
                return home(node.module, name, known)
    return module


@cache
def tree(text: str) -> ast.Module:
    return ast.parse(text)


@cache
def essence(text: str) -> str:
    """A module as text that neither comments, nor docstrings, nor layout change."""
    own = ast.parse(text)
    for node in ast.walk(own):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                del node.body[0]
    return ast.dump(own)
