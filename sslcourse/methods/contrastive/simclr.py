"""SimCLR: two views of an image must find each other among all others in the batch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from sslcourse.methods.method import Method, Paper
from sslcourse.methods.parts.gathered import gather, rank
from sslcourse.methods.parts.precision import full_precision
from sslcourse.nets import Encoder, projection_head
from sslcourse.views import distorted_view, simclr_view


@full_precision
def nt_xent(z1: Tensor, z2: Tensor, temperature: float, block: int = 0) -> tuple[Tensor, Tensor]:
    """The normalised temperature-scaled cross-entropy, equation (1), and how often the partner is found first.

    z1, z2 (B, D): two views of the same B images, row by row. With N images over all processes,
    l_ij = -log(exp(sim(z_i, z_j) / tau) / sum_{k != i} exp(sim(z_i, z_k) / tau)), sim the cosine, is
    averaged over the 2B anchors of this process against all 2N embeddings. Chance is log(2N - 1).
    The table of similarities is (2B, 2N); `block` makes it that many rows at a time, and again in the backward
    pass, so that memory grows with the batch and not with its square. The result is the same.
    """
    z1, z2 = F.normalize(z1, dim=1), F.normalize(z2, dim=1)
    z_i, z_k = torch.cat([z1, z2]), torch.cat([gather(z1), gather(z2)])  # (2B, D), (2N, D)
    B, N = len(z1), len(z_k) // 2
    first = torch.arange(B, device=z1.device) + rank() * B  # columns of this process's own images
    i, j = torch.cat([first, first + N]), torch.cat([first + N, first])  # columns of z_i and z_j

    def l_ij(z_i: Tensor, z_k: Tensor, i: Tensor, j: Tensor) -> tuple[Tensor, Tensor]:
        sim = z_i @ z_k.T / temperature  # (b, 2N)
        sim = sim.scatter(1, i[:, None], float("-inf"))  # k != i
        loss = F.cross_entropy(sim, j, reduction="sum")  # sum_i l_ij
        return loss, (sim.argmax(1) == j).sum()

    if not block:
        loss, right = l_ij(z_i, z_k, i, j)
    else:
        parts = zip(*(x.split(block) for x in (z_i, i, j)), strict=True)
        sums = [checkpoint(l_ij, z, z_k, i, j, use_reentrant=False) for z, i, j in parts]
        loss, right = (torch.stack(x).sum() for x in zip(*sums, strict=True))
    return loss / (2 * B), right / (2 * B)


class SimCLR(Method):
    """Two random views of each image; embeddings of the same image attract, all others repel.

    z = g(h), h = f(x): the loss sees z, everything afterwards uses h. `kept`: f, the online encoder.
    Views are those of the paper's CIFAR-10 experiments (no blur); `strength=0, grey=0` takes colour
    distortion away; `hue` None is a fifth of the strength. `one_branch`, names of DISTORTIONS, is the paper's
    Figure 5: these, in this order, are all that is done to the second view, and the first is the image as it is.
    `hidden` 0 means as wide as h; `block` is that of `nt_xent`.

    Symbols: f -> `encoder`, g -> `projector`, tau -> `temperature`, N -> images over all processes.
    Differs: the loss is the mean over 2N of the paper; the code adds two means over N, which is twice it. The head is
    the code's, with batch norm after each map, also the last, and as deep as the paper's (code: 3 maps).
    """

    name = "simclr"
    chapter = "contrastive"
    paper = Paper(
        "A Simple Framework for Contrastive Learning of Visual Representations",
        "Chen, Kornblith, Norouzi, Hinton", "ICML", 2020, "2002.05709",
    )  # fmt: skip

    def __init__(
        self,
        encoder: Encoder,
        *,
        temperature: float = 0.5,
        dim: int = 128,
        hidden: int = 0,
        layers: int = 2,
        strength: float = 0.5,
        grey: float = 0.2,
        hue: float | None = None,
        min_scale: float = 0.08,
        blur: bool = False,
        one_branch: list[str] | None = None,
        block: int = 0,
    ):
        super().__init__(encoder)
        self.temperature, self.dim, self.hidden, self.layers = temperature, dim, hidden, layers
        self.strength, self.grey, self.hue = strength, grey, hue
        self.min_scale, self.blur = min_scale, blur
        self.one_branch, self.block = one_branch, block
        self.view = simclr_view(
            None, strength, blur, min_scale, colour=strength > 0 or grey > 0, grey=grey, hue=hue
        )
        if one_branch is not None:
            self.view = distorted_view(one_branch, min_scale)
        self.projector = projection_head(encoder.dim, hidden or encoder.dim, dim, layers)

    def loss(
        self, images: Tensor, index: Tensor | None = None, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        first = self.view(images) if self.one_branch is None else images
        h = self.encoder(torch.cat([first, self.view(images)]))  # (2B, 3, H, W) -> (2B, D)
        z1, z2 = self.projector(h).chunk(2)
        loss, accuracy = nt_xent(z1, z2, self.temperature, self.block)
        return {"loss": loss, "accuracy": accuracy}
