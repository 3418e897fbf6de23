"""`folder:PATH`: the user's own images, in classes or flat.

| form | labels |
|---|---|
| `PATH/{train,val,test}/CLASS/*` (train is needed) | the class folder's name; its sub-folders belong to it |
| `PATH/CLASS/*` | the same, all of it split by the seed |
| `PATH/{train,val,test}/*`, or flat `PATH/*` | none |

A part that is missing is held out of the training images, stratified: a tenth, at most 5,000. Every file in a
folder of images must be an image, except hidden files and litter (`Thumbs.db`, `__MACOSX`).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

from sslcourse.data.decode import EXTENSIONS, BadImage, image_size
from sslcourse.data.images import Data, ImageSet
from sslcourse.data.origin import Origin, expanded
from sslcourse.data.splits import divide
from sslcourse.data.stream import StreamedSet, image_sets
from sslcourse.errors import UserError, shown

SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}
LITTER = {"thumbs.db", "desktop.ini", "__macosx", "lost+found"}
LARGEST_OWN_SIZE = 96  # px: equal square images up to this keep their size


@dataclass
class Listing:
    """What one split holds: paths sorted by class and name, and the class of each, or None."""

    paths: list[str]
    labels: list[int] | None
    classes: tuple[str, ...]


def load_folder(
    path: str | Path,
    *,
    size: int | None = None,
    limit: int | None = None,
    device: str | torch.device = "cpu",
    skip_corrupt: bool = False,
    seed: int = 0,
    stream: bool | None = None,
) -> Data:
    """Load `PATH` in any of the forms above.

    size: pixels; every image is resized (short side, antialiased) and its centre cut. Default, from a look at
    some 256 files: their own if all are square, equal and at most 96; else 64, or 32 if the median short side
    is below 64.
    limit: the first so many images of each split, in an order shuffled by `seed`: a prefix of the whole.
    stream: decode at each use; default: when the pixels would take more than 1 GB.
    """
    root = expanded(path)
    parts = _split_folders(root)
    listings = {split: _list_split(folder) for split, folder in parts.items()}
    train = listings["train"]
    for split, listing in listings.items():
        _check_classes(train, listing, parts[split], parts["train"])

    labels = None if train.labels is None else torch.tensor(train.labels)
    chosen = divide({split: len(listing.paths) for split, listing in listings.items()}, labels, seed, limit)
    if not all(len(rows) for _, rows in chosen.values()):
        raise UserError(
            f"{shown(str(path))} has {len(train.paths)} training image(s), too few to hold some out:"
            " add images, or give it train/, val/ and test/ folders"
        )
    size = size or own_size(
        [listings[part].paths[i] for part, rows in chosen.values() for i in rows[:128].tolist()]
    )
    origin = Origin.of(root, train.paths, [split for split in ("val", "test") if split not in parts])
    parts = {split: _take(listings[part], rows, train.classes) for split, (part, rows) in chosen.items()}
    options = dict(size=size, device=torch.device(device), skip_corrupt=skip_corrupt, stream=stream)
    return Data(f"folder:{path}", **image_sets(parts, train.classes, **options), origin=origin)


def load_images(
    path: str | Path,
    *,
    size: int | None = None,
    device: str | torch.device = "cpu",
    skip_corrupt: bool = False,
    stream: bool | None = None,
) -> ImageSet | StreamedSet:
    """Every image of the folder (all its splits) as one set, sorted by path: what `sslcourse embed` reads."""
    parts = _split_folders(expanded(path), need_train=False)
    listings = [_list_split(folder) for folder in parts.values()]
    classes = tuple(sorted({name for listing in listings for name in listing.classes}))
    paths = [p for listing in listings for p in listing.paths]
    labels = None
    if all(listing.labels is not None for listing in listings):
        labels = [classes.index(listing.classes[y]) for listing in listings for y in listing.labels]
        labels = torch.tensor(labels)
    size = size or own_size(paths)
    order = torch.tensor(sorted(range(len(paths)), key=paths.__getitem__))
    everything = [paths[i] for i in order.tolist()], None if labels is None else labels[order]
    options = dict(size=size, device=torch.device(device), skip_corrupt=skip_corrupt, stream=stream)
    return image_sets({"all": everything}, () if labels is None else classes, **options)["all"]


def own_size(paths: Sequence[str]) -> int:
    """The size in pixels to load files at when the user names none: see `load_folder`."""
    sizes = []
    for path in paths[:: max(1, len(paths) // 256)]:
        try:
            sizes.append(image_size(path))
        except BadImage:
            continue  # reported when it is decoded
    if not sizes:
        return 64
    height, width = sizes[0]
    if height == width <= LARGEST_OWN_SIZE and len(set(sizes)) == 1:
        return height
    return 64 if median(min(s) for s in sizes) >= 64 else 32


def _take(listing: Listing, rows: Tensor, classes: tuple[str, ...]) -> tuple[list[str], Tensor | None]:
    """Those rows' paths and labels, numbered as in `classes`."""
    labels = None
    if listing.labels is not None:
        number = torch.tensor([classes.index(name) for name in listing.classes])
        labels = number[torch.tensor(listing.labels)[rows]]  # a split's own numbers -> those of train
    return [listing.paths[i] for i in rows.tolist()], labels


