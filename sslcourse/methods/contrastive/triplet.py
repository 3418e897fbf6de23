"""Metric learning: two views of an image must be nearer to each other than to other images, by a margin."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sslcourse.errors import UserError
from sslcourse.methods.method import Method, Paper
from sslcourse.methods.parts.gathered import gather, rank
from sslcourse.methods.parts.precision import full_precision
from sslcourse.nets import Encoder
from sslcourse.views import moco_v1_view

KINDS = ("triplet", "pair", "ranking")
NEGATIVES = ("hard", "semihard", "random", "all")


class Triplet(Method):
    """Margins instead of a softmax, on D = 1 - cosine of the embeddings of two views of each image.

    kind "triplet" (the exemplar task of Doersch & Zisserman): max(0, m + D(a, p) - D(a, n));
    "pair" (Hadsell et al., CVPR 2006): D(a, p)^2 + max(0, m - D(a, n))^2;
    "ranking" (HowTo100M, Miech et al., 1906.03327, m 0.1): the triplet loss with each view once the anchor.
    m is `margin`; a an image's first view, p its second, n second views of other images, of all processes:
    `negatives` "hard": the nearest; "semihard": the nearest that is farther than p, or the farthest of all
    if none is (Schroff et al., 1503.03832); "random": any one; "all": each of them, averaged.
    `kept`: the encoder before the linear map to `dim`.

    Symbols: m -> `margin`; D(a, p) -> `D_ap`, D(a, n) -> `D_an`.
    Differs: the paper trains four tasks at once on one ResNet-101, of which this is the exemplar's; views are MoCo
    v1's, and the embedding has `dim` dimensions. Hadsell's D is Euclidean and each term is halved; Schroff's is the
    squared Euclidean one of unit vectors, twice ours. Miech's pairs are clips and captions, half of the negatives
    from the same video, and the negatives are summed.
    """

    name = "triplet"
    chapter = "contrastive"
    paper = Paper(
        "Multi-task Self-Supervised Visual Learning", "Doersch, Zisserman", "ICCV", 2017, "1708.07860"
    )

    def __init__(
        self,
        encoder: Encoder,
        *,
        kind: str = "triplet",
        negatives: str = "random",
        margin: float = 0.5,
        dim: int = 128,
        min_scale: float = 0.2,
    ):
        super().__init__(encoder)
        for name, value, known in (("kind", kind, KINDS), ("negatives", negatives, NEGATIVES)):
            if value not in known:
                raise UserError(f"{name} {value!r} of triplet is unknown: choose {', '.join(known)}")
        self.kind, self.negatives, self.margin, self.dim, self.min_scale = (
            kind,
            negatives,
            margin,
            dim,
            min_scale,
        )
        self.view = moco_v1_view(None, min_scale)
        self.embedding = nn.Linear(encoder.dim, dim)

    def embed(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, dim)."""
        return self.embedding(self.encoder(images))

    def loss(
        self, images: Tensor, index: Tensor | None = None, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        z = self.embed(torch.cat([self.view(images), self.view(images)]))  # (2B, 3, H, W) -> (2B, dim)
        z1, z2 = z.chunk(2)
        loss, accuracy = margin_loss(z1, z2, self.margin, self.kind, self.negatives)
        return {"loss": loss, "accuracy": accuracy}


def margin_loss(
    z1: Tensor, z2: Tensor, margin: float, kind: str = "triplet", negatives: str = "random"
) -> tuple[Tensor, Tensor]:
    """The losses of `Triplet` for two views (B, D) of the same images, and how often the partner is the nearest.

    The mean over this process's B anchors; for "ranking", the sum of the means of both directions.
    """
    D_ap, D_an, accuracy = distances(z1, z2, negatives)  # (B, 1), (B, K)
    if kind == "pair":
        return (D_ap.square() + (margin - D_an).clamp(min=0).square()).mean(), accuracy
    loss = (margin + D_ap - D_an).clamp(min=0).mean()
    if kind == "ranking":
        D_ap, D_an, back = distances(z2, z1, negatives)
        loss, accuracy = loss + (margin + D_ap - D_an).clamp(min=0).mean(), (accuracy + back) / 2
    return loss, accuracy


@full_precision
def distances(x: Tensor, y: Tensor, negatives: str) -> tuple[Tensor, Tensor, Tensor]:
    """D of each x to its partner in y (B, 1) and to the chosen others (B, K), and how often the partner is nearest."""
    a, y = F.normalize(x, dim=1), gather(F.normalize(y, dim=1))  # (B, D), (N, D), of all processes
    D = 1 - a @ y.T  # (B, N)
    p = torch.arange(len(a), device=a.device)[:, None] + rank() * len(a)  # (B, 1): columns of the partners
    n = (p + torch.arange(1, len(y), device=a.device)) % len(y)  # (B, N - 1): all others
    D_ap, D_an = D.gather(1, p), D.gather(1, n)  # (B, 1), (B, N - 1)
    accuracy = (D_ap < D_an).all(1).float().mean()
    if negatives == "random":
        D_an = D_an.gather(1, torch.randint(D_an.shape[1], D_ap.shape, device=a.device))
    elif negatives == "hard":
        D_an = D_an.amin(1, keepdim=True)
    elif negatives == "semihard":
        beyond = D_an.masked_fill(D_an <= D_ap, torch.inf).amin(1, keepdim=True)
        D_an = torch.where(beyond < torch.inf, beyond, D_an.amax(1, keepdim=True))
    return D_ap, D_an, accuracy
