"""One process and two that act as one: the same training in both, for comparison."""

from collections.abc import Callable

import torch
import torch.distributed as dist
from torch import Tensor

from sslcourse.nets.world import rank, world_size


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


def one_and_two(train: Callable[[], dict], folder: str) -> tuple[dict, dict]:
    """What `train()`, a function of a module, returns in a process alone, and in the second of two."""
    one = train()
    torch.multiprocessing.spawn(_worker, (train, folder), nprocs=2)
    return one, torch.load(f"{folder}/two")


def _worker(process: int, train: Callable[[], dict], folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=process, world_size=2)
    said = train()
    if process == 1:  # it must end with the same as the first
        torch.save(said, f"{folder}/two")
    dist.destroy_process_group()
