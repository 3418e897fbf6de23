"""What a lesson calls: setup, show, claim, check, and the records of long experiments."""

from __future__ import annotations

import dis
import inspect
import json
import math
import os
import platform
import random
import statistics
import subprocess
import sys
import sysconfig
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from html import escape
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from sslcourse import plots, recipes
from sslcourse.data.images import pick_device
from sslcourse.errors import UserError

ROOT = Path(__file__).resolve().parents[1]


class ClaimError(AssertionError):
    """A claim does not hold, or one that was expected to fail does."""


class CheckError(AssertionError):
    """An exercise is wrong or not attempted, where SSLCOURSE_STRICT=1 asks for answers."""


def build_dir() -> Path:
    """Where claims and pages go: `$SSLCOURSE_BUILD`, else `build/` of the repository or current folder."""
    if "SSLCOURSE_BUILD" in os.environ:
        return Path(os.environ["SSLCOURSE_BUILD"])
    return (ROOT if (ROOT / "notebooks").is_dir() else Path.cwd()) / "build"


@dataclass(frozen=True)
class Setup:
    """What `setup` found: `.pick(smoke=..., laptop=..., gpu=...)` chooses by profile."""

    seed: int
    device: torch.device
    profile: str

    def pick(self, smoke, laptop, gpu=None):
        """The value for this profile; `gpu` defaults to `laptop`."""
        return {"smoke": smoke, "laptop": laptop, "gpu": laptop if gpu is None else gpu}[self.profile]


def setup(seed: int = 0, profile: str | None = None, *, strict: bool | None = None) -> Setup:
    """First call of a lesson: seeds, device, profile, figure style; prints one line of versions.

    profile: default `$SSLCOURSE_PROFILE`, else "laptop". strict: wrong or missing answers raise (solutions).
    """
    name = recipes.profile(profile)
    os.environ["SSLCOURSE_PROFILE"] = name  # recipes read it too
    if strict is not None:
        os.environ["SSLCOURSE_STRICT"] = str(int(strict))
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (libraries draw from it)
    torch.manual_seed(seed)
    plots.style()
    device = pick_device("auto")
    where = device_name(device)
    print(
        f"sslcourse {version('sslcourse')}, torch {torch.__version__}, {where}; profile {name}, seed {seed}"
    )
    return Setup(seed, device, name)


def device_name(device: str | torch.device = "auto") -> str:
    """A device in words: "NVIDIA H100 80GB HBM3", or "CPU x86_64, 2 threads"."""
    device = pick_device(device)
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return f"Apple {platform.machine()} (MPS)"
    threads = torch.get_num_threads()
    return f"CPU {platform.machine()}, {threads} {'thread' if threads == 1 else 'threads'}"


# --- showing ------------------------------------------------------------------------------------


def _emit(html: str, text: str) -> None:
    """Show HTML in a notebook, with `text` for terminals and plain outputs."""
    if "IPython" in sys.modules:
        from IPython import get_ipython
        from IPython.display import display

        if getattr(get_ipython(), "kernel", None) is not None:
            display({"text/html": html, "text/plain": text}, raw=True)
            return
    print(text)


def show(thing) -> None:
    """Print the source of a class, method, function or module, highlighted, with its file and line."""
    target = inspect.unwrap(thing.func if hasattr(thing, "func") else thing)
    try:
        lines, first = inspect.getsourcelines(target)
        path = Path(inspect.getsourcefile(target) or "")
    except (TypeError, OSError):
        kind = type(thing).__name__
        raise UserError(f"show: no Python source for this {kind}; give a class, method or function") from None
    source = textwrap.dedent("".join(lines)).rstrip()
    path = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path.name
    place = f"{path}:{max(first, 1)}"
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonLexer

    code = highlight(source, PythonLexer(), HtmlFormatter(noclasses=True, nobackground=True, style="default"))
    box = "border-left:3px solid #0072B2;padding:2px 10px;overflow-x:auto"
    _emit(
        f'<div style="{box}"><small><code>{escape(place)}</code></small>{code}</div>', f"# {place}\n{source}"
    )


