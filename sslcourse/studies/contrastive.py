"""Chapter two's table: every contrastive method by its laptop recipe, then with 1% and 10% of the labels."""

from __future__ import annotations

from sslcourse import evaluate, load
from sslcourse.studies import table

METHODS = (
    *("exemplar", "npid", "triplet", "cpc", "simclr", "moco", "moco_v3"),
    *("pirl", "pcl", "cmc", "amdim", "infomin", "nat", "detcon"),
)
FINETUNED = ("npid", "pirl", "simclr")  # those of SimCLR's Table 7; CPC is in `instances`
FRACTIONS = (0.01, 0.1)


def study(seed: int):
    """Frozen and fine-tuned scores have `fraction`; with one seed all methods share the labelled images."""
    data = load("toybox")
    for name in METHODS:
        run, rows = table.scores(name, name, table.few(data) if name in table.VISITS else data, seed, data)
        yield from rows
        frozen = evaluate.lowshot(
            run.encoder, data, shots=(), fractions=FRACTIONS, draws=1, seed=seed, beside_random=False
        )
        for fraction, score in zip(FRACTIONS, frozen, strict=True):
            yield _row(name, data.name, "lowshot", fraction, score)
        if name not in FINETUNED:
            continue
        for fraction in FRACTIONS:
            tuned = evaluate.finetune(run.encoder, data, fraction=fraction, seed=seed, beside_random=False)
            yield _row(name, data.name, "finetune", fraction, tuned)
            if name == "simclr":
                plain = evaluate.finetune(run.encoder, data, fraction=fraction, seed=seed, scratch=True)
                yield _row("scratch", data.name, "finetune", fraction, plain)


def _row(method: str, data: str, protocol: str, fraction: float, score: evaluate.Score) -> dict:
    return {
        "method": method, "data": data, "protocol": protocol, "fraction": fraction, "value": score.value,
        "seconds": score.seconds,
    }  # fmt: skip
