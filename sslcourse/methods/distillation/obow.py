"""OBoW: from parts of an image, say which visual words a slow teacher finds in the whole of it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sslcourse.errors import UserError
from sslcourse.methods.method import Method, Paper
from sslcourse.methods.parts.blurs import blurs
from sslcourse.methods.parts.momentum import follow, momentum_copy, rising
from sslcourse.methods.parts.precision import full_precision
from sslcourse.methods.parts.words import OnlineVocabulary, entropy, perplexity
from sslcourse.nets import Encoder
from sslcourse.nets.dense import as_map, tried
from sslcourse.views import HorizontalFlip, obow_views, overlapping_patches


class Generator(nn.Module):
    """The weights that predict each word, made of the word: G(v), unit rows, (K, C) -> (K, D).

    Its batch norm is over the K words, which are always all there: it keeps no running statistics.
    """

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(inputs, 2 * outputs, bias=False),
            nn.BatchNorm1d(2 * outputs, track_running_stats=False),
            nn.ReLU(inplace=True),
            nn.Linear(2 * outputs, outputs),
        )

    def forward(self, words: Tensor) -> Tensor:
        return F.normalize(self.layers(F.normalize(words, dim=1)), dim=1)


@full_precision
def bow_loss(f: Tensor, W: Tensor, y: Tensor, kappa: float) -> Tensor:
    """Cross-entropy of bags y (B, K) with softmax(kappa f W^T): the mean over images and views.

    f (n * B, D) holds one view of all images after the other; W (K, D). Chance: log K.
    """
    return F.cross_entropy(kappa * f @ W.T, y.repeat(len(f) // len(y), 1))


class OBoW(Method):
    """Student and teacher learn together, and with them the vocabulary.

    L = sum over crops and patches of the mean over levels l of -sum_k y_k log softmax_k(kappa f.G_l(v_k)). y: for the
    whole image, flipped at random, the teacher's map x of level l, q_k(u) = softmax_k(-(inv_delta / mu) |x(u) -
    v_k|^2) at each place u, y_k = max_u q_k(u), as shares of 1. f, of any length, is the student's features of a
    part: `crops` crops of `crop` of the image's side and `crop_scale` of its area, `patches` patches of `patch` of
    its side, cut from a 3x3 grid over the image enlarged by 8/7 (jitter 3/28 of the side); 0: none. `levels`: the
    last so many layers of the encoder, each with a vocabulary of K `words` and a generator G (1: words of one scale).
    The teacher follows, alpha from `momentum` to 1 along a cosine. Logged: `kl`, the loss without its targets'
    entropy, and each level's perplexity, how many words are in use, of K. `blur` None: only if the encoder is for
    more than 32 px. `kept`: f, the student.

    A step: predictions; the teacher moves; its maps, mu, targets, all with the words as they were; loss; optimiser;
    an image's word of each level enters the queue.
    Symbols: T -> `teacher`, S -> `encoder`, alpha -> `momentum` at the start, V -> `vocabulary`, K -> `words`, G ->
    `generator`, delta = 1 / `inv_delta`, kappa -> `kappa`, y -> `y`.
    Differs: theirs minimises the divergence, which has the same gradient. Sizes are shares of the image's, theirs
    160, 96 and 256 px for images of 224, the middle of 256. A border is cut only from maps of five rows or more. K
    need not be a multiple of the batch. For ResNet-18 they take `inv_delta` 10 and `kappa` 5.
    """

    name = "obow"
    chapter = "distillation"
    paper = Paper(
        "OBoW: Online Bag-of-Visual-Words Generation for Self-Supervised Learning",
        "Gidaris, Bursuc, Puy, Komodakis, Cord, Pérez", "CVPR", 2021, "2012.11552",
    )  # fmt: skip

    def __init__(
        self,
        encoder: Encoder,
        *,
        words: int = 8192,
        levels: int = 2,
        inv_delta: float = 15.0,
        kappa: float = 8.0,
        momentum: float = 0.99,
        crops: int = 2,
        crop: float = 160 / 224,
        crop_scale: Sequence[float] = (0.08, 0.6),
        patches: int = 5,
        patch: float = 96 / 224,
        hue: float = 0.1,
        blur: bool | None = None,
    ):
        super().__init__(encoder)
        self.words, self.levels, self.inv_delta, self.kappa = words, levels, inv_delta, kappa
        self.momentum, self.crops, self.crop, self.crop_scale = momentum, crops, crop, list(crop_scale)
        self.patches, self.patch, self.hue, self.blur = patches, patch, hue, blur
        layers = tried(encoder, encoder.layers, encoder.spec.get("size", 32))
        if not 1 <= levels <= len(layers) or crops < 1:
            raise UserError(
                f"obow: levels {levels} and crops {crops}: use 1 to {len(layers)} levels, and a crop or more"
            )
        channels = {name: as_map(layer).shape[1] for name, layer in list(layers.items())[-levels:]}
        self.weak = HorizontalFlip(0.5)
        self.teacher = momentum_copy(encoder)
        self.vocabulary = nn.ModuleDict(
            {name: OnlineVocabulary(words, C, inv_delta) for name, C in channels.items()}
        )
        self.generator = nn.ModuleDict({name: Generator(C, encoder.dim) for name, C in channels.items()})
        self.fresh: list[tuple[str, Tensor]] = []  # words since the last step, and of which level
        self.moved = False  # has the teacher moved since?

    def views(self, images: Tensor) -> list[Tensor]:
        """Crops (crops * B, 3, s, s) and patches (patches * B, 3, s', s'), one view of all images after the other."""
        size, blur = images.shape[2], blurs(self.encoder, self.blur)
        crop, grid = obow_views(round(size * self.crop), round(size * 8 / 7), self.crop_scale, blur, self.hue)
        views = [torch.cat([crop(images) for _ in range(self.crops)])]
        if self.patches:
            small = overlapping_patches(
                grid(images), round(size * self.patch), round(size * 3 / 28), self.patches
            )
            views.append(small.transpose(0, 1).flatten(0, 1))  # (B, P, 3, s, s) -> (P * B, 3, s, s)
        return views

    @torch.no_grad()
    def bags(self, images: Tensor) -> dict[str, Tensor]:
        """y of each level for whole images: (B, 3, H, W) -> (B, K)."""
        if self.training and not self.moved:
            follow(self.teacher, self.encoder, rising(self.momentum, self.progress))
            self.moved = True
        layers, y = self.teacher.layers(self.weak(images)), {}
        for name, vocabulary in self.vocabulary.items():
            x = as_map(layers[name])
            y[name] = vocabulary.bag(x)
            if self.training:
                self.fresh.append((name, vocabulary.draw(x)))
        return y

    def loss(
        self, images: Tensor, index: Tensor | None = None, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        features = [self.encoder(x) for x in self.views(images)]
        W = {name: G(self.vocabulary[name].words) for name, G in self.generator.items()}
        y = self.bags(images)
        losses = [bow_loss(f, W[name], y[name], self.kappa) for f in features for name in W]
        loss = torch.stack(losses).sum() / len(W)
        floor = torch.stack([entropy(bag) for bag in y.values()]).mean() * len(features)
        used = {f"perplexity_{name}": perplexity(bag) for name, bag in y.items()}
        return {"loss": loss, "kl": loss.detach() - floor, **used}

    def after_step(self) -> None:
        for name, words in self.fresh:
            self.vocabulary[name].push(words)
        self.fresh.clear()
        self.moved = False
