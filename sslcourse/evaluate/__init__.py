"""Protocols: an encoder and labelled images -> a Score. Choices are made on `.val`; `.test` is read once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sslcourse.data.images import Data
from sslcourse.errors import UserError
from sslcourse.evaluate.attention import attention_overlap, on_objects, strongest
from sslcourse.evaluate.factors import chosen, factors
from sslcourse.evaluate.features import extract, remember
from sslcourse.evaluate.finetune import finetune
from sslcourse.evaluate.health import alignment, effective_rank, feature_std, health, uniformity
from sslcourse.evaluate.knn import knn, knn_predict, knn_scores, nearest, neighbours
from sslcourse.evaluate.linear import linear
from sslcourse.evaluate.logistic import fit_logistic, standardise
from sslcourse.evaluate.lowshot import lowshot, subset
from sslcourse.evaluate.propagation import propagate, propagation
from sslcourse.evaluate.score import Score, labelled
from sslcourse.evaluate.segment import masked, segment
from sslcourse.evaluate.semisupervised import BASELINES, semisupervised
from sslcourse.evaluate.words import Firing, firing, place_boxes

__all__ = [
    "BASELINES", "PROTOCOLS", "Firing", "Score", "alignment", "attention_overlap", "effective_rank", "extract", "factors",
    "feature_std", "finetune", "firing", "fit_logistic", "health", "knn", "knn_predict", "knn_scores", "linear", "lowshot",
    "nearest", "neighbours", "on_objects", "place_boxes", "propagate", "propagation", "remember", "run_protocols", "segment",
    "semisupervised", "standardise", "strongest", "subset", "uniformity",
]  # fmt: skip

PROTOCOLS: dict[str, Callable[..., Score | list[Score]]] = {
    "knn": knn,
    "linear": linear,
    "lowshot": lowshot,
    "finetune": finetune,
    "segment": segment,
    "factors": factors,
}


def run_protocols(
    encoder: Callable,
    data: Data,
    names: Sequence[str],
    *,
    seed: int = 0,
    device: str = "auto",
    beside_random: bool = True,
) -> list[Score]:
    """The protocols `names` in order, as one list; features are extracted once for all of them."""
    unknown = [name for name in names if name not in PROTOCOLS]
    if unknown:
        raise UserError(f"protocol {unknown[0]!r} is unknown: use {', '.join(PROTOCOLS)}")
    others = {"factors": chosen, "segment": masked}  # what they need of the data; the rest need labels
    for name in names:  # before the first score, for it may take long
        others[name](data) if name in others else labelled(data, name)
    scores: list[Score] = []
    with remember(encoder):
        for name in names:
            result = PROTOCOLS[name](encoder, data, seed=seed, device=device, beside_random=beside_random)
            scores += result if isinstance(result, list) else [result]
    return scores
