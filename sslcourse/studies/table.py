"""One row of the course's table: a method, what it makes of its own task, k-NN and linear probe beside random."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from statistics import fmean

from sslcourse import evaluate, nets
from sslcourse.data.images import Data
from sslcourse.shortcuts import heldout_accuracy
from sslcourse.studies import pick, trained
from sslcourse.talk import tables as talk
from sslcourse.training.loop import Run

# Methods with something of its own for every image (a row of weights, a memory, a target) need each image often:
# their recipes count epochs of FEW images
FEW = 1000
VISITS = ("exemplar", "npid", "pirl", "cmc", "nat")
FRACTIONS = (0.01, 0.1)

# Row of the talk's VOC table -> record, method, and the world on which it is probed
VOC_HERE = {
    "random rescaled": ("motion", "random rescaled", "toybox-patches"),
    "egomotion": ("motion", "egomotion", "toybox-patches"),
    "context encoders": ("structure", "context_encoder", "toybox"),
    "tracking": ("motion", "tracking", "toybox-patches"),
    "context": ("structure", "context", "toybox-patches"),
    "colourisation": ("colour", "colorization", "toybox-natural"),
    "jigsaw": ("structure", "jigsaw", "toybox-patches"),
    "NAT": ("contrastive", "nat", "toybox"),
    "split-brain": ("colour", "split_brain, split", "toybox-natural"),
    "colour proxy": ("colour", "color_proxy", "toybox-natural"),
    "counting": ("structure", "counting", "toybox-patches"),
    "RotNet": ("rotations", "rotnet", "toybox"),
}


def few(data: Data, count: int = FEW) -> Data:
    """The same data with the first `count` training images only."""
    return replace(data, name=f"{data.name}, {count:,} images", train=data.train[:count])


def scores(
    name: str, method: str, data: Data, seed: int, probe: Data | None = None, **arguments
) -> tuple[Run, list[dict]]:
    """Train `method` on data: its run, and a row for k-NN and one for the linear probe on `probe` (default: data).

    Every row carries `random`, the same network at random initialisation, `seconds` of training, and `pretext`,
    the accuracy of the method's own task on held-out images, where it has one and needs no memory of others.
    """
    probe = probe or data
    run = trained(method, data, seed, **arguments)
    fresh = nets.random_like(run.encoder, seed)
    pretext = None
    # a memory has one row per training image; a queue's keys were normed by their own batch, in training
    remembers = "images" in type(run.method).arguments_from(data) or hasattr(run.method, "queue")
    if "accuracy" in run.history[-1] and not run.method.clips and not remembers:
        pretext = heldout_accuracy(run.method, data.test, seed, batch=run.config["recipe"]["batch"])
    rows = []
    for protocol in (evaluate.knn, evaluate.linear):
        score, base = (protocol(e, probe, seed=seed, beside_random=False) for e in (run.encoder, fresh))
        rows.append({
            "method": name, "data": data.name, "probe": probe.name, "protocol": score.protocol, "value": score.value,
            "random": base.value, "pretext": pretext, "seconds": run.seconds,
        })  # fmt: skip
    return run, rows


def labelled(name: str, run: Run, data: Data, seed: int) -> Iterator[dict]:
    """A row for each of FRACTIONS of the labels, features frozen; with one seed all methods share the labelled images."""
    found = evaluate.lowshot(
        run.encoder, data, shots=(), fractions=FRACTIONS, draws=1, seed=seed, beside_random=False
    )
    for fraction, score in zip(FRACTIONS, found, strict=True):
        yield row(name, data.name, "lowshot", fraction, score)


def row(method: str, data: str, protocol: str, fraction: float, score: evaluate.Score) -> dict:
    return {
        "method": method, "data": data, "protocol": protocol, "fraction": fraction, "value": score.value,
        "seconds": score.seconds,
    }  # fmt: skip


def beside_talk(records: dict[str, list[dict]]) -> list[dict]:
    """The talk's VOC table with our own columns: the world, then frozen and fine-tuned, each `ours (random)`, in %.

    records: name -> rows, of every record in VOC_HERE. Frozen: a linear probe with all labels. "random" is the same
    network untrained; None where nothing was recorded.
    """

    def mean(rows: list[dict], method: str, protocol: str, key: str = "value") -> float | None:
        rows = [row for row in rows if row.get("layer") in (None, "stage3") and key in row]
        found = pick(rows, key, method=method, protocol=protocol)
        return fmean(found) if found else None

    def cell(value: float | None, random: float | None) -> str | None:
        if value is None:
            return None
        return f"{100 * value:.1f}" + (f" ({100 * random:.1f})" if random is not None else "")

    table = []
    for name, *scores in talk.VOC:
        here = VOC_HERE.get(name.split(" (")[0])
        record, method, world = here or (None, None, None)
        rows = records[record] if here else []
        own = [
            cell(
                mean(rows, method, protocol),
                mean(rows, method, protocol, "random") or mean(rows, "random", protocol),
            )
            for protocol in ("linear", "finetune")
        ]
        row = dict(zip(talk.VOC_COLUMNS, (name, *scores), strict=True))
        table.append(row | {"here, on": world, "frozen (random)": own[0], "fine-tuned (random)": own[1]})
    return table
