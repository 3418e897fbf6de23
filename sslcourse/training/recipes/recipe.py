"""What a recipe is, and the profiles: `smoke`, `laptop`, `gpu`."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

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
    `nesterov`: the momentum of "sgd" is Nesterov's, not plain; nothing to the other optimisers.
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
    nesterov: bool = True
    weight_decay: float = 5e-4
    warmup: float = 0.5
    clip: float = 0.0
    accumulate: int = 1
    compile: bool = False
    steps_per_epoch: int = 0
    measured: str = ""
