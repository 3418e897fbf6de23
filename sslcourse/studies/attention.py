"""Lesson 08: where a small transformer looks. DINO's CLS attention beside that of a supervised and of a random one."""

from __future__ import annotations

import torch

from sslcourse import evaluate, load, nets
from sslcourse.data.images import pick_device
from sslcourse.studies import trained

# The transformer, and of each method what differs from its recipe (see training/recipes/distillation.py)
VIT, EPOCHS = {"patch": 4, "dim": 96, "depth": 4, "heads": 3}, 8
RUNS = {
    "dino": ({"lr": 1e-3, "batch": 64}, {}),
    "supervised": ({"lr": 1e-3}, {}),
}
SHOWN = 6  # test images of which the record keeps the maps


def study(seed: int):
    """`what` "overlap": of CLS's attention with the toys of the test images, the mean over heads and each head; "score";
    "maps" (seed 0): the attention on the first SHOWN test images, image by image, head by head."""
    data = load("toybox")
    runs = {
        name: trained(
            name, data, seed, epochs=EPOCHS, encoder=VIT, changes={"encoder": "vit", **changes}, **arguments
        )
        for name, (changes, arguments) in RUNS.items()
    }
    encoders = {name: run.encoder for name, run in runs.items()}
    encoders["random"] = nets.random_like(encoders["dino"], seed)
    for name, encoder in encoders.items():
        found = evaluate.attention_overlap(encoder, data.test)
        mean = {key: sum(found[key]) / len(found[key]) for key in ("share", "IoU")}
        yield {"what": "overlap", "method": name, **mean, "area": found["area"], "heads": found["share"]}
        for protocol in (evaluate.knn, evaluate.linear):
            score = protocol(encoder, data, seed=seed, beside_random=False)
            yield {"what": "score", "method": name, "protocol": score.protocol, "value": score.value}
        if seed == 0:
            yield {"what": "maps", "method": name, "maps": maps(encoder, data.test.floats(slice(0, SHOWN)))}


@torch.no_grad()
def maps(encoder: nets.Encoder, images: torch.Tensor) -> list:
    """Attention of CLS (images, heads, places), as numbers of four digits."""
    device = pick_device()
    found = encoder.to(device).eval().attention(images.to(device)).cpu()
    return [[[round(a, 4) for a in head] for head in image] for image in found.tolist()]