# --- claims -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Verdict:
    """One judged claim. left, right: every number given; their means are compared."""

    text: str
    left: list[float]
    right: list[float]
    margin: float
    holds: bool
    expect: bool
    why: str
    source: str
    profile: str
    lesson: str

    @property
    def status(self) -> str:
        if self.profile == "smoke":
            return "not judged (smoke)"
        if self.expect:
            return "holds" if self.holds else "does not hold"
        return "holds, though it was expected not to" if self.holds else "does not hold here"

    @property
    def failed(self) -> bool:
        return self.profile != "smoke" and self.holds != self.expect

    @property
    def numbers(self) -> str:
        """`0.751 > 0.342 + 0.1`, with every seed's number and an interval of the paired difference.

        Not settled: the interval reaches across the margin, so that other seeds might give the other verdict.
        """
        mark = ">" if self.holds else "≤"
        margin = f" + {self.margin:g}" if self.margin else ""
        said = f"{_mean(self.left)} {mark} {_mean(self.right)}{margin}"
        if len(self.left) == len(self.right) >= 3:
            gap = [a - b for a, b in zip(self.left, self.right, strict=True)]
            half = _T95[min(len(gap) - 2, len(_T95) - 1)] * statistics.stdev(gap) / math.sqrt(len(gap))
            said += f"; difference {statistics.fmean(gap):.3g} ± {half:.2g} (95%, {len(gap)} pairs)"
            if abs(statistics.fmean(gap) - self.margin) <= half:
                said += ", not settled"
        return said

    def __str__(self) -> str:
        why = f"\n  why: {self.why}" if self.why else ""
        where = "" if self.source == "live" else f"\n  {self.source}"
        return f"claim: {self.text}\n  {self.status}: {self.numbers}{why}{where}"

    def html(self) -> str:
        colour = plots.figure.VERMILLION if self.failed else plots.figure.GREEN
        if not self.failed and self.status != "holds":
            colour = plots.figure.GREY if self.profile == "smoke" else "#9A6700"
        extra = "".join(
            f"<br><small>{escape(t)}</small>" for t in (self.why, self.source) if t and t != "live"
        )
        pill = f"background:{colour};color:#fff;border-radius:4px;padding:1px 7px"
        badge = f'<span style="{pill}">{self.status}</span>'
        box = f"border-left:4px solid {colour};padding:4px 12px;margin:4px 0"
        text = f"<b>Claim.</b> {escape(self.text)}<br>{badge} {escape(self.numbers)}{extra}"
        return f'<div style="{box}">{text}</div>'


# two-sided 95% quantiles of Student's t with 1, 2, ... degrees of freedom
_T95 = (
    12.706,
    4.303,
    3.182,
    2.776,
    2.571,
    2.447,
    2.365,
    2.306,
    2.262,
    2.228,
    2.201,
    2.179,
    2.160,
    2.145,
    2.131,
)


def _mean(values: Sequence[float]) -> str:
    mean = f"{statistics.fmean(values):.4g}"
    return mean if len(values) == 1 else f"{mean} (mean of {', '.join(f'{v:.4g}' for v in values)})"


def _floats(value) -> list[float]:
    """A number, a Score, a one-element tensor, or a sequence of them -> list of floats."""
    value = getattr(value, "value", value)
    if isinstance(value, torch.Tensor | np.ndarray):
        return [float(v) for v in value.reshape(-1)]
    if isinstance(value, Sequence):
        return [_floats(v)[0] for v in value]
    return [float(value)]


def judge(text, left, right, margin=0.0, *, source="live", expect=True, why="") -> Verdict:
    """The verdict on `left > right + margin`, with no side effects. See `claim`."""
    left, right = _floats(left), _floats(right)
    if not left or not right:
        raise UserError(f"claim {text!r}: no numbers to compare")
    if not expect and not why:
        raise UserError(f"claim {text!r}: expect=False needs why=..., found by experiment")
    holds = statistics.fmean(left) > statistics.fmean(right) + margin
    return Verdict(
        text, left, right, float(margin), holds, expect, why, source, recipes.profile(), lesson_name()
    )


