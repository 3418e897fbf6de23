"""CPC: read an image row by row, and predict the patches further down, by recognising them among others."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sslcourse.data.images import Data
from sslcourse.errors import UserError
from sslcourse.methods.method import Method, Paper
from sslcourse.methods.parts.gathered import gather, rank
from sslcourse.methods.parts.precision import full_precision
from sslcourse.nets import Encoder, Patchwise
from sslcourse.nets.rows_above import RowsAbove
from sslcourse.views import ColourJitter, Compose, Greyscale, HorizontalFlip, RandomResizedCrop, ShiftCrop
from sslcourse.views.patches import drop_colours
from sslcourse.views.view import coins


class CPC(Method):
    """From the context above, predict the patch k rows below, and tell it from all other patches.

    Patches overlap; each is encoded by itself, z = g_enc(x). Contexts c = g_ar(z) see the rows above. With
    zhat = W_k c, one W_k a step, f_k(z) = exp(zhat . A z), which with A = 1 is equation (3) of v1, and
    L = -mean log(f_k(z+) / sum_z f_k(z)), its (4): scores are bilinear and nothing is normalised. Candidates z: all
    patches of the same image and of all others of the global batch, or of the others only `negatives` drawn at random
    (0: all). Loss at chance is the log of their number. The first `skip` rows below share pixels with the context and
    are not asked for (None: as many as do). `patch` is a share of the image's side, `stride` of a patch: 1/4 and 1/2
    make the paper's 7x7 grid. Images are cropped to at least `min_area` and flipped, a share `grey` has no colour;
    `jitter` shifts what a patch shows by this share of its side (v1). A, `scale`, `hidden` and `depth` are from v2's
    appendix. v2 is `directions=4` (each with its own g_ar), `skip=2, steps=1`, `patch_flip`, `drop` (the share of
    patches of which one colour channel stays), and an encoder with `norm="layer"`: batch norm tells each patch about
    the others.
    `kept`: the encoder, patchwise: features are the mean of z over the grid, as in the paper, and so a network
    trained on patches is probed on patches. `kept.encoder` is that network; on whole images its norms and its
    borders see what they never saw in training.

    Symbols: g_enc -> `encoder`, g_ar -> `g_ar`, W_k -> `W` (all k of a direction in one map), k - 1 of the first row
    asked for -> `skip`, how many rows -> `steps`; N candidates -> all patches, or `negatives` and the image's own.
    Differs: the loss is the mean over all questions, which v2's equation sums: each weighs alike, so the far steps,
    of which fewer fit, weigh less. The appendix adds the losses of the steps and does not say whether each of these
    is a sum, as in the equation, or a mean, by which far steps weighed as near ones; of its one step that is the
    same. (Equation and appendix are known to us from others' transcripts.) g_ar is v2's also for v1, whose W_k meets
    z itself, without A. A and W have no bias. `colour`, the strength of a colour jitter of each patch, stands for
    v2's further distortions (shear, rotation, elastic ones); `grey` 0.25 and `min_area` are ours. v2's grid is 6x6 of
    80 of 260 px. v1 cuts a part of each patch and pads it, ours shifts what it shows and repeats the edge.
    """

    name = "cpc"
    chapter = "contrastive"
    paper = Paper(
        "Representation Learning with Contrastive Predictive Coding",
        "van den Oord, Li, Vinyals", "arXiv", 2018, "1807.03748",
    )  # fmt: skip

    def __init__(
        self,
        encoder: Encoder,
        *,
        size: int = 32,
        patch: float = 0.25,
        stride: float = 0.5,
        directions: int = 1,
        steps: int = 5,
        skip: int | None = None,
        negatives: int = 0,
        dim: int = 64,
        scale: float = 0.1,
        hidden: int = 256,
        depth: int = 5,
        min_area: float = 0.73,
        grey: float = 0.25,
        jitter: float = 1 / 16,
        patch_flip: float = 0.0,
        drop: float = 0.0,
        colour: float = 0.0,
    ):
        side = max(1, round(patch * size))
        super().__init__(Patchwise.of(encoder, side, max(1, round(stride * side))))
        if directions not in (1, 2, 3, 4):
            raise UserError(f"cpc directions {directions}: choose 1 (downwards) to 4")
        self.size, self.patch, self.stride, self.directions = size, patch, stride, directions
        self.steps, self.skip, self.negatives = steps, skip, negatives
        self.dim, self.scale, self.hidden, self.depth = dim, scale, hidden, depth
        self.min_area, self.grey, self.jitter = min_area, grey, jitter
        self.patch_flip, self.drop, self.colour = patch_flip, drop, colour
        crop = RandomResizedCrop(size, scale=(min_area, 1.0), ratio=(1.0, 1.0), flip=0.5)
        self.view = Compose([crop, Greyscale(grey)])
        distortions = [
            ShiftCrop(max(1, round(jitter * side)), "replicate") if jitter else None,
            HorizontalFlip(patch_flip) if patch_flip else None,
            ColourJitter(0.8 * colour, 0.8 * colour, 0.8 * colour, 0.2 * colour) if colour else None,
        ]
        self.patch_view = Compose([view for view in distortions if view is not None])
        grid = self.encoder.side(size)
        first = math.ceil(side / self.encoder.stride) if skip is None else skip + 1
        k = range(first, min(first + steps, grid))
        if not k:
            raise UserError(
                f"cpc on a grid of {grid}x{grid} patches has no row to predict: use smaller patches or skip fewer rows"
            )
        source, target = questions(grid, k, directions)
        self.register_buffer("source", source, persistent=False)
        self.register_buffer("target", target, persistent=False)
        D = encoder.dim
        self.g_ar = nn.ModuleList(RowsAbove(D, hidden, depth) for _ in range(directions))
        self.W = nn.ModuleList(nn.Conv2d(D, len(k) * dim, 1, bias=False) for _ in range(directions))
        self.A = nn.Conv2d(D, dim, 1, bias=False)

    @classmethod
    def arguments_from(cls, data: Data) -> dict:
        return {"size": data.size}

    def patches(self, images: Tensor) -> Tensor:
        """The distorted grid of each image: (B, 3, H, H) -> (B, h, h, 3, s, s)."""
        grid = self.encoder.patches(self.view(images))
        x = self.patch_view(grid.flatten(0, 2))  # (B, h, h, 3, s, s) -> (B * h * h, 3, s, s)
        if self.drop:
            grey = self.encoder.adapted(x.new_full((1, 1, 1, 1), 0.5))  # to the encoder, 0
            x = torch.where(coins(self.drop, x, None), drop_colours(x, mean=grey), x)
        return x.view(grid.shape)  # (B * h * h, 3, s, s) -> (B, h, h, 3, s, s)

    def predictions(self, z: Tensor) -> Tensor:
        """zhat of all directions, steps and places that have a target: z (B, D, h, h) -> (B, Q, dim).

        Each direction turns the grid so that it looks down; `target` (Q,) says which place is meant, row-major.
        """
        turned = (z.rot90(i, (2, 3)) for i in range(self.directions))
        each = (W(g_ar(x)) for W, g_ar, x in zip(self.W, self.g_ar, turned, strict=True))
        zhat = torch.stack([x.unflatten(1, (-1, self.dim)) for x in each], 1)  # (B, I, K, dim, h, h)
        zhat = zhat.movedim(3, 5).flatten(1, 4)  # (B, I, K, dim, h, h) -> (B, I * K * h * h, dim)
        return self.scale * zhat[:, self.source]

    def loss(
        self, images: Tensor, index: Tensor | None = None, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        z = self.encoder.encode(self.patches(images))
        zhat, Az = self.predictions(z), self.A(z).flatten(2).mT  # (B, dim, h, h) -> (B, h * h, dim)
        loss, accuracy = recognise(zhat, Az, self.target, self.negatives)
        return {"loss": loss, "accuracy": accuracy}


def questions(grid: int, k: range, directions: int) -> tuple[Tensor, Tensor]:
    """Who predicts whom: places (Q,) in contexts (directions, steps, grid, grid), and in the upright grid (Q,)."""
    place = torch.arange(grid * grid).view(grid, grid)
    source, target = [], []
    for i in range(directions):
        for j, below in enumerate(k):
            source.append((i * len(k) + j) * grid * grid + place[:-below].flatten())
            target.append(place.rot90(i)[below:].flatten())
    return torch.cat(source), torch.cat(target)


@full_precision
def recognise(zhat: Tensor, z: Tensor, target: Tensor, negatives: int = 0) -> tuple[Tensor, Tensor]:
    """InfoNCE, -log f(z+) / sum_z f(z) with f = exp(zhat . z), and how often the right one wins.

    zhat (B, Q, D) are predictions of the places target (Q,) in z (B, P, D), which A has mapped already.

    Candidates: the P places of the same image, and those of the other images of all processes, or `negatives` places
    drawn from all images (those that fall on the same image are left out, for it is there already).
    """
    B, P = z.shape[:2]
    others = gather(z).flatten(0, 1)  # (N, P, D) -> (N * P, D), of all processes
    drawn = torch.arange(len(others), device=z.device)
    if negatives:
        drawn = torch.randint(len(others), (negatives,), device=z.device)
        others = others[drawn]
    i = torch.arange(B, device=z.device) + rank() * B  # this process's own images
    same = drawn // P == i[:, None]  # (B, M)
    log_f_others = (zhat @ others.T).masked_fill(same[:, None], -torch.inf)  # (B, Q, M)
    log_f = torch.cat([zhat @ z.mT, log_f_others], 2).flatten(0, 1)  # (B, Q, P + M) -> (B * Q, P + M)
    y = target.repeat(B)  # where z+ is; -log f(z+) / sum f is the cross-entropy of a softmax over log f
    return F.cross_entropy(log_f, y), (log_f.argmax(1) == y).float().mean()
