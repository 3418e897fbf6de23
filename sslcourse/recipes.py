"""What to train with, per method, data and profile: encoder, epochs, batch, optimiser, and what it scored.

Profiles: `smoke` runs every code path in seconds and learns nothing; `laptop` is real training on two
cores (the default); `gpu` is the tiny-image recipe of the literature (METHODS 0.6).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace

from sslcourse.errors import UserError

PROFILES = ("smoke", "laptop", "gpu")


def profile(name: str | None = None) -> str:
    """`name`, else `$SSLCOURSE_PROFILE`, else "laptop"; checked."""
    name = name or os.environ.get("SSLCOURSE_PROFILE") or "laptop"
    if name not in PROFILES:
        raise UserError(f"profile {name!r} is unknown: set SSLCOURSE_PROFILE to {', '.join(PROFILES)}")
    return name


@dataclass(frozen=True)
class Recipe:
    """How to train. `epochs` and `warmup` in epochs, `batch` over all processes, `lr` as the optimiser sees it.

    `accumulate`: micro-batches per step (contrastive losses then see the negatives of a micro-batch only).
    `clip`: largest gradient norm, 0 for none. `steps_per_epoch`: stop an epoch early (smoke).
    `measured`: score and seconds it was measured at, in words.
    """

    encoder: str = "small"
    encoder_arguments: dict = field(default_factory=dict)
    arguments: dict = field(default_factory=dict)
    epochs: int = 10
    batch: int = 256
    optimizer: str = "sgd"
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    warmup: float = 0.5
    clip: float = 0.0
    accumulate: int = 1
    compile: bool = False
    steps_per_epoch: int = 0
    measured: str = ""


LAPTOP = {
    "supervised": Recipe(epochs=8, batch=128, optimizer="adamw", lr=2e-3, weight_decay=0.01),
    "rotnet": Recipe(
        epochs=6, batch=64, optimizer="adamw", lr=2e-3, weight_decay=0.01,
        measured="toybox: linear probe 0.821 +- 0.012, three seeds; 75 s on two cores",
    ),
    "simclr": Recipe(
        epochs=16, batch=128, optimizer="adamw", lr=2e-3, weight_decay=0.01,
        arguments={"temperature": 0.2, "min_scale": 0.3},
        measured="toybox: linear probe 0.692 +- 0.006, three seeds; 2 minutes on two cores",
    ),
}  # fmt: skip

# METHODS 0.6 (ResNet-18 with the CIFAR stem); RotNet's schedule is METHODS 1.1 with a cosine.
GPU = {
    "supervised": Recipe("resnet18", epochs=100, batch=128, lr=0.1, warmup=5),
    "rotnet": Recipe("resnet18", epochs=100, batch=128, lr=0.1, warmup=5),
    "simclr": Recipe(
        "resnet18", epochs=200, batch=512, optimizer="sgd", lr=0.6, weight_decay=1e-4, warmup=10,
        arguments={"temperature": 0.2},
    ),
}  # fmt: skip


def recipe(method: str, data: str = "toybox", profile_name: str | None = None) -> Recipe:
    """The recipe of `method` for the data set named `data`, under a profile."""
    chosen = profile(profile_name)
    table = GPU if chosen == "gpu" else LAPTOP
    found = table.get(method, Recipe("resnet18") if chosen == "gpu" else Recipe())
    if chosen == "smoke":
        small = {"width": 8} if found.encoder == "small" else {}
        found = replace(
            found, encoder_arguments={**found.encoder_arguments, **small}, epochs=1, batch=min(found.batch, 32),
            warmup=0, steps_per_epoch=3,
        )  # fmt: skip
    return found
