"""Context prediction: where does the second patch lie, seen from the first?"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sslcourse.errors import UserError
from sslcourse.methods.method import Method, Paper
from sslcourse.nets import Encoder
from sslcourse.views import (
    RandomResizedCrop,
    degrade,
    drop_colours,
    patch_grid,
    project_colours,
    standardise,
)

COLOURS = {"drop": drop_colours, "project": project_colours, "keep": lambda patches: patches}


def neighbours() -> tuple[Tensor, Tensor, Tensor]:
    """The 40 ordered pairs of neighbours in a 3x3 grid: first (40,), second (40,), and the second's direction (40,).

    Places 0..8 are row-major; directions 0..7 are the eight places around the first, row-major too.
    """
    place = torch.arange(9)
    down = place // 3 - (place // 3)[:, None]  # (9, 9): from the first (rows) to the second (columns)
    right = place % 3 - (place % 3)[:, None]
    around = 3 * (down + 1) + right + 1  # 4 is the place itself
    near = (down.abs() <= 1) & (right.abs() <= 1) & (around != 4)
    first, second = near.nonzero().T
    return first, second, (around - (around > 4).long())[near]


class Context(Method):
    """Two neighbouring patches of an image; an eight-way classifier must say where the second lies.

    L = -mean log F^y(f(first), f(second)). 3x3 grids are cut, `grids` per image and step, each patch is encoded once,
    and every pair of neighbours is asked in both directions. There are 12 straight pairs and 8 diagonal ones,
    so chance is an accuracy of 0.15 and a loss of 2.059, not quite log 8.
    Against shortcuts: a `gap` between patches, `jitter` of their places, `colours` "drop" (one random channel stays),
    "project" (green-magenta removed) or "keep", a share `degrade` of coarse patches, and `normalise`, by each
    patch's mean and deviation over all channels. `patch` None takes gap and jitter from the size: 64 px: 16, 8, 1.
    A random square of at least `min_area` of the image is resized bilinearly to a canvas that holds a grid; at 1/3
    patches come at as many scales as in the paper. Two hidden layers of `hidden`.
    `kept`: the encoder. It is trained on patches and probed on whole images in full colour, as they are.

    Symbols: the paper's layers up to fc6 -> `encoder` and `fc6`, h; its fc7 to fc9 -> `fc7`; y -> `direction`.
    Differs: the authors' grids begin at random and fill the whole resized image with as many patches as fit (3 to 4
    to a side of most), ours are 3x3 in a square crop of it, for two rows more do not fit a small image; the square is
    mirrored or not, their images are not. Coarse patches are shrunk without aliases. Dropped channels are the paper's
    Gaussian noise, uniform in the code, which divides by the root mean square over all channels as we do. f is the
    encoder and one layer (the paper: AlexNet's first six), then come two layers, theirs three, all of 4096; ours have
    batch norm without scale in each hidden one, theirs not in the last. The paper's loss is summed, for plain SGD at
    1e-5.
    """

    name = "context"
    chapter = "pretext"
    paper = Paper(
        "Unsupervised Visual Representation Learning by Context Prediction",
        "Doersch, Gupta, Efros", "ICCV", 2015, "1505.05192",
    )  # fmt: skip

    def __init__(
        self,
        encoder: Encoder,
        *,
        patch: int | None = None,
        gap: int | None = None,
        jitter: int | None = None,
        colours: str = "drop",
        normalise: bool = True,
        degrade: float = 1 / 3,
        min_area: float = 1 / 3,
        grids: int = 4,
        hidden: int = 512,
    ):
        super().__init__(encoder)
        if colours not in COLOURS:
            raise UserError(f"context colours {colours!r}: choose from {', '.join(COLOURS)}")
        self.patch, self.gap, self.jitter = patch, gap, jitter
        self.colours, self.normalise, self.degrade = colours, normalise, degrade
        self.min_area, self.grids, self.hidden = min_area, grids, hidden
        for name, value in zip(("first", "second", "direction"), neighbours(), strict=True):
            self.register_buffer(name, value, persistent=False)
        self.fc6 = layer(encoder.dim, hidden)
        self.fc7 = nn.Sequential(layer(2 * hidden, hidden), nn.Linear(hidden, 8))

    def geometry(self, size: int) -> tuple[int, int, int]:
        """Patch, gap and jitter in pixels for images of `size`: the paper's proportions where not given."""
        patch = self.patch or size // 4
        gap = patch // 2 if self.gap is None else self.gap
        return patch, gap, max(1, round(patch * 7 / 96)) if self.jitter is None else self.jitter

    def grid(self, images: Tensor) -> Tensor:
        """A random grid of each image: (B, 3, H, H) -> (B, 9, 3, s, s), nothing taken from the colours yet."""
        patch, gap, jitter = self.geometry(images.shape[-1])
        canvas = max(images.shape[-1], 3 * patch + 2 * gap + 2 * jitter)
        view = RandomResizedCrop(canvas, scale=(self.min_area, 1.0), ratio=(1.0, 1.0), flip=0.5)
        return patch_grid(view(images), patch, gap, jitter)

    def cleaned(self, patches: Tensor) -> Tensor:
        """Patches as the encoder sees them: colours dropped or projected, then normalised; same shape."""
        patches = COLOURS[self.colours](patches)
        return self.encoder.adapted(standardise(patches, per_channel=False)) if self.normalise else patches

    def features_of(self, patches: Tensor) -> Tensor:
        """One tower: (P, 3, s, s) -> (P, hidden)."""
        return self.fc6(self.encoder(self.cleaned(patches)))

    def logits(self, first: Tensor, second: Tensor) -> Tensor:
        """Where second[i] lies, seen from first[i]: (P, 3, s, s) twice, in [0, 1] -> (P, 8)."""
        return self.fc7(torch.cat([self.features_of(first), self.features_of(second)], 1))

    def loss(
        self, images: Tensor, index: Tensor | None = None, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        patches = degrade(self.grid(images.repeat_interleave(self.grids, 0)), self.degrade)
        h = self.features_of(patches.flatten(0, 1))  # (B', 9, 3, s, s) -> (B' * 9, hidden), B' = B * grids
        h = h.view(-1, 9, self.hidden)  # (B' * 9, hidden) -> (B', 9, hidden)
        pairs = torch.cat([h[:, self.first], h[:, self.second]], 2)  # (B', 40, 2 hidden)
        logits = self.fc7(pairs.flatten(0, 1))  # (B', 40, 2 hidden) -> (B' * 40, 8)
        y = self.direction.repeat(len(h))
        return {"loss": F.cross_entropy(logits, y), "accuracy": (logits.argmax(1) == y).float().mean()}


def layer(inputs: int, outputs: int) -> nn.Sequential:
    """Linear, batch norm, ReLU. The norm has no scale to learn, so that no layer can silence itself (paper's code)."""
    norm = nn.BatchNorm1d(outputs, affine=False)
    return nn.Sequential(nn.Linear(inputs, outputs, bias=False), norm, nn.ReLU(inplace=True))
