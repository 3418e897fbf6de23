"""Lesson 09: OBoW's vocabulary over training, words of two levels beside one, and what local features are good for."""

from __future__ import annotations

from sslcourse import evaluate, load, nets
from sslcourse.studies import trained

LEVELS = (2, 1)
DENSE = ("obow", "bownet", "rotnet", "simclr", "dino")
LAYERS = ("stage2", "stage3")  # of the small network, on images of 64 px: maps of 8 and of 4 places


def study(seed: int):
    """`what` "perplexity": a level's words in use after an epoch, as a share of their number; "levels": scores of OBoW
    with words of so many layers; "dense": mean IoU on toybox-scenes of networks that learned from toybox."""
    data, scenes = load("toybox"), load("toybox-scenes")
    for levels in LEVELS:
        run = trained("obow", data, seed, levels=levels)
        for line in run.history:
            for name in run.method.vocabulary:
                yield {
                    "what": "perplexity", "levels": levels, "layer": name, "epoch": line["epoch"],
                    "value": line[f"perplexity_{name}"] / run.method.words,
                }  # fmt: skip
        for protocol in (evaluate.knn, evaluate.linear):
            score = protocol(run.encoder, data, seed=seed, beside_random=False)
            yield {"what": "levels", "levels": levels, "protocol": score.protocol, "value": score.value}
    rotnet = trained("rotnet", data, seed)
    runs = {name: trained(name, data, seed) for name in DENSE if name not in ("rotnet", "bownet")}
    runs |= {"rotnet": rotnet, "bownet": trained("bownet", data, seed, teacher=rotnet)}
    encoders = {name: runs[name].encoder for name in DENSE}
    encoders["random"] = nets.random_like(rotnet.encoder, seed)
    for name, encoder in encoders.items():
        for layer in LAYERS:
            score = evaluate.segment(encoder, scenes, layer=layer, seed=seed, beside_random=False)
            yield {
                "what": "dense",
                "method": name,
                "layer": layer,
                "protocol": "segment",
                "value": score.value,
            }
