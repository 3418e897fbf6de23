"""PCL: MoCo, and each image also finds the prototype of its cluster, at several grains."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from sslcourse.data.images import Data
from sslcourse.methods.contrastive.moco import MoCo
from sslcourse.methods.method import Paper
from sslcourse.methods.parts.gathered import global_sum, rank
from sslcourse.methods.parts.kmeans import concentration, kmeans
from sslcourse.methods.parts.precision import full_precision
from sslcourse.nets import Encoder


def prototype_logits(v: Tensor, own: Tensor, c: Tensor, phi: Tensor, r: int) -> Tensor:
    """v.c / phi of each row's own prototype and of r others, drawn anew each call: (B, 2 + r), own first.

    v (B, D) and c (k, D) of unit length, own (B,) in 0 ... k - 1, phi (k,). r + 1 prototypes are drawn for the whole batch;
    of these each row leaves out its own, or else the last (its logit is -inf). With r >= k - 1 all others count.
    """
    drawn = torch.randperm(len(c), device=c.device)[: r + 1]
    logits = v @ c[drawn].T / phi[drawn]  # (B, r + 1)
    out = drawn == own[:, None]
    out[:, -1] |= ~out.any(1)
    positive = (v * c[own]).sum(1, keepdim=True) / phi[own, None]  # (B, 1)
    return torch.cat([positive, logits.masked_fill(out, -torch.inf)], 1)


@full_precision
def proto_nce(q: Tensor, own: Tensor, c: Tensor, phi: Tensor, r: int) -> Tensor:
    """ProtoNCE of one clustering for queries q (B, D) of any length, see `prototype_logits`. Chance: log(1 + r)."""
    logits = prototype_logits(F.normalize(q, dim=1), own, c, phi, r)
    return F.cross_entropy(logits, torch.zeros_like(own))


class PCL(MoCo):
    """Prototypical contrast: InfoNCE as in MoCo v2, plus the same against the centroids of k-means.

    L = InfoNCE + 1/M sum_m -log(exp(v.c_s / phi_s) / sum_{r + 1} exp(v.c_j / phi_j)), s the cluster of the image in
    the m-th clustering, c the centroids at unit length, phi their concentration (nets.kmeans), against `negatives` =
    r other prototypes. At the start of each epoch after the first `warmup`, which have InfoNCE alone, the features of
    the slow encoder for all training images (`images` many, without augmentation) are clustered into `clusters`
    groups, M numbers, none more than there are images. `rows` and `shuffle`: batch norm in groups and shuffled keys,
    as in MoCo. In evaluation the loss is InfoNCE alone: held-out images belong to no cluster. `kept`: the query
    encoder.

    A step: q, k+; InfoNCE against the queue as it was, ProtoNCE of v = q; optimiser; k+ enters the queue; psi
    follows. Before each epoch the E-step, k-means.
    Symbols: r -> `negatives`, K = {k_m} -> `clusters`, M -> how many these are, s -> `cluster`, c -> `centroids`, phi
    -> `phi`, alpha -> `alpha`, tau -> `temperature`, v -> `q`; theta' -> `key_encoder` and `key_projector`, MoCo's
    psi.
    Differs: head, views and temperature are those of the authors' second version, which they train as MoCo v2 (the
    first has MoCo v1's head and views). The keys' norm is shuffled only with `rows`, for their shuffle is one between
    devices. In their code the negatives are the prototypes of the batch's other images, an image's own one included
    where two share it, and r that belong to nobody in the batch; here r others of each image's own, drawn once for
    the batch. k-means is ours, not faiss. What differs in MoCo differs here.
    """

    name = "pcl"
    paper = Paper(
        "Prototypical Contrastive Learning of Unsupervised Representations", "Li, Zhou, Xiong, Hoi", "ICLR", 2021,
        "2005.04966",
    )  # fmt: skip

    def __init__(
        self,
        encoder: Encoder,
        *,
        images: int = 1_281_167,
        clusters: Sequence[int] = (25_000, 50_000, 100_000),
        negatives: int = 16_384,
        alpha: float = 10.0,
        warmup: int = 20,
        iterations: int = 20,
        length: int = 16_384,
        dim: int = 128,
        temperature: float = 0.2,
        momentum: float = 0.999,
        hue: float = 0.1,
        min_scale: float = 0.2,
        blur: bool | None = None,
        rows: int = 0,
        shuffle: bool = True,
    ):
        super().__init__(
            encoder, length=length, dim=dim, temperature=temperature, momentum=momentum, hue=hue, min_scale=min_scale,
            blur=blur, rows=rows, shuffle=shuffle,
        )  # fmt: skip
        self.images, self.clusters, self.negatives = images, list(clusters), negatives
        self.alpha, self.warmup, self.iterations = alpha, warmup, iterations
        self.sizes = [min(k, images) for k in clusters]
        self.register_buffer("cluster", torch.zeros(len(self.sizes), images, dtype=torch.long))
        self.register_buffer("centroids", torch.zeros(sum(self.sizes), dim))
        self.register_buffer("phi", torch.full((sum(self.sizes),), temperature))
        self.register_buffer("epoch", torch.zeros((), dtype=torch.long))  # begun so far

    @classmethod
    def arguments_from(cls, data: Data) -> dict:
        return {"images": len(data.train)}

    @torch.no_grad()
    def start_epoch(self, data: Data) -> None:
        """The E-step: cluster all images anew. Everyone takes what process 0 has found."""
        self.epoch += 1
        if self.epoch <= self.warmup:
            return
        v = self.memory(data)
        for m, (k, c, phi) in enumerate(self.prototypes()):
            seed = int(self.epoch) * len(self.sizes) + m
            centroids, place, distance = kmeans(v, k, self.iterations, seed)
            found = F.normalize(centroids, dim=1), place
            found = *found, concentration(place, distance, k, self.alpha, self.temperature)
            for buffer, value in zip((c, self.cluster[m], phi), found, strict=True):
                buffer.copy_(global_sum(value * (rank() == 0)))

    def prototypes(self):
        """Of each clustering: k, centroids (k, dim), phi (k,); views into the buffers."""
        return zip(self.sizes, self.centroids.split(self.sizes), self.phi.split(self.sizes), strict=True)

    def memory(self, data: Data) -> Tensor:
        """Unit keys of all training images as they are, in evaluation mode: (N, dim)."""
        training, found = self.training, self.centroids.new_empty(self.images, self.dim)
        self.eval()
        for images, rows, _ in data.train.batches(512, device=found.device):
            found[rows] = F.normalize(self.keys(images.to(found)), dim=1)
        self.train(training)
        return found

    def loss(
        self, images: Tensor, index: Tensor | None = None, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        q, _, logged = self.contrast(self.view(images), self.view(images), index)
        if index is None or not self.training:
            return logged
        losses = [
            proto_nce(q, s, c, phi, self.negatives)
            for s, (_, c, phi) in zip(self.cluster[:, index], self.prototypes(), strict=True)
        ]
        begun = self.epoch > self.warmup  # not an `if`: a GPU need not be asked
        proto = torch.stack(losses).mean() * begun
        return {**logged, "loss": logged["loss"] + proto, "infonce": logged["loss"], "proto": proto}
