"""Imports go one way, from room to room, and nowhere in a circle."""

import ast
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "sslcourse"
ROOMS = [
    "data",
    "views",
    "nets",
    "methods",
    "training",
    "evaluate",
    "shortcuts",
    "talk",
    "studies",
]  # each from those before it
PEOPLE = {"lesson", "plots", "widgets", "cli", "doctor", "__main__"}  # what people see: from all of these
GROUND = {
    "errors",
    "memory",
    "moved",
    "progress",
    "sources",
    "text",
}  # below everything: from one another only


@cache
def modules() -> dict[str, ast.Module]:
    """Every module of the package by its name."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        name = ".".join(("sslcourse", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(
            ".__init__"
        )
        found[name] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def imported(name: str) -> set[str]:
    """The modules of the package that a module names in its imports, also inside functions."""
    known, found = modules(), set()
    for node in ast.walk(known[name]):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names} & known.keys()
        elif isinstance(node, ast.ImportFrom) and node.module in known:
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= inside & known.keys()
            if not inside <= known.keys():
                found.add(node.module)
    return found - {name, "sslcourse"}


def room(name: str) -> str:
    return name.split(".")[1] if "." in name else ""


def rank(name: str) -> int:
    own = room(name)
    if own in GROUND:
        return -1
    assert own in ROOMS or own in PEOPLE, f"{name} is in no room: add it to this test and to CONTRIBUTING.md"
    return ROOMS.index(own) if own in ROOMS else len(ROOMS)


def test_a_room_imports_only_from_those_before_it():
    pairs = [(a, b) for a in modules() if a != "sslcourse" for b in imported(a)]
    assert len(pairs) > 300
    assert not [f"{a} imports {b}" for a, b in pairs if rank(b) > rank(a)]


def circle(edges: dict[str, set[str]]) -> list[str]:
    """The names of one circle, in order; [] if there is none."""
    state: dict[str, int] = {}  # 1: on the way, 2: done

    def walk(name: str, way: list[str]) -> list[str]:
        if state.get(name) == 1:
            return [*way[way.index(name) :], name]
        if state.get(name) == 2:
            return []
        state[name] = 1
        for other in sorted(edges.get(name, ())):
            if found := walk(other, [*way, name]):
                return found
        state[name] = 2
        return []

    return next((found for name in sorted(edges) if (found := walk(name, []))), [])


def test_no_module_imports_itself_by_way_of_others():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"] and not circle(
        {"a": {"b"}, "b": set()}
    )
    assert not circle({name: imported(name) for name in modules()})
