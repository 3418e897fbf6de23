"""DetCon: contrast segments instead of images, each with the same segment in the other view."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sslcourse.data.images import Data
from sslcourse.errors import UserError
from sslcourse.methods.method import Method, Paper
from sslcourse.methods.parts.gathered import gather, global_mean, rank
from sslcourse.methods.parts.momentum import follow, momentum_copy, rising
from sslcourse.methods.parts.precision import full_precision
from sslcourse.methods.parts.segments import HOW, majority, segmentation
from sslcourse.nets import Encoder, projection_head
from sslcourse.views import Compose, RandomResizedCrop, byol_views, resized_crop, simclr_view


@full_precision
def detcon_loss(p: Tensor, z: Tensor, z_other: Tensor, ids: Tensor, ids_other: Tensor, tau: float):
    """One direction of the loss, equation (3), and how often a segment's nearest is itself in the other view.

    p (B, M, D): M segments drawn from each image's one view; z and z_other (B, M, D): targets of its one and
    its other view; ids and ids_other (B, M): which segments these are. A positive has the same id in the
    other view, is weighted by one over their number; negatives are all other segments of both views of all
    processes' images, except those of the same id in the own view. Each row counts 1 / (how often its id was
    drawn), and 0 where the other view lacks the id: (1 / BM) sum_m w_m CE_m.
    """
    p, z, z_other = (F.normalize(x, dim=2) for x in (p, z, z_other))
    targets = torch.cat([gather(z_other), gather(z)])  # (2N, M, D), N images over all processes
    logits = torch.einsum("bmd,nkd->bmnk", p, targets) / tau  # (B, M, 2N, M)
    i, N = torch.arange(len(p), device=p.device), len(targets) // 2
    j = i + rank() * len(p)  # this process's images among all
    positive, same = ids[:, :, None] == ids_other[:, None], ids[:, :, None] == ids[:, None]  # (B, M, M)
    is_positive = torch.zeros_like(logits, dtype=torch.bool)
    is_same = is_positive.clone()
    is_positive[i, :, j], is_same[i, :, j + N] = positive, same
    count = positive.sum(2)  # (B, M)
    l_pos = (logits[i, :, j] * positive).sum(2) / count.clamp(min=1)  # (B, M, M) -> (B, M)
    logits = logits.masked_fill(is_same, -torch.inf).flatten(2)  # (B, M, 2N, M) -> (B, M, 2N * M)
    w = (count > 0).to(logits.dtype) / same.sum(2)
    CE = logits.logsumexp(2) - l_pos  # -log(exp l+ / sum exp l), with l+ the mean over positives
    found = is_positive.flatten(2).gather(2, logits.argmax(2, keepdim=True))[:, :, 0]  # (B, M)
    return (w * CE).mean(), global_mean(found.to(w.dtype), w)


class DetCon(Method):
    """Features pooled over a segment must find the same segment in the other view, among all of the batch.

    L = both directions of `detcon_loss`, summed as in the authors' code. `prepare` segments all images once;
    a crop and a flip are done to image and segments alike. Each place of the feature map belongs to the
    segment most of whose pixels lie there; of those present `segments` are drawn with replacement from each
    view. `kind`: "B", with BYOL's predictor, views and slow target network (momentum m -> 1 along a cosine),
    or "S", with SimCLR's views and one network for both. `masks`: "slic" superpixels stand in for the
    paper's "felzenszwalb", which needs scikit-image; "grid", its baseline; "objects", the data's own
    instances, an oracle. `cells`: to a side, of grid and slic; `scale` and `min_size`: felzenszwalb's at 224
    px. `hidden`, `dim` 0: 4096 and 256 for B, 2048 and 128 for S. `kept`: the online encoder.

    A step: two views, segments of each; p and z; loss; optimiser; for B the target follows, with the m of this step.
    Symbols: f_theta, g_theta, q_theta -> `encoder`, `projector`, `predictor`; f_xi, g_xi -> `target`; h_m -> `h`; v_m
    -> `p`, v'_m' -> `z`; tau -> `temperature`; xi's momentum -> `momentum` at the start; m, m' -> `ids`.
    Differs: superpixels are SLIC's unless told otherwise, and are cut at the images' own size (`scale` and `min_size`
    shrink with the area). The map is the encoder's last, whatever its side (the paper's is 7x7, of a ResNet). At most
    256 segments an image are told apart. No blur at 32 px or less.
    """

    name = "detcon"
    chapter = "contrastive"
    paper = Paper(
        "Efficient Visual Pretraining with Contrastive Detection",
        "Henaff, Koppula, Alayrac, van den Oord, Vinyals, Carreira", "ICCV", 2021, "2103.10957",
    )  # fmt: skip

    def __init__(
        self,
        encoder: Encoder,
        *,
        images: int = 50000,
        size: int = 32,
        kind: str = "B",
        masks: str = "slic",
        segments: int = 16,
        cells: int = 4,
        scale: float = 1000.0,
        min_size: float = 1000.0,
        temperature: float = 0.1,
        momentum: float = 0.996,
        hidden: int = 0,
        dim: int = 0,
        min_scale: float = 0.08,
    ):
        if kind not in ("B", "S"):
            raise UserError(f"detcon is of kind 'B' or 'S', not {kind!r}")
        if masks not in HOW:
            raise UserError(f"detcon has no masks {masks!r}: choose from {', '.join(HOW)}")
        super().__init__(encoder)
        self.images, self.size, self.kind, self.masks, self.segments = images, size, kind, masks, segments
        self.cells, self.scale, self.min_size, self.temperature = cells, scale, min_size, temperature
        self.momentum, self.hidden, self.dim, self.min_scale = momentum, hidden, dim, min_scale
        self.crop = RandomResizedCrop(None, (min_scale, 1.0), flip=0.5)
        views = byol_views(None, blur=size > 32) if kind == "B" else [simclr_view(None, blur=size > 32)] * 2
        self.looks = [Compose(view.views[1:]) for view in views]  # all that comes after the crop
        hidden, dim = hidden or {"B": 4096, "S": 2048}[kind], dim or {"B": 256, "S": 128}[kind]
        self.projector = projection_head(encoder.dim, hidden, dim, last_norm=False)
        if kind == "B":
            self.predictor = projection_head(dim, hidden, dim, last_norm=False)
            self.target = momentum_copy(nn.ModuleList([encoder, self.projector]))
        self.register_buffer("segmented", torch.zeros(images, size, size, dtype=torch.uint8))

    @classmethod
    def arguments_from(cls, data: Data) -> dict:
        return {"images": len(data.train), "size": data.size}

    def prepare(self, data: Data) -> None:
        self.segmented.copy_(segmentation(data.train, self.masks, self.cells, self.scale, self.min_size))

    def view(self, images: Tensor, maps: Tensor, look: Compose) -> tuple[Tensor, Tensor]:
        """One crop and flip of both: images (B, 3, H, W), maps (B, H, W) -> the same shapes; maps int64."""
        with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
            boxes, flips = self.crop.draw(images, None)
            maps = resized_crop(maps[:, None].to(images.dtype), boxes, self.size, flips, nearest=True)
            images = self.crop.apply(images, boxes, flips)
        return look(images), maps[:, 0].long()

    def draw(self, places: Tensor) -> Tensor:
        """Segments that are present, each equally likely: (B, T) -> (B, M), with replacement."""
        present = torch.zeros(len(places), 256, device=places.device).scatter(1, places, 1.0)
        return torch.multinomial(present, self.segments, replacement=True)

    def projected(self, h: Tensor, places: Tensor, ids: Tensor, projector: nn.Module) -> Tensor:
        """Segments' projected means: tokens h (B, T, C), places (B, T), ids (B, M) -> (B, M, dim)."""
        member = (places[:, None] == ids[:, :, None]).to(h.dtype)  # (B, M, T)
        h = member @ h / member.sum(2, keepdim=True)  # (B, M, C)
        return projector(h.flatten(0, 1)).view(*ids.shape, -1)  # (B, M, C) -> (B * M, dim) -> (B, M, dim)

    def loss(
        self, images: Tensor, index: Tensor | None = None, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        views = [self.view(images, self.segmented[index], look) for look in self.looks]
        x, maps = (torch.cat(both) for both in zip(*views, strict=True))  # (2B, 3, H, W), (2B, H, W)
        h = self.encoder.tokens(x)  # (2B, T, C)
        places = majority(maps, math.isqrt(h.shape[1]))
        ids = self.draw(places)
        p = z = self.projected(h, places, ids, self.projector)
        if self.kind == "B":
            p = self.predictor(z.flatten(0, 1)).view_as(z)  # (2B, M, dim) -> (2B * M, dim) -> back
            with torch.no_grad():
                encoder, projector = self.target
                z = self.projected(encoder.tokens(x), places, ids, projector)
        (p1, p2), (z1, z2), (ids1, ids2) = p.chunk(2), z.chunk(2), ids.chunk(2)
        first, found1 = detcon_loss(p1, z1, z2, ids1, ids2, self.temperature)
        second, found2 = detcon_loss(p2, z2, z1, ids2, ids1, self.temperature)
        return {"loss": first + second, "accuracy": (found1 + found2) / 2}

    def after_step(self) -> None:
        if self.kind == "B":
            m = rising(self.momentum, self.progress)
            for slow, online in zip(self.target, (self.encoder, self.projector), strict=True):
                follow(slow, online, m)
