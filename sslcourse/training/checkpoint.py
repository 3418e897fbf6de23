"""Files that survive a kill: written beside, flushed, renamed. Nothing is ever unpickled."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from sslcourse.errors import UserError

Writer = Callable[[Path], object]  # writes a whole file to the path it is given


def write_atomically(writers: dict[Path, Writer]) -> None:
    """Every file is written beside its path and flushed; when all are whole, all are renamed, in order.

    A reader sees the old file or the new one, never a half, and an error leaves every old file. A link is
    followed. Raises OSError, also for a path that is a device or a folder.
    """
    goals = {}
    for path, write in writers.items():
        real = Path(os.path.realpath(path))
        if real.exists() and not real.is_file():
            raise OSError(f"{path} is not a file")
        goals[real.with_name(real.name + ".part")] = (real, write)
    try:
        for beside, (_, write) in goals.items():
            write(beside)
            with open(beside, "rb") as file:
                os.fsync(file.fileno())
        for beside, (real, _) in goals.items():
            os.replace(beside, real)
    finally:
        for beside in goals:
            beside.unlink(missing_ok=True)


def text_writer(text: str) -> Writer:
    return lambda beside: beside.write_text(text)


def tensor_writer(tensors: dict[str, Tensor], metadata: dict | None = None) -> Writer:
    """Tensors as contiguous CPU copies (safetensors refuses shared and strided ones); metadata as one JSON text.

    It raises OSError also where safetensors has a name of its own for a full disk.
    """

    def write(beside: Path) -> None:
        own = {name: t.detach().contiguous().to("cpu", copy=True) for name, t in tensors.items()}
        try:
            save_file(own, beside, {"json": json.dumps(metadata or {})})
        except SafetensorError as error:
            raise OSError(str(error)) from error

    return write


def read_tensors(path: Path, advice: str) -> tuple[dict[str, Tensor], dict]:
    """The tensors and metadata of a file. `advice` ends the line that says it cannot be read."""
    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, json.loads(file.metadata()["json"])
    except (SafetensorError, OSError, ValueError, TypeError, KeyError) as error:  # of another maker, too
        raise UserError(f"{path} cannot be read ({error}); {advice}") from None


def all_finite(tensors: Iterable[Tensor]) -> bool:
    """Are all numbers finite? One question to the device, however many tensors there are."""
    found = [t.isfinite().all() for t in tensors if t.is_floating_point()]
    return not found or bool(torch.stack(found).all())


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict]:
    """The optimiser's state as flat tensors `optimizer.<parameter>.<name>`, and what is not a tensor."""
    tensors, numbers = {}, {}
    for i, state in optimizer.state_dict()["state"].items():
        for name, value in state.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer.{i}.{name}"] = value
            elif value is not None:
                numbers[f"{i}.{name}"] = value
    return tensors, numbers


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor], numbers: dict) -> None:
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict] = {}
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            i, name = key.removeprefix("optimizer.").split(".", 1)
            like = parameters[int(i)]
            if value.shape == like.shape:  # the strides of the parameter, so that sums run in the same order
                value = torch.empty_like(like, dtype=value.dtype).copy_(value)
            state.setdefault(int(i), {})[name] = value
    for key, value in numbers.items():
        i, name = key.split(".", 1)
        state.setdefault(int(i), {})[name] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def random_state(device: torch.device) -> tuple[Tensor, dict]:
    """Every generator a method may draw from: torch's as one byte tensor (CPU, then CUDA), the rest as JSON."""
    parts = [torch.get_rng_state()]
    if device.type == "cuda":
        parts.append(torch.cuda.get_rng_state(device))
    version, keys, *rest = np.random.get_state()  # noqa: NPY002
    python_version, python_keys, gauss = random.getstate()
    others = {
        "numpy": [version, keys.tolist(), *rest],
        "python": [python_version, list(python_keys), gauss],
        "sizes": [len(part) for part in parts],
    }
    return torch.cat(parts), others


def restore_random(state: Tensor, others: dict, device: torch.device) -> None:
    parts = state.cpu().split(others["sizes"])
    torch.set_rng_state(parts[0].clone())
    if device.type == "cuda" and len(parts) > 1:
        torch.cuda.set_rng_state(parts[1].clone(), device)
    version, keys, *rest = others["numpy"]
    np.random.set_state((version, np.array(keys, dtype=np.uint32), *rest))  # noqa: NPY002
    python_version, python_keys, gauss = others["python"]
    random.setstate((python_version, tuple(python_keys), gauss))


def load_into(module: nn.Module, tensors: dict[str, Tensor], where: Path | str) -> None:
    """`load_state_dict` whose complaint is one line."""
    own = module.state_dict()
    wrong = sorted(set(own) ^ set(tensors)) or [n for n in own if own[n].shape != tensors[n].shape]
    if wrong:
        raise UserError(
            f"{where} does not fit this method: {wrong[0]!r} and {len(wrong) - 1} more differ; was it made by another version?"
        )
    module.load_state_dict(tensors)
