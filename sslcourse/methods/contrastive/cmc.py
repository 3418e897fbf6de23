"""CMC: what one half of the colours shows must find what the other half shows of the same image."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sslcourse.data.images import Data
from sslcourse.errors import UserError
from sslcourse.methods.method import Method, Paper
from sslcourse.methods.parts.bank import MemoryBank
from sslcourse.methods.parts.gathered import global_sum, world_size
from sslcourse.methods.pretext.split_brain import side_by_side
from sslcourse.nets import Encoder
from sslcourse.views import Compose, RandomResizedCrop

SPACES = {"lab": ["L", "ab"], "ycbcr": ["Y", "CbCr"]}


class CMC(Method):
    """Two views of an image, its lightness and its colours: each must pick the other's feature from a memory.

    L = NCE(z_L -> bank of ab) + NCE(z_ab -> bank of L). With n images, m negatives v_k and z, v of unit length,
    P(v) = exp(v . z / tau) / Z, h = P / (P + m / n), NCE = -log h(v_I) - sum_k log(1 - h(v_k));
    Z = n mean exp(v . z / tau) of the first batch, one for each direction, and constant from then on. Chance is
    log(m + 1) + m log(1 + 1 / m). The `negatives` are drawn with replacement for each step, in both banks the same
    images. `space`: "lab" or "ycbcr", which is 0.5 to 1 points better in their hands. Colours are never distorted:
    the two views share a crop. `encoder` is a pattern: two networks of half its width are made of it (see
    SplitBrain).
    `kept`: the halves, side by side; `kept.parts` are the halves.

    A step: L and ab, z of each; loss against the other's bank as it was; optimiser; each z enters its own bank.
    Symbols: n -> `images`, m -> `negatives`, tau -> `temperature`; v -> `banks`, whose rows move by `momentum`.
    Differs: one draw of negatives serves the batch (the code draws for each image). The paper has 16,384 of them, the
    README 4,096. Crops are of 0.2 or more, as in the code's first state (later 0.08 unless told otherwise). L and ab
    are scaled to about a deviation of 1, twice what theirs are.
    """

    name = "cmc"
    chapter = "contrastive"
    paper = Paper("Contrastive Multiview Coding", "Tian, Krishnan, Isola", "ECCV", 2020, "1906.05849")

    def __init__(
        self,
        encoder: Encoder,
        *,
        images: int = 50000,
        space: str = "lab",
        temperature: float = 0.07,
        negatives: int = 16384,
        dim: int = 128,
        momentum: float = 0.5,
        min_scale: float = 0.2,
    ):
        if space not in SPACES:
            raise UserError(f"cmc has no space {space!r}: choose from {', '.join(SPACES)}")
        super().__init__(side_by_side(encoder, SPACES[space], self.name))
        self.images, self.space, self.temperature, self.negatives = images, space, temperature, negatives
        self.dim, self.momentum, self.min_scale = dim, momentum, min_scale
        self.view = Compose([RandomResizedCrop(None, (min_scale, 1.0), flip=0.5)])
        self.heads = nn.ModuleList(nn.Linear(part.dim, dim) for part in self.encoder.parts)
        self.banks = nn.ModuleList(MemoryBank(images, dim) for _ in self.heads)
        self.register_buffer("Z", torch.zeros(2))  # 0: not known yet
        self.seen: list[tuple[Tensor, list[Tensor]]] = []  # what this step will write into the banks

    @classmethod
    def arguments_from(cls, data: Data) -> dict:
        return {"images": len(data.train)}

    def nce(self, scores: Tensor, direction: int) -> Tensor:
        """Scores v . z / tau, the positive's in column 0: (B, 1 + m) -> -log h(v_I) - sum_k log(1 - h(v_k)), (B,)."""
        n, m = self.images, scores.shape[1] - 1
        exact = n * scores.detach().exp().mean()
        Z = torch.where(self.Z[direction] > 0, self.Z[direction], global_sum(exact) / world_size())
        if self.training:
            self.Z[direction] = Z
        log_P = scores - Z.log()
        # h = P / (P + m/n) = 1 / (1 + e^-a), a = log P - log(m/n): -log h = softplus(-a), -log(1 - h) = softplus(a)
        a = log_P - math.log(m / n)
        return F.softplus(-a[:, 0]) + F.softplus(a[:, 1:]).sum(1)

    def loss(
        self, images: Tensor, index: Tensor | None = None, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        images = self.view(images)
        z = [head(part(images)) for head, part in zip(self.heads, self.encoder.parts, strict=True)]
        z = [F.normalize(x.to(self.banks[0].rows), dim=1) for x in z]  # L and ab: (B, D) each
        drawn = self.banks[0].draw(self.negatives)
        loss, accuracy = 0.0, 0.0
        with torch.autocast(images.device.type, enabled=False):  # cosines are about to be divided by tau
            for i, bank in enumerate(reversed(self.banks)):
                v_I, v_k = bank.read(index), bank.read(drawn)  # (B, D), (m, D)
                scores = torch.cat([(z[i] * v_I).sum(1, keepdim=True), z[i] @ v_k.T], 1) / self.temperature
                loss = loss + self.nce(scores, i).mean()
                accuracy = accuracy + (scores.argmax(1) == 0).float().mean() / 2
        if self.training:
            self.seen.append((index, [x.detach() for x in z]))
        return {"loss": loss, "accuracy": accuracy}

    def after_step(self) -> None:
        for index, z in self.seen:
            for bank, features in zip(self.banks, z, strict=True):
                bank.update(index, features, self.momentum)
        self.seen.clear()
