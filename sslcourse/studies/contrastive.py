"""Chapter two's table: every contrastive method by its laptop recipe, then with 1% and 10% of the labels."""

from __future__ import annotations

from sslcourse import evaluate, load
from sslcourse.studies import table

METHODS = (
    *("exemplar", "npid", "triplet", "cpc", "simclr", "moco", "moco_v3"),
    *("pirl", "pcl", "cmc", "amdim", "infomin", "nat", "detcon"),
)
FINETUNED = ("npid", "pirl", "simclr")  # those of SimCLR's Table 7; CPC is in `instances`


def study(seed: int):
    """Frozen and fine-tuned scores have `fraction`; with one seed all methods share the labelled images."""
    data = load("toybox")
    for name in METHODS:
        run, rows = table.scores(name, name, table.few(data) if name in table.VISITS else data, seed, data)
        yield from rows
        yield from table.labelled(name, run, data, seed)
        if name not in FINETUNED:
            continue
        for fraction in table.FRACTIONS:
            tuned = evaluate.finetune(run.encoder, data, fraction=fraction, seed=seed, beside_random=False)
            yield table.row(name, data.name, "finetune", fraction, tuned)
            if name == "simclr":
                plain = evaluate.finetune(run.encoder, data, fraction=fraction, seed=seed, scratch=True)
                yield table.row("scratch", data.name, "finetune", fraction, plain)
