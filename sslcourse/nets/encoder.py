"""Encoder: images to features. The thing that is kept when the pretext task is thrown away."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sslcourse.errors import UserError

MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)  # of an encoder that does not name its own


class Encoder(nn.Module):
    """Images (B, 3, H, W) in [0, 1] -> features (B, dim). Colours are normalised inside.

    A subclass sets `dim` and answers `layers`; convolutional ones get `forward` and `tokens` from it.
    `spec` is what `nets.encoder` needs to build the same architecture again.
    """

    dim: int

    def __init__(self, mean: Sequence[float] = MEAN, std: Sequence[float] = STD):
        super().__init__()
        self.spec: dict = {}
        self.plain = (tuple(mean), tuple(std)) == (MEAN, STD)
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))  # (3,) -> (1, 3, 1, 1)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))  # (3,) -> (1, 3, 1, 1)

    def normalise(self, images: Tensor) -> Tensor:
        return (images - self.mean) / self.std

    def adapted(self, patches: Tensor) -> Tensor:
        """Patches (..., 3, h, w) of mean 0.5 and deviation 0.25 -> such that `normalise` makes 0 and 1 of these.

        Nothing changes where the encoder's own mean and deviation are these two.
        """
        if self.plain:
            return patches
        scale = self.std / STD[0]
        return patches * scale + (self.mean - MEAN[0] * scale)

    def layers(self, images: Tensor) -> dict[str, Tensor]:
        """Every stage by name, first to last: (B, C, h, w), or (B, T, C) in a transformer."""
        raise NotImplementedError(f"{type(self).__name__} does not name its layers")

    def final_map(self, images: Tensor) -> Tensor:
        """The last convolutional map: (B, dim, h, w)."""
        return list(self.layers(images).values())[-1]

    def tokens(self, images: Tensor) -> Tensor:
        """One feature per place, row-major: (B, T, dim)."""
        return self.final_map(images).flatten(2).transpose(1, 2)  # (B, D, h, w) -> (B, h * w, D)

    def attention(self, images: Tensor) -> Tensor:
        """How much CLS looks at each patch in the last block, row-major: (B, heads, T). The rest of 1 goes to CLS.

        UserError from an encoder that has no attention.
        """
        raise UserError(f"{type(self).__name__} has no attention to show: use encoder vit or a ViT of timm")

    def forward(self, images: Tensor) -> Tensor:
        return self.final_map(images).mean((2, 3))


@torch.no_grad()
def activation_maps(encoder: Encoder, images: Tensor, power: float = 2.0) -> dict[str, Tensor]:
    """Where a convolutional net responds: the mean over channels of |activation|^power, (B, h, w) per layer.

    Each map is divided by its maximum. These are the attention maps of RotNet's Figure 3 (Gidaris et al. 2018,
    after Zagoruyko & Komodakis 2017), which takes powers 1, 2, 4 from the first layer to the last.
    """
    training = encoder.training
    maps = {name: x.abs().pow(power).mean(1) for name, x in encoder.eval().layers(images).items()}
    encoder.train(training)
    return {name: x / x.amax((1, 2), keepdim=True).clamp_min(1e-12) for name, x in maps.items()}
