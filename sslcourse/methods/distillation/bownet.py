"""BoWNet: from a perturbed image, say which visual words of a teacher the clean image holds."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sslcourse.data.images import Data
from sslcourse.errors import UserError
from sslcourse.methods.method import Method, Paper
from sslcourse.methods.parts.blurs import blurs
from sslcourse.methods.parts.gathered import gather, global_sum, rank
from sslcourse.methods.parts.kmeans import kmeans
from sslcourse.methods.parts.precision import full_precision
from sslcourse.methods.parts.words import counted_bag, entropy, local_features, perplexity
from sslcourse.nets import Encoder, frozen
from sslcourse.views import cutmix, moco_v2_view


def next_rows(x: Tensor) -> Tensor:
    """Row i + 1 of the global batch for each of this process's rows i; the first for the last: (B, ...) -> same."""
    every = gather(x)
    return every.roll(-1, 0)[rank() * len(x) :][: len(x)]


class BoWNet(Method):
    """The words of a finished run's features, found by k-means, are the targets of a new network.

    L = -mean_i sum_k y_k(x_i) log softmax_k(gamma w_k.f(g(x_i)) / |w_k|): y, the bag of words of the clean image, is
    how often each word v_k is the nearest to a feature of the teacher's layer `stage` ("": its last), or whether it
    ever is (`binary`), as shares of 1; g a perturbation: crop (of at least `min_scale`), flip, jitter, grey, and with
    probability `cutmix` a box of the batch's next image, whose words then count by their share of the area. f starts
    afresh. `prepare` finds the K words by k-means over all places of `sampled` training images, at most. gamma
    learns; it begins at `gamma`. `cosine`: f has unit length, too. The teacher is any finished run (usual: RotNet),
    of which the kept encoder stays, frozen, with the layers it has. Logged: `perplexity`, how many words are in use;
    `kl`, the loss without the entropy of its targets. `blur` None: only if the encoder is for more than 32 px. A new
    run can teach another (the paper's iterations). `kept`: f, the student.

    Symbols: Phi-hat -> `teacher`, Phi -> `encoder`, V -> `vocabulary`, K -> `words`, y -> `y`; Omega's gamma, w ->
    `scale`, `weight`; g -> `view` and `cutmix`.
    Differs: how often images are mixed, and gamma at first, are ours; the image to mix with is the next of the batch.
    The paper's k-means sees all images. Where there are fewer features than words the rest of the words are far away
    and never used. Blur (over 32 px) is MoCo v2's, whose jitter and grey these are.
    """

    name = "bownet"
    chapter = "distillation"
    taught_by = "rotnet"
    paper = Paper(
        "Learning Representations by Predicting Bags of Visual Words", "Gidaris, Bursuc, Komodakis, Pérez, Cord",
        "CVPR", 2020, "2002.12247",
    )  # fmt: skip

    def __init__(
        self,
        encoder: Encoder,
        teacher: Method,
        *,
        words: int = 2048,
        stage: str = "",
        binary: bool = False,
        cosine: bool = False,
        gamma: float = 1.0,
        cutmix: float = 1.0,
        sampled: int = 10_000,
        iterations: int = 20,
        hue: float = 0.1,
        min_scale: float = 0.08,
        blur: bool | None = None,
    ):
        super().__init__(encoder)
        self.words, self.stage, self.binary, self.cosine, self.gamma = words, stage, binary, cosine, gamma
        self.cutmix, self.sampled, self.iterations = cutmix, sampled, iterations
        self.hue, self.min_scale, self.blur = hue, min_scale, blur
        self.view = moco_v2_view(None, min_scale, blurs(encoder, blur), hue)
        self.teacher = frozen(teacher.kept).float()  # as this network, whatever the teacher's run trained in
        size = teacher.kept.spec.get("size", 32)
        with torch.no_grad():
            u = self.local(torch.zeros(1, 3, size, size, device=next(teacher.parameters()).device))
        self.register_buffer("vocabulary", torch.randn(words, u.shape[2]))
        self.weight = nn.Parameter(torch.randn(words, encoder.dim) * encoder.dim**-0.5)
        self.scale = nn.Parameter(torch.tensor(float(gamma)))

    def local(self, images: Tensor) -> Tensor:
        """The teacher's features at all places of its layer: (B, 3, H, W) -> (B, T, C)."""
        layers = self.teacher.module.layers(images)
        if self.stage and self.stage not in layers:
            raise UserError(
                f"stage {self.stage!r} of bownet: its teacher has {', '.join(layers)}; choose one of these"
            )
        return local_features(layers[self.stage or list(layers)[-1]])

    @torch.no_grad()
    def prepare(self, data: Data) -> None:
        """The vocabulary, by k-means. Everyone takes what process 0 has found."""
        device = self.vocabulary.device
        chosen = torch.randperm(len(data.train))[: self.sampled]
        u = [self.local(x.to(self.vocabulary)) for x, _, _ in data.train.batches(256, chosen, device)]
        u = torch.cat(u).flatten(0, 1)  # (n, T, C) -> (n * T, C)
        k = min(self.words, len(u))
        found = u.abs().amax() * torch.full_like(self.vocabulary, 1e3)  # too far to be the nearest
        found[:k] = kmeans(u, k, self.iterations, seed=int(torch.randint(2**31, (1,))))[0]
        self.vocabulary.copy_(global_sum(found * (rank() == 0)))

    @torch.no_grad()
    def bag(self, images: Tensor) -> Tensor:
        """y, the words of clean images as shares of 1: (B, 3, H, W) -> (B, K)."""
        return counted_bag(self.local(images), self.vocabulary, self.binary)

    @full_precision
    def logits(self, f: Tensor) -> Tensor:
        """(B, D) -> (B, K): gamma w.f / |w|, or gamma times their cosine."""
        f = F.normalize(f, dim=1) if self.cosine else f
        return self.scale * f @ F.normalize(self.weight, dim=1).T

    def loss(
        self, images: Tensor, index: Tensor | None = None, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        y, x = self.bag(images), self.view(images)
        if self.cutmix:
            x, share = cutmix(x, next_rows(x), self.cutmix)
            y = torch.lerp(next_rows(y), y, share.to(y)[:, None])
        logits = self.logits(self.encoder(x))
        loss = F.cross_entropy(logits, y)
        return {"loss": loss, "kl": loss.detach() - entropy(y), "perplexity": perplexity(y)}
