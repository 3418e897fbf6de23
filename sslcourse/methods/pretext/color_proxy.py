"""Colourisation as a proxy task: histograms of hue and chroma at a few points of a grey image."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sslcourse.data.images import Data
from sslcourse.errors import UserError
from sslcourse.methods.method import Method, Paper
from sslcourse.methods.parts.precision import promoted
from sslcourse.nets import Channels, Encoder
from sslcourse.nets.dense import hypercolumns, widths
from sslcourse.views import weak_view


def hue_chroma(images: Tensor) -> tuple[Tensor, Tensor]:
    """Hue in [0, 1) turns of the colour circle and chroma (largest less smallest channel) in [0, 1]: (B, H, W).

    images (B, 3, H, W). Red is 0, green 1/3, blue 2/3; the hue of a grey is 0 and means nothing.
    """
    red, green, blue = images.unbind(1)
    largest, which = images.max(1)
    chroma = largest - images.amin(1)
    sides = torch.stack([green - blue, blue - red, red - green], 1)  # (B, 3, H, W): beside the largest
    side = sides.gather(1, which[:, None])[:, 0] / chroma.clamp(min=1e-6)  # (B, 1, H, W) -> (B, H, W)
    return (side / 6 + which / 3) % 1.0, chroma


def histograms(values: Tensor, bins: int, window: int, weights: Tensor | None = None) -> Tensor:
    """Values (B, H, W) in [0, 1] -> the histogram around every pixel: (B, bins, H, W), each sums to 1.

    `window` x `window` pixels, fewer at the border, count equally or by `weights` (B, H, W).
    """
    bin_of = (values * bins).long().clamp(0, bins - 1)
    votes = F.one_hot(bin_of, bins).permute(0, 3, 1, 2).to(values.dtype)  # (B, H, W, bins) -> (B, bins, H, W)
    votes = votes if weights is None else votes * weights[:, None]
    sums = F.avg_pool2d(votes, window, 1, window // 2)
    return sums / sums.sum(1, keepdim=True).clamp(min=1e-12)


class ColorProxy(Method):
    """From a grey image, the mean of red, green and blue, to histograms of hue and chroma at random points.

    L = KL(chroma) + lambda_H c KL(hue), a mean over points; KL from the histogram of the true colours in a
    `window` around the point to the predicted one, c the chroma at the point: a grey has no hue. The net's layers
    are read at `points` random pixels of each image only, as hypercolumns, by one hidden layer.
    `kept`: the encoder, which goes on seeing nothing but grey.

    Symbols: c -> `chroma`, lambda_H -> `lambda_H`; the true and the predicted histograms -> `true_hue` and `of_hue`,
    and so for the chroma.
    Differs: each pixel votes for its hue with its chroma, for the same reason. 32 bins as in the paper, its code has
    8. Images are shifted and mirrored at their edges, where the authors crop larger ones.
    """

    name = "color_proxy"
    chapter = "pretext"
    paper = Paper(
        "Colorization as a Proxy Task for Visual Understanding",
        "Larsson, Maire, Shakhnarovich", "CVPR", 2017, "1703.04044",
    )  # fmt: skip

    def __init__(
        self,
        encoder: Encoder,
        *,
        size: int = 32,
        bins: int = 32,
        window: int = 7,
        points: int = 128,
        lambda_H: float = 5.0,
        hidden: int = 128,
    ):
        if window % 2 == 0:
            raise UserError(f"color_proxy window {window}: use an odd number, so that it has a middle")
        super().__init__(Channels.of(encoder, "grey"))
        self.size, self.bins, self.window, self.points = size, bins, window, points
        self.lambda_H, self.hidden = lambda_H, hidden
        self.view = weak_view(mode="reflect")
        self.project = nn.Linear(sum(widths(self.encoder, size)), hidden, bias=False)
        self.norm = nn.BatchNorm1d(hidden)
        self.read = nn.Linear(hidden, 2 * bins)

    @classmethod
    def arguments_from(cls, data: Data) -> dict:
        return {"size": data.size}

    def predict(self, images: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of the chroma's and the hue's histogram at points (B, N, 2) of -1..1: (B, N, bins) each."""
        columns = hypercolumns(self.encoder.layers(images), points)  # (B, N, C)
        x = self.norm(self.project(columns).flatten(0, 1))  # (B, N, hidden) -> (B * N, hidden)
        logits = self.read(F.relu(x)).unflatten(0, points.shape[:2])  # (B * N, 2 bins) -> (B, N, 2 bins)
        return logits.chunk(2, 2)

    def loss(
        self, images: Tensor, index: Tensor | None = None, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        images = self.view(images)
        B, _, H, W = images.shape
        place = torch.randint(H * W, (B, self.points), device=images.device)  # row-major
        points = torch.stack([(place % W + 0.5) / W, (place // W + 0.5) / H], 2) * 2 - 1  # (B, N, 2)
        hue, chroma = hue_chroma(images)

        def at(x: Tensor) -> Tensor:
            """(B, K, H, W) -> (B, N, K)"""
            return x.flatten(2).gather(2, place[:, None].expand(-1, x.shape[1], -1)).transpose(1, 2)

        true_chroma = at(histograms(chroma, self.bins, self.window))
        true_hue = at(histograms(hue, self.bins, self.window, weights=chroma))
        of_chroma, of_hue = (promoted(logits).log_softmax(2) for logits in self.predict(images, points))
        kl_chroma = F.kl_div(of_chroma, true_chroma, reduction="none").sum(2).mean()
        kl_hue = (at(chroma[:, None])[..., 0] * F.kl_div(of_hue, true_hue, reduction="none").sum(2)).mean()
        return {
            "loss": kl_chroma + self.lambda_H * kl_hue,
            "chroma": kl_chroma.detach(),
            "hue": kl_hue.detach(),
        }
