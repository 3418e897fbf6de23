"""An encoder that sees an image as a grid of overlapping patches, each by itself."""

from __future__ import annotations

from torch import Tensor

from sslcourse.errors import UserError
from sslcourse.nets.encoder import Encoder


class Patchwise(Encoder):
    """`encoder` on every patch of a grid: patches of `patch` px, every `stride` px, as many as fit, centred.

    No patch sees another; the features of an image are the mean over its patches. So what is
    learned from patches is also probed on patches, and pays for it with `grid` times the work on a patch.
    It takes ordinary images and answers all that an encoder answers; a layer is its mean over each patch.
    """

    def __init__(self, encoder: Encoder, patch: int, stride: int):
        super().__init__()
        if patch < 1 or stride < 1:
            raise UserError(f"patches of {patch} px every {stride} px: use 1 px or more for both")
        self.encoder, self.patch, self.stride, self.dim = encoder, patch, stride, encoder.dim
        if encoder.spec:
            self.spec = {
                "name": "patchwise", "size": encoder.spec["size"],
                "patch": patch, "stride": stride, "encoder": encoder.spec,
            }  # fmt: skip

    @classmethod
    def of(cls, encoder: Encoder, patch: int, stride: int) -> Patchwise:
        """`encoder` on these patches; one that is already made so is taken as it is."""
        already = isinstance(encoder, cls) and (encoder.patch, encoder.stride) == (patch, stride)
        return encoder if already else cls(encoder, patch, stride)

    def side(self, size: int) -> int:
        """How many patches lie along `size` pixels."""
        if size < self.patch:
            raise UserError(f"patches of {self.patch} px do not fit images of {size} px: use smaller patches")
        return (size - self.patch) // self.stride + 1

    def patches(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, h, w, 3, patch, patch)."""
        for axis in (2, 3):
            size = images.shape[axis]
            span = self.patch + (self.side(size) - 1) * self.stride
            images = images.narrow(axis, (size - span) // 2, span)
        x = images.unfold(2, self.patch, self.stride).unfold(3, self.patch, self.stride)
        return x.permute(0, 2, 3, 1, 4, 5)  # (B, 3, h, w, s, s) -> (B, h, w, 3, s, s)

    def encode(self, patches: Tensor) -> Tensor:
        """Each patch by itself: (B, h, w, 3, s, s) -> z (B, dim, h, w)."""
        B, h, w = patches.shape[:3]
        z = self.encoder(patches.flatten(0, 2))  # (B, h, w, 3, s, s) -> (B * h * w, 3, s, s)
        return z.view(B, h, w, -1).permute(0, 3, 1, 2)  # (B * h * w, D) -> (B, D, h, w)

    def adapted(self, patches: Tensor) -> Tensor:
        return self.encoder.adapted(patches)

    def layers(self, images: Tensor) -> dict[str, Tensor]:
        x = self.patches(images)
        B, h, w = x.shape[:3]
        layers = self.encoder.layers(x.flatten(0, 2))  # (B, h, w, 3, s, s) -> (B * h * w, 3, s, s)
        means = {name: m.mean((2, 3)) if m.ndim == 4 else m.mean(1) for name, m in layers.items()}
        # (B * h * w, C) -> (B, C, h, w)
        return {name: m.view(B, h, w, -1).permute(0, 3, 1, 2) for name, m in means.items()}

    def final_map(self, images: Tensor) -> Tensor:
        return self.encode(self.patches(images))
