"""Non-parametric instance discrimination: the weights of each image's class are its own feature, remembered."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sslcourse.data.images import Data
from sslcourse.methods.method import Method, Paper
from sslcourse.methods.parts.bank import MemoryBank
from sslcourse.methods.parts.gathered import global_sum, world_size
from sslcourse.nets import Encoder
from sslcourse.views import moco_v1_view


class InstanceDiscrimination(Method):
    """Find the image that a view came from among the remembered features of all images: nothing learned grows with n.

    P(i|f) = exp(v_i.f / tau) / sum_j exp(v_j.f / tau), equation (2), f the view's embedding and v_j the bank's rows,
    unit vectors. `negatives` 0: that softmax over all n images. Otherwise noise-contrastive estimation with m noise
    images k, uniform over all: h(i, f) = P / (P + m/n) (6), L = -log h(i, f) - sum_k log(1 - h(k, f)) (7), whose
    normaliser Z (8) is estimated on the first batch and frozen; with `refresh_Z` on every batch, for a Z that was
    right while all features were random is far too small later (lesson 05). v_i <- l2(t v_i + (1 - t) f).
    `proximal` is the paper's lambda |f - v_i|^2, which makes an image's feature wander less between two epochs.
    `kept`: the encoder before the linear map to `dim`.

    A step: view, f; loss against the bank as it was; optimiser; f enters the bank.
    Symbols: n -> `images`, m -> `negatives`, tau -> `temperature`, lambda -> `proximal`, t (the code's) ->
    `momentum`; f, the paper's v in P(i|v) -> `f`; v_j -> `bank.rows`.
    Differs: one draw of negatives serves the batch (the code draws for every image: the same mean, B times the
    memory). lambda is 0 unless given: the code has no such term and leaves it to t. The paper's nearest neighbours
    use `embed`, ours what is kept. On CIFAR-10 the code does not flip.
    """

    name = "npid"
    chapter = "contrastive"
    paper = Paper(
        "Unsupervised Feature Learning via Non-Parametric Instance Discrimination",
        "Wu, Xiong, Yu, Lin", "CVPR", 2018, "1805.01978",
    )  # fmt: skip

    def __init__(
        self,
        encoder: Encoder,
        *,
        images: int = 10_000,
        dim: int = 128,
        temperature: float = 0.07,
        negatives: int = 4096,
        momentum: float = 0.5,
        refresh_Z: bool = False,
        proximal: float = 0.0,
        min_scale: float = 0.2,
    ):
        super().__init__(encoder)
        self.images, self.dim, self.temperature, self.negatives = images, dim, temperature, negatives
        self.momentum, self.proximal, self.min_scale = momentum, proximal, min_scale
        self.refresh_Z = refresh_Z
        self.view = moco_v1_view(None, min_scale)
        self.embedding = nn.Linear(encoder.dim, dim)
        self.bank = MemoryBank(images, dim)
        self.register_buffer("Z", torch.zeros(()))  # 0: not yet estimated
        self.seen: list[tuple[Tensor, Tensor]] = []  # rows and features of this step, for the bank

    @classmethod
    def arguments_from(cls, data: Data) -> dict:
        return {"images": len(data.train)}

    def embed(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> unit vectors (B, dim), in the bank's precision."""
        return F.normalize(self.embedding(self.encoder(images)).to(self.bank.rows.dtype), dim=1)

    def softmax(self, f: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        """The exact loss of embeddings f (B, dim) of the images `index` (B,), and how often v_i is the nearest row."""
        logits = f @ self.bank.rows.T / self.temperature  # (B, n)
        return F.cross_entropy(logits, index), (logits.argmax(1) == index).float().mean()

    def nce(self, f: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        """Its estimate from m negatives, and how often v_i is nearer than all of them."""
        n, m = self.images, self.negatives
        k = self.bank.draw(m)  # an image may be drawn as noise for itself
        v_i, v_k = self.bank.read(index), self.bank.read(k)  # (B, dim), (m, dim)
        scores = torch.cat([(f * v_i).sum(1, keepdim=True), f @ v_k.T], 1) / self.temperature  # (B, 1 + m)
        with torch.no_grad():
            estimate = n * global_sum(scores.exp().mean()) / world_size()
            Z = estimate if self.training and self.refresh_Z else torch.where(self.Z > 0, self.Z, estimate)
            if self.training:
                self.Z.copy_(Z)
        log_P = scores - Z.log()
        # h = P / (P + m/n) = 1 / (1 + e^-a) = sigmoid(a), a = log P - log(m/n), and 1 - h = sigmoid(-a)
        a = log_P - math.log(m / n)
        # -log h(i, f) - sum_k log(1 - h(k, f))
        loss = -F.logsigmoid(a[:, 0]) - F.logsigmoid(-a[:, 1:]).sum(1)
        return loss.mean(), (scores[:, :1] >= scores).all(1).float().mean()

    def loss(
        self, images: Tensor, index: Tensor | None = None, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        f = self.embed(self.view(images))
        with torch.autocast(images.device.type, enabled=False):  # dot products over tau need all digits
            loss, accuracy = self.nce(f, index) if self.negatives else self.softmax(f, index)
            if self.proximal:
                loss = loss + self.proximal * (f - self.bank.read(index)).square().sum(1).mean()
        if self.training:
            self.seen.append((index, f.detach()))
        return {"loss": loss, "accuracy": accuracy}

    def after_step(self) -> None:
        for index, f in self.seen:
            self.bank.update(index, f, self.momentum)
        self.seen.clear()
