"""Image files decoded when needed: by worker processes, resized once, pinned on the way to CUDA."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from sslcourse.data.images import Batch, ImageSet
from sslcourse.data.workers import FILES, Decoder, decoded
from sslcourse.errors import UserError

MEMORY = 1 << 30  # bytes of pixels up to which a set is held in memory


class Files(Sequence):
    """Paths in one array of bytes: a million take 60 MB, and forked workers share them."""

    def __init__(self, paths: Sequence[str]):
        names = [os.fsencode(path) for path in paths]
        self.ends = np.cumsum([0] + [len(name) for name in names])
        self.bytes = np.frombuffer(b"".join(names), dtype=np.uint8)

    def __len__(self) -> int:
        return len(self.ends) - 1

    def __getitem__(self, index):
        if isinstance(index, slice):
            return Files([self[i] for i in range(*index.indices(len(self)))])
        index = range(len(self))[index]  # negative and out-of-range indices as in a list
        return os.fsdecode(self.bytes[self.ends[index] : self.ends[index + 1]].tobytes())

    def take(self, rows: Tensor) -> Files:
        return Files([self[row] for row in rows.tolist()])


def shown(path: str) -> str:
    """A path on one printable line."""
    return path if path.isprintable() else ascii(path)


def bad_files_error(bad: list[tuple[str, str]], total: int) -> UserError:
    path, reason = bad[0]
    more = f" ({len(bad)} such files among {total})" if len(bad) > 1 else ""
    return UserError(
        f"{shown(path)} {reason}{more}: remove or replace it, or leave such files out with --skip-corrupt"
    )


def image_sets(
    parts: dict[str, tuple[Sequence[str], Tensor | None]],
    classes: tuple[str, ...] = (),
    *,
    size: int,
    device: torch.device,
    skip_corrupt: bool = False,
    stream: bool | None = None,
) -> dict[str, ImageSet | StreamedSet]:
    """(files, labels) of each part -> sets in memory on `device`, or checked and streamed.

    stream: None streams what would take more than `MEMORY`. Files that do not load end in one UserError that
    names the first and counts them; under `skip_corrupt` they are left out, with one warning on stderr.
    """
    total = sum(len(files) for files, _ in parts.values())
    stream = total * 3 * size**2 > MEMORY if stream is None else stream
    sets, bad, hopeless = {}, [], False
    with tqdm(
        total=total, desc="checking" if stream else "decoding", unit="image", disable=None, leave=False
    ) as bar:
        for part, (names, labels) in parts.items():
            files = Files(names)
            pixels, bad_here = _read(Decoder(files, size, only_check=stream), bar)
            bad += [(files[row], reason) for row, reason in bad_here]
            hopeless |= len(bad_here) == len(files)
            if bad_here:
                good = torch.ones(len(files), dtype=torch.bool)
                good[[row for row, _ in bad_here]] = False
                rows = good.nonzero().flatten()  # (M,)
                files, labels = files.take(rows), None if labels is None else labels[rows.to(labels.device)]
                pixels = pixels if stream else pixels[rows]
            if stream:
                sets[part] = StreamedSet(files, labels, classes, size, torch.device("cpu"), skip_corrupt).to(
                    device
                )
            else:
                sets[part] = ImageSet(pixels, labels, classes, paths=list(files)).to(device)
    if bad and (hopeless or not skip_corrupt):
        raise bad_files_error(bad, total)
    if bad:
        path, reason = bad[0]
        print(
            f"warning: left out {len(bad)} of {total} files, first {shown(path)}: it {reason}",
            file=sys.stderr,
        )
    return sets


def _read(decoder: Decoder, bar: tqdm) -> tuple[Tensor, list[tuple[int, str]]]:
    """All pixels (N, 3, H, W), or (0,) when only checking, and (row, reason) of every bad file."""
    total = len(decoder.files)
    pixels = torch.empty(
        (0,) if decoder.only_check else (total, 3, decoder.size, decoder.size), dtype=torch.uint8
    )
    bad = []
    for start, (images, bad_here) in zip(
        range(0, total, FILES), decoded(decoder, torch.arange(total), FILES), strict=True
    ):
        if not decoder.only_check:
            pixels[start : start + len(images)] = images
        bad += [(start + position, reason) for position, reason in bad_here]
        bar.update(min(FILES, total - start))
    return pixels, bad


@dataclass
class StreamedSet:
    """An ImageSet whose pixels stay on disk: the same methods, and memory that does not grow with it."""

    paths: Files
    labels: Tensor | None = None
    classes: tuple[str, ...] = ()
    size: int = 64
    device: torch.device = torch.device("cpu")  # noqa: RUF009 - an immutable value
    skip_corrupt: bool = False
    workers: int | None = None
    factors = masks = {}  # noqa: RUF012 - nothing is known but the label
    boxes = depth = None

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def images(self) -> Tensor:
        raise UserError(
            f"{len(self)} images of {self.size} px stream from disk: use .batches(), or .load() a part"
        )

    def __getitem__(self, index: slice | Tensor | list[int]) -> StreamedSet:
        rows = torch.arange(len(self))[index.cpu() if isinstance(index, Tensor) else index].reshape(
            -1
        )  # -> (M,)
        labels = None if self.labels is None else self.labels[rows.to(self.labels.device)]
        return replace(self, paths=self.paths.take(rows), labels=labels)

    def to(self, device: str | torch.device) -> StreamedSet:
        """The set whose batches arrive on `device`."""
        labels = None if self.labels is None else self.labels.to(device)
        return replace(self, labels=labels, device=torch.device(device))

    def floats(self, index: slice | Tensor | list[int] = slice(None)) -> Tensor:
        """Those images decoded, as float32 in [0, 1]: (M, 3, H, W)."""
        return torch.cat([images for images, _, _ in self[index].batches(FILES)])

    def load(self) -> ImageSet:
        """All of it in memory."""
        options = dict(size=self.size, device=self.device, skip_corrupt=self.skip_corrupt, stream=False)
        return image_sets({"all": (self.paths, self.labels)}, self.classes, **options)["all"]

    def batches(
        self,
        batch_size: int,
        order: Tensor | None = None,
        device: str | torch.device | None = None,
        drop_last: bool = False,
    ) -> Iterator[Batch]:
        """As ImageSet.batches. A file broken since it was opened ends it, or is grey under skip_corrupt."""
        device = self.device if device is None else torch.device(device)
        order = torch.arange(len(self)) if order is None else order.cpu()
        if drop_last:
            order = order[: len(order) // batch_size * batch_size]
        loader = decoded(
            Decoder(self.paths, self.size), order, batch_size, device.type == "cuda", self.workers
        )
        for index, (images, bad) in zip(order.split(batch_size), loader, strict=True):
            if bad:
                named = [(self.paths[int(index[position])], reason) for position, reason in bad]
                if not self.skip_corrupt:
                    raise bad_files_error(named, len(self))
                warnings.warn(f"{shown(named[0][0])} {named[0][1]}: its image is grey", stacklevel=2)
            images = images.to(device, non_blocking=True).float().div_(255)
            labels = None if self.labels is None else self.labels[index.to(self.labels.device)].to(device)
            yield images, index.to(device), labels
