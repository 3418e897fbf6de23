"""The first call of a lesson: seeds, device, profile, figure style."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
import torch

from sslcourse import plots
from sslcourse.data.images import pick_device
from sslcourse.studies.records import device_name
from sslcourse.training import recipes


@dataclass(frozen=True)
class Setup:
    """What `setup` found: `.pick(smoke=..., laptop=..., gpu=...)` chooses by profile."""

    seed: int
    device: torch.device
    profile: str

    def pick(self, smoke, laptop, gpu=None):
        """The value for this profile; `gpu` defaults to `laptop`."""
        return {"smoke": smoke, "laptop": laptop, "gpu": laptop if gpu is None else gpu}[self.profile]


def setup(seed: int = 0, profile: str | None = None, *, strict: bool | None = None) -> Setup:
    """First call of a lesson: seeds, device, profile, figure style; prints one line of versions.

    profile: default `$SSLCOURSE_PROFILE`, else "laptop". strict: wrong or missing answers raise (solutions).
    """
    name = recipes.profile(profile)
    os.environ["SSLCOURSE_PROFILE"] = name  # recipes read it too
    if strict is not None:
        os.environ["SSLCOURSE_STRICT"] = str(int(strict))
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (libraries draw from it)
    torch.manual_seed(seed)
    plots.style()
    device = pick_device("auto")
    where = device_name(device)
    print(
        f"sslcourse {version('sslcourse')}, torch {torch.__version__}, {where}; profile {name}, seed {seed}"
    )
    return Setup(seed, device, name)
