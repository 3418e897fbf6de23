"""Barlow Twins: the dimensions of two views' embeddings must correlate with their own twin and with no other."""

from __future__ import annotations

from torch import Tensor

from sslcourse.methods.method import Method, Paper
from sslcourse.methods.parts.blurs import blurs
from sslcourse.methods.parts.collapse import unit_std
from sslcourse.methods.parts.covariance import centred, covariance, off_diagonal
from sslcourse.methods.parts.precision import full_precision
from sslcourse.nets import Encoder, bare_head
from sslcourse.views import byol_views


@full_precision
def correlation(z1: Tensor, z2: Tensor, eps: float = 1e-5) -> Tensor:
    """C, the cross-correlation of two views' embeddings over the global batch: z1, z2 (B, D) -> (D, D).

    C_ij = sum_b z1_bi z2_bj / N, equation (2), each dimension standardised over the N rows of all processes as batch
    norm does, with `eps` beside the variance: a dimension that says nothing correlates with nothing, 0.
    """
    first, second = ((z / (covariance(z, z).diagonal() + eps).sqrt()) for z in (centred(z1), centred(z2)))
    return covariance(first, second)


@full_precision
def barlow_loss(C: Tensor, lam: float) -> tuple[Tensor, Tensor]:
    """The two terms of equation (1) for C (D, D): sum_i (1 - C_ii)^2, and lambda times sum_{i != j} C_ij^2."""
    return (1 - C.diagonal()).square().sum(), lam * off_diagonal(C).square().sum()


class Barlow(Method):
    """Make the cross-correlation of two views' embeddings the identity matrix.

    L = sum_i (1 - C_ii)^2 + lambda sum_i sum_{j != i} C_ij^2, equation (1), C the correlation of z1 = g(f(x1)) with
    z2 over the batch. The first term makes embeddings invariant, the second keeps their dimensions from saying the
    same. Embeddings that say nothing cost D, `dim`. There is no asymmetry: one network, gradients through both views.
    `scale` multiplies the loss. Biases and norms learn at `bias_rate` times the recipe's rate (.0048 beside .2 in the
    paper), without weight decay. Views are BYOL's two; `blur` None: only if the encoder is for more than 32 px. `lam`
    0 is the ablation without the second term. Logged: `invariance` and `redundancy`, the two terms times `scale`;
    `std`, how far z spreads (parts.collapse): 1 isotropic, 0 collapsed. `kept`: f, the encoder.

    Symbols: the paper's; lambda -> `lam`; f -> `encoder`, g -> `projector`.
    Differs: the rate falls to 0, theirs to a thousandth. Their ResNet's residual branches begin at 0. No blur at 32
    px or less.
    """

    name = "barlow"
    chapter = "distillation"
    paper = Paper(
        "Barlow Twins: Self-Supervised Learning via Redundancy Reduction",
        "Zbontar, Jing, Misra, LeCun, Deny", "ICML", 2021, "2103.03230",
    )  # fmt: skip

    def __init__(
        self,
        encoder: Encoder,
        *,
        lam: float = 0.0051,
        dim: int = 8192,
        hidden: int = 8192,
        layers: int = 3,
        scale: float = 1.0,
        bias_rate: float = 0.024,
        hue: float = 0.1,
        min_scale: float = 0.08,
        blur: bool | None = None,
    ):
        super().__init__(encoder)
        self.lam, self.dim, self.hidden, self.layers = lam, dim, hidden, layers
        self.scale, self.bias_rate = scale, bias_rate
        self.hue, self.min_scale, self.blur = hue, min_scale, blur
        self.view, self.other_view = byol_views(None, (min_scale, 1.0), blurs(encoder, blur), hue)
        self.projector = bare_head(encoder.dim, hidden, dim, layers)

    def parameter_groups(self) -> list[dict]:
        weights, others = super().parameter_groups()
        return [weights, {**others, "lr_scale": self.bias_rate}]

    def loss(
        self, images: Tensor, index: Tensor | None = None, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        x1, x2 = self.view(images), self.other_view(images)
        z1, z2 = self.projector(self.encoder(x1)), self.projector(self.encoder(x2))
        invariance, redundancy = (self.scale * term for term in barlow_loss(correlation(z1, z2), self.lam))
        return {
            "loss": invariance + redundancy, "invariance": invariance, "redundancy": redundancy, "std": unit_std(z1),
        }  # fmt: skip
