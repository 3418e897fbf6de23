"""The registry of claims, and the lessons that judge them."""

import ast
import re
from collections import Counter
from datetime import date
from pathlib import Path

import nbformat
import pytest

from sslcourse.talk import statements
from sslcourse.talk.registry import claims, verdicts

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
PATHS = sorted([*NOTEBOOKS.glob("*.ipynb"), *NOTEBOOKS.glob("more/*.ipynb")])


def cells(path: Path) -> list[ast.Module]:
    """A notebook's code cells without their magics."""
    code = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    return [ast.parse(re.sub(r"(?m)^\s*[%!].*$", "", source)) for source in code]


def calls(cell: ast.Module) -> list[ast.Call]:
    """Those of `claim`, under whatever module it is called."""
    found = [node for node in ast.walk(cell) if isinstance(node, ast.Call)]
    return [c for c in found if getattr(c.func, "attr", getattr(c.func, "id", "")) == "claim"]


def written(node: ast.AST) -> bool:
    """Whether this is a number that somebody typed."""
    if isinstance(node, ast.UnaryOp):
        node = node.operand
    return isinstance(node, ast.Constant) and isinstance(node.value, int | float)


def defects(cell: ast.Module, lesson: str) -> list[str]:
    """What is wrong with a cell's claims, in words: a threshold belongs into the registry."""
    assigned = {
        name.id: node.value
        for node in ast.walk(cell)
        if isinstance(node, ast.Assign)
        for target in node.targets
        for name in ast.walk(target)
        if isinstance(name, ast.Name)
    }
    found = []
    for call in calls(cell):
        said = ast.unparse(call.args[0])
        name = getattr(call.args[0], "value", None)
        if name not in claims() or claims()[name].lesson != lesson:
            found.append(f"{said} is no registered claim of lesson {lesson}")
        sides = sum(2 if isinstance(side, ast.Starred) else 1 for side in call.args[1:])
        if sides != 2:
            found.append(f"{said} gives {sides} sides")
        for side in call.args[1:3]:
            if written(side) and getattr(side, "value", None) != 0:
                found.append(f"{said} compares with the written number {ast.unparse(side)}")
            names = {node.id for node in ast.walk(side) if isinstance(node, ast.Name)}
            for part in (side, *(assigned[n] for n in names & assigned.keys())):
                for node in ast.walk(part):
                    if isinstance(node, ast.BinOp) and (written(node.left) or written(node.right)):
                        found.append(f"{said} computes with a written number: {ast.unparse(node)}")
    return found


def judged(path: Path) -> list[tuple[str, str]]:
    """Claim and kind of images of every call in a notebook."""
    return [
        (
            getattr(call.args[0], "value", ""),
            {k.arg: getattr(k.value, "value", "") for k in call.keywords}.get("on", "toys"),
        )
        for cell in cells(path)
        for call in calls(cell)
    ]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_lesson_judges_its_registered_claims_and_gives_only_what_was_measured(path):
    lesson = path.stem[:2]
    assert [defect for cell in cells(path) for defect in defects(cell, lesson)] == []
    found = Counter(judged(path))
    assert [call for call, count in found.items() if count > 1] == [], "judged twice"


# Registered, and their experiments (studies attention and batches) not recorded yet
NOT_YET = {"08.6", "08.8"}


@pytest.mark.parametrize(
    "path", [path for path in PATHS if path.parent == NOTEBOOKS], ids=lambda path: path.stem
)
def test_every_registered_claim_is_judged(path):
    lesson = path.stem[:2]
    own = [p for p in PATHS if p.stem[:2] == lesson]
    found = {name for p in own for name, _ in judged(p)}
    own = {claim.id for claim in claims().values() if claim.lesson == lesson}
    assert own - found == {name for name in NOT_YET if name.startswith(lesson)}


def test_ids_are_lesson_and_number_in_order():
    lessons = [claim.lesson for claim in claims().values()]
    assert lessons == sorted(lessons)
    for lesson in set(lessons):
        own = [claim.id for claim in claims().values() if claim.lesson == lesson]
        assert own == [f"{lesson}.{number}" for number in range(1, len(own) + 1)]


def test_a_claim_of_the_talk_names_the_statements_that_it_judges():
    known = {statement.id for statement in statements()}
    for claim in claims().values():
        assert set(claim.statements) <= known, claim.id
        assert bool(claim.statements) == (claim.kind == "talk"), claim.id


def test_every_field_is_filled():
    for claim in claims().values():
        for text in (claim.text, claim.left, claim.right, claim.measure, claim.because):
            assert text and text == text.strip() and not text.endswith("."), claim.id
        assert claim.margin > 0 or claim.relation == "more", claim.id


def test_an_entry_written_after_its_lesson_ran_says_what_was_known():
    ran = ("00", "01", "03", "04", "05", "07", "12")
    for claim in claims().values():
        if claim.lesson in ran and claim.written <= date(2026, 11, 29):
            assert claim.known, claim.id


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ('claim("05.3", a, b)', ""),
        ('sc.lesson.claim("05.3", gains, 0, source="recorded: x")', ""),
        ('claim("05.3", told("gap"), chance["gap"])', ""),
        ('lost = [a - b for a, b in pairs]\nclaim("05.3", lost, c[0.1])', ""),
        ('explored("x", [v + 0.02 for v in a], 0.5)', ""),
        ('claim("05.3", [v + 0.02 for v in a], b)', "computes with a written number: v + 0.02"),
        ('half = [v / 2 for v in a]\nclaim("05.3", half, b)', "computes with a written number: v / 2"),
        ('claim("05.3", a, 0.25)', "compares with the written number 0.25"),
        ('claim("05.3", a, -0.25)', "compares with the written number -0.25"),
        ('claim("05.3", a, b, 0.02)', "gives 3 sides"),
        ('claim("A beats B", a, b)', "is no registered claim of lesson 05"),
        ('claim("07.1", a, b)', "is no registered claim of lesson 05"),
        ('for n in ("05.1", "05.2"):\n    claim(n, a, b)', "is no registered claim of lesson 05"),
    ],
)
def test_the_check_itself_finds_thresholds(source, said):
    found = defects(ast.parse(source), "05")
    assert (said in found[0] and len(found) == 1) if said else found == []


def shown(path: Path) -> set[tuple[str, str, str, str]]:
    """Id, kind of images, verdict and numbers of every claim in a notebook's committed outputs."""
    outputs = (
        output for cell in nbformat.read(path, as_version=4).cells for output in cell.get("outputs", [])
    )
    said = "\n".join(output.get("data", {}).get("text/plain", "") for output in outputs)
    return set(re.findall(r"^claim (\d\d\.\d+) \([^)]*\), on (\w+): .*\n  ([^:]+): (.*)$", said, re.M))


def test_the_verdicts_are_those_of_the_committed_lessons():
    kept = {(row["id"], row["on"], row["status"], row["numbers"]) for row in verdicts()}
    assert kept == set().union(*map(shown, PATHS)), "write the lessons back: sslcourse course --write-back"
