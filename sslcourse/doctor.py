"""Is this environment able to run the course?"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
import tempfile

from packaging.requirements import Requirement

from sslcourse.data.images import cache_dir, pick_device
from sslcourse.errors import UserError


def examine() -> list[dict]:
    """One row per check: {"check", "ok", "found", "advice"}; advice is empty where all is well."""
    rows = []

    def add(check: str, ok: bool, found: str, advice: str) -> None:
        rows.append({"check": check, "ok": bool(ok), "found": found, "advice": "" if ok else advice})

    add("python", sys.version_info >= (3, 10), platform.python_version(), "install Python 3.10 or newer")
    for text in importlib.metadata.requires("sslcourse") or []:
        need = Requirement(text)
        extra = "extra" in str(need.marker or "")
        if need.name == "sslcourse" or (extra and need.name not in ("jupyterlab", "nbval", "nbconvert")):
            continue
        if need.marker and not need.marker.evaluate({"extra": "lab"}):
            continue  # not for this Python
        try:
            version = importlib.metadata.version(need.name)
        except importlib.metadata.PackageNotFoundError:
            version = ""
        advice = "pip install 'sslcourse[lab]'" if extra else f"pip install '{need.name}{need.specifier}'"
        add(
            need.name,
            need.specifier.contains(version, prereleases=True) if version else False,
            version or "missing",
            advice,
        )

    import torch

    n = torch.get_num_threads()
    threads = f"{n} threads" if n > 1 else "1 thread (lessons are timed for two: expect twice their minutes)"
    add("cores", True, f"{os.cpu_count()} cores, {threads}", "")
    device = pick_device()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    add(
        "device",
        bool(torch.ones(2, device=device).sum() == 2),
        name,
        "the device does not compute: set --device cpu",
    )
    try:
        cache = cache_dir()
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=cache):
            free = shutil.disk_usage(cache).free / 1e9
        add(
            "cache",
            free > 2,
            f"{cache}, {free:.0f} GB free",
            "free some disk, or point SSLCOURSE_CACHE elsewhere: 2 GB are needed",
        )
    except OSError as error:
        add("cache", False, f"{cache}: {error.strerror}", "point SSLCOURSE_CACHE to a folder you may write")
    except UserError as error:
        add("cache", False, str(error), "point SSLCOURSE_CACHE to a folder you may write")
    return rows
