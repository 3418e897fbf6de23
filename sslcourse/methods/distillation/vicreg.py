"""VICReg: embeddings of two views must agree, vary in every dimension, and not say the same twice."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from sslcourse.methods.method import Method, Paper
from sslcourse.methods.parts.blurs import blurs
from sslcourse.methods.parts.collapse import unit_std
from sslcourse.methods.parts.covariance import centred, covariance, off_diagonal
from sslcourse.methods.parts.precision import full_precision
from sslcourse.nets import Encoder, bare_head
from sslcourse.views import byol_views


@full_precision
def vicreg_terms(z1: Tensor, z2: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Invariance s, variance v and covariance c of two views' embeddings z1, z2 (B, D), not yet weighted.

    s: mean squared difference of this process's rows. Over the rows of all processes: v, equation (1) with gamma 1,
    the mean over dimensions of max(0, 1 - sqrt(Var + .0001)), averaged over the views; c, equation (4), the sum of the
    squared covariances off the diagonal over D, added over the views. Variances are unbiased.
    """
    C1, C2 = (covariance(z, z, 1) for z in (centred(z1), centred(z2)))
    v1, v2 = ((1 - (C.diagonal() + 1e-4).sqrt()).relu().mean() for C in (C1, C2))
    c1, c2 = (off_diagonal(C).square().sum() / len(C) for C in (C1, C2))
    return F.mse_loss(z1, z2), (v1 + v2) / 2, c1 + c2


class VICReg(Method):
    """Invariance, and against collapse a floor for each dimension's variance and a price on covariances.

    L = lambda s(Z, Z') + mu (v(Z) + v(Z')) / 2 + nu (c(Z) + c(Z')), equation (6), see `vicreg_terms`: 25, 25, 1. Z =
    g(f(x)) has no unit length and no norm at its end. Each view is regularised for itself, so that the two branches
    need not be alike; here they are one network, with gradients through both. Embeddings that all are equal cost
    mu (1 - .01). Views are BYOL's two; `blur` None: only if the encoder is for more than 32 px. `lam`, `mu` or `nu` 0
    is the ablation without that term. Logged: the weighted terms, `invariance`, `variance` and `covariance`; `std`,
    how far z spreads (parts.collapse): 1 isotropic, 0 collapsed. `kept`: f, the encoder.

    Symbols: lambda -> `lam`, mu, nu as in the paper; f -> `encoder`, g, the expander -> `projector`; Z, Z' -> `z1`,
    `z2`.
    Differs: as in their code, s is a mean over dimensions too, where equation (5) has a sum, and v is the mean of the
    views'. The rate falls to 0, theirs to a thousandth. Their ResNet's residual branches begin at 0. No blur at 32 px
    or less.
    """

    name = "vicreg"
    chapter = "distillation"
    paper = Paper(
        "VICReg: Variance-Invariance-Covariance Regularization for Self-Supervised Learning",
        "Bardes, Ponce, LeCun", "ICLR", 2022, "2105.04906",
    )  # fmt: skip

    def __init__(
        self,
        encoder: Encoder,
        *,
        lam: float = 25.0,
        mu: float = 25.0,
        nu: float = 1.0,
        dim: int = 8192,
        hidden: int = 8192,
        layers: int = 3,
        hue: float = 0.1,
        min_scale: float = 0.08,
        blur: bool | None = None,
    ):
        super().__init__(encoder)
        self.lam, self.mu, self.nu = lam, mu, nu
        self.dim, self.hidden, self.layers = dim, hidden, layers
        self.hue, self.min_scale, self.blur = hue, min_scale, blur
        self.view, self.other_view = byol_views(None, (min_scale, 1.0), blurs(encoder, blur), hue)
        self.projector = bare_head(encoder.dim, hidden, dim, layers)

    def loss(
        self, images: Tensor, index: Tensor | None = None, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        x1, x2 = self.view(images), self.other_view(images)
        z1, z2 = self.projector(self.encoder(x1)), self.projector(self.encoder(x2))
        s, v, c = vicreg_terms(z1, z2)
        terms = {"invariance": self.lam * s, "variance": self.mu * v, "covariance": self.nu * c}
        return {"loss": sum(terms.values()), **terms, "std": unit_std(z1)}
