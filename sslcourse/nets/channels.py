"""Encoders that see a part of the colours, and several encoders side by side."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sslcourse.errors import UserError
from sslcourse.nets.encoder import Encoder
from sslcourse.views.colour import rgb_to_ycbcr
from sslcourse.views.distort import sobel
from sslcourse.views.lab import rgb_to_lab

CHANNELS = ("L", "ab", "Lab", "Y", "CbCr", "grey", "gradient")


def seen(images: Tensor, channels: str) -> Tensor:
    """What is left of images (B, 3, H, W), again in three channels of about [0, 1]: (B, 3, H, W).

    "L" and "Y": lightness three times; "grey": the mean of red, green and blue three times; "ab" and "CbCr":
    these two and a constant; "Lab": L, a, b; "gradient": Sobel's two of the luminance, and a constant.
    """
    if channels == "grey":
        return images.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    if channels == "gradient":
        light, colour = images[:, :1], sobel(images) / 4 + 0.5  # to an encoder, 0 and 1 again
    elif channels in ("Y", "CbCr"):
        light, colour = rgb_to_ycbcr(images).split((1, 2), 1)
    else:
        light, colour = rgb_to_lab(images).split((1, 2), 1)
        light, colour = light / 100, colour / 220 + 0.5
    if channels in ("L", "Y"):
        return light.expand(-1, 3, -1, -1)
    return torch.cat([light, colour] if channels == "Lab" else [colour, torch.full_like(light, 0.5)], 1)


class Channels(Encoder):
    """An encoder that is shown `channels` of the images only, in training and forever after.

    It takes ordinary images and answers all that an encoder answers. `fitted`: a channel's middle is 0 to the
    encoder and a quarter of its range is 1, whatever colours the encoder is made for; runs saved before there was
    this have False in their spec, and differ where the encoder does not take 0.5 for 0 and 0.25 for 1.
    """

    def __init__(self, encoder: Encoder, channels: str, fitted: bool = True):
        super().__init__()
        if channels not in CHANNELS:
            raise UserError(f"channels {channels!r} are unknown: choose from {', '.join(CHANNELS)}")
        self.encoder, self.channels, self.dim = encoder, channels, encoder.dim
        self.fitted = fitted and not encoder.plain
        if encoder.spec:
            self.spec = {
                "name": "channels", "size": encoder.spec["size"],
                "channels": channels, "encoder": encoder.spec, **({"fitted": True} if self.fitted else {}),
            }  # fmt: skip

    @classmethod
    def of(cls, encoder: Encoder, channels: str) -> Channels:
        """`encoder` seeing `channels`; one that is already made so is taken as it is."""
        already = isinstance(encoder, cls) and encoder.channels == channels
        return encoder if already else cls(encoder, channels)

    def seen(self, images: Tensor) -> Tensor:
        """What the encoder is shown: (B, 3, H, W) -> the same shape."""
        shown = seen(images, self.channels)
        return self.encoder.adapted(shown) if self.fitted else shown

    def layers(self, images: Tensor) -> dict[str, Tensor]:
        return self.encoder.layers(self.seen(images))

    def final_map(self, images: Tensor) -> Tensor:
        return self.encoder.final_map(self.seen(images))

    def tokens(self, images: Tensor) -> Tensor:
        return self.encoder.tokens(self.seen(images))

    def forward(self, images: Tensor) -> Tensor:
        return self.encoder(self.seen(images))


class Beside(Encoder):
    """Encoders that never exchange anything; every answer is theirs, concatenated over channels."""

    def __init__(self, encoders: Sequence[Encoder]):
        super().__init__()
        self.parts = nn.ModuleList(encoders)
        self.dim = sum(part.dim for part in encoders)
        if all(part.spec for part in encoders):
            specs = [part.spec for part in encoders]
            self.spec = {"name": "beside", "size": specs[0]["size"], "encoders": specs}

    def layers(self, images: Tensor) -> dict[str, Tensor]:
        each = [part.layers(images) for part in self.parts]
        # (B, C, h, w) maps or (B, T, C) tokens -> the same with C the sum over parts
        return {
            name: torch.cat([maps[name] for maps in each], 1 if x.ndim == 4 else 2)
            for name, x in each[0].items()
        }

    def final_map(self, images: Tensor) -> Tensor:
        return torch.cat([part.final_map(images) for part in self.parts], 1)

    def tokens(self, images: Tensor) -> Tensor:
        return torch.cat([part.tokens(images) for part in self.parts], 2)

    def forward(self, images: Tensor) -> Tensor:
        return torch.cat([part(images) for part in self.parts], 1)
