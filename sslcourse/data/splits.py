"""Seeded orders and held-out parts, the same for every set that does not come with its own."""

from __future__ import annotations

import torch
from torch import Tensor


def shuffled(rows: Tensor, seed: int) -> Tensor:
    """`rows` (N,) in a random order that depends on N and `seed` only."""
    return rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))]


def hold_out(
    rows: Tensor, labels: Tensor | None, seed: int, share=0.1, most: int = 5000
) -> tuple[Tensor, Tensor]:
    """Split `rows` (N,) into (kept, held), both shuffled: `share` of them are held, 1 to `most`.

    Stratified when there are labels (indexed by row): every class is held in proportion, to within one image.
    """
    rows = shuffled(rows, seed)
    if labels is not None:
        rows = rows[labels[rows].argsort(stable=True)]
    total = len(rows)
    count = min(max(1, round(share * total)), most, total)
    chosen = torch.zeros(total, dtype=torch.bool)
    chosen[(torch.arange(count) * total + total // 2) // count] = (
        True  # evenly spaced: a fair share of each class
    )
    return shuffled(rows[~chosen], seed + 1), shuffled(rows[chosen], seed + 2)


def needed(train: int, held_out: int) -> int:
    """How many images leave `train` of them for training when `held_out` parts are taken as `divide` does."""

    def left(count: int) -> int:
        for _ in range(held_out):
            count -= min(max(1, round(0.1 * count)), 5000, count)
        return count

    count = train
    while left(count) < train:
        count += 1
    return count


def divide(
    counts: dict[str, int], labels: Tensor | None, seed: int, limit: int | None = None
) -> dict[str, tuple[str, Tensor]]:
    """Which rows make train, val and test: split -> (the part its images lie in, rows there).

    counts: how many images each part has that the set comes with; "train" always. A test and then a val part
    that it lacks are held out of train, by `labels` (those of train). Rows are shuffled, so that the
    first `limit` of a split are a mixed prefix of the whole.
    """
    rows = torch.arange(counts["train"])
    chosen = {}
    for number, split in enumerate(("test", "val")):
        if split in counts:
            chosen[split] = split, shuffled(torch.arange(counts[split]), seed)
        else:
            rows, held = hold_out(rows, labels, seed + 10 * (number + 1))
            chosen[split] = "train", held
    chosen["train"] = "train", shuffled(rows, seed)
    return {split: (chosen[split][0], chosen[split][1][:limit]) for split in ("train", "val", "test")}
