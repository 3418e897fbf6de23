"""Counting: what an image holds, its four quarters hold together."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sslcourse.methods.method import Method, Paper
from sslcourse.methods.parts.gathered import gather, rank
from sslcourse.methods.parts.precision import promoted
from sslcourse.nets import Encoder
from sslcourse.views import Compose, Greyscale, RandomResizedCrop, halve, quarters
from sslcourse.views.patches import KERNELS


class Counting(Method):
    """Counts phi >= 0 of the shrunken image must equal the sum of the counts of its four quarters.

    L = |phi(D x) - sum_j phi(T_j x)|^2 + max(0, M - |phi(D y) - sum_j phi(T_j x)|^2), averaged over x. D halves the
    image, by a random kernel for each (`kernels` False: always bilinear); T_j is the quarter j, of the same size;
    y is the previous image of the batch. The second term forbids counting nothing, which would cost M.
    A share `grey` of the images has no colour. Views are squares of `min_area` of the image or more.
    phi is the encoder, a hidden layer, and `counts` ReLU outputs.
    Logged: `accuracy`, how often the quarters of x fit x better than y (chance 0.5); `count`, the norm of phi(D x),
    which is 0 where everything has collapsed.
    `kept`: the encoder. It is trained on images of half size and probed at full size.

    Symbols: the paper's; D -> `halve`, T_j -> `quarters`, phi -> `phi`, M -> `M`.
    Differs: the paper cuts 224 of 256 px, 77% of the area, always; ours are from there to the whole, and mirrored or
    not. Its phi is AlexNet up to a layer of 4096 and the counts, without batch norm. y is any other image there.
    """

    name = "counting"
    chapter = "pretext"
    paper = Paper(
        "Representation Learning by Learning to Count",
        "Noroozi, Pirsiavash, Favaro", "ICCV", 2017, "1708.06734",
    )  # fmt: skip

    def __init__(
        self,
        encoder: Encoder,
        *,
        M: float = 10.0,
        counts: int = 1000,
        hidden: int = 4096,
        grey: float = 0.67,
        kernels: bool = True,
        min_area: float = 0.77,
    ):
        super().__init__(encoder)
        self.M, self.counts, self.hidden = M, counts, hidden
        self.grey, self.kernels, self.min_area = grey, kernels, min_area
        self.head = nn.Sequential(
            *(nn.Linear(encoder.dim, hidden), nn.ReLU(inplace=True)),
            *(nn.Linear(hidden, counts), nn.ReLU(inplace=True)),
        )

    def phi(self, images: Tensor) -> Tensor:
        """Counts: (B, 3, h, w) -> (B, counts), at least 0."""
        return self.head(self.encoder(images))

    def parts(self, images: Tensor) -> Tensor:
        """Each image halved, then its quarters: (B, 3, H, W) -> (B, 5, 3, H / 2, W / 2)."""
        small = halve(images, kernels=KERNELS if self.kernels else ("bilinear",))
        return torch.cat([small[:, None], quarters(images)], 1)

    def loss(
        self, images: Tensor, index: Tensor | None = None, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        even = images.shape[-1] // 2 * 2
        crop = RandomResizedCrop(even, scale=(self.min_area, 1.0), ratio=(1.0, 1.0), flip=0.5)
        x = self.parts(Compose([crop, Greyscale(self.grey)])(images))
        phi = promoted(self.phi(x.flatten(0, 1)))  # (B, 5, 3, h, w) -> (B * 5, counts)
        phi = phi.view(len(images), 5, -1)  # (B * 5, counts) -> (B, 5, counts)
        phi_Dx, sum_phi_Tx = phi[:, 0], phi[:, 1:].sum(1)  # phi(D x), sum_j phi(T_j x)
        before = gather(phi_Dx).roll(1, 0)  # y is the image before x, of all processes'
        phi_Dy = before[rank() * len(images) :][: len(images)]
        same = (phi_Dx - sum_phi_Tx).square().sum(1)  # (B,)
        other = (phi_Dy - sum_phi_Tx).square().sum(1)
        loss = (same + (self.M - other).clamp(min=0)).mean()
        fits = (same < other).float().mean()
        return {"loss": loss, "accuracy": fits, "count": phi_Dx.detach().norm(dim=1).mean()}
