"""MoCo v3: large batches instead of a queue, and a patch embedding that does not learn."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sslcourse.methods.method import Method, Paper
from sslcourse.methods.parts.blurs import blurs
from sslcourse.methods.parts.gathered import gather, rank
from sslcourse.methods.parts.momentum import follow, momentum_copy, rising
from sslcourse.methods.parts.precision import full_precision
from sslcourse.nets import Encoder, bare_head
from sslcourse.views import byol_views

# what the authors' reference runs give either kind of encoder
TRANSFORMER = {"temperature": 0.2, "layers": 3, "predictor_norm": True, "min_scale": 0.08}
CONVOLUTIONAL = {"temperature": 1.0, "layers": 2, "predictor_norm": False, "min_scale": 0.2}


@full_precision
def ctr(q: Tensor, k: Tensor, tau: float) -> tuple[Tensor, Tensor]:
    """2 tau times the cross-entropy of finding k_i for q_i among the keys of all processes; how often it is first.

    The paper's Algorithm 1. q, k (B, D), row by row. The factor makes the gradient's size independent of tau. Chance:
    2 tau log N.
    """
    q, k = F.normalize(q, dim=1), F.normalize(gather(k), dim=1)  # (B, D), (N, D)
    labels = torch.arange(len(q), device=q.device) + rank() * len(q)  # (B,): where k+ is
    logits = q @ k.T / tau  # (B, N)
    return 2 * tau * F.cross_entropy(logits, labels), (logits.argmax(1) == labels).float().mean()


def patch_embedding(encoder: Encoder) -> nn.Conv2d | None:
    """The convolution that embeds a transformer's patches, ours or timm's; None where there is none."""
    net = getattr(encoder, "net", encoder)
    found = getattr(net, "embed", None) or getattr(getattr(net, "patch_embed", None), "proj", None)
    return found if isinstance(found, nn.Conv2d) else None


class MoCoV3(Method):
    """Query and key change places and the other images of the batch are the negatives.

    L = ctr(q1, k2) + ctr(q2, k1), ctr = 2 tau times equation (1): q = predictor(g(f(view))), k = a slow copy of
    g(f(view)) without gradient, psi <- m psi + (1 - m) theta with m rising from `momentum` to 1 on a cosine. None is
    what the authors give this kind of encoder, a transformer and a convolutional one: `temperature` .2 and 1; crops
    of at least `min_scale`, .08 and .2; g has `layers` layers, 3 and 2, with a norm without parameters at its end;
    the predictor has 2, and such a norm only for a transformer (`predictor_norm`). `frozen_patches`: a transformer's
    patch embedding stays at its random start (uniform, Glorot), which keeps training stable. Views are BYOL's two;
    `blur` None: only if the encoder is for more than 32 px.
    `kept`: f, the online encoder.

    A step: two views; q1, q2 and k1, k2; loss; optimiser; psi follows, with the m of this step.
    Symbols: tau -> `temperature`, m -> `momentum` at the start; f_q, theta -> `encoder`, `projector`, `predictor`;
    f_k, psi -> `key_encoder`, `key_projector`.
    Differs: their slow copy moves just before the keys, also in the first step, when it is still equal. The paper's
    batch is 4,096, and images seen at once matter. Their ResNets' residual branches begin at 0. No blur at 32 px or
    less.
    """

    name = "moco_v3"
    chapter = "contrastive"
    before: ClassVar[dict] = {"predictor_norm": True}
    paper = Paper(
        "An Empirical Study of Training Self-Supervised Vision Transformers", "Chen, Xie, He", "ICCV", 2021,
        "2104.02057",
    )  # fmt: skip

    def __init__(
        self,
        encoder: Encoder,
        *,
        temperature: float | None = None,
        momentum: float = 0.99,
        dim: int = 256,
        hidden: int = 4096,
        layers: int | None = None,
        predictor_norm: bool | None = None,
        frozen_patches: bool = True,
        hue: float = 0.1,
        min_scale: float | None = None,
        blur: bool | None = None,
    ):
        super().__init__(encoder)
        self.predictor_norm = predictor_norm
        self.temperature, self.momentum, self.dim, self.hidden = temperature, momentum, dim, hidden
        self.layers, self.frozen_patches, self.hue = layers, frozen_patches, hue
        self.min_scale, self.blur = min_scale, blur
        embed = patch_embedding(encoder)
        usual = CONVOLUTIONAL if embed is None else TRANSFORMER
        given = {
            name: usual[name] if value is None else value
            for name, value in self.arguments().items()
            if name in usual
        }
        self.tau = given["temperature"]
        self.view, self.other_view = byol_views(None, (given["min_scale"], 1.0), blurs(encoder, blur), hue)
        if frozen_patches and embed is not None:
            rows = embed.weight.flatten(1)  # (D, 3, p, p) -> (D, 3 * p * p), the same memory
            nn.init.xavier_uniform_(rows)
            if embed.bias is not None:
                nn.init.zeros_(embed.bias)
            embed.requires_grad_(False)
        self.projector = bare_head(encoder.dim, hidden, dim, given["layers"], last_norm=True)
        self.predictor = bare_head(dim, hidden, dim, 2, last_norm=given["predictor_norm"])
        self.key_encoder, self.key_projector = momentum_copy(encoder), momentum_copy(self.projector)

    def loss(
        self, images: Tensor, index: Tensor | None = None, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        x = self.view(images), self.other_view(images)
        q1, q2 = (self.predictor(self.projector(self.encoder(v))) for v in x)
        with torch.no_grad():
            k1, k2 = (self.key_projector(self.key_encoder(v)) for v in x)
        loss1, accuracy1 = ctr(q1, k2, self.tau)
        loss2, accuracy2 = ctr(q2, k1, self.tau)
        return {"loss": loss1 + loss2, "accuracy": (accuracy1 + accuracy2) / 2}

    def after_step(self) -> None:
        m = rising(self.momentum, self.progress)
        follow(self.key_encoder, self.encoder, m)
        follow(self.key_projector, self.projector, m)
