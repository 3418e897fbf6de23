"""SwAV: each crop predicts which prototypes its image was assigned to, as seen in another crop."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sslcourse.data.images import Data
from sslcourse.methods.method import Method, Paper
from sslcourse.methods.parts.bank import Queue
from sslcourse.methods.parts.blurs import blurs
from sslcourse.methods.parts.count import Count
from sslcourse.methods.parts.gathered import gather, rank
from sslcourse.methods.parts.multicrop import across_crops, encode_crops
from sslcourse.methods.parts.sinkhorn import Prototypes, sinkhorn
from sslcourse.nets import Encoder, projection_head
from sslcourse.views import swav_views


class SwAV(Method):
    """Swapping assignments: clusters found batch by batch, and the crops of an image must agree on theirs.

    L = mean over the pairs of a large crop s and another crop t of -sum_k q_s^k log p_t^k, p_t = softmax(C' z_t /
    tau): z, of unit length, from an encoder and a projection head of `hidden` and `dim`, C the `prototypes`, K unit
    vectors that learn. The codes q come without gradient from Sinkhorn-Knopp over the global batch, `iterations`
    turns at `eps`: near exp(C' z_s / eps), but every prototype gets equally many images, so that they cannot all
    say the same. Two large crops of at least `min_scale` give codes; `n_local` small ones of `local_scale`, of
    `local_size` pixels (None: half of the encoder's size), only predict. For small batches: `length` features per
    large crop of the batches before, from all processes, join the Sinkhorn-Knopp after the first `queue_from`
    epochs, once there are so many. In the first `freeze_prototypes` epochs C has no gradient. Logged: `entropy` of
    the codes. `kept`: the encoder.

    A step: crops; z; codes, with the queue as it was; z enters the queue; loss; optimiser; C to unit length.
    Symbols: K -> `prototypes`, tau -> `temperature`, epsilon -> `eps`, C -> `c.weight`, q -> `Q`, C' z -> `S`.
    Differs: theirs freezes C for 313 steps of 4,096 images, or 5,005 of 256, which is an epoch; so does this. Their
    queue begins to fill when it is first wanted, this one with the first step. No blur at 32 px or less. Their
    small crops have 96 of 224 pixels.
    """

    name = "swav"
    chapter = "distillation"
    paper = Paper(
        "Unsupervised Learning of Visual Features by Contrasting Cluster Assignments",
        "Caron, Misra, Mairal, Goyal, Bojanowski, Joulin", "NeurIPS", 2020, "2006.09882",
    )  # fmt: skip

    def __init__(
        self,
        encoder: Encoder,
        *,
        prototypes: int = 3000,
        dim: int = 128,
        hidden: int = 2048,
        temperature: float = 0.1,
        eps: float = 0.05,
        iterations: int = 3,
        freeze_prototypes: int = 1,
        length: int = 0,
        queue_from: int = 15,
        n_local: int = 6,
        local_size: int | None = None,
        min_scale: float = 0.14,
        local_scale: Sequence[float] = (0.05, 0.14),
        strength: float = 1.0,
        hue: float = 0.2,
        blur: bool | None = None,
    ):
        super().__init__(encoder)
        self.prototypes, self.dim, self.hidden, self.temperature = prototypes, dim, hidden, temperature
        self.eps, self.iterations, self.freeze_prototypes = eps, iterations, freeze_prototypes
        self.length, self.queue_from = length, queue_from
        self.n_local, self.local_size, self.min_scale = n_local, local_size, min_scale
        self.local_scale, self.strength, self.hue, self.blur = list(local_scale), strength, hue, blur
        small = local_size or encoder.spec.get("size", 32) // 2
        self.crops = swav_views(
            None, small, n_local, (min_scale, 1.0), local_scale, strength, blurs(encoder, blur), hue
        )
        self.projector = projection_head(encoder.dim, hidden, dim, last_norm=False)
        self.c = Prototypes(dim, prototypes)
        self.queues = nn.ModuleList(Queue(length, dim) for _ in range(2 if length else 0))
        self.epochs, self.queued = Count(), Count()

    def start_epoch(self, data: Data) -> None:
        self.epochs.add()

    @torch.no_grad()
    def codes(self, S: Tensor, z: Tensor) -> Tensor:
        """Q (2, B, K) of the large crops with scores S (2, B, K) and features z (2, B, dim), which join the queues."""
        Q, full = [], int(self.epochs) > self.queue_from and int(self.queued) >= self.length
        for i in range(2):
            own, rows = slice(rank() * S.shape[1], (rank() + 1) * S.shape[1]), gather(S[i])  # (N, K)
            if self.length and full:
                rows = torch.cat([rows, self.c(self.queues[i].keys)])  # (N, K) -> (N + length, K)
            Q.append(sinkhorn(rows, self.eps, self.iterations)[own])
            if self.length and self.training:
                pushed = len(self.queues[i].push(z[i]))
        if self.length and self.training:
            self.queued.add(pushed)
        return torch.stack(Q)

    def loss(
        self, images: Tensor, index: Tensor | None = None, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        x = self.crops(images)
        z = self.projector(encode_crops(self.encoder, x)).unflatten(
            0, (len(x), -1)
        )  # (V B, dim) -> (V, B, dim)
        S = self.c(z)
        Q = self.codes(S[:2], z[:2])
        loss = across_crops(Q, F.log_softmax(S / self.temperature, -1))
        return {"loss": loss, "entropy": torch.special.entr(Q).sum(-1).mean()}

    def before_step(self) -> None:
        if int(self.epochs) <= self.freeze_prototypes:
            self.c.weight.grad = None

    def after_step(self) -> None:
        self.c.normalise()
