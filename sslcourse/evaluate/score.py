"""Score: what a protocol returns, and how one is made beside the same network at random initialisation."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from sslcourse.data.images import Data
from sslcourse.errors import UserError, shown, warn_once


@dataclass(repr=False)
class Score:
    """One number and what it took. `value` and `random` (the random initialisation's) lie in [0, 1]."""

    value: float
    metric: str
    protocol: str
    n_train: int
    n_test: int
    seconds: float
    seed: int
    device: str
    data: str
    random: float | None = None
    details: dict = field(default_factory=dict)

    def __float__(self) -> float:
        return self.value

    def __repr__(self) -> str:
        beside = "" if self.random is None else f" (random init {self.random:.3f})"
        return (
            f"{self.protocol} {self.metric} {self.value:.3f}{beside}, {self.n_train:,} train / "
            f"{self.n_test:,} test images, seed {self.seed}, {self.seconds:.1f} s"
        )

    def to_dict(self) -> dict:
        """The row of `sslcourse evaluate --json`, but for the method, which the score does not know."""
        names = ("data", "protocol", "metric", "value", "n_train", "n_test", "seed", "seconds", "device")
        return {name: getattr(self, name) for name in names}


@dataclass
class Result:
    """What a protocol measures on one network."""

    metric: str
    value: float
    n_train: int
    n_test: int
    details: dict = field(default_factory=dict)


def score(
    protocol: str,
    measure: Callable[[Callable], list[Result]],
    encoder: Callable,
    baseline: Callable | None,
    data: Data,
    seed: int,
    device: torch.device,
) -> list[Score]:
    """`measure` the encoder, and the baseline where there is one: a Score per Result."""
    start = time.perf_counter()
    results = measure(encoder)
    seconds = time.perf_counter() - start
    beside = [None] * len(results) if baseline is None else [result.value for result in measure(baseline)]
    return [
        Score(
            r.value,
            r.metric,
            protocol,
            r.n_train,
            r.n_test,
            seconds,
            seed,
            str(device),
            data.name,
            b,
            r.details,
        )
        for r, b in zip(results, beside, strict=True)
    ]


def labelled(data: Data, protocol: str) -> int:
    """The number of classes, or one line on why `protocol` cannot use these labels."""
    for split in ("train", "val", "test"):
        part = getattr(data, split)
        if len(part) == 0:
            raise UserError(f"{protocol} on {data.name!r}: its {split} part is empty; use data that has one")
        if part.labels is None:
            raise UserError(
                f"{protocol} on {data.name!r}: its {split} part has no labels; use labelled data, "
                "or `sslcourse embed` and evaluate.neighbours, which need none"
            )
    tell_unseen(data, protocol)
    if len(data.train.labels.unique()) < 2:
        raise UserError(f"{protocol} on {data.name!r}: the train images have one class only; use two or more")
    largest = max(int(getattr(data, split).labels.max()) for split in ("train", "val", "test"))
    return max(len(data.classes), largest + 1)


def tell_unseen(data: Data, protocol: str) -> None:
    """Name the test classes of which nothing can be learned: UserError if there are no others, else a warning."""
    parts = [getattr(data, split).labels.cpu() for split in ("train", "val", "test")]
    train, _, test = (set(labels.tolist()) for labels in parts)
    unseen = sorted(test - train)
    if not unseen:
        return
    numbers = torch.cat(parts).bincount()  # images of each class in all
    names = [
        f"{shown(data.classes[y]) if y < len(data.classes) else y} ({numbers[y]} in all)" for y in unseen[:5]
    ]
    more = f" and {len(unseen) - 5} more" if len(unseen) > 5 else ""
    mend = "a class needs 3 images or more to be in train, val and test, and a --limit that leaves them"
    if len(unseen) == len(test):
        raise UserError(
            f"{protocol} on {data.name!r}: no test image is of a class with train images, but of"
            f" {', '.join(names)}{more}: {mend}"
        )
    warn_once(
        f"{data.name}: {len(unseen)} of {len(test)} test classes have no train image, so that their"
        f" {sum(int((parts[2] == y).sum()) for y in unseen)} of {len(parts[2])} test images count as wrong: "
        f"{', '.join(names)}{more}; {mend}"
    )


def accuracy(predicted: Tensor, labels: Tensor) -> float:
    """Fraction of (N,) predictions that equal the labels."""
    return (predicted == labels.to(predicted.device)).float().mean().item()
