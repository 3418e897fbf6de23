"""One process and two that act as one: the same training in both, for comparison."""

import importlib
import inspect
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from sslcourse.methods.parts.gathered import rank, world_size

ROOT = Path(__file__).parents[1]


def global_step(
    method, optimizer, images: Tensor, index: Tensor, labels: Tensor | None = None
) -> dict[str, Tensor]:
    """One step on this process's share of the batch, as DistributedDataParallel makes it: mean loss and gradients."""
    mine = slice(rank() * len(images) // world_size(), (rank() + 1) * len(images) // world_size())
    optimizer.zero_grad()
    loss = method(images[mine], index=index[mine], labels=None if labels is None else labels[mine])["loss"]
    loss.backward()
    learned = {n: p for n, p in method.named_parameters() if p.requires_grad}
    total = torch.cat([loss.detach()[None], *[p.grad.flatten() for p in learned.values()]])
    if world_size() > 1:
        dist.all_reduce(total)
    loss, *gradients = (total / world_size()).split([1, *[p.numel() for p in learned.values()]])
    for p, gradient in zip(learned.values(), gradients, strict=True):
        p.grad = gradient.view_as(p)
    said = {"loss": loss} | {n: p.grad.clone() for n, p in learned.items()}
    optimizer.step()
    method.after_step()
    return said


def one_and_two(train: Callable[[], dict], folder: Path) -> tuple[dict, list[dict]]:
    """What `train()`, a function of a module, returns in a process alone, and in each of two that torchrun starts.

    The group is opened and left as in any training: by a `pretrain` in `train`.
    """
    one = train()
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*torchrun, "-m", __name__, f"{train.__module__}:{train.__name__}", folder], cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(inspect.getfile(train)).parent)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-6000:]
    return one, [torch.load(folder / str(process)) for process in range(2)]


def _worker(train: str, folder: str) -> None:
    torch.set_num_threads(1)
    module, name = train.split(":")
    said = getattr(importlib.import_module(module), name)()
    assert world_size() == 2, f"{train} opened no group of processes"
    torch.save(said, f"{folder}/{rank()}")


if __name__ == "__main__":
    _worker(*sys.argv[1:])
