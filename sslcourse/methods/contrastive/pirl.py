"""PIRL: the features of a shuffled image must be those of the image."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sslcourse.data.images import Data
from sslcourse.errors import UserError
from sslcourse.methods.method import Method, Paper
from sslcourse.methods.parts.bank import MemoryBank
from sslcourse.methods.parts.precision import full_precision
from sslcourse.nets import Encoder
from sslcourse.views import ColourJitter, Compose, Greyscale, RandomResizedCrop, rotate90, tiles


@full_precision
def noise_contrast(v: Tensor, positives: Tensor, negatives: Tensor, itself: Tensor, tau: float):
    """L_NCE = -log h(m_I, v) - sum_k log(1 - h(m_k, v)), a mean over rows, and how often m_I is nearest.

    h(m, v) = exp(s(m, v) / tau) / (exp(s(m, v) / tau) + sum_k exp(s(m_k, v) / tau)), s the cosine. v (B, D),
    positives m_I (B, D), negatives m_k (K, D); itself (B, K): no negative at all, for it is the image's own
    row. While all cosines are equal this is log(K + 1) + K log(1 + 1 / K), about log(K + 1) + 1.
    """
    v, m_I, m_k = (F.normalize(x, dim=1) for x in (v, positives, negatives))
    s_I = (v * m_I).sum(1, keepdim=True) / tau  # (B, 1)
    s_k = (v @ m_k.T / tau).masked_fill(itself, -torch.inf)  # (B, K)
    S = s_k.logsumexp(1, keepdim=True)
    # h = e^s / (e^s + e^S) = 1 / (1 + e^(S - s)): -log h = softplus(S - s), -log(1 - h) = softplus(s - S)
    loss = F.softplus(S - s_I)[:, 0] + F.softplus(s_k - S).sum(1)  # -log h(m_I, v) - sum_k log(1 - h(m_k, v))
    return loss.mean(), (s_I > s_k).all(1).float().mean()


class PIRL(Method):
    """Shuffle an image's tiles: the whole and the tiles must both find the image's row in a memory of all.

    L = lambda L_NCE(m_I, g(I^t)) + (1 - lambda) L_NCE(m_I, f(I)): see `noise_contrast`. f is one linear map; g one
    for each of nine tiles and one for the nine together, in an order drawn anew for each image. The order is told to
    nobody: Jigsaw must know it, PIRL must not. The memory's m_I <- l2(m m_I + (1 - m) f(I)), of which N rows are
    drawn as negatives for each step. `transform`: "jigsaw" or "rotation", which turns the image by a random quarter.
    As in the authors' code the tiles come from another, larger crop than I, and each has its own colours. `cell`,
    `tile`: in pixels; None: the paper's 64 of 85, and three cells to a side. `kept`: the encoder before f and g.

    A step: I and I^t, f and g; loss against the bank as it was; optimiser; f(I) enters the bank.
    Symbols: lambda -> `lam`, tau -> `temperature`, N -> `negatives`, m_I -> `bank.rows`, its m -> `momentum`; f, g of
    a feature -> `f`, `g_tile` and `g`, and in `loss` the tensors f(I), g(I^t) -> `f`, `g`.
    Differs: one draw of negatives serves the batch, and an image's own row is none (theirs: for each image). The loss
    is the paper's; the code's is NPID's NCE, which has a constant in place of the sum in h, and its views have
    photometric noise after the jitter, and a coin for each tile's flip.
    """

    name = "pirl"
    chapter = "contrastive"
    paper = Paper(
        "Self-Supervised Learning of Pretext-Invariant Representations",
        "Misra, van der Maaten", "CVPR", 2020, "1912.01991",
    )  # fmt: skip

    def __init__(
        self,
        encoder: Encoder,
        *,
        images: int = 50000,
        transform: str = "jigsaw",
        lam: float = 0.5,
        temperature: float = 0.07,
        negatives: int = 32000,
        dim: int = 128,
        momentum: float = 0.5,
        min_scale: float = 0.08,
        hue: float = 0.2,
        cell: int | None = None,
        tile: int | None = None,
    ):
        if transform not in ("jigsaw", "rotation"):
            raise UserError(f"pirl has no transform {transform!r}: choose jigsaw or rotation")
        super().__init__(encoder)
        self.images, self.transform, self.lam, self.temperature = images, transform, lam, temperature
        self.negatives, self.dim, self.momentum = negatives, dim, momentum
        self.min_scale, self.hue, self.cell, self.tile = min_scale, hue, cell, tile
        self.crop = RandomResizedCrop(None, (0.6, 1.0), flip=0.5)  # of the image that is shuffled
        self.colours = Compose([ColourJitter(0.4, 0.4, 0.4, hue, p=1.0), Greyscale(0.2)])
        self.view = Compose([RandomResizedCrop(None, (min_scale, 1.0), flip=0.5), self.colours])
        self.bank = MemoryBank(images, dim)
        self.f = nn.Linear(encoder.dim, dim)
        self.g_tile = nn.Linear(encoder.dim, dim)
        self.g = nn.Linear(9 * dim, dim) if transform == "jigsaw" else nn.Identity()
        self.seen: list[tuple[Tensor, Tensor]] = []  # what this step will write into the bank

    @classmethod
    def arguments_from(cls, data: Data) -> dict:
        return {"images": len(data.train)}

    def shuffled(self, images: Tensor) -> Tensor:
        """I^t: images (B, 3, H, W) -> tiles (B, 9, 3, t, t), each image's in its own order."""
        cell = self.cell or images.shape[-1] // 3
        t = tiles(self.crop(images), cell, self.tile or round(cell * 64 / 85))
        t = self.colours(t.flatten(0, 1)).view_as(t)  # (B, 9, 3, t, t) -> (B * 9, 3, t, t) -> back
        order = torch.rand(t.shape[:2], device=t.device).argsort(1)  # (B, 9)
        return t[torch.arange(len(t), device=t.device)[:, None], order]

    def turned(self, images: Tensor) -> Tensor:
        """I^t: images (B, 3, H, H), each turned by a quarter, a half, three quarters or not at all."""
        return rotate90(self.view(images), torch.randint(4, (len(images),), device=images.device))

    def transformed(self, images: Tensor) -> Tensor:
        """g(I^t): (B, 3, H, W) -> (B, dim)."""
        if self.transform == "rotation":
            return self.g_tile(self.encoder(self.turned(images)))
        t = self.shuffled(images)
        h = self.g_tile(self.encoder(t.flatten(0, 1)))  # (B, 9, 3, t, t) -> (B * 9, dim)
        return self.g(h.view(len(t), -1))  # (B * 9, dim) -> (B, 9 * dim)

    def loss(
        self, images: Tensor, index: Tensor | None = None, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        f, g = self.f(self.encoder(self.view(images))), self.transformed(images)
        drawn = self.bank.draw(self.negatives)
        memory = self.bank.read(index), self.bank.read(drawn), index[:, None] == drawn
        L_g, accuracy = noise_contrast(g, *memory, self.temperature)  # L_NCE(m_I, g(I^t))
        L_f, _ = noise_contrast(f, *memory, self.temperature)  # L_NCE(m_I, f(I))
        if self.training:
            self.seen.append((index, f.detach()))
        return {"loss": self.lam * L_g + (1 - self.lam) * L_f, "accuracy": accuracy}

    def after_step(self) -> None:
        for index, f in self.seen:
            self.bank.update(index, f, self.momentum)
        self.seen.clear()
