"""Exercises: not attempted, right, or wrong because."""

from __future__ import annotations

import dis
import inspect
import os
from collections.abc import Callable
from html import escape

from sslcourse import plots
from sslcourse.lesson.showing import _emit


class CheckError(AssertionError):
    """An exercise is wrong or not attempted, where SSLCOURSE_STRICT=1 asks for answers."""


def _attempted(answer) -> bool:
    """False for None, `...` and functions whose body is nothing but them."""
    if answer is None or answer is Ellipsis:
        return False
    if not inspect.isfunction(answer):
        return True
    steps = list(dis.get_instructions(answer))
    empty = {"RESUME", "NOP", "LOAD_CONST", "RETURN_CONST", "RETURN_VALUE"}
    return any(s.opname not in empty or s.argval not in (None, Ellipsis, 0) for s in steps)


def check(answer, test: Callable[[object], object], name: str = "exercise", *, otherwise=None):
    """Mark an exercise: *not attempted*, *right*, or *wrong, because ...*

    answer: None or `...` while not attempted. A function that is still `...`, or raises NotImplementedError,
    is not attempted either. test(answer) returns True (or nothing) if right, a reason if wrong, or asserts.
    With SSLCOURSE_STRICT=1 anything but *right* raises CheckError.
    otherwise: what the lesson goes on with if the answer is not right; the better of the two is returned.
    """
    said = "not attempted"
    if _attempted(answer):
        try:
            result = test(answer)
            right = result is None or (not isinstance(result, str) and bool(result))
            reason = result if isinstance(result, str) else "the check says no"
        except NotImplementedError:
            right, reason = False, ""
        except AssertionError as error:
            right, reason = False, (str(error).splitlines() or ["the check says no"])[0]
        except Exception as error:  # a reader's answer may fail in any way
            right, reason = False, f"checking it raised {type(error).__name__}: {error}"
        said = "right" if right else f"wrong, because {reason}" if reason else said
    colour = {"right": plots.figure.GREEN, "not attempted": plots.figure.GREY}.get(
        said, plots.figure.VERMILLION
    )
    box = f"border-left:4px solid {colour};padding:2px 12px"
    _emit(f'<div style="{box}"><b>{escape(name)}</b>: {escape(said)}</div>', f"{name}: {said}")
    if said != "right" and os.environ.get("SSLCOURSE_STRICT") == "1":
        raise CheckError(f"{name}: {said}")
    if otherwise is not None:
        return answer if said == "right" else otherwise
