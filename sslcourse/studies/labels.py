"""Lesson 01: accuracy against the share of labels and against epochs, from scratch and pre-trained."""

from __future__ import annotations

from sslcourse import evaluate, load
from sslcourse.studies import trained

FRACTIONS = (0.01, 0.02, 0.05, 0.1, 0.5, 1.0)


def study(seed: int):
    data = load("toybox")
    run = trained("simclr", data, seed)
    for fraction in FRACTIONS:
        frozen = evaluate.lowshot(
            run.encoder, data, shots=(), fractions=(fraction,), draws=1, seed=seed, beside_random=False
        )[0]
        yield {"method": "frozen", "fraction": fraction, "value": frozen.value, "seconds": frozen.seconds}
        for name, scratch in (("scratch", True), ("fine-tuned", False)):
            score = evaluate.finetune(
                run.encoder, data, fraction=fraction, seed=seed, scratch=scratch, beside_random=False
            )
            yield {
                "method": name,
                "fraction": fraction,
                "value": score.value,
                "curve": score.details["curve"],
                "seconds": score.seconds,
            }
