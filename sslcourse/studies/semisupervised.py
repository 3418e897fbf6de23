"""SimCLR's Table 7: semi-supervised learning from scratch, and SimCLR fine-tuned, with 1% and 10% of Toybox's labels."""

from __future__ import annotations

from sslcourse import evaluate, load
from sslcourse.evaluate.semisupervised import BASELINES, semisupervised
from sslcourse.nets import encoder, random_like
from sslcourse.studies import trained

FRACTIONS = (0.01, 0.1)
WIDTH, STEPS = 16, 400  # half the usual width, so that a run takes half a minute on one core
# What differs from the papers: fewer unlabelled images, and gentler terms, for 400 steps leave a network unsure.
LAPTOP = {
    "supervised": {},
    "pseudo_label": {"mu": 3, "alpha": 1.0},
    "vat": {"mu": 1, "eps": 0.5, "weight": 0.3, "entropy": 0.1},
    "uda": {"mu": 3, "threshold": 0.5},
    "fixmatch": {"mu": 3, "threshold": 0.8},
    "s4l": {"mu": 1, "eps": 0.5, "vat": 0.3, "entropy": 0.1},
}


def study(seed: int):
    data = load("toybox")
    start = random_like(encoder("small", data.size, width=WIDTH), seed)
    simclr = trained("simclr", data, seed, encoder={"width": WIDTH}).encoder
    for fraction in FRACTIONS:
        for name, scratch in (("simclr", False), ("scratch", True)):
            score = evaluate.finetune(
                simclr, data, fraction=fraction, seed=seed, scratch=scratch, beside_random=False
            )
            yield {
                "method": name, "data": data.name, "protocol": "finetune", "fraction": fraction,
                "value": score.value, "n_train": score.n_train, "width": WIDTH, "seconds": score.seconds,
            }  # fmt: skip
        for name in BASELINES:
            score = semisupervised(
                name, data, fraction=fraction, encoder=start, steps=STEPS, seed=seed, beside_supervised=False,
                **LAPTOP[name],
            )  # fmt: skip
            yield {
                "method": name, "data": data.name, "protocol": score.protocol, "fraction": fraction,
                "value": score.value, "n_train": score.n_train, "steps": STEPS, "width": WIDTH,
                "curve": [point["accuracy"] for point in score.details["history"]], "seconds": score.seconds,
            }  # fmt: skip
