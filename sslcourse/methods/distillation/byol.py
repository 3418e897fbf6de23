"""BYOL: predict how a slow copy of the network sees another view of the image. There are no negatives."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sslcourse.methods.method import Method, Paper
from sslcourse.methods.parts.blurs import blurs
from sslcourse.methods.parts.collapse import unit_std
from sslcourse.methods.parts.momentum import follow, momentum_copy, rising
from sslcourse.methods.parts.precision import full_precision
from sslcourse.nets import Encoder, bare_head, random_like
from sslcourse.views import byol_views


@full_precision
def regression(p: Tensor, z: Tensor) -> Tensor:
    """|l2(p) - l2(z)|^2 = 2 - 2 cos(p, z), equation (2): 0 (alike) to 4 (opposite); the mean over p, z (B, D)."""
    return (F.normalize(p, dim=1) - F.normalize(z, dim=1)).square().sum(1).mean()


class BYOL(Method):
    """The online network predicts the target's projection of the other view, and the target follows it slowly.

    L = |l2(q(z1)) - sg l2(z2')|^2 + |l2(q(z2)) - sg l2(z1')|^2, equation (2) in both directions: z = g(f(x)) online,
    z' = g'(f'(x)) by the target, sg the stop-gradient. The target's weights are xi <- tau xi + (1 - tau) theta,
    equation (1), with tau rising from `momentum` to 1 on a cosine; its batch norm sees batches, as in training. With
    random directions L is 4. The two views differ, see `byol_views`; `blur` None: only if the encoder is for more
    than 32 px. `fresh_target`: the target begins with random weights of its own, as in the authors' code, not as a
    copy. Logged: `std`, how far z spreads (parts.collapse): 1 isotropic, 0 collapsed.
    What stands between BYOL and collapse can be taken away. `predictor=False`: q(z) = z. `constant_momentum`: tau
    stays at `momentum`; 1 is a random target that never moves, 0 one that equals the online network after each step.
    `stop_gradient=False`: z' is z itself and both sides get gradients; then there is no target.
    `kept`: f, the online encoder.

    A step: two views; q(z1), q(z2), z1', z2'; loss; optimiser; xi follows, with the tau of this step.
    Symbols: f, g, theta -> `encoder`, `projector`; q -> `prediction`; f', g', xi -> `target`; q(z1) -> `p1`;
    z1' -> `t1`; tau -> `momentum` at the start.
    Differs: the loss is the paper's, a sum of two directions; ports take half of it, which is half the rate. No blur
    at 32 px or less. Transformers get the same heads and views; the paper has none.
    """

    name = "byol"
    chapter = "distillation"
    paper = Paper(
        "Bootstrap Your Own Latent: A New Approach to Self-Supervised Learning",
        "Grill, Strub, Altche, Tallec, Richemond, et al.", "NeurIPS", 2020, "2006.07733",
    )  # fmt: skip

    def __init__(
        self,
        encoder: Encoder,
        *,
        momentum: float = 0.996,
        dim: int = 256,
        hidden: int = 4096,
        predictor: bool = True,
        stop_gradient: bool = True,
        constant_momentum: bool = False,
        fresh_target: bool = True,
        hue: float = 0.1,
        min_scale: float = 0.08,
        blur: bool | None = None,
    ):
        super().__init__(encoder)
        self.momentum, self.dim, self.hidden = momentum, dim, hidden
        self.predictor, self.stop_gradient = predictor, stop_gradient
        self.constant_momentum, self.fresh_target = constant_momentum, fresh_target
        self.hue, self.min_scale, self.blur = hue, min_scale, blur
        self.view, self.other_view = byol_views(None, (min_scale, 1.0), blurs(encoder, blur), hue)
        self.projector = bare_head(encoder.dim, hidden, dim)
        self.prediction = bare_head(dim, hidden, dim) if predictor else nn.Identity()
        start = [encoder, self.projector]
        if fresh_target:
            start = [random_like(net, int(torch.randint(2**31, ()))) for net in start]
        self.target = momentum_copy(nn.Sequential(*start))

    def loss(
        self, images: Tensor, index: Tensor | None = None, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        x1, x2 = self.view(images), self.other_view(images)
        z1, z2 = self.projector(self.encoder(x1)), self.projector(self.encoder(x2))
        p1, p2 = self.prediction(z1), self.prediction(z2)
        t1, t2 = z1, z2
        if self.stop_gradient:
            with torch.no_grad():
                t1, t2 = self.target(x1), self.target(x2)
        return {"loss": regression(p1, t2) + regression(p2, t1), "std": unit_std(z1)}

    def after_step(self) -> None:
        m = self.momentum if self.constant_momentum else rising(self.momentum, self.progress)
        follow(self.target, nn.Sequential(self.encoder, self.projector), m)
