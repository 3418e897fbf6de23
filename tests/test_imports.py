"""Imports go one way: data <- views <- nets <- methods <- train <- evaluate <- shortcuts <- what people see."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "sslcourse"
ORDER = ["data", "views", "nets", "methods", "train", "evaluate", "shortcuts", "tools"]
LEVEL = {name: ORDER.index(name) for name in ORDER} | {
    "runs": 4,
    "fabric": 4,
    "extend": 4,
    "checkpoint": 0,
    "memory": 0,
    "sources": 0,
    "recipes": 0,
}
FREE = {"errors", "progress", "__init__"}  # below everything


def level(module: str) -> int:
    return LEVEL.get(module, ORDER.index("tools"))


def imported(path: Path) -> set[str]:
    """The second part of every `sslcourse.X` that is imported when the module is (not inside functions)."""
    tree, found = ast.parse(path.read_text(encoding="utf-8")), set()
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "sslcourse":
            parts = node.module.split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
    return found - {"__version__"}


def test_imports_go_one_way():
    wrong = []
    for path in PACKAGE.rglob("*.py"):
        mine = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if mine in FREE:
            continue
        for other in imported(path) - FREE:
            if level(other) > level(mine):
                wrong.append(f"{path.relative_to(PACKAGE)} imports {other}")
    assert not wrong
