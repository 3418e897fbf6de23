"""What to train with, per method, data and profile: encoder, epochs, batch, optimiser, and what it scored.

Profiles: `smoke` runs every code path in seconds and learns nothing; `laptop` is real training on two
cores (the default); `gpu` is the tiny-image recipe of the literature.
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


LAPTOP = {
    "supervised": Recipe(epochs=8, batch=128, optimizer="adamw", lr=2e-3, weight_decay=0.01),
    "rotnet": Recipe(
        epochs=6, batch=64, optimizer="adamw", lr=2e-3, weight_decay=0.01,
        measured="toybox: linear probe 0.821 +- 0.012, three seeds; 75 s on two cores",
    ),
    "context": Recipe(
        epochs=6, batch=32, optimizer="adamw", lr=2e-3, weight_decay=0.01,
        arguments={"colours": "keep", "min_area": 0.6, "grids": 1, "hidden": 256},
        measured="toybox-patches: linear probe on val 0.416 (random init 0.234), seed 0; 39 s of CPU",
    ),
    "jigsaw": Recipe(
        epochs=8, batch=32, optimizer="adamw", lr=2e-3, weight_decay=0.01,
        arguments={"permutations": 24, "channels": 1, "tower": 64, "hidden": 256},
        measured="toybox-patches: linear probe on val 0.416 (random init 0.234), seed 0; 62 s on one core",
    ),
    "counting": Recipe(
        epochs=8, batch=64, optimizer="adamw", lr=1e-3, weight_decay=0.01,
        arguments={"counts": 128, "hidden": 256},
        measured="toybox-patches: linear probe on val 0.400 (random init 0.234), seed 0; 87 s on one core",
    ),
    "context_encoder": Recipe(
        encoder_arguments={"stem_stride": 2}, epochs=4, batch=64, optimizer="adamw", lr=2e-3, weight_decay=0.01,
        arguments={"region": "random", "adversarial": 0.0},
    ),
    "egomotion": Recipe(
        epochs=16, batch=32, optimizer="adamw", lr=2e-3, weight_decay=0.01, arguments={"seen": 4},
    ),
    "tracking": Recipe(
        epochs=12, batch=64, optimizer="adamw", lr=2e-3, weight_decay=0.01,
    ),
    "colorization": Recipe(
        epochs=4, batch=64, optimizer="adamw", lr=2e-3, weight_decay=0.01,
        arguments={"step": 20, "sigma": 10.0},
        measured="toybox-natural, val: linear probe 0.949 (random init 0.711), k-NN 0.920 (0.668); seed 0",
    ),
    "split_brain": Recipe(
        epochs=4, batch=64, optimizer="adamw", lr=2e-3, weight_decay=0.01,
        arguments={"step": 20},
        measured="toybox-natural, val: linear probe 0.967 (random init 0.829), k-NN 0.887 (0.704); seed 0",
    ),
    "color_proxy": Recipe(
        epochs=4, batch=64, optimizer="adamw", lr=2e-3, weight_decay=0.01,
        arguments={"bins": 8},
        measured="toybox-natural, val: linear probe 0.937 (random init 0.669), k-NN 0.924 (0.611); seed 0",
    ),
    "video_color": Recipe(
        epochs=6, batch=32, optimizer="adamw", lr=2e-3, weight_decay=0.01,
        measured="toybox-video val: mean J of propagated masks 0.63 (copying the first frame: 0.33), seed 0",
    ),
    # exemplar, npid, pirl, cmc and nat keep something for every image: epochs are for the first 1,000 of toybox
    "exemplar": Recipe(
        epochs=60, batch=128, optimizer="adamw", lr=2e-3, weight_decay=0.01,
        arguments={"seeds": 0},
        measured="1,000 images of toybox: linear probe on val 0.488 (random init 0.315), seed 0; 32 s on one core",
    ),
    "npid": Recipe(
        epochs=60, batch=128, optimizer="adamw", lr=2e-3, weight_decay=0.01,
        arguments={"negatives": 0, "temperature": 0.2},
        measured="1,000 images of toybox: linear probe on val 0.631 (random init 0.315), seed 0; 28 s on one core",
    ),
    "triplet": Recipe(
        epochs=6, batch=128, optimizer="adamw", lr=2e-3, weight_decay=0.01,
        arguments={"negatives": "semihard"},
        measured="toybox, 4 epochs: linear probe on val 0.565 (random init 0.315), seed 0; 48 s of CPU",
    ),
    "cpc": Recipe(
        encoder_arguments={"norm": "layer"}, epochs=3, batch=64, optimizer="adamw", lr=2e-3, weight_decay=0.01,
        arguments={"patch": 0.375, "directions": 1, "negatives": 128, "hidden": 64, "depth": 3, "drop": 0.5},
        measured="toybox: linear probe on val 0.518, seed 0; 78 s on one core",
    ),
    "simclr": Recipe(
        epochs=16, batch=128, optimizer="adamw", lr=2e-3, weight_decay=0.01,
        arguments={"temperature": 0.2, "min_scale": 0.3},
        measured="toybox: linear probe 0.692 +- 0.006, three seeds; 2 minutes on two cores",
    ),
    "pirl": Recipe(
        epochs=60, batch=64, optimizer="adamw", lr=2e-3, weight_decay=0.01,
        arguments={"negatives": 512, "temperature": 0.2, "min_scale": 0.3},
        measured="1,000 images of toybox: linear probe on val 0.588 (random init 0.315), seed 0; 2 minutes on one core",
    ),
    "cmc": Recipe(
        epochs=60, batch=64, optimizer="adamw", lr=2e-3, weight_decay=0.01,
        arguments={"negatives": 512, "temperature": 0.2},
        measured="1,000 images of toybox: linear probe 0.468 +- 0.008 (random init 0.400), three seeds",
    ),
    "amdim": Recipe(
        epochs=6, batch=128, optimizer="adamw", lr=2e-3, weight_decay=0.01,
        measured="toybox: linear probe on val 0.602 (random init 0.314), seed 0; 78 s of CPU",
    ),
    "nat": Recipe(
        epochs=80, batch=128, optimizer="adamw", lr=2e-3, weight_decay=0.01, arguments={"dim": 128},
        measured="1,000 images of toybox: linear probe 0.476 +- 0.026 (random init 0.427, both see gradients), three seeds",
    ),
    "detcon": Recipe(
        encoder_arguments={"stem_stride": 2}, epochs=4, batch=64, optimizer="adamw", lr=2e-3, weight_decay=0.01,
        arguments={"hidden": 256, "dim": 128, "momentum": 0.99, "min_scale": 0.3},
        measured="toybox: linear probe 0.680 +- 0.013 (random init 0.334), three seeds; 204 s on one core",
    ),
    "moco": Recipe(
        epochs=8, batch=64, optimizer="adamw", lr=2e-3, weight_decay=0.01,
        arguments={"length": 1024, "momentum": 0.99, "min_scale": 0.3},
        measured="toybox: linear probe 0.569 +- 0.003 (random init 0.306), three seeds; a minute on one core",
    ),
    "moco_v3": Recipe(
        epochs=6, batch=128, optimizer="adamw", lr=2e-3, weight_decay=0.01,
        # the authors give a convolutional network a temperature of 1 and crops of .2: made for long runs of large batches
        arguments={"hidden": 256, "dim": 128, "min_scale": 0.3, "temperature": 0.2},
        measured="toybox: linear probe on val 0.521 (random init 0.314), seed 0; 74 s of CPU",
    ),
    "pcl": Recipe(
        epochs=8, batch=64, optimizer="adamw", lr=2e-3, weight_decay=0.01,
        arguments={
            "length": 1024, "momentum": 0.99, "min_scale": 0.3, "clusters": [50, 100, 200], "warmup": 4, "iterations": 10,
        },
        measured="toybox: linear probe on val 0.527 (random init 0.315), seed 0; 107 s on one core",
    ),
    "infomin": Recipe(
        epochs=8, batch=64, optimizer="adamw", lr=2e-3, weight_decay=0.01,
        arguments={
            "length": 1024, "momentum": 0.99, "temperature": 0.2, "min_scale": 0.3, "operations": 1, "magnitude": 3,
        },
        measured="toybox, 4 epochs: linear probe on val 0.386 (random init 0.315), seed 0; 84 s of CPU",
    ),
}  # fmt: skip

# Published CIFAR-10 recipes (ResNet-18 with the CIFAR stem) where there are any; RotNet's schedule with a cosine.
GPU = {
    "supervised": Recipe("resnet18", epochs=100, batch=128, lr=0.1, warmup=5),
    "rotnet": Recipe("resnet18", epochs=100, batch=128, lr=0.1, warmup=5),
    "context_encoder": Recipe(
        "resnet18", epochs=100, batch=128, optimizer="adamw", lr=2e-3, weight_decay=0.01, warmup=5,
        arguments={"region": "random", "adversarial": 0.0},
    ),
    "egomotion": Recipe("resnet18", epochs=200, batch=64, optimizer="adamw", lr=1e-3, weight_decay=0.01, warmup=5),
    "tracking": Recipe("resnet18", epochs=200, batch=64, optimizer="adamw", lr=1e-3, weight_decay=0.01, warmup=5),
    **{
        name: Recipe("resnet18", epochs=100, batch=128, optimizer="adamw", lr=1e-3, weight_decay=1e-3, warmup=5)
        for name in ("colorization", "split_brain", "color_proxy")
    },
    "video_color": Recipe("resnet18", epochs=200, batch=32, optimizer="adamw", lr=1e-3, weight_decay=0.01, warmup=5),
    "context": Recipe("resnet18", epochs=100, batch=128, optimizer="adamw", lr=1e-3, weight_decay=0.01, warmup=5),
    "jigsaw": Recipe("resnet18", epochs=100, batch=128, optimizer="adamw", lr=1e-3, weight_decay=0.01, warmup=5),
    "counting": Recipe("resnet18", epochs=100, batch=128, optimizer="adamw", lr=1e-4, weight_decay=0.01, warmup=5),
    "exemplar": Recipe(
        "resnet18", epochs=200, batch=256, optimizer="adamw", lr=1e-3, weight_decay=0.01, warmup=5,
        arguments={"seeds": 0},
    ),
    "npid": Recipe(
        "resnet18", epochs=200, batch=256, lr=0.03, weight_decay=5e-4,
        arguments={"negatives": 0, "temperature": 0.1},
    ),
    "triplet": Recipe(
        "resnet18", epochs=200, batch=256, optimizer="adamw", lr=1e-3, weight_decay=0.01, warmup=5,
        arguments={"negatives": "semihard"},
    ),
    "cpc": Recipe(
        "resnet18", encoder_arguments={"norm": "layer"}, epochs=200, batch=256, optimizer="adamw", lr=4e-4,
        weight_decay=1e-5, warmup=5,
        arguments={"directions": 4, "negatives": 4096, "patch_flip": 0.5, "drop": 0.5},
    ),
    "amdim": Recipe(
        "resnet18", epochs=200, batch=256, optimizer="adamw", lr=2e-4, weight_decay=1e-4, warmup=5,
    ),
    # Lightly's for CIFAR-10. The authors' (LARS, 1.0 for every 256 images) is made for 1,000 epochs: in 50 epochs of
    # 20,000 images the small network had with it k-NN 0.485 on val, with this 0.524 (random 0.286), seed 0.
    "simclr": Recipe("resnet18", epochs=200, batch=512, lr=0.24, weight_decay=5e-4, warmup=0),
    "pirl": Recipe(
        "resnet18", epochs=200, batch=256, optimizer="adamw", lr=1e-3, weight_decay=0.01, warmup=5,
        arguments={"negatives": 4096},
    ),
    "cmc": Recipe(
        "resnet18", epochs=200, batch=256, optimizer="sgd", lr=0.03, weight_decay=1e-4, warmup=5,
        arguments={"negatives": 4096},
    ),
    "nat": Recipe(
        "resnet18", epochs=200, batch=256, optimizer="adamw", lr=1e-3, weight_decay=0.01, warmup=5,
        arguments={"dim": 512},
    ),
    "detcon": Recipe(
        "resnet18", epochs=200, batch=256, optimizer="adamw", lr=1e-3, weight_decay=0.01, warmup=5,
        arguments={"momentum": 0.99, "hidden": 2048},
    ),
    **{
        name: Recipe(
            "resnet18", epochs=200, batch=512, optimizer="sgd", lr=0.06, weight_decay=5e-4, arguments=arguments,
        )
        for name, arguments in {
            "moco": {"length": 4096, "momentum": 0.99, "temperature": 0.1, "min_scale": 0.08, "rows": 64},
            "pcl": {"length": 4096, "momentum": 0.99, "clusters": [100, 250, 500]},
            "infomin": {"length": 4096, "momentum": 0.99},
        }.items()
    },
    # solo-learn's temperature for CIFAR-10; all else as the authors give their ResNets
    "moco_v3": Recipe(
        "resnet18", epochs=200, batch=512, optimizer="lars", lr=0.6, weight_decay=1e-6, warmup=10,
        arguments={"temperature": 0.2},
    ),
}  # fmt: skip

# SGD in the code of MoCo, NPID, CMC, PCL, PyContrast (InfoMin), VISSL (PIRL) and lightly (SimCLR) has plain momentum;
# in RotNet's, and where there is no code of the authors in PyTorch that we know, it stays Nesterov's
PLAIN = ("npid", "simclr", "moco", "pirl", "pcl", "cmc", "infomin")
for table in (LAPTOP, GPU):
    table |= {name: replace(table[name], nesterov=False) for name in PLAIN}


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
