"""The Method protocol: an encoder, what it is trained with, and its loss."""

from __future__ import annotations

import inspect
from typing import ClassVar, NamedTuple

from torch import Tensor, nn

from sslcourse.data.images import Data
from sslcourse.nets import Encoder


class Paper(NamedTuple):
    """Where a method comes from. `arxiv` is its identifier, or "" where there is none."""

    title: str
    authors: str
    venue: str
    year: int
    arxiv: str = ""

    def __str__(self) -> str:
        return f"{self.authors}, {self.venue} {self.year}"


class Method(nn.Module):
    """One self-supervised method: its encoder, its extra networks, and its loss.

    `pretrain` calls, in this order: `prepare` once; `start_epoch` each epoch; then for each batch the
    module itself (that is `loss`), backward, `before_step`, the optimiser's step, `after_step`.
    Everything that must survive a resume is a parameter or a buffer. A constructor's arguments have the
    paper's defaults and are kept as attributes of the same name, so that a saved run can be built again.
    The constructor of a second stage (`taught_by`) takes `teacher`, the method of a finished run, after the encoder,
    keeps what it needs of it by `nets.frozen`, and raises UserError if it cannot learn from it.
    """

    name: ClassVar[str]
    paper: ClassVar[Paper]
    chapter: ClassVar[str]
    progress: float = 0.0  # fraction of training done, written by the loop
    uses_labels: ClassVar[bool] = False  # supervised and semi-supervised controls say True
    taught_by: ClassVar[str] = ""  # of a second stage: the method whose runs it is usual to learn from
    before: ClassVar[dict] = {}  # arguments that came later, and what runs saved without them were made with
    clips: ClassVar[bool] = (
        False  # learns from clips (B, T, 3, H, W) instead of images (features are of images)
    )

    def __init__(self, encoder: Encoder):
        super().__init__()
        self.encoder = encoder

    def loss(
        self, images: Tensor, index: Tensor | None = None, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Images (B, 3, H, W) in [0, 1], their rows (B,) in data.train -> {"loss": scalar, **to_log}.

        Draws its own views. `labels` (B,) come only to methods with `uses_labels`.
        """
        raise NotImplementedError(f"{type(self).__name__} has no loss")

    def forward(self, *inputs, **named) -> dict[str, Tensor]:
        return self.loss(*inputs, **named)

    @property
    def kept(self) -> Encoder:
        """The network that remains after training and that every protocol probes."""
        return self.encoder

    def features(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, D): what `kept` says of the images."""
        return self.kept(images)

    def parameter_groups(self) -> list[dict]:
        """Groups for the optimiser: `params`, and where they differ from the recipe `lr_scale`, `weight_decay`.

        `constant_lr` True: the rate stays at its full value, without warm-up and cosine.
        `final_weight_decay`: what weight decay comes to by the end, on a cosine over the steps; default, it stays.
        The default spares everything one-dimensional (biases, norms) from weight decay and from LARS.
        """
        learned = [p for p in self.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in learned if p.ndim > 1]},
            {"params": [p for p in learned if p.ndim <= 1], "weight_decay": 0.0},
        ]
        return [group for group in groups if group["params"]]

    def prepare(self, data: Data) -> None:
        """Once before step 0, not on resume: priors, k-means, permutation sets."""

    def start_epoch(self, data: Data) -> None:
        """Each epoch: cluster assignment, a schedule of negatives."""

    def before_step(self) -> None:
        """After backward, before the optimiser's step: the gradients are whole, and not scaled in any precision."""

    def after_step(self) -> None:
        """After the optimiser's step, without gradients: moving averages, queues."""

    @classmethod
    def arguments_from(cls, data: Data) -> dict:
        """Constructor arguments that only the data can tell (a number of classes)."""
        return {}

    def arguments(self) -> dict:
        """The constructor's arguments by name, without the encoder and a teacher."""
        names = list(inspect.signature(type(self).__init__).parameters)[2:]  # after self, encoder
        return {name: getattr(self, name) for name in names if name != "teacher"}
