"""NAT: every image is given a point of noise to predict, and nearby images swap points until they fit."""

from __future__ import annotations

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn
from torch.nn import functional as F

from sslcourse.data.images import Data
from sslcourse.methods.method import Method, Paper
from sslcourse.methods.parts.gathered import gather
from sslcourse.nets import Channels, Encoder
from sslcourse.views import weak_view


class NAT(Method):
    """Noise as targets: f(x_i) must lie on the point c_P(i) of the unit sphere that image i owns.

    L = mean_i |f(x_i) - c_P(i)|^2, f of unit length; 2 where the two know nothing of each other. The
    points are random and never move. Which image owns which, the permutation P (`owned`), is learned too: in
    each batch the images exchange the points they own for those that suit them best, min_P sum_i |f(x_i) -
    c_P(i)|^2 exactly, by the Hungarian algorithm on the host; then the step regresses to the new points.
    `reassign`: do this in every so manieth epoch, from the first on (paper: the assignment follows each
    batch; its code: 3). Across processes the exchange is over the global batch. Images are seen as their
    gradients (Sobel), so that colour, the easiest match, is gone. `kept`: the encoder before the last linear
    map, which goes on seeing nothing but gradients.

    A step: f; the batch's images exchange their points; loss against the points they now own; optimiser.
    Symbols: C, the points c -> `points`, P -> `owned`, n -> `images`, d -> `dim`; y_i = c_P(i), which f regresses
    to -> `c`.
    Differs: a mean over the batch where the code sums: its learning rate 0.01 at batch 256 is 2.56 here. Images are
    shifted and mirrored at their edges, where the authors crop larger ones.
    """

    name = "nat"
    chapter = "contrastive"
    paper = Paper(
        "Unsupervised Learning by Predicting Noise", "Bojanowski, Joulin", "ICML", 2017, "1704.05310"
    )

    def __init__(self, encoder: Encoder, *, images: int = 50000, dim: int = 2048, reassign: int = 1):
        super().__init__(Channels.of(encoder, "gradient"))
        self.images, self.dim, self.reassign = images, dim, reassign
        self.view = weak_view(mode="reflect")
        self.head = nn.Linear(encoder.dim, dim)
        self.register_buffer("points", F.normalize(torch.randn(images, dim), dim=1))  # c
        self.register_buffer("owned", torch.randperm(images))  # P: the point of each image
        self.register_buffer("epoch", torch.tensor(-1))
        self.exchanges: bool | None = None  # in this epoch; None: to be read from `epoch`

    @classmethod
    def arguments_from(cls, data: Data) -> dict:
        return {"images": len(data.train)}

    def start_epoch(self, data: Data) -> None:
        self.epoch += 1
        self.exchanges = None

    def exchange(self, f: Tensor, index: Tensor) -> None:
        """The images of all processes' batches share out the points they own: f (B, D), index (B,)."""
        f, index = gather(f.detach()).to(self.points), gather(index)
        owned = self.owned[index]
        with torch.autocast(f.device.type, enabled=False):
            score = f @ self.points[owned].T  # (N, N): image i and point j; the same on every process
        best = linear_sum_assignment(score.cpu().numpy(), maximize=True)[1]
        self.owned[index] = owned[torch.from_numpy(best).to(owned.device)]

    def loss(
        self, images: Tensor, index: Tensor | None = None, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        f = self.head(self.encoder(self.view(images)))
        f = F.normalize(f.to(torch.promote_types(f.dtype, torch.float32)), dim=1)
        if self.exchanges is None:
            self.exchanges = int(self.epoch.clamp(min=0)) % self.reassign == 0
        if self.training and self.exchanges:
            self.exchange(f, index)
        c = self.points[self.owned[index]]  # (B, D)
        return {"loss": (f - c).square().sum(1).mean(), "cosine": (f.detach() * c).sum(1).mean()}
