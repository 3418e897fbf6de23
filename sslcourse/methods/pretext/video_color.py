"""Video colourisation: copy colours from earlier frames, and tracking emerges."""

from __future__ import annotations

import torch
from sklearn.cluster import KMeans
from torch import Tensor, nn
from torch.nn import functional as F

from sslcourse.data.images import Data
from sslcourse.errors import UserError
from sslcourse.methods.method import Method, Paper
from sslcourse.methods.parts.gathered import global_mean
from sslcourse.methods.parts.precision import full_precision
from sslcourse.nets import Encoder
from sslcourse.nets.channels import Channels
from sslcourse.nets.dense import DenseHead
from sslcourse.views.lab import rgb_to_lab


@full_precision
def pointer(references: Tensor, target: Tensor, temperature: float = 1.0) -> Tensor:
    """A (B, R * h * w, h * w): how much each pixel of the target points at each pixel of all references.

    references (B, R, d, h, w), target (B, d, h, w): A_ij = exp(f_i . f_j / tau) / sum_k exp(f_k . f_j /
    tau), where k runs over the pixels of all R frames together. Embeddings are not normalised.
    """
    f_i = references.permute(0, 1, 3, 4, 2).flatten(1, 3)  # (B, R, d, h, w) -> (B, R * h * w, d)
    f_j = target.flatten(2)  # (B, d, h, w) -> (B, d, h * w)
    return (f_i @ f_j / temperature).softmax(1)


@full_precision
def copied(A: Tensor, values: Tensor) -> Tensor:
    """y_j = sum_i A_ij c_i: A (B, R * h * w, h * w), values (B, R, C, h, w) -> (B, C, h, w)."""
    c_i = values.transpose(1, 2).flatten(2)  # (B, R, C, h, w) -> (B, C, R * h * w)
    return (c_i @ A).unflatten(2, values.shape[-2:])  # (B, C, h * w) -> (B, C, h, w)


