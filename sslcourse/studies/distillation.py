"""Chapter three's table: every method of self-distillation and of bags of words by its laptop recipe, few labels too.

On photographs: BYOL and the bags of words beside SimCLR.
"""

from __future__ import annotations

from sslcourse.methods import METHODS
from sslcourse.studies import table
from sslcourse.studies.cifar import images

ROWS = {
    "toys": ("byol", "simsiam", "barlow", "vicreg", "swav", "dino", "rotnet", "bownet", "obow"),
    "photographs": ("simclr", "byol", "rotnet", "bownet", "obow"),
}


def study(seed: int, kind: str = "toys"):
    """RotNet stands here as the teacher of BoWNet. With one seed all methods share the labelled images."""
    data, runs = images(kind), {}
    for name in ROWS[kind]:
        taught_by = METHODS[name].taught_by
        more = {"teacher": runs[taught_by]} if taught_by else {}
        runs[name], rows = table.scores(name, name, data, seed, **more)
        yield from rows
        yield from table.labelled(name, runs[name], data, seed)
