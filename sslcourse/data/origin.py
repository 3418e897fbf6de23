"""Where a folder's images come from, so that a training that goes on can tell whether they are still the same."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sslcourse.errors import UserError, shown

FOLDER = "folder:"


@dataclass(frozen=True)
class Origin:
    """A folder and the files in it that the training images were drawn from.

    folder: absolute, links resolved. count: of those files. files: their names, relative to the folder, and sizes in
    bytes, in order, packed: 0.5 MB for 100,000. held_out: the splits that are held out of them.
    """

    folder: str
    count: int
    files: bytes
    held_out: tuple[str, ...]

    @classmethod
    def of(cls, folder: Path, paths: Sequence[str], held_out: Sequence[str]) -> Origin:
        """paths: of the files, as found by walking `folder`; one that is not there has the size -1."""
        beginning = os.path.join(folder, "")
        listed = b"".join(
            os.fsencode(path.removeprefix(beginning)) + b"\0%d\0" % _size(path) for path in paths
        )
        return cls(resolved(folder), len(paths), zlib.compress(listed), tuple(held_out))

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(zlib.decompress(self.files)).hexdigest()[:16]

    def difference(self, before: bytes) -> str:
        """The first difference from the `files` of an earlier Origin in words, or "" where they agree."""
        was, now = _unpack(before), _unpack(self.files)
        found = [f"{_shown(name)} is gone" for name in was if name not in now]
        found += [
            f"{_shown(name)} was {size:,} bytes and is {now[name]:,}"
            for name, size in was.items()
            if name in now and now[name] != size
        ]
        found += [f"{_shown(name)} is new" for name in now if name not in was]
        more = f" (the first of {len(found):,} such differences)" if len(found) > 1 else ""
        return found[0] + more if found else ""


def expanded(path: str | Path) -> Path:
    """The path with a leading ~ replaced. UserError where nobody's home is known."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise UserError(f"{path}: no home directory is known for its ~: write the whole path") from None


def resolved(path: str | Path) -> str:
    """The one name of a folder, however it is spelled: absolute, without links."""
    return os.path.realpath(expanded(path))


def one_name(data: str, folder: str | None = None) -> str:
    """A data set's name with its folder resolved. `folder`: what it was resolved to when the run was made."""
    if not data.startswith(FOLDER):
        return data
    try:
        return FOLDER + (folder or resolved(data.removeprefix(FOLDER)))
    except UserError:  # of an older run, by someone with a home
        return data


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return -1


def _unpack(files: bytes) -> dict[bytes, int]:
    fields = zlib.decompress(files).split(b"\0")
    return {name: int(size) for name, size in zip(fields[:-1:2], fields[1::2], strict=True)}


def _shown(name: bytes) -> str:
    return shown(os.fsdecode(name))