class VideoColor(Method):
    """Colour a grey frame by pointing into `references` earlier frames, and copying their colours.

    A run of references + 1 frames is drawn from each clip. All of them enter in grey (each with its own brightness
    and contrast, `jitter`, so that equal grey is no reason to point); f is their embedding, one for every `stride`
    pixels, with the (x, y) of its place joined in before its last layers (`coordinates`). The target's colour is
    y_j = sum_i A_ij c_i (1), A of (2) (see `pointer`), with c the `colours` k-means clusters of Lab's ab, and
    L = -mean_j log y_j[c_j]: chance is about log of the effective number of colours in a clip. The net is never told
    what an object is: A, trained to copy colours, copies masks (evaluate.propagation).
    `kept`: the encoder behind its grey input; the layers that read its maps out to stride 4 are thrown
    away.

    Symbols: f, A, c, y -> `f`, `A`, `c`, `y`, one-hot c_i -> `c_i`; tau -> `temperature`, which (2) has not.
    Differs: the paper's five 3-D convolutions after the frames' own are one 2-D layer here; the jitter is ours; a
    pixel whose colour no reference has does not count.
    """

    name = "video_color"
    chapter = "pretext"
    clips = True
    paper = Paper(
        "Tracking Emerges by Colorizing Videos",
        "Vondrick, Shrivastava, Fathi, Guadarrama, Murphy", "ECCV", 2018, "1806.09594",
    )  # fmt: skip

    def __init__(
        self,
        encoder: Encoder,
        *,
        size: int = 64,
        references: int = 3,
        colours: int = 16,
        dim: int = 64,
        stride: int = 4,
        coordinates: bool = True,
        jitter: float = 0.2,
        temperature: float = 1.0,
    ):
        super().__init__(Channels.of(encoder, "L"))
        self.size, self.references, self.colours, self.dim, self.stride = (
            size, references, colours, dim, stride,
        )  # fmt: skip
        self.coordinates, self.jitter, self.temperature = coordinates, jitter, temperature
        self.maps = DenseHead(self.encoder, dim, size, stride=stride)
        self.norm = nn.BatchNorm2d(dim)
        self.mix = nn.Sequential(
            nn.Conv2d(dim + 2 * coordinates, dim, 3, padding=1, bias=False), nn.BatchNorm2d(dim), nn.ReLU(),
            nn.Conv2d(dim, dim, 1),
        )  # fmt: skip
        self.register_buffer("centres", torch.zeros(colours, 2))

    @classmethod
    def arguments_from(cls, data: Data) -> dict:
        return {"size": data.size}

    def prepare(self, data: Data) -> None:
        """k-means on the ab of pixels of the training clips, the same in every process."""
        T = data.train.images.shape[1]
        if T <= self.references:
            raise UserError(
                f"video_color with references={self.references} on {data.name}: clips have {T} frames; "
                f"use references={T - 1} or fewer"
            )
        rows = torch.linspace(0, len(data.train) - 1, min(len(data.train), 256)).long()
        ab = self.small_ab(data.train.floats(rows)[:, ::3].to(self.centres.device))  # (M, T, 2, h, w)
        ab = ab.movedim(2, 4).flatten(0, 3).cpu()  # (M, T, 2, h, w) -> (M * T * h * w, 2)
        ab = ab[torch.linspace(0, len(ab) - 1, min(len(ab), 20_000)).long()]
        found = KMeans(self.colours, n_init=3, random_state=0).fit(ab.numpy()).cluster_centers_
        self.centres.copy_(torch.from_numpy(found))

    def small_ab(self, frames: Tensor) -> Tensor:
        """Colour at the pointer's resolution: (B, T, 3, H, W) -> ab (B, T, 2, h, w)."""
        small = F.avg_pool2d(frames.flatten(0, 1), self.stride)  # (B, T, 3, H, W) -> (B * T, 3, h, w)
        return rgb_to_lab(small)[:, 1:].unflatten(0, frames.shape[:2])  # (B * T, 2, h, w) -> (B, T, 2, h, w)

    def quantise(self, frames: Tensor) -> Tensor:
        """The nearest colour cluster: (B, T, 3, H, W) -> (B, T, h, w) int64."""
        ab = self.small_ab(frames).movedim(2, 4)  # (B, T, 2, h, w) -> (B, T, h, w, 2)
        return torch.cdist(ab.flatten(1, 3), self.centres).argmin(2).view(ab.shape[:4])

    def embed(self, frames: Tensor) -> Tensor:
        """f, of grey frames: (B, T, 3, H, W) -> (B, T, d, h, w)."""
        x = self.maps(self.encoder.layers(frames.flatten(0, 1)))  # (B, T, 3, H, W) -> (B * T, d, h, w)
        x = F.relu(self.norm(x))
        if self.coordinates:
            x = torch.cat([x, places(x)], 1)
        return self.mix(x).unflatten(0, frames.shape[:2])  # (B * T, d, h, w) -> (B, T, d, h, w)

    def jittered(self, frames: Tensor) -> Tensor:
        """Brightness and contrast by a random factor for each frame: (B, T, 3, H, W), same shape."""
        draw = torch.rand((2, *frames.shape[:2], 1, 1, 1), device=frames.device)
        gain, shift = (draw * 2 - 1) * self.jitter  # (B, T, 1, 1, 1) each, U(-jitter, jitter)
        return ((frames - 0.5) * (1 + gain) + 0.5 + shift).clamp(0, 1)

    def loss(
        self, images: Tensor, index: Tensor | None = None, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        B, T = images.shape[:2]
        run = torch.arange(self.references + 1, device=images.device)
        first = torch.randint(T - self.references, (B, 1), device=images.device)
        frames = images[torch.arange(B, device=images.device)[:, None], first + run]  # (B, R + 1, 3, H, W)
        c = self.quantise(frames)  # (B, R + 1, h, w)
        f = self.embed(self.jittered(frames))
        A = pointer(f[:, :-1], f[:, -1], self.temperature)
        c_i = F.one_hot(c[:, :-1], self.colours).movedim(4, 2).to(A.dtype)  # (B, R, h, w) -> (B, R, C, h, w)
        y, c_j = copied(A, c_i), c[:, -1]  # (B, C, h, w), (B, h, w)
        y_c = y.gather(1, c_j[:, None])[:, 0]  # y_j[c_j]: (B, C, h, w) -> (B, h, w)
        # A colour that no reference has cannot be copied: y is 0, whatever A, and the pixel does not count.
        possible = c_i.amax((1, 3, 4)).gather(1, c_j.flatten(1)).view(c_j.shape)  # (B, C) -> (B, h, w)
        loss = global_mean(-y_c.clamp(min=1e-30).log(), possible)
        return {"loss": loss, "accuracy": (y.argmax(1) == c_j).float().mean()}


def places(x: Tensor) -> Tensor:
    """The (x, y) of every pixel in [-1, 1]: (B, C, h, w) -> (B, 2, h, w)."""
    down, right = (torch.linspace(-1, 1, n, device=x.device, dtype=x.dtype) for n in x.shape[-2:])
    return torch.stack(torch.meshgrid(right, down, indexing="xy")).expand(len(x), -1, -1, -1)
