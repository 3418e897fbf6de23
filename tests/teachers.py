"""Small teachers for the methods that need one; nothing for the others."""

from sslcourse import nets
from sslcourse.data.images import Data
from sslcourse.methods import METHODS
from sslcourse.training.pretraining import pretrain
from sslcourse.training.recipes import Recipe


def taught(name: str, size: int = 16) -> dict:
    """What `METHODS[name]` takes beside its encoder and arguments: the untrained method of a teacher."""
    usual = METHODS[name].taught_by
    return {"teacher": METHODS[usual](nets.encoder("small", size, width=8))} if usual else {}


def taught_by_a_run(name: str, data: Data) -> dict:
    """What `pretrain(name, data)` takes beside: the run of a teacher, an epoch on the same data."""
    usual, recipe = (
        METHODS[name].taught_by,
        Recipe(encoder_arguments={"width": 8}, epochs=1, batch=32, lr=0.05),
    )
    return {"teacher": pretrain(usual, data, recipe=recipe, device="cpu")} if usual else {}
