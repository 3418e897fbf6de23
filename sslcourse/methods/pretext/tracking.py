"""Tracking: the same thing, seen twice by a tracker, is closer to itself than to anything else."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sslcourse.data.images import Data
from sslcourse.methods.method import Method, Paper
from sslcourse.methods.parts.gathered import gather, rank
from sslcourse.methods.parts.precision import full_precision, promoted
from sslcourse.nets import Encoder
from sslcourse.views import ColourJitter, luminance, resized_crop


class Tracking(Method):
    """Patches that move are tracked through each clip; the first and the last of a track must embed alike.

    L = mean over x of sum_k max(0, D(x, x+) - D(x, x-_k) + M), D = 1 - cosine, x and x+ the two ends
    of one track (or two of its places `apart` frames from each other), x- the `negatives` patches of other
    tracks in the batch: at random until `progress` reaches `hard_after`, then those with the largest loss.
    `prepare` finds the patch that moves most against the background and follows it by normalised
    cross-correlation, from pixels alone. `jitter`: strength of the colour jitter of each patch (0: none, as in the
    paper), for light and floor give a clip away. `index` must be rows of data.train: the tracks are those of its
    clips. `kept`: the encoder before the embedding. It learns from patches, enlarged to the size of the frames.

    Symbols: X, X+, X- (x, x+, x- here) -> `x`, `positive`, the columns `minus` of D; M -> `margin`, K -> `negatives`.
    Differs: the paper finds patches by SURF points and follows them by a KCF tracker, and 10 of its epochs are
    random. Any encoder and a linear map to `dim`, where theirs is AlexNet.
    """

    name = "tracking"
    chapter = "pretext"
    clips = True
    paper = Paper(
        "Unsupervised Learning of Visual Representations Using Videos", "Wang, Gupta", "ICCV", 2015,
        "1505.00687",
    )  # fmt: skip

    def __init__(
        self,
        encoder: Encoder,
        *,
        size: int = 64,
        n_clips: int = 800,
        frames: int = 8,
        share: float = 0.3125,
        dim: int = 128,
        margin: float = 0.5,
        negatives: int = 4,
        hard_after: float = 0.3,
        apart: int = 0,
        jitter: float = 0.0,
    ):
        super().__init__(encoder)
        self.size, self.n_clips, self.frames, self.share, self.dim = size, n_clips, frames, share, dim
        self.margin, self.negatives, self.hard_after = margin, negatives, hard_after
        self.apart, self.jitter = apart, jitter
        self.patch = max(4, round(share * size))
        self.view = ColourJitter(jitter, jitter, jitter, jitter / 4, p=1.0) if jitter else None
        self.embedding = nn.Linear(encoder.dim, dim)
        self.register_buffer("tracks", torch.zeros(n_clips, frames, 2))

    @classmethod
    def arguments_from(cls, data: Data) -> dict:
        n, frames = data.train.images.shape[:2]
        return {"size": data.size, "n_clips": n, "frames": frames}

    def prepare(self, data: Data) -> None:
        """A track for every training clip: the top and left of its patch in each frame."""
        for rows in torch.arange(self.n_clips).split(50):
            clips = data.train.floats(rows).to(self.tracks.device)
            grey = luminance(clips.flatten(0, 1)).view(len(rows), self.frames, self.size, self.size)
            self.tracks[rows] = track(grey, most_moving(grey, self.patch), self.patch).to(self.tracks)

    def patches(self, images: Tensor, index: Tensor, t: Tensor) -> Tensor:
        """What the track of each clip shows at time t (B,): clips (B, T, 3, H, W) -> (B, 3, H, W)."""
        rows = torch.arange(len(images), device=images.device)
        corner = self.tracks[index, t]  # (B, 2)
        boxes = torch.cat([corner, torch.full_like(corner, self.patch)], 1)
        with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
            x = resized_crop(images[rows, t], boxes, self.size).clamp(0, 1)
        return self.view(x) if self.view else x

    def loss(
        self, images: Tensor, index: Tensor | None = None, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        B, last = len(images), self.frames - 1
        t = torch.zeros(B, dtype=torch.long, device=images.device)
        if self.apart:  # not the whole track, but two of its places `apart` frames from each other
            t = torch.randint(self.frames - self.apart, (B,), device=images.device)
        later = t + (self.apart or last)
        x = torch.cat([self.patches(images, index, t), self.patches(images, index, later)])
        z = F.normalize(promoted(self.embedding(self.encoder(x))), dim=1)
        loss, accuracy = triplets(
            z[:B], z[B:], self.margin, self.negatives, hard=self.progress >= self.hard_after
        )
        return {"loss": loss, "accuracy": accuracy}


@full_precision
def triplets(x: Tensor, positive: Tensor, margin: float, k: int, hard: bool) -> tuple[Tensor, Tensor]:
    """The ranking loss of unit vectors x and x+ (B, D), and how often x+ is nearer than every other x+.

    The negatives of a row are the other rows of `positive`, of all processes: k of them, at random or those nearest to x.
    """
    x_pos = gather(positive)  # (N, D), of all processes
    D = 1 - x @ x_pos.T  # (B, N): D(x_i, x+_j)
    plus = torch.arange(len(x), device=x.device) + rank() * len(x)  # (B,): columns of x+
    itself = F.one_hot(plus, len(x_pos)).bool()
    key = D.detach() if hard else torch.rand_like(D)
    minus = key.masked_fill(itself, torch.inf).topk(min(k, len(x_pos) - 1), dim=1, largest=False).indices
    loss = (D.gather(1, plus[:, None]) - D.gather(1, minus) + margin).clamp(min=0).sum(1).mean()
    return loss, (D.argmin(1) == plus).float().mean()


def most_moving(grey: Tensor, patch: int, reach: int = 6) -> Tensor:
    """Where in frame 0 most moves: clips (B, T, H, W) -> top and left (B, 2) of a patch.

    The camera's motion from frame 0 to frame 1 is the shift of at most `reach` pixels with the least median
    difference; what then still differs, moves.
    """
    a, b = grey[:, 0], grey[:, 1]
    reach = min(reach, grey.shape[-1] // 8)
    padded = F.pad(b[:, None], (reach,) * 4, mode="replicate")[:, 0]
    H, W = a.shape[1:]
    steps = range(2 * reach + 1)
    residue = torch.stack([(padded[:, i : i + H, j : j + W] - a).abs() for i in steps for j in steps], 1)
    best = residue.flatten(2).median(2).values.argmin(1)  # (B, S, H, W) -> (B, S, H * W) -> (B,)
    left_over = residue[torch.arange(len(a), device=a.device), best]  # (B, H, W)
    shift = torch.stack([best // (2 * reach + 1), best % (2 * reach + 1)], 1) - reach  # (B, 2)
    y, x = (torch.arange(n, device=a.device) + shift[:, i, None] for i, n in ((0, H), (1, W)))
    seen = ((y >= 0) & (y < H))[:, :, None] & ((x >= 0) & (x < W))[:, None]  # not what the padding made up
    left_over = left_over * seen
    total = F.avg_pool2d(left_over[:, None], patch, 1)[:, 0]  # (B, H - P + 1, W - P + 1)
    place = total.flatten(1).argmax(1)
    return torch.stack([place // total.shape[2], place % total.shape[2]], 1)


def track(grey: Tensor, start: Tensor, patch: int, reach: int = 6) -> Tensor:
    """Follow a patch: clips (B, T, H, W), start (B, 2) top and left in frame 0 -> (B, T, 2).

    In each next frame the patch goes where, at most `reach` pixels from its place, it correlates best with
    what it showed in the frame before (both less their mean and divided by their deviation). It never
    leaves the image.
    """
    B, T = grey.shape[:2]
    rows, offset = torch.arange(B, device=grey.device), torch.arange(patch, device=grey.device)
    places = [start]
    for t in range(1, T):
        top, left = places[-1].unbind(1)
        y, x = top[:, None] + offset, left[:, None] + offset  # (B, P)
        template = grey[rows[:, None, None], t - 1, y[:, :, None], x[:, None]]  # (B, P, P)
        template = template - template.mean((1, 2), keepdim=True)
        frame = grey[None, :, t]  # (1, B, H, W): one group of channels a clip
        dot = F.conv2d(frame, template[:, None], groups=B)[0]  # (B, H - P + 1, W - P + 1)
        mean, square = (F.avg_pool2d(v, patch, 1)[0] for v in (frame, frame.square()))
        ncc = dot / (square - mean.square()).clamp(min=1e-6).sqrt()  # the template's own deviation is common
        down = (torch.arange(ncc.shape[1], device=grey.device) - top[:, None]).abs() <= reach
        right = (torch.arange(ncc.shape[2], device=grey.device) - left[:, None]).abs() <= reach
        ncc = ncc.masked_fill(~(down[:, :, None] & right[:, None]), -torch.inf)
        best = ncc.flatten(1).argmax(1)
        places.append(torch.stack([best // ncc.shape[2], best % ncc.shape[2]], 1))
    return torch.stack(places, 1)
