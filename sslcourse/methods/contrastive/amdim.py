"""AMDIM: what one view says as a whole must be recognised in every place of the other view."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sslcourse.errors import UserError
from sslcourse.methods.method import Method, Paper
from sslcourse.methods.parts.gathered import gather, rank
from sslcourse.methods.parts.precision import full_precision
from sslcourse.nets import Encoder
from sslcourse.nets.dense import as_map, tried
from sslcourse.views import ColourJitter, Compose, Greyscale, HorizontalFlip, RandomResizedCrop


class Embedding(nn.Module):
    """(B, C, n, n) -> (B, d, n, n): a hidden layer beside a linear one, each place by itself, then batch norm."""

    def __init__(self, inputs: int, d: int):
        super().__init__()
        self.linear = nn.Conv2d(inputs, d, 1, bias=False)
        self.hidden = nn.Sequential(
            *(nn.Conv2d(inputs, d, 1, bias=False), nn.BatchNorm2d(d), nn.ReLU(inplace=True)),
            nn.Conv2d(d, d, 1, bias=False),
        )
        self.norm = nn.BatchNorm2d(d)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.linear(x) + self.hidden(x))


class AMDIM(Method):
    """Augmented multiscale deep InfoMax: mutual information between features of two views, at several scales.

    f_1 is the encoder's feature itself, batch-normed, and f_n are the embedded maps of n x n places, as wide as it
    (`d` None). L = NCE(1 -> n) for each of `layers`, plus NCE(n -> n) of the last of them from one random place of
    each image; each in both directions, halved. Scores are s = f . g / sqrt(d), clipped softly to c tanh(s / c);
    lambda mean(s^2) is added to each NCE, before clipping. For each place of the right image the negatives are all
    places of all other images of the global batch, N - 1 of them with n^2 places: the loss at chance is the sum of
    log(1 + (N - 1) n^2). Each crop is of `min_scale` of the image or more; the flip is common to both views. With a
    number `d` f_1, too, is embedded, in `d` dimensions.
    `kept`: the encoder. Its feature is f_1, which the paper probes, but for the norm's scale and offset of each
    channel; with a number `d` it is what lies before f_1.

    Symbols: lambda -> `lam`, c -> `c`; f_1 and f_n, embedded (the paper's phi_1 and phi_n) -> `f_1`, `f_n`; x^1, x^2,
    the two views -> the leading 2 of both; N -> the global batch.
    Differs: the paper's maps are 5x5 and 7x7 of a network that limits receptive fields, without padding and mostly
    without norm, whose last layer makes f_1; here `layers` are stages of an ordinary encoder (None: the last two),
    whose places see most of the image, and f_1 is the mean of its last map (also in a transformer, whose feature may
    be another). lam is 0.04 in the paper and in its code's last state, 0.05 in between. Their embeddings begin as the
    identity where they can and have their inner norm only if told so. The views are those of their STL-10: on
    CIFAR-10 theirs shift by 4 px instead of a crop, on ImageNet 0.2 are grey.
    """

    name = "amdim"
    chapter = "contrastive"
    paper = Paper(
        "Learning Representations by Maximizing Mutual Information Across Views",
        "Bachman, Hjelm, Buchwalter", "NeurIPS", 2019, "1906.00910",
    )  # fmt: skip

    def __init__(
        self,
        encoder: Encoder,
        *,
        layers: Sequence[str] | None = None,
        d: int | None = None,
        c: float = 20.0,
        lam: float = 0.04,
        min_scale: float = 0.3,
        grey: float = 0.25,
    ):
        super().__init__(encoder)
        self.layers, self.d, self.c, self.lam = layers, d, c, lam
        self.min_scale, self.grey = min_scale, grey
        self.flip = HorizontalFlip(0.5)
        crop = RandomResizedCrop(None, scale=(min_scale, 1.0), ratio=(0.7, 1.4))
        self.view = Compose([crop, ColourJitter(0.4, 0.4, 0.4, 0.2, p=0.8), Greyscale(grey)])
        tries = tried(encoder, encoder.layers, encoder.spec.get("size", 32))
        channels = {name: as_map(x).shape[1] for name, x in tries.items()}
        self.chosen = list(channels)[-2:] if layers is None else list(layers)
        if not set(self.chosen) <= set(channels) or not self.chosen:
            raise UserError(f"amdim layers {layers}: choose from {', '.join(channels)}")
        self.f_1 = Embedding(encoder.dim, d) if d else nn.BatchNorm2d(encoder.dim)
        self.f_n = nn.ModuleDict({name: Embedding(channels[name], d or encoder.dim) for name in self.chosen})

    def embedded(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(2B, 3, H, W) -> the global feature of each view (2, B, d), and for each layer its places (2, B, n^2, d)."""
        maps = {name: as_map(x) for name, x in self.encoder.layers(images).items()}
        whole = list(maps.values())[-1].mean((2, 3), keepdim=True)  # (2B, D, n, n) -> (2B, D, 1, 1)
        f_1 = self.f_1(whole)[:, :, 0, 0].unflatten(0, (2, -1))  # (2B, d, 1, 1) -> (2, B, d)
        f_n = [f(maps[name]).flatten(2).mT for name, f in self.f_n.items()]  # (2B, d, n, n) -> (2B, n^2, d)
        return f_1, [x.unflatten(0, (2, -1)) for x in f_n]  # (2B, n^2, d) -> (2, B, n^2, d)

    def loss(
        self, images: Tensor, index: Tensor | None = None, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        images = self.flip(images)
        f_1, f_n = self.embedded(torch.cat([self.view(images), self.view(images)]))
        last = f_n[-1]
        place = torch.randint(last.shape[2], last.shape[:2], device=images.device)[..., None, None]
        place = place.expand(-1, -1, 1, last.shape[3])  # (2, B) -> (2, B, 1, d)
        sources = [f_1[:, None]] * (len(f_n) - 1)
        sources += [torch.stack([f_1, last.gather(2, place)[:, :, 0]], 1)]  # (2, 2, B, d): 1 -> n and n -> n
        parts = [nce(source, g.flip(0), self.c) for source, g in zip(sources, f_n, strict=True)]
        loss = sum((nll + self.lam * square).sum() for nll, square, _ in parts)
        return {"loss": loss, "accuracy": torch.cat([first for _, _, first in parts]).mean()}


@full_precision
def nce(source: Tensor, target: Tensor, c: float) -> tuple[Tensor, Tensor, Tensor]:
    """source (2, S, B, d), target (2, B, P, d): NCE, mean squared score, and accuracy of each of S sources, (S,) each.

    -log(exp s+ / (exp s+ + sum exp s-)): every one of the P places of image i must be told, by source i, from all
    places of all other images of all processes. The leading 2 are two independent problems (view 1 to 2, 2 to 1),
    which are averaged.
    """
    (V, S, B, d), P = source.shape, target.shape[2]
    everyone = gather(target.transpose(0, 1)).transpose(0, 1)  # (2, N, P, d), of all processes
    # (2, S * B, d) @ (2, d, N * P) -> (2, S, B, N, P)
    s = (source.flatten(1, 2) @ everyone.flatten(1, 2).mT).view(V, S, B, -1, P) / d**0.5
    square = s.square().mean((0, 2, 3, 4))
    s = c * torch.tanh(s / c)
    i = torch.arange(B, device=s.device)
    s_pos = s[:, :, i, i + rank() * B]  # (2, S, B, P)
    itself = torch.zeros(B, s.shape[3], 1, dtype=torch.bool, device=s.device)
    itself[i, i + rank() * B] = True
    s_neg = s.masked_fill(itself, -torch.inf).flatten(3)  # (2, S, B, N, P) -> (2, S, B, N * P)
    # -log(e^s+ / (e^s+ + sum e^s-)) = log(e^s+ + e^S) - s+, S = log sum e^s-
    nll = torch.logaddexp(s_pos, s_neg.logsumexp(3, keepdim=True)) - s_pos
    first = (s_pos > s_neg.amax(3, keepdim=True)).float()
    return nll.mean((0, 2, 3)), square, first.mean((0, 2, 3))
