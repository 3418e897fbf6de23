"""The self-supervised learning paradigm in computer vision, made runnable.

    import sslcourse as sc
    data = sc.load("toybox")
    run = sc.pretrain("simclr", data)
    sc.evaluate.knn(run.encoder, data)

Everything is imported when it is first used, so that the command answers at once.
"""

from __future__ import annotations

import importlib
import os
import sys

from sslcourse.moved import Moved

# Threads that wait for one another soon sleep. By default they spin for milliseconds, which gains little on an idle
# machine and, as soon as another program wants a core, makes training several times slower. A thousand turns, some
# 20 microseconds, bridge the gap between two operations. Read when torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

__version__ = "0.1.0"

sys.meta_path.append(Moved())

_NAMES = {
    "load": "sslcourse.data",
    "pretrain": "sslcourse.training",
    "Run": "sslcourse.training",
    "METHODS": "sslcourse.methods",
    "Method": "sslcourse.methods",
    "Recipe": "sslcourse.training.recipes",
    "UserError": "sslcourse.errors",
}
_ROOMS = (
    *("data", "views", "nets", "methods", "training", "evaluate", "shortcuts", "talk", "studies"),
    *("lesson", "plots", "widgets", "doctor"),
)
_MODULES = {room: f"sslcourse.{room}" for room in _ROOMS} | {
    "train": "sslcourse.training",
    "recipes": "sslcourse.training.recipes",
    "benchmark": "sslcourse.studies.benchmark",
    "course": "sslcourse.lesson.course",
}

__all__ = [*_NAMES, *_MODULES]


def __getattr__(name: str):
    if name in _NAMES:
        return getattr(importlib.import_module(_NAMES[name]), name)
    if name in _MODULES:
        return importlib.import_module(_MODULES[name])
    raise AttributeError(f"module 'sslcourse' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
