"""Egomotion: see from two frames how the camera moved between them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sslcourse.data.images import Data
from sslcourse.errors import UserError
from sslcourse.methods.method import Method, Paper
from sslcourse.methods.parts.precision import promoted
from sslcourse.nets import Encoder
from sslcourse.nets.dense import map_shape

CAMERA = ("camera_azimuth", "camera_elevation", "camera_distance")


class Egomotion(Method):
    """Two frames of a clip through the same encoder; small heads on both say by how much the camera moved.

    Each of the three motions is a class among `bins` of equal frequency, so that chance is log(bins) each.
    The loss is their mean. `prepare` copies the factors camera_* into the buffer `camera`: like the paper's odometry
    they are measured, not annotated, and no other factor is looked at. From each clip `seen` frames are encoded and
    compared in all ordered pairs (2 is the paper's; more are cheap, for the encoder runs once a frame). `index` must
    be rows of data.train. `kept`: one of the two equal encoders; the heads that compare their last maps are thrown
    away.

    Symbols: the paper's base net (BCNN) -> `encoder`, its top net (TCNN) -> `compare` and `heads`.
    Differs: the paper's camera is on a car and moves along two axes and yaws. A Toybox camera moves about its toys:
    the three motions are its azimuth, its elevation and the logarithm of its distance (it does not roll in a clip).
    How theirs spaces its 20 bins is not known to us.
    """

    name = "egomotion"
    chapter = "pretext"
    clips = True
    paper = Paper(
        "Learning to See by Moving", "Agrawal, Carreira, Malik", "ICCV", 2015, "1505.01596",
    )  # fmt: skip

    def __init__(
        self,
        encoder: Encoder,
        *,
        size: int = 64,
        n_clips: int = 800,
        frames: int = 8,
        bins: int = 20,
        seen: int = 2,
        hidden: int = 256,
    ):
        super().__init__(encoder)
        self.size, self.n_clips, self.frames, self.bins = size, n_clips, frames, bins
        self.seen, self.hidden = min(seen, frames), hidden
        D, h, w = map_shape(encoder, size)
        self.compare = nn.Sequential(
            nn.Conv2d(2 * D, D, 3, padding=1, bias=False), nn.BatchNorm2d(D), nn.ReLU(), nn.Flatten(),
            nn.Linear(D * h * w, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU(),
        )  # fmt: skip
        self.heads = nn.Linear(hidden, len(CAMERA) * bins)
        for name, value in zip(("earlier", "later"), pairs(self.seen), strict=True):
            self.register_buffer(name, value, persistent=False)
        self.register_buffer("camera", torch.zeros(n_clips, frames, len(CAMERA)))
        self.register_buffer("edges", torch.zeros(len(CAMERA), bins - 1))

    @classmethod
    def arguments_from(cls, data: Data) -> dict:
        n, frames = data.train.images.shape[:2]
        return {"size": data.size, "n_clips": n, "frames": frames}

    def prepare(self, data: Data) -> None:
        """The camera of every training frame, and the edges of equally frequent bins."""
        missing = [name for name in CAMERA if name not in data.train.factors]
        if missing:
            raise UserError(
                f"egomotion on {data.name}: no factor {missing[0]}; "
                "use clips that know their camera: toybox-video"
            )
        azimuth, elevation, distance = (data.train.factors[name].cpu().double() for name in CAMERA)
        camera = torch.stack([azimuth, elevation, distance.log()], 2)  # (N, T) each -> (N, T, 3)
        self.camera.copy_(camera - camera.mean(1, keepdim=True))  # only differences matter: keep them exact
        a, b = pairs(self.frames)
        moves = (camera[:, b] - camera[:, a]).flatten(0, 1)  # (N, P, 3) -> (N * P, 3)
        share = torch.linspace(0, 1, self.bins + 1, dtype=torch.double)[1:-1]
        moves = moves.sort(0).values
        self.edges.copy_(moves[(share * (len(moves) - 1)).round().long()].T)

    def classes(self, index: Tensor, a: Tensor, b: Tensor) -> Tensor:
        """Bins of the motion from frames a (B, P) to b (B, P) of the clips `index` (B,): (B, P, 3)."""
        moved = self.camera[index[:, None], b] - self.camera[index[:, None], a]  # (B, P, 3)
        return (moved[..., None] > self.edges).sum(-1)  # (B, P, 3, bins - 1) -> (B, P, 3)

    def logits(self, before: Tensor, after: Tensor) -> Tensor:
        """The encoder's last maps of two frames (B, D, h, w) -> (B, 3, bins)."""
        return self.heads(self.compare(torch.cat([before, after], 1))).unflatten(1, (len(CAMERA), self.bins))

    def loss(
        self, images: Tensor, index: Tensor | None = None, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        B, device = len(images), images.device
        t = torch.rand(B, self.frames, device=device).argsort(1)[:, : self.seen]  # (B, seen), all different
        frames = images[torch.arange(B, device=device)[:, None], t]  # (B, seen, 3, H, W)
        maps = self.encoder.final_map(frames.flatten(0, 1)).unflatten(0, (B, self.seen))  # (B, seen, D, h, w)
        a, b = self.earlier, self.later
        y = self.classes(index, t[:, a], t[:, b]).flatten(0, 1)  # (B, P, 3) -> (B * P, 3)
        logits = self.logits(maps[:, a].flatten(0, 1), maps[:, b].flatten(0, 1))  # (B * P, 3, bins)
        off = (logits.argmax(2) - y).abs().float()
        logits = promoted(logits.flatten(0, 1))  # (B * P, 3, bins) -> (B * P * 3, bins)
        loss = F.cross_entropy(logits, y.flatten())  # (B * P, 3) -> (B * P * 3,)
        return {"loss": loss, "accuracy": (off == 0).float().mean(), "bins_off": off.mean()}


def pairs(frames: int) -> tuple[Tensor, Tensor]:
    """All ordered pairs of different frames: (P,), (P,)."""
    a, b = torch.meshgrid(torch.arange(frames), torch.arange(frames), indexing="ij")
    return a[a != b], b[a != b]
