"""SimSiam: two views, one network, a predictor and a stop-gradient; neither negatives nor a slow copy."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from sslcourse.methods.method import Method, Paper
from sslcourse.methods.parts.blurs import blurs
from sslcourse.methods.parts.collapse import unit_std
from sslcourse.methods.parts.precision import full_precision
from sslcourse.nets import Encoder, bare_head, projection_head
from sslcourse.views import moco_v2_view


@full_precision
def D(p: Tensor, z: Tensor) -> Tensor:
    """The negative cosine, equation (1): -1 (alike) to 1 (opposite); the mean over the rows of p, z (B, D)."""
    return -(F.normalize(p, dim=1) * F.normalize(z, dim=1)).sum(1).mean()


class SimSiam(Method):
    """Predict the projection of the other view, made by the same network, which gets no gradient for it.

    L = D(p1, sg z2) / 2 + D(p2, sg z1) / 2, equations (2) to (4): z = f(x), p = h(z), sg the stop-gradient. f is an
    encoder and a projector of `layers` maps that ends in a batch norm without scale and offset, h a predictor with
    a hidden layer a quarter as wide as z. h learns at a constant rate, for it should follow the latest z
    (`constant_rate=False`: on the recipe's schedule, the paper's Table 1). L is -1 for equal directions, 0 for random
    ones. Logged: `std`, how far z spreads (parts.collapse), the paper's Figure 2: 1 isotropic, 0 collapsed.
    What stands between SimSiam and collapse can be taken away: `stop_gradient=False`; `predictor=False`: p = z. Views
    are MoCo v2's; `blur` None: only if the encoder is for more than 32 px. `kept`: the encoder.

    Symbols: f -> `encoder`, `projector`; h -> `prediction`; D, p1, z1 as in the paper.
    Differs: the predictor's rate is full from the first step even where a recipe warms up (theirs never does). Their
    ResNet's residual branches begin at 0. No blur at 32 px or less.
    """

    name = "simsiam"
    chapter = "distillation"
    paper = Paper("Exploring Simple Siamese Representation Learning", "Chen, He", "CVPR", 2021, "2011.10566")

    def __init__(
        self,
        encoder: Encoder,
        *,
        dim: int = 2048,
        hidden: int = 2048,
        bottleneck: int = 512,
        layers: int = 3,
        predictor: bool = True,
        stop_gradient: bool = True,
        constant_rate: bool = True,
        hue: float = 0.1,
        min_scale: float = 0.2,
        blur: bool | None = None,
    ):
        super().__init__(encoder)
        self.dim, self.hidden, self.bottleneck, self.layers = dim, hidden, bottleneck, layers
        self.predictor, self.stop_gradient, self.constant_rate = predictor, stop_gradient, constant_rate
        self.hue, self.min_scale, self.blur = hue, min_scale, blur
        self.view = moco_v2_view(None, min_scale, blurs(encoder, blur), hue)
        self.projector = bare_head(encoder.dim, hidden, dim, layers, last_norm=True)
        self.prediction = (
            projection_head(dim, bottleneck, dim, last_norm=False) if predictor else nn.Identity()
        )

    def parameter_groups(self) -> list[dict]:
        """As theirs: weight decay for all, norms and biases too."""
        fixed = list(self.prediction.parameters())
        others = [*self.encoder.parameters(), *self.projector.parameters()]
        groups = [
            {"params": [p for p in others if p.requires_grad]},
            {"params": fixed, "constant_lr": self.constant_rate},
        ]
        return groups if fixed else groups[:1]

    def loss(
        self, images: Tensor, index: Tensor | None = None, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        z1, z2 = (self.projector(self.encoder(self.view(images))) for _ in range(2))
        p1, p2 = self.prediction(z1), self.prediction(z2)
        std = unit_std(z1)
        if self.stop_gradient:
            z1, z2 = z1.detach(), z2.detach()
        return {"loss": D(p1, z2) / 2 + D(p2, z1) / 2, "std": std}
