"""`load(name)`: every data set of the course by its name, and `describe()`, what there is."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Any

from sslcourse.data.images import Data, cache_dir, pick_device
from sslcourse.data.origin import expanded
from sslcourse.errors import UserError

NOT_YET = ("voc2007", "voc2012", "coco", "movi-c", "movi-e")
FOLDER = "folder:"


def names() -> list[str]:
    """Every name that `load` takes, apart from `folder:PATH`."""
    from sslcourse.data.real import REAL
    from sslcourse.data.toybox import WORLDS

    return [*WORLDS, "digits", "photos", *REAL]


def downloads(root: str | Path | None = None) -> Path:
    """Where real sets lie: `root`, laid out as torchvision does, by default inside the cache."""
    return cache_dir() / "downloads" if root is None else expanded(root)


def load(
    name: str,
    *,
    root: str | Path | None = None,
    size: int | None = None,
    limit: int | None = None,
    device: str = "auto",
    skip_corrupt: bool = False,
) -> Data:
    """The data set called `name` (see `sslcourse data`), or the user's own images: `folder:PATH`.

    root: where downloaded sets lie, laid out as torchvision does. size: pixels, if not the set's own.
    limit: the first so many images of train, and at most as many of val and of test; a prefix of the set.
    skip_corrupt: leave out files that do not load, with one warning that counts them.
    Sets whose pixels take less than 1 GB lie on `device` as uint8; larger folders stream (StreamedSet).
    Raises UserError.
    """
    _check_count("size", size, 4)
    _check_count("limit", limit, 1)
    place = pick_device(device)
    if name.startswith(FOLDER):
        from sslcourse.data.folder import load_folder

        path = name.removeprefix(FOLDER)
        if not path:
            raise UserError("folder: names no folder; write folder:PATH, such as folder:photos/holiday")
        return load_folder(path, size=size, limit=limit, device=place, skip_corrupt=skip_corrupt)
    if name.startswith("toybox"):
        from sslcourse.data.toybox import WORLDS, load_toybox

        if name in WORLDS:
            return load_toybox(name, size=size, limit=limit).to(place)
    if name in ("digits", "photos"):
        from sslcourse.data.builtin import load_digits, load_photos

        return (load_digits if name == "digits" else load_photos)(size=size, limit=limit).to(place)
    from sslcourse.data.real import REAL, load_real

    if name in REAL:
        return load_real(
            name, downloads(root), size=size, limit=limit, device=place, skip_corrupt=skip_corrupt
        )
    raise _unknown(name)


def _check_count(what: str, value: int | None, least: int) -> None:
    if value is not None and (not isinstance(value, int) or value < least):
        raise UserError(
            f"{what} {value!r} is not a whole number of at least {least}: choose one, or leave it out"
        )


def _unknown(name: str) -> UserError:
    if name in NOT_YET:
        return UserError(
            f"data set {name} is not loadable yet: unpack it yourself and load its images as folder:PATH"
        )
    if name and os.path.isdir(os.path.expanduser(name)):
        return UserError(f"{name!r} is a folder, not the name of a data set: write folder:{name}")
    close = difflib.get_close_matches(name.lower(), names(), n=3, cutoff=0.5)
    guess = f"did you mean {' or '.join(close)}?" if close else "see `sslcourse data`"
    return UserError(f"data set {name!r} is unknown: {guess}")


def describe(root: str | Path | None = None) -> list[dict[str, Any]]:
    """A row per data set: name, what, train, val, test (images), size (px), megabytes, source, on_disk.

    megabytes: of pixels in memory; for sets that are downloaded `download_megabytes` more on disk, else 0.
    """
    from sslcourse.data.builtin import CROPS
    from sslcourse.data.real import REAL
    from sslcourse.data.toybox import WORLDS

    def row(name, what, counts, size, source, on_disk, fetch=0):
        train, val, test = counts
        megabytes = round(sum(counts) * 3 * size**2 / 1e6, 1)
        return dict(
            name=name, what=what, train=train, val=val, test=test, size=size, megabytes=megabytes,
            download_megabytes=fetch, source=source, on_disk=on_disk,
        )  # fmt: skip

    rows = []
    for name, world in WORLDS.items():
        on_disk = any((cache_dir() / "toybox").glob(f"{name}-[0-9]*"))
        what = world.about if world.frames == 1 else f"{world.about}, {world.frames} frames each"
        rows.append(row(name, what, world.counts, world.size, "rendered here", on_disk))
        rows[-1]["megabytes"] *= world.frames
    rows.append(
        row("digits", "handwritten digits, 8 px enlarged", (1257, 180, 360), 32, "scikit-learn", True)
    )
    crops = tuple(CROPS.values())
    rows.append(row("photos", "crops of two photographs", crops, 64, "scikit-learn", True))
    for name, real in REAL.items():
        on_disk = (downloads(root) / real.unpacked).exists()
        rows.append(row(name, real.what, real.counts, real.size, "torchvision", on_disk, real.megabytes))
    folder = row(
        FOLDER + "PATH", "your own images, in class folders or flat", (0, 0, 0), 64, "your disk", True
    )
    rows.append(folder | dict.fromkeys(("train", "val", "test", "size", "megabytes")))
    return rows
