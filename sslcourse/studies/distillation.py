"""Chapter three's table: every method of self-distillation and of bags of words by its laptop recipe, few labels too."""

from __future__ import annotations

from sslcourse import load
from sslcourse.methods import METHODS
from sslcourse.studies import table

ROWS = ("byol", "simsiam", "barlow", "vicreg", "swav", "dino", "rotnet", "bownet", "obow")


def study(seed: int):
    """RotNet stands here as the teacher of BoWNet. With one seed all methods share the labelled images."""
    data, runs = load("toybox"), {}
    for name in ROWS:
        taught_by = METHODS[name].taught_by
        more = {"teacher": runs[taught_by]} if taught_by else {}
        runs[name], rows = table.scores(name, name, data, seed, **more)
        yield from rows
        yield from table.labelled(name, runs[name], data, seed)
