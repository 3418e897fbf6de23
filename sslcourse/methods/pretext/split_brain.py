"""Split-brain autoencoders: one half of the network predicts what only the other half sees."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sslcourse import nets
from sslcourse.data.images import Data
from sslcourse.errors import UserError
from sslcourse.methods.method import Method, Paper
from sslcourse.methods.parts.gamut import Gamut
from sslcourse.methods.parts.precision import promoted
from sslcourse.nets import Beside, Channels, Encoder
from sslcourse.nets.dense import DenseHead
from sslcourse.views import rgb_to_lab, weak_view

TASKS = {  # what each part of the network sees -> what it must predict
    "split": {"L": ("ab",), "ab": ("L",)},
    "L->ab": {"L": ("ab",)},
    "ab->L": {"ab": ("L",)},
    "auto-split": {"L": ("L",), "ab": ("ab",)},
    "auto": {"Lab": ("L", "ab")},
}


def half(encoder: Encoder) -> Encoder:
    """A fresh network like `encoder` with half its channels; other kinds than "small" come in full width."""
    spec = dict(encoder.spec)
    if spec["name"] == "small":
        spec["width"] = max(spec.get("width", 32) // 2, 4)
    return nets.encoder(**spec)


def side_by_side(encoder: Encoder, wanted: list[str], method: str) -> Beside:
    """Networks that see one of `wanted` each, from a pattern; or `encoder` itself, where it already is that."""
    already = isinstance(encoder, Beside)
    if already and [getattr(part, "channels", "") for part in encoder.parts] == wanted:
        return encoder
    if not encoder.spec or isinstance(encoder, Beside | Channels):
        raise UserError(
            f"{method} makes its halves from the recipe of an encoder: pass one of nets.encoder(...)"
        )
    return Beside([Channels(encoder if seen == "Lab" else half(encoder), seen) for seen in wanted])


class SplitBrain(Method):
    """F1 predicts the colours ab from the lightness L, F2 predicts L from ab; features are both, side by side.

    L = CE(F1(L), bin of ab) + CE(F2(ab), bin of L), per place, on averages over `stride` pixels: one-hot targets, Q
    bins of ab and `L_bins` of L, no rebalancing. The halves share no weight and exchange nothing. `encoder` is a
    pattern from `nets.encoder`: two networks of half its width are made of it. A "small" one halves its `width`, and
    its features keep their number; of all others, which have no width to halve, there are two fresh ones. `task`:
    "split", or a control: one half alone ("L->ab", "ab->L"); "auto-split", where each half predicts what it sees
    itself; "auto", an autoencoder in one piece of full width that sees Lab and predicts Lab.
    `kept`: the halves, side by side; `kept.parts` are the halves.

    Symbols: X_1, X_2 -> L, ab; F_1, F_2 -> `encoder.parts` with their `classifiers`; Q -> len(`gamut`).
    Differs: two networks where the paper splits the channels of one; images are shifted and mirrored at their edges,
    where the paper crops 180 px of larger ones; 306 bins of ab by enumeration, where theirs are 313.
    """

    name = "split_brain"
    chapter = "pretext"
    paper = Paper(
        "Split-Brain Autoencoders: Unsupervised Learning by Cross-Channel Prediction",
        "Zhang, Isola, Efros", "CVPR", 2017, "1611.09842",
    )  # fmt: skip

    def __init__(
        self,
        encoder: Encoder,
        *,
        size: int = 32,
        step: float = 10,
        L_bins: int = 50,
        stride: int = 4,
        skip: bool = False,
        task: str = "split",
    ):
        if task not in TASKS:
            raise UserError(f"split_brain has no task {task!r}: choose from {', '.join(TASKS)}")
        super().__init__(side_by_side(encoder, list(TASKS[task]), self.name))
        self.size, self.step, self.L_bins, self.stride, self.skip = size, step, L_bins, stride, skip
        self.task = task
        self.view = weak_view(mode="reflect")
        self.gamut = Gamut(step)
        bins = {"L": L_bins, "ab": len(self.gamut)}
        self.classifiers = nn.ModuleList(
            nn.ModuleDict(
                {told: DenseHead(part, bins[told], size, stride=stride, skip=skip) for told in TASKS[task][part.channels]}
            )
            for part in self.encoder.parts
        )  # fmt: skip

    @classmethod
    def arguments_from(cls, data: Data) -> dict:
        return {"size": data.size}

    def predict(self, images: Tensor) -> dict[str, Tensor]:
        """Logits of the bins, "ab" (B, Q, h, w) and "L" (B, L_bins, h, w), as far as the task predicts them."""
        found = {}
        for part, classifiers in zip(self.encoder.parts, self.classifiers, strict=True):
            layers = part.layers(images)
            found |= {told: classifier(layers) for told, classifier in classifiers.items()}
        return found

    @torch.no_grad()
    def targets(self, images: Tensor) -> dict[str, Tensor]:
        """Bins of ab and of L, on averages over `stride` pixels: (B, 3, H, W) -> (B, h, w) each."""
        L, ab = F.avg_pool2d(rgb_to_lab(images), self.stride).split((1, 2), 1)
        L = (L[:, 0] * self.L_bins / 100).long().clamp(0, self.L_bins - 1)  # (B, 1, h, w) -> (B, h, w)
        return {"L": L, "ab": self.gamut.nearest(ab)}

    def loss(
        self, images: Tensor, index: Tensor | None = None, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        images = self.view(images)
        targets, logits = self.targets(images), self.predict(images)
        losses = {told: F.cross_entropy(promoted(x), targets[told]) for told, x in logits.items()}
        return {"loss": sum(losses.values()), **{told: loss.detach() for told, loss in losses.items()}}
