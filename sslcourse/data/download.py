"""Fetching archives: resumed, checksummed, in place only when whole."""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import tempfile
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path

from tqdm.auto import tqdm

from sslcourse.errors import UserError

BLOCK = 1 << 20
TRIES = 3


def md5_of(path: Path) -> str:
    with open(path, "rb") as file:
        digest = hashlib.md5(usedforsecurity=False)
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def download(url: str, path: str | Path, md5: str, timeout: float = 30) -> Path:
    """Fetch `url` to `path` unless it is there. Continues `path`.part, verifies `md5`, then renames.

    With $SSLCOURSE_MIRROR set, the file of the same name is fetched from that address instead.
    Raises UserError: no connection, wrong checksum, disk full.
    """
    path = Path(path)
    if mirror := os.environ.get("SSLCOURSE_MIRROR"):
        url = f"{mirror.rstrip('/')}/{url.rsplit('/', 1)[1]}"
    if path.exists():
        if md5_of(path) == md5:
            return path
        raise UserError(
            f"{path} is not the file that {url} should be (md5 differs from {md5}): remove it and try again"
        )
    part = path.with_name(path.name + ".part")
    by_hand = f"place the file by hand as {path}, or name a mirror in SSLCOURSE_MIRROR"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for attempt in range(TRIES):
            resumed = part.exists() and part.stat().st_size > 0
            try:
                _fetch(url, part, timeout)
            except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError) as error:
                code = getattr(error, "code", None)
                refused = (code is not None and code < 500) or isinstance(
                    getattr(error, "reason", None), OSError
                )
                if refused or attempt == TRIES - 1:
                    reason = getattr(error, "reason", None) or error or type(error).__name__
                    raise UserError(
                        f"cannot fetch {url} ({reason}): try again to resume, {by_hand}"
                    ) from None
                continue
            if (found := md5_of(part)) == md5:
                part.replace(path)
                return path
            part.unlink()
            if (
                not resumed
            ):  # a resumed file may have been begun from another version: once more from the start
                raise UserError(f"{url} has md5 {found} instead of {md5}: {by_hand}")
        raise UserError(f"{url} does not arrive whole: {by_hand}")
    except OSError as error:
        raise UserError(
            f"cannot write {part} ({error.strerror or error}): free space, or choose another root"
        ) from None


def _fetch(url: str, part: Path, timeout: float) -> None:
    """Append to `part` what it lacks."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(
        url, headers={"User-Agent": "sslcourse"} | ({"Range": f"bytes={have}-"} if have else {})
    )
    try:
        answer = urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # nothing beyond what we have: the checksum judges it
            return
        raise
    with answer:
        if answer.status != 206:  # the server sends everything again
            have = 0
        left = answer.headers.get("Content-Length")
        total = None if left is None else have + int(left)
        bar = tqdm(total=total, initial=have, unit="B", unit_scale=True, desc=part.stem, disable=None)
        with bar, open(part, "ab" if have else "wb") as file:
            while block := answer.read(BLOCK):
                file.write(block)
                bar.update(len(block))
        if total is not None and part.stat().st_size < total:
            raise ConnectionError("the connection closed early")


def unpack(archive: Path, folder: Path) -> None:
    """Unpack into `folder`, whose entries appear only when the whole archive is unpacked."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=folder) as beside:
        try:
            safely = (
                {"filter": "data"} if archive.suffix != ".zip" and hasattr(tarfile, "data_filter") else {}
            )
            shutil.unpack_archive(archive, beside, **safely)
        except (shutil.ReadError, OSError, EOFError, ValueError) as error:
            raise UserError(
                f"cannot unpack {archive} ({error}): remove it and fetch it again, or free space"
            ) from None
        for entry in Path(beside).iterdir():
            target = folder / entry.name
            if target.is_dir():  # a half-unpacked one
                shutil.rmtree(target)
            entry.replace(target)
