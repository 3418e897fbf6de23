"""Two-stage methods: the finished run that a second stage learns from, and what its own run keeps of it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch

from sslcourse.errors import UserError
from sslcourse.methods import METHODS
from sslcourse.methods.method import Method
from sslcourse.training.run import Run, build_saved


def digest(method: Method) -> str:
    """12 hexadecimal digits of all weights and buffers, wherever they lie."""
    told = hashlib.sha256()
    for name, value in sorted(method.state_dict().items()):
        value = value.detach().cpu().contiguous()
        told.update(f"{name} {value.dtype} {tuple(value.shape)} ".encode())
        told.update(value.flatten().view(torch.uint8).numpy().tobytes())  # any shape -> bytes
    return told.hexdigest()[:12]


def find_teacher(
    method: str | Method, teacher: Run | str | Path | None, saved: dict | None, out: Path | None
) -> tuple[Method | None, dict]:
    """The method that `method` learns from, and what config.json keeps of its run: (None, {}) if it needs none.

    teacher: a finished run or its folder; without it the one of `saved`, the configuration of a run in `out` that
    goes on: it is built again, and its weights come with that run's state. Kept are the teacher's whole configuration
    and a digest of its weights. Raises UserError if there is no teacher, one too many, or an unfinished one.
    """
    if isinstance(method, str) and method not in METHODS:  # which `build` will say
        return None, {}
    usual = "" if isinstance(method, Method) else METHODS[method].taught_by
    if not usual and teacher is None:
        return None, {}
    if not usual:
        built = isinstance(method, Method)
        why = f"{method.name} is built already" if built else f"{method} learns from the data alone"
        raise UserError(f"{why} and takes no teacher: leave out --teacher (teacher=)")
    kept = (saved or {}).get("teacher")
    if teacher is None and kept is None:
        raise UserError(
            f"{method} learns from a finished run, such as one of {usual}: give its folder with --teacher RUN (teacher=run)"
        )
    if teacher is None:
        return build_saved(kept, out), {"teacher": kept}
    where = "the teacher" if isinstance(teacher, Run) else str(teacher)
    if not isinstance(teacher, Run):
        if out is not None and Path(teacher).resolve() == out.resolve():
            raise UserError(f"{where} cannot be both --teacher and --out: the teacher would be overwritten")
        try:
            teacher = Run.load(teacher, device="cpu")
        except UserError as error:
            goes_on = f"; without --teacher {out} goes on with what it keeps of its own" if kept else ""
            raise UserError(f"{error}{goes_on}") from None
    config = teacher.config
    if METHODS.get(config.get("method")) is not type(teacher.method) or not config.get("encoder"):
        raise UserError(
            f"{where} was made by {type(teacher.method).__name__} with parts of its own, which sslcourse cannot build"
            f" again: {method} can learn from a run of a method and an encoder that it knows"
        )
    epochs = config.get("recipe", {}).get("epochs", 1)
    done = teacher.history[-1]["epoch"] if teacher.history else 0
    if done < epochs:
        raise UserError(
            f"{where} is an unfinished run, {done} of {epochs} epochs: give its pretrain again, then {method} can learn from it"
        )
    return teacher.method, {"teacher": {**config, "weights": digest(teacher.method)}}
