"""Records of long experiments: written once with all that made them, read by the lessons."""

from __future__ import annotations

import json
import platform
import subprocess
import sysconfig
from collections.abc import Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path

import torch

from sslcourse.data.images import pick_device
from sslcourse.errors import UserError

ROOT = Path(__file__).resolve().parents[2]


def device_name(device: str | torch.device = "auto") -> str:
    """A device in words: "NVIDIA H100 80GB HBM3", or "CPU x86_64, 2 threads"."""
    device = pick_device(device)
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return f"Apple {platform.machine()} (MPS)"
    threads = torch.get_num_threads()
    return f"CPU {platform.machine()}, {threads} {'thread' if threads == 1 else 'threads'}"


def results_dir() -> Path:
    """Where records lie: `data/results` of the repository, or its installed copy."""
    installed = Path(sysconfig.get_path("data")) / "share/sslcourse/results"
    return installed if installed.is_dir() and not (ROOT / "data/results").is_dir() else ROOT / "data/results"


def record(name: str) -> dict:
    """A recorded run, `data/results/NAME.json`: its numbers under "results". Prints where they come from."""
    path = results_dir() / f"{name}.json"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in path.parent.glob("*.json"))) or "none"
        raise UserError(f"record {name!r}: there is no {path}; records here: {known}")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        cost = f"{found['seconds']:.0f} s" if found["seconds"] < 600 else f"{found['seconds'] / 60:.0f} min"
        runs = found.get("runs", {})  # records did not always have it
        if kept := runs.get("cached", 0) + runs.get("resumed", 0):
            cost += f" with {kept} of {sum(runs.values())} runs from the cache"
        print(
            f"recorded: {name}, {found['date']}, {found['device']}, {cost}, commit {found['commit']}: "
            f"{found['command']}"
        )
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise UserError(f"record {name!r}: {path} is damaged ({error!r}); record it again") from None
    return found


def save_record(
    name: str,
    results,
    command: str,
    seconds: float,
    seed: int | Sequence[int],
    device="auto",
    folder: Path | None = None,
    runs: dict[str, int] | None = None,
    recipes: dict[str, dict] | None = None,
) -> Path:
    """Write `data/results/NAME.json`: results, and the command, commit, seed and device behind them.

    runs: how many were "trained" for it, how many "resumed" and how many "cached", that is found in the cache as this
    code had trained them; their time is not in `seconds`. recipes: those that its runs began with, by name.
    """
    packages = ("sslcourse", "torch", "torchvision", "numpy")
    found = {
        "name": name,
        "command": command,
        "commit": commit(),
        "seed": seed if isinstance(seed, int) else list(seed),
        "device": device_name(device),
        "date": date.today().isoformat(),
        "seconds": round(float(seconds), 1),
        **({"runs": dict(runs)} if runs is not None else {}),
        **({"recipes": dict(recipes)} if recipes is not None else {}),
        "versions": {"python": platform.python_version()} | {p: version(p) for p in packages},
        "results": results,
    }
    path = (folder or results_dir()) / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".tmp")
    beside.write_text(json.dumps(found, indent=1, default=_plain) + "\n", encoding="utf-8")
    beside.replace(path)
    return path


def commit() -> str:
    """The commit of the code, with "-dirty" if files differ from it; other records that just were made do not count."""

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=False
        ).stdout

    name = git("rev-parse", "--short=10", "HEAD").strip() or "unknown"
    changed = git("status", "--porcelain", "--untracked-files=no", "--", ":/", ":(exclude,top)data/results")
    return name + ("-dirty" if changed.strip() else "")


def _plain(value):
    """What JSON cannot write: tensors, arrays and Scores as numbers."""
    if hasattr(value, "value"):
        return value.value
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"save_record: {type(value).__name__} is not a number, string, list or dict")