def claim(text, left, right, margin=0, *, source="live", expect=True, why="") -> None:
    """Judge `left > right + margin`, print every number, log to `build/claims.jsonl`; failing fails the cell.

    left, right: numbers, Scores, or one per seed (means count). source: "live", or "recorded: NAME".
    expect=False: a claim of the talk that does not hold at this scale, with `why`; it fails the day it holds.
    Under `smoke` nothing is judged. Raises ClaimError.
    """
    verdict = judge(text, left, right, margin, source=source, expect=expect, why=why)
    path = build_dir() / "claims.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    row = asdict(verdict) | {"status": verdict.status, "failed": verdict.failed, "numbers": verdict.numbers}
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row, ensure_ascii=False) + "\n")
    _emit(verdict.html(), str(verdict))
    finite = all(math.isfinite(v) for v in (*verdict.left, *verdict.right))
    if verdict.failed or (not finite and verdict.profile != "smoke"):
        status = verdict.status if finite else "a number is not finite"
        raise ClaimError(f"{text}: {status} ({verdict.numbers})")


def lesson_name() -> str:
    """The lesson that runs: `$SSLCOURSE_LESSON` (course runs), else the notebook Jupyter opened, else ""."""
    return os.environ.get("SSLCOURSE_LESSON") or Path(os.environ.get("JPY_SESSION_NAME", "")).stem


# --- exercises ----------------------------------------------------------------------------------


def _attempted(answer) -> bool:
    """False for None, `...` and functions whose body is nothing but them."""
    if answer is None or answer is Ellipsis:
        return False
    if not inspect.isfunction(answer):
        return True
    steps = list(dis.get_instructions(answer))
    empty = {"RESUME", "NOP", "LOAD_CONST", "RETURN_CONST", "RETURN_VALUE"}
    return any(s.opname not in empty or s.argval not in (None, Ellipsis, 0) for s in steps)


def check(answer, test: Callable[[object], object], name: str = "exercise") -> None:
    """Mark an exercise: *not attempted*, *right*, or *wrong, because ...*

    answer: None or `...` while not attempted. A function that is still `...`, or raises NotImplementedError,
    is not attempted either. test(answer) returns True (or nothing) if right, a reason if wrong, or asserts.
    With SSLCOURSE_STRICT=1 anything but *right* raises CheckError.
    """
    said = "not attempted"
    if _attempted(answer):
        try:
            result = test(answer)
            right = result is None or (not isinstance(result, str) and bool(result))
            reason = result if isinstance(result, str) else "the check says no"
        except NotImplementedError:
            right, reason = False, ""
        except AssertionError as error:
            right, reason = False, (str(error).splitlines() or ["the check says no"])[0]
        except Exception as error:  # a reader's answer may fail in any way
            right, reason = False, f"checking it raised {type(error).__name__}: {error}"
        said = "right" if right else f"wrong, because {reason}" if reason else said
    colour = {"right": plots.figure.GREEN, "not attempted": plots.figure.GREY}.get(
        said, plots.figure.VERMILLION
    )
    box = f"border-left:4px solid {colour};padding:2px 12px"
    _emit(f'<div style="{box}"><b>{escape(name)}</b>: {escape(said)}</div>', f"{name}: {said}")
    if said != "right" and os.environ.get("SSLCOURSE_STRICT") == "1":
        raise CheckError(f"{name}: {said}")


# --- records ------------------------------------------------------------------------------------


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
) -> Path:
    """Write `data/results/NAME.json`: results, and the command, commit, seed and device behind them.

    runs: how many were "trained" for it, how many "resumed" and how many "cached", that is found in the cache as this
    code had trained them; their time is not in `seconds`.
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