def _entries(folder: Path) -> tuple[list[os.DirEntry], list[os.DirEntry]]:
    """Sub-folders and everything else, each sorted by name, without hidden entries and litter."""
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except FileNotFoundError:
        raise UserError(f"folder {shown(str(folder))} does not exist: check the path") from None
    except NotADirectoryError:
        raise UserError(f"{shown(str(folder))} is a file: name the folder of images that holds it") from None
    except OSError as error:
        raise UserError(
            f"folder {shown(str(folder))} cannot be read ({error.strerror}): check its permissions"
        ) from None
    entries = [e for e in entries if not e.name.startswith(".") and e.name.lower() not in LITTER]
    return [e for e in entries if e.is_dir()], [e for e in entries if not e.is_dir()]


def _walk(folder: Path, seen: set[tuple[int, int]] | None = None) -> list[str]:
    """Every file under `folder`, sorted; links are followed, but into no folder twice and not upwards."""
    if seen is None:
        seen = {_identity(parent) for parent in folder.absolute().parents}
    if _identity(folder) in seen:
        return []
    seen.add(_identity(folder))
    folders, files = _entries(folder)
    paths = [entry.path for entry in files]
    for entry in folders:
        paths += _walk(Path(entry.path), seen)
    return paths


def _identity(folder: Path) -> tuple[int, int]:
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def _split_folders(path: Path, need_train: bool = True) -> dict[str, Path]:
    """Split -> its folder; {"train": path} where the folder has no such level."""
    folders, files = _entries(path)
    if not folders and not files:
        raise UserError(
            f"folder {shown(str(path))} is empty: put images, or train/CLASS/ folders of images, into it"
        )
    named: dict[str, Path] = {}
    for entry in folders:
        split = SPLITS.get(entry.name.lower())
        if split in named:
            raise UserError(
                f"{shown(str(path))} has two {split} folders, {named[split].name} and {entry.name}: keep one"
            )
        if split:
            named[split] = Path(entry.path)
    others = len(folders) - len(named)
    if "train" in named and (len(named) > 1 or not others):  # beside other classes, `train` is a class
        return {split: named[split] for split in ("train", "val", "test") if split in named}
    if named and not others:
        if need_train:
            raise UserError(
                f"{shown(str(path))} has {' and '.join(sorted(named))}/ but no train/ folder: add one"
            )
        return named
    return {"train": path}


def _list_split(folder: Path) -> Listing:
    folders, files = _entries(folder)
    by_class = {entry.name: _walk(Path(entry.path)) for entry in folders}
    by_class = {name: paths for name, paths in by_class.items() if paths}
    if not by_class:
        if not files:
            raise UserError(
                f"folder {shown(str(folder))} holds no images: put images, or CLASS/ folders of them, into it"
            )
        return Listing([entry.path for entry in files], None, ())
    loose = [entry for entry in files if os.path.splitext(entry.name)[1].lower() in EXTENSIONS]
    if loose:  # beside class folders a README or a list of labels may lie, but what is an image needs a class
        raise UserError(
            f"{shown(loose[0].path)} lies beside class folders such as {shown(next(iter(by_class)))}/:"
            " move such images into a class folder, or all images into one flat folder"
        )
    classes = tuple(by_class)
    labels = [y for y, paths in enumerate(by_class.values()) for _ in paths]
    return Listing([path for paths in by_class.values() for path in paths], labels, classes)


def _check_classes(train: Listing, listing: Listing, folder: Path, train_folder: Path) -> None:
    if (listing.labels is None) != (train.labels is None):
        flat, tree = (folder, train_folder) if listing.labels is None else (train_folder, folder)
        raise UserError(
            f"{shown(str(tree))} has class folders and {shown(str(flat))} has none: give both the same form"
        )
    missing = [name for name in listing.classes if name not in train.classes]
    if missing:
        raise UserError(
            f"class {shown(missing[0])} of {shown(str(folder))} is missing from {shown(str(train_folder))}"
            f" ({len(missing)} such): add training images of it, or remove it"
        )
