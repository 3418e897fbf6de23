"""A finished run that goes on: its stretches of epochs, each annealed for itself.

A stretch is a training of its own that begins from what the one before it left. The learning rate warms up to the
recipe's (for at most half of the stretch) and falls to 0 by a cosine over the stretch's epochs, and
`method.progress` runs from 0 to 1 once more, so that schedules of a method (MoCo v3's and DetCon's momentum,
tracking's hard negatives) keep step with the learning rate. Weights, the optimiser's momentum, buffers, random
states, the history and the count of epochs (hence the order of the images) go on.
"""

from __future__ import annotations

from pathlib import Path

from sslcourse.errors import UserError
from sslcourse.training.run import refuse_differences


def stretch(recipe: dict, epochs: int | None = None) -> dict:
    """How a stretch is annealed, as `config.json` has it; epochs: of one that is added, default the first one's."""
    if epochs is None:
        return {name: recipe[name] for name in ("epochs", "lr", "warmup")}
    return {"epochs": epochs, "lr": recipe["lr"], "warmup": min(recipe["warmup"], epochs / 2)}


def stretches(
    saved: dict, asked: dict, out: Path, files: str = "", *, finished: bool, extend: bool
) -> list[dict]:
    """The stretches of the saved run if it goes on as `asked`; both are configurations. files: see refuse_differences.

    The last one is new if a finished run is extended; giving the same command again goes on with it. Raises
    UserError that names what differs, or why the run cannot be extended.
    """
    had, wanted = saved["recipe"]["epochs"], asked["recipe"]["epochs"]
    known = saved.get("stretches", [stretch(saved["recipe"])])
    saved = {name: value for name, value in saved.items() if name != "stretches"}
    if not extend or (wanted == had and len(known) > 1):
        refuse_differences(saved, asked, out, files)
        return known
    refuse_differences({**saved, "recipe": {**saved["recipe"], "epochs": wanted}}, asked, out, files)
    if wanted <= had:
        raise UserError(
            f"{out} holds a run of {had} epochs: --epochs counts them all, so give more than {had} to extend it"
        )
    if not finished:
        raise UserError(
            f"{out} holds a run that has not come to the end of its {had} epochs: give it --epochs {had} without "
            "--extend, and extend it then"
        )
    return [*known, stretch(saved["recipe"], wanted - had)]
