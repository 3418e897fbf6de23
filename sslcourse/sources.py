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
APART = {"sslcourse.methods", "sslcourse.recipes", "sslcourse.studies"}


@cache
def trees(package: Path = PACKAGE) -> dict[str, ast.Module]:
    """Every module of the package by its full name, read once: what is edited while a study runs is not what runs."""
    found = {}
    for path in package.rglob("*.py"):
        parts = [package.name, *path.relative_to(package).with_suffix("").parts]
        found[".".join(parts).removesuffix(".__init__")] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def digest(modules: Iterable[str]) -> str:
    """12 hexadecimal digits that stay as they are until one of these modules does something else."""
    said = [f"{name} {essence(trees()[name])}" for name in sorted(modules)]
    return hashlib.sha256("\n".join(said).encode()).hexdigest()[:12]


def behind(*modules: str) -> set[str]:
    """These modules of the package, and those they import, directly or not, also inside functions."""
    known, found, todo = trees(), set(), list(modules)
    while todo:
        name = todo.pop()
        if name in known and name not in found and name not in APART:
            found.add(name)
            todo += imported(known[name], known)
    return found


def imported(tree: ast.Module, known: dict[str, ast.Module]) -> Iterable[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module in known:
            yield from (home(node.module, alias.name, known) for alias in node.names)


def home(module: str, name: str, known: dict[str, ast.Module]) -> str:
    """The module in which `from module import name` finds what it takes: a package may have it from elsewhere."""
    if f"{module}.{name}" in known:
        return f"{module}.{name}"
    for node in known[module].body:
        if isinstance(node, ast.ImportFrom) and node.module in known:
            if name in [alias.asname or alias.name for alias in node.names]:
                return home(node.module, name, known)
    return module


@cache
def essence(tree: ast.Module) -> str:
    """A module as text that neither comments, nor docstrings, nor layout change."""
    tree = ast.parse(ast.unparse(tree))  # a copy
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                del node.body[0]
    return ast.dump(tree)
