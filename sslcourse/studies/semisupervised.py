"""SimCLR's Table 7: semi-supervised learning from scratch, and SimCLR fine-tuned, with 1% and 10% of Toybox's labels."""

from __future__ import annotations

from sslcourse import evaluate, load
from sslcourse.evaluate.semisupervised import BASELINES, Retraining, semisupervised
from sslcourse.nets import encoder, random_like
from sslcourse.studies import trained

FRACTIONS = (0.01, 0.1)
WIDTH, STEPS = 16, 400  # half the usual width, so that a run takes half a minute on one core
# What differs from the classes' defaults, the papers': fewer unlabelled images, and gentler terms, for 400 steps
# leave a network unsure. Chosen on `.val`, seed 0, 10% of the labels.
LAPTOP = {
    "supervised": {},
    "pseudo_label": {"mu": 3, "alpha": 1.0},
    "vat": {"mu": 1, "eps": 0.5, "weight": 0.3, "entropy": 0.03},
    "uda": {"mu": 3},
    "fixmatch": {"mu": 3, "threshold": 0.8},
    "s4l": {"w": 0.7, "eps": 0.5, "vat": 0.03, "entropy": 0.01},
}
# S4L in MOAM's three steps: a row's value is the third's, and all three stand beside it; its curve is the first's.
# The paper's tuning, at a rate 200 times lower and 40 steps here, is too little for a network of 400 steps.
MOAM = Retraining(tuning_steps=0.25, tuning_lr=0.5, tuning_decay=1)


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
                retrain=MOAM if name == "s4l" else False, **LAPTOP[name],
            )  # fmt: skip
            stages = {row["stage"]: row["value"] for row in score.details.get("stages", ())}
            yield {
                "method": name, "data": data.name, "protocol": score.protocol, "fraction": fraction,
                "value": score.value, "n_train": score.n_train, "steps": STEPS, "width": WIDTH, **stages,
                "curve": [point["accuracy"] for point in score.details["history"]], "seconds": score.seconds,
            }  # fmt: skip
