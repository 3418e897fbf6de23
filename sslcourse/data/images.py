"""ImageSet: uint8 images on a device, with labels, masks and factors where they exist."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import torch
from torch import Tensor

from sslcourse.data.origin import Origin, expanded
from sslcourse.errors import UserError

Batch = tuple[Tensor, Tensor, Tensor | None]


def pick_device(device: str | torch.device = "auto") -> torch.device:
    """`"auto"` is CUDA, then MPS, then the CPU; anything else is taken at its word."""
    if str(device) != "auto":
        try:
            chosen = torch.device(device)
        except RuntimeError:
            raise UserError(f"device {device!r} is unknown: use auto, cpu, cuda, cuda:N or mps") from None
        if chosen.type == "cuda" and not torch.cuda.is_available():
            raise UserError(f"device {device!r}: torch sees no CUDA device here; use --device cpu, or auto")
        if chosen.type == "mps" and not torch.backends.mps.is_available():
            raise UserError(f"device {device!r}: torch sees no Apple GPU here; use --device cpu, or auto")
        if chosen.type not in ("cpu", "cuda", "mps"):
            raise UserError(f"device {device!r} cannot train: use auto, cpu, cuda, cuda:N or mps")
        return chosen
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def cache_dir() -> Path:
    """Where rendered and downloaded data lie: `$SSLCOURSE_CACHE`, else `~/.cache/sslcourse`."""
    if named := os.environ.get("SSLCOURSE_CACHE"):
        return expanded(named)
    if base := os.environ.get("XDG_CACHE_HOME"):
        return expanded(base) / "sslcourse"
    try:
        return Path.home() / ".cache" / "sslcourse"
    except RuntimeError:
        raise UserError(
            "no home directory is known to keep data in (HOME is not set): name a folder in SSLCOURSE_CACHE"
        ) from None


@dataclass
class ImageSet:
    """N images and what is known about them. Every tensor's first dimension is N.

    images: (N, 3, H, W) uint8, or (N, T, 3, H, W) for clips.
    labels: (N,) int64, or None.
    masks: "instance", "class": (N, H, W) uint8, 0 is background (clips: (N, T, H, W)).
    boxes: (N, K, 4) float32, x0 y0 x1 y1 in pixels, rows of absent objects are -1.
    depth: (N, H, W) float16, distance from the camera in world units.
    factors: name -> (N, ...) what the world was built from.
    """

    images: Tensor
    labels: Tensor | None = None
    classes: tuple[str, ...] = ()
    factors: dict[str, Tensor] = field(default_factory=dict)
    masks: dict[str, Tensor] = field(default_factory=dict)
    boxes: Tensor | None = None
    depth: Tensor | None = None
    paths: list[str] | None = None

    def __len__(self) -> int:
        return len(self.images)

    @property
    def device(self) -> torch.device:
        return self.images.device

    @property
    def size(self) -> int:
        """Height of the images in pixels."""
        return self.images.shape[-2]

    def __getitem__(self, index: slice | Tensor | list[int]) -> ImageSet:
        """The rows `index` (slice, list, integer or boolean tensor), as another ImageSet."""
        rows = torch.arange(len(self))[index].reshape(-1)  # any index -> (M,)

        def take(value):
            if isinstance(value, Tensor):
                return value[rows.to(value.device)]
            if isinstance(value, dict):
                return {name: take(v) for name, v in value.items()}
            return [value[i] for i in rows.tolist()] if isinstance(value, list) else value

        return replace(self, **{f.name: take(getattr(self, f.name)) for f in fields(self)})

    def to(self, device: str | torch.device) -> ImageSet:
        def move(value):
            if isinstance(value, dict):
                return {name: move(v) for name, v in value.items()}
            return value.to(device) if isinstance(value, Tensor) else value

        return replace(self, **{f.name: move(getattr(self, f.name)) for f in fields(self)})

    def floats(self, index: slice | Tensor | list[int] = slice(None)) -> Tensor:
        """Images as float32 in [0, 1]: (M, 3, H, W)."""
        return self.images[index].float().div_(255)

    def batches(
        self,
        batch_size: int,
        order: Tensor | None = None,
        device: str | torch.device | None = None,
        drop_last: bool = False,
    ) -> Iterator[Batch]:
        """Batches in `order` (default: as stored): images (B, 3, H, W) in [0, 1], rows (B,), labels (B,)."""
        device = self.device if device is None else torch.device(device)
        order = torch.arange(len(self)) if order is None else order
        for rows in order.split(batch_size):
            if drop_last and len(rows) < batch_size:
                return
            index = rows.to(self.device)
            images = self.images.index_select(0, index).to(device, non_blocking=True).float().div_(255)
            labels = None if self.labels is None else self.labels[index].to(device)
            yield images, index.to(device), labels


@dataclass
class Data:
    """What `load` returns: three sets. Choices are made on `.val`; `.test` is read once.

    origin: of a `folder:PATH`, the files its training images were drawn from.
    """

    name: str
    train: ImageSet
    val: ImageSet
    test: ImageSet
    origin: Origin | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        return self.train.classes

    @property
    def size(self) -> int:
        return self.train.size

    def to(self, device: str | torch.device) -> Data:
        return replace(self, **{split: getattr(self, split).to(device) for split in ("train", "val", "test")})
