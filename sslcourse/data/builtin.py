"""Real images that need no network: they ship inside scikit-learn.

`digits`: 1,797 handwritten digits (Alpaydin and Kaynak 1998), 8 x 8, enlarged.
`photos`: crops of two photographs, `china.jpg` and `flower.jpg`, 427 x 640.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sslcourse.data.images import Data, ImageSet
from sslcourse.data.splits import hold_out, shuffled
from sslcourse.errors import UserError

PHOTOGRAPHS = ("china", "flower")
BLOCK = 106  # px: 4 x 6 blocks cover a photograph
CROPS = {"train": 4000, "val": 400, "test": 800}
BLOCKS = {"train": 16, "val": 4, "test": 4}  # of each photograph's 24


def resize(images: Tensor, size: int) -> Tensor:
    """(N, 3, H, W) uint8 -> (N, 3, size, size) uint8, bicubic, antialiased."""
    if images.shape[-2:] == (size, size):
        return images
    parts = [
        F.interpolate(part.float(), (size, size), mode="bicubic", antialias=True)
        for part in images.split(1024)
    ]
    return torch.cat([part.round_().clamp_(0, 255).byte() for part in parts])


def load_digits(*, size: int | None = None, limit: int | None = None) -> Data:
    """`digits`: 1,257 / 180 / 360, stratified; 32 px unless `size` says otherwise."""
    from sklearn.datasets import load_digits as read

    raw = read()
    labels = torch.from_numpy(raw.target).long()
    grey = torch.from_numpy(raw.images).float().mul(255 / 16).round().byte()  # 0..16 -> 0..255
    images = resize(grey[:, None], size or 32).expand(-1, 3, -1, -1)  # (N, 1, S, S) -> (N, 3, S, S)
    rest, test = hold_out(torch.arange(len(labels)), labels, seed=1, share=360 / 1797)
    train, val = hold_out(rest, labels, seed=2, share=180 / 1437)
    whole = ImageSet(images.contiguous(), labels, tuple("0123456789"))
    return Data("digits", *(whole[rows[:limit]] for rows in (train, val, test)))


def load_photographs() -> list[Tensor]:
    """The two photographs, china and flower: (3, 427, 640) uint8 each."""
    from sklearn.datasets import load_sample_images

    images = load_sample_images().images
    return [torch.tensor(image).permute(2, 0, 1).contiguous() for image in images]  # (H, W, 3) -> (3, H, W)


def load_photos(*, size: int | None = None, limit: int | None = None) -> Data:
    """`photos`: square crops of `size` (64) pixels, not resized; the label says of which photograph.

    Each photograph is cut into 4 x 6 blocks of 106 px; a block belongs to one split and crops stay in their
    block, so no pixel is in two splits. factors: "x", "y" (N,), the crop's corner in the photograph, float32 pixels.
    """
    size = size or 64
    if size > BLOCK:
        raise UserError(
            f"photos has no crops of {size} px: its blocks have {BLOCK} px, so use --size {BLOCK} or less"
        )
    photographs = torch.stack(load_photographs())  # (2, 3, 427, 640)
    windows = photographs.unfold(2, size, 1).unfold(3, size, 1)  # (2, 3, Y, X, size, size), a view
    columns = photographs.shape[-1] // BLOCK
    blocks = [shuffled(torch.arange(sum(BLOCKS.values())), seed=photo) for photo in range(2)]
    sets, first = {}, 0
    for number, (split, count) in enumerate(CROPS.items()):
        mine = torch.stack([order[first : first + BLOCKS[split]] for order in blocks])  # (2, b)
        first += BLOCKS[split]
        generator = torch.Generator().manual_seed(100 + number)
        draw = torch.rand(count, 3, generator=generator)[:limit]  # block, x, y
        labels = torch.arange(len(draw)) % 2
        block = mine[labels, (draw[:, 0] * BLOCKS[split]).long()]
        x = block % columns * BLOCK + (draw[:, 1] * (BLOCK - size + 1)).long()
        y = block // columns * BLOCK + (draw[:, 2] * (BLOCK - size + 1)).long()
        images = windows[labels, :, y, x].contiguous()  # (N, 3, size, size)
        sets[split] = ImageSet(images, labels, PHOTOGRAPHS, factors={"x": x.float(), "y": y.float()})
    return Data("photos", **sets)
