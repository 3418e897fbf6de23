"""What to train with, per method, data and profile: encoder, epochs, batch, optimiser, and what it scored.

Profiles: `smoke` runs every code path in seconds and learns nothing; `laptop` is real training on two
cores (the default); `gpu` is the tiny-image recipe of the literature. A `laptop` recipe is chosen for Toybox; on other
images the one for `photographs` takes its place, where there is one.
"""

from __future__ import annotations

from dataclasses import replace

from sslcourse.training.recipes import contrastive, control, distillation, pretext
from sslcourse.training.recipes.recipe import PROFILES, Recipe, profile

CHAPTERS = (
    control,
    pretext,
    contrastive,
    distillation,
)  # a file per chapter of the talk; each has both profiles side by side
LAPTOP, PHOTOGRAPHS, GPU = (
    {name: each[key] for chapter in CHAPTERS for name, each in chapter.RECIPES.items() if key in each}
    for key in ("laptop", "photographs", "gpu")
)

__all__ = ["GPU", "LAPTOP", "PHOTOGRAPHS", "PROFILES", "Recipe", "profile", "recipe"]


def recipe(method: str, data: str = "toybox", profile_name: str | None = None) -> Recipe:
    """The recipe of `method` for the data set named `data`, under a profile."""
    chosen = profile(profile_name)
    table = GPU if chosen == "gpu" else LAPTOP if data.startswith("toybox") else {**LAPTOP, **PHOTOGRAPHS}
    found = table.get(method, Recipe("resnet18") if chosen == "gpu" else Recipe())
    if chosen == "smoke":
        small = {"width": 8} if found.encoder == "small" else {}
        found = replace(
            found, encoder_arguments={**found.encoder_arguments, **small}, epochs=1, batch=min(found.batch, 32),
            warmup=0, steps_per_epoch=3,
        )  # fmt: skip
    return found
