"""MoCo: a query must find its key among the keys of the last steps, which a slow encoder has made."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sslcourse.data.images import Data
from sslcourse.errors import UserError
from sslcourse.methods.method import Method, Paper
from sslcourse.methods.parts.bank import Queue
from sslcourse.methods.parts.blurs import blurs
from sslcourse.methods.parts.gathered import gather, world_size
from sslcourse.methods.parts.grouped import grouped
from sslcourse.methods.parts.info_nce import info_nce
from sslcourse.methods.parts.momentum import follow, momentum_copy
from sslcourse.nets import Encoder
from sslcourse.views import Compose, moco_v1_view, moco_v2_view


def projection(kind: str, inputs: int, dim: int) -> nn.Module:
    """The projection of v1 ("linear") or of v2 ("mlp", as wide as its input), without batch norm."""
    if kind not in ("linear", "mlp"):
        raise UserError(f"head {kind!r} of MoCo: choose linear or mlp")
    last = nn.Linear(inputs, dim)
    return last if kind == "linear" else nn.Sequential(nn.Linear(inputs, inputs), nn.ReLU(inplace=True), last)


def crops(kind: str, min_scale: float, blur: bool, hue: float) -> Compose:
    """The views of "v1", which never blurs and has a hue of its own, or "v2", at the images' own size."""
    if kind not in ("v1", "v2"):
        raise UserError(f"views {kind!r} of MoCo: choose v1 or v2")
    return moco_v1_view(None, min_scale) if kind == "v1" else moco_v2_view(None, min_scale, blur, hue)


class MoCo(Method):
    """Momentum contrast: find the key k+ of the same image among the K keys of a queue.

    L = -log(exp(q.k+ / tau) / (exp(q.k+ / tau) + sum_i exp(q.k_i / tau))), equation (1): q from f and a head, k+ from
    another view by a copy of both that follows slowly, psi <- m psi + (1 - m) theta, equation (2). The queue holds
    the latest K keys, without gradient. Defaults are those of v2 (2003.04297); v1 is `head="linear", views="v1",
    temperature=0.07`. `symmetric`: both views are query and key, the two losses are added and both keys enter (the
    authors' CIFAR demo). `hue`: v2's views'; v1's is .4. m = 0: keys by the current encoder. `rows`: batch norm over
    so many images at a time, as if each group were on a device of its own (0: the whole batch); `shuffle` then deals
    the keys' images to other groups than the queries', so that the statistics of a group cannot give its keys away.
    With several processes, whose norm is over the global batch, `rows` is refused. Logged: `age`, the mean number of
    steps since the queue's keys were made: (K / B + 1) / 2 for a full queue. `made` and `image` say at which step and
    of which image each key was made (-1: none yet). `blur` None: only if the encoder is for more than 32 px.
    `kept`: f, the query encoder.

    A step: two views, q and k+; loss against the queue as it was; optimiser; k+ enters the queue; psi follows.
    Symbols: K -> `length`, tau -> `temperature`, m -> `momentum`; theta, the paper's theta_q -> `encoder` and
    `projector`; psi, its theta_k -> `key_encoder` and `key_projector`; k_i -> `queue.keys`.
    Differs: theirs has a norm for each of 8 devices and shuffles the keys among these; here it is over the whole
    batch unless `rows` is set. Their slow copy moves just before the keys, also in the first step, when it is still
    equal. K need not be a multiple of the batch. No blur at 32 px or less.
    """

    name = "moco"
    chapter = "contrastive"
    paper = Paper(
        "Momentum Contrast for Unsupervised Visual Representation Learning",
        "He, Fan, Wu, Xie, Girshick", "CVPR", 2020, "1911.05722",
    )  # fmt: skip

    def __init__(
        self,
        encoder: Encoder,
        *,
        length: int = 65536,
        dim: int = 128,
        temperature: float = 0.2,
        momentum: float = 0.999,
        head: str = "mlp",
        views: str = "v2",
        hue: float = 0.1,
        min_scale: float = 0.2,
        blur: bool | None = None,
        rows: int = 0,
        shuffle: bool = True,
        symmetric: bool = False,
    ):
        super().__init__(encoder)
        self.length, self.dim, self.temperature, self.momentum = length, dim, temperature, momentum
        self.head, self.views, self.hue, self.min_scale, self.blur = head, views, hue, min_scale, blur
        self.rows, self.shuffle, self.symmetric = rows, shuffle, symmetric
        self.view = crops(views, min_scale, blurs(encoder, blur), hue)
        self.projector = projection(head, encoder.dim, dim)
        self.key_encoder, self.key_projector = momentum_copy(encoder), momentum_copy(self.projector)
        self.queue = Queue(length, dim)
        self.register_buffer("made", torch.full((length,), -1))
        self.register_buffer("image", torch.full((length,), -1))
        self.register_buffer("step", torch.zeros((), dtype=torch.long))
        self.fresh: list[tuple[Tensor, Tensor]] = []  # keys and their images, since the last step

    def prepare(self, data: Data) -> None:
        if self.rows and world_size() > 1:
            raise UserError(
                f"{self.name} rows={self.rows}: split batch norm is for one process; with {world_size()} give rows=0"
            )

    def queries(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> q (B, dim), not yet of unit length."""
        with grouped(self.rows, self.encoder):
            return self.projector(self.encoder(x))

    @torch.no_grad()
    def keys(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> k (B, dim), not yet of unit length, by the slow networks."""
        with grouped(self.rows, self.key_encoder):
            if not (self.rows and self.shuffle):
                return self.key_projector(self.key_encoder(x))
            order = torch.randperm(len(x), device=x.device)
            return self.key_projector(self.key_encoder(x[order]))[order.argsort()]

    def contrast(
        self, x_q: Tensor, x_k: Tensor, index: Tensor | None
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Two views of the same images -> q, k (B, dim) and what to log. In training the keys wait for the queue."""
        if self.training and self.rows and len(x_q) % self.rows:
            raise UserError(
                f"{self.name} rows={self.rows}: a batch of {len(x_q)} has no such groups, give a divisor of it"
            )
        q, k = self.queries(x_q), self.keys(x_k)
        loss, accuracy = info_nce(q, k, self.queue.keys, self.temperature)
        if self.training:
            unknown = torch.full((len(k),), -1, device=k.device)
            self.fresh.append((k, unknown if index is None else index))
        held = self.made >= 0
        age = ((self.step - self.made) * held).sum() / held.sum().clamp(min=1)
        return q, k, {"loss": loss, "accuracy": accuracy, "age": age}

    def loss(
        self, images: Tensor, index: Tensor | None = None, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        x1, x2 = self.view(images), self.view(images)
        logged = self.contrast(x1, x2, index)[2]
        if self.symmetric:
            back = self.contrast(x2, x1, index)[2]
            logged["loss"] = logged["loss"] + back["loss"]
            logged["accuracy"] = (logged["accuracy"] + back["accuracy"]) / 2
        return logged

    def after_step(self) -> None:
        for k, image in self.fresh:
            places = self.queue.push(k)  # of all processes
            self.made[places], self.image[places] = self.step, gather(image)[-len(places) :]
        self.fresh.clear()
        self.step += 1
        follow(self.key_encoder, self.encoder, self.momentum)
        follow(self.key_projector, self.projector, self.momentum)
