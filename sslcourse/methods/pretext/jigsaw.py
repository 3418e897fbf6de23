"""Jigsaw: the tiles of an image are shuffled; which shuffle was it?"""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sslcourse.methods.method import Method, Paper
from sslcourse.nets import Encoder
from sslcourse.views import Greyscale, jitter_channels, standardise, tiles


def every_permutation(pieces: int) -> Tensor:
    """All orders of 0 ... pieces - 1: (pieces!, pieces) uint8. Grown by putting each number at every place."""
    orders = torch.zeros(1, 0, dtype=torch.uint8)
    for k in range(pieces):
        new = torch.full((len(orders), 1), k, dtype=torch.uint8)
        orders = torch.cat([torch.cat([orders[:, :i], new, orders[:, i:]], 1) for i in range(k + 1)])
    return orders


@functools.lru_cache(8)
def permutation_set(n: int, pieces: int = 9, seed: int = 0) -> Tensor:
    """n permutations far from each other: (n, pieces). Slot j of the puzzle p shows tile p[j].

    Greedy: the first is random; then, of all pieces!, always the one whose mean Hamming distance to those chosen
    is largest, ties broken at random. Sum of distances = pieces * chosen - sum_j #(chosen q with q[j] = p[j]).
    """
    generator = torch.Generator().manual_seed(seed)
    every = every_permutation(pieces)
    every = every[torch.randperm(len(every), generator=generator)]
    agreed = torch.zeros(len(every), dtype=torch.int32)  # places shared with the chosen ones, summed
    chosen = torch.zeros(n, pieces, dtype=torch.uint8)
    for i in range(n):
        best = agreed.argmin()  # the first of equals, and the order is random
        chosen[i] = every[best]
        agreed += (every == chosen[i]).sum(1, dtype=torch.int32)
        agreed[best] = pieces * n + 1  # never again
    return chosen.long()


class Jigsaw(Method):
    """Nine tiles in one of `permutations` orders; a classifier over the slots must name the order.

    L = -mean log F^y(f(tile p_y[1]), ..., f(tile p_y[9])): each tile goes through the same tower (encoder and fc6),
    and the nine outputs are joined in the order of the slots. As no tower sees the order, the tiles are encoded
    once and their features shuffled: `puzzles` orders per image and step cost little more than one.
    Against shortcuts: a random gap (tiles of `tile` px in cells of `cell`; None: 16 in 21 at 64 px), `normalise`
    each tile by its own mean and deviation per channel, colour channels of each tile shifted by up to `channels`
    px (None: 2 of 64), and a share `grey` of images without colour.
    `kept`: the encoder. It is trained on normalised tiles and probed on whole images as they are.

    Symbols: S, the order -> y, a row of `orders`; A_i, the tiles -> `t`; F_i, their features (fc6) -> `h`; fc7 and
    fc8 -> `fc7`.
    Differs: the paper has 1000 permutations, fc6 512 wide and fc7 4096; the code 100, 1024 and 4096. Theirs have no
    batch norm. Their tower ends in a flattened map, ours in its mean, and sees one puzzle of an image at a time. Our
    puzzle is made of the whole image, theirs of a crop. Cells are the code's (64 of 85 px), the paper's 64 of 75.
    """

    name = "jigsaw"
    chapter = "pretext"
    paper = Paper(
        "Unsupervised Learning of Visual Representations by Solving Jigsaw Puzzles",
        "Noroozi, Favaro", "ECCV", 2016, "1603.09246",
    )  # fmt: skip

    def __init__(
        self,
        encoder: Encoder,
        *,
        permutations: int = 100,
        puzzles: int = 4,
        cell: int | None = None,
        tile: int | None = None,
        normalise: bool = True,
        channels: int | None = None,
        grey: float = 0.3,
        tower: int = 512,
        hidden: int = 4096,
        seed: int = 0,
    ):
        super().__init__(encoder)
        self.permutations, self.puzzles, self.cell, self.tile = permutations, puzzles, cell, tile
        self.normalise, self.channels, self.grey = normalise, channels, grey
        self.tower, self.hidden, self.seed = tower, hidden, seed
        self.register_buffer("orders", permutation_set(permutations, 9, seed).clone())
        self.view = Greyscale(grey)
        self.fc6 = nn.Sequential(
            nn.Linear(encoder.dim, tower, bias=False), nn.BatchNorm1d(tower), nn.ReLU(inplace=True)
        )
        self.fc7 = nn.Sequential(
            *(nn.Linear(9 * tower, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU(inplace=True)),
            nn.Linear(hidden, permutations),
        )

    def geometry(self, size: int) -> tuple[int, int]:
        """Cell and tile in pixels for images of `size`: the proportions of the paper's code where not given."""
        cell = self.cell or size // 3
        return cell, self.tile or round(cell * 64 / 85)

    def features_of(self, t: Tensor) -> Tensor:
        """The towers: tiles (B, 9, 3, t, t) in [0, 1] -> (B, 9, tower)."""
        t = self.encoder.adapted(standardise(t)) if self.normalise else t
        h = self.fc6(self.encoder(t.flatten(0, 1)))  # (B, 9, 3, t, t) -> (B * 9, tower)
        return h.view(-1, 9, self.tower)  # (B * 9, tower) -> (B, 9, tower)

    def logits(self, t: Tensor) -> Tensor:
        """Which order the slots are in: tiles (B, 9, 3, t, t), slot by slot, in [0, 1] -> (B, permutations)."""
        return self.fc7(self.features_of(t).flatten(1))  # (B, 9, tower) -> (B, 9 * tower)

    def loss(
        self, images: Tensor, index: Tensor | None = None, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        t = tiles(self.view(images), *self.geometry(images.shape[-1]))
        pixels = (
            max(1, round(t.shape[-1] / 32)) if self.channels is None else self.channels
        )  # the paper's 2 of 64
        h = self.features_of(jitter_channels(t, pixels))
        y = torch.randint(self.permutations, (len(images), self.puzzles), device=images.device)
        rows = torch.arange(len(images), device=images.device)[:, None, None]
        slots = h[rows, self.orders[y]]  # (B, 9, tower) -> (B, puzzles, 9, tower)
        slots = slots.flatten(2).flatten(0, 1)  # (B, puzzles, 9, tower) -> (B * puzzles, 9 * tower)
        logits, y = self.fc7(slots), y.flatten()  # (B, puzzles) -> (B * puzzles,)
        return {"loss": F.cross_entropy(logits, y), "accuracy": (logits.argmax(1) == y).float().mean()}
