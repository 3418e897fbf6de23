"""Instance discrimination and metric learning: two processes of 8 are one of 16."""

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file

from sslcourse import nets
from sslcourse.methods import METHODS
from sslcourse.nets.world import rank, with_global_batch_norm, world_size

CASES = {
    "softmax": ("npid", {"images": 40, "negatives": 0}),
    "nce": ("npid", {"images": 40, "negatives": 12, "proximal": 2.0}),
    "exemplar": ("exemplar", {"images": 40, "seeds": 9}),
    "triplet": ("triplet", {"kind": "triplet", "negatives": "hard"}),
    "pair": ("triplet", {"kind": "pair", "negatives": "semihard"}),
    "ranking": ("triplet", {"kind": "ranking", "negatives": "all"}),
}


def flips(images):
    """Two views without chance: as it is, then mirrored."""
    flips.calls += 1
    return images if flips.calls % 2 else images.flip(3)


def train(folder: str) -> None:
    """Two steps of each case on this process's share of 16 images; process 0 writes what they came to."""
    said = {}
    for case, (name, arguments) in CASES.items():
        torch.manual_seed(0)
        method = METHODS[name](nets.encoder("small", 16, width=4), **arguments).double()
        with_global_batch_norm(method, torch.device("cpu"))
        flips.calls = 0
        method.view = flips
        if name == "npid":
            method.bank.draw = lambda count: torch.arange(count) * 7 % 40
        optimizer = torch.optim.SGD(method.parameters(), lr=0.1)
        generator = torch.Generator().manual_seed(1)
        for step in range(2):
            images = torch.rand(16, 3, 16, 16, generator=generator, dtype=torch.float64)
            index = torch.randperm(40, generator=generator)[:16]
            mine = slice(rank() * 16 // world_size(), (rank() + 1) * 16 // world_size())
            optimizer.zero_grad()
            loss = method(images[mine], index=index[mine])["loss"]
            loss.backward()
            total = torch.cat([loss.detach()[None], *[p.grad.flatten() for p in method.parameters()]])
            if world_size() > 1:  # what DistributedDataParallel does
                dist.all_reduce(total)
            loss, *gradients = (total / world_size()).split([1, *[p.numel() for p in method.parameters()]])
            for p, gradient in zip(method.parameters(), gradients, strict=True):
                p.grad = gradient.view_as(p)
            optimizer.step()
            method.after_step()
            said |= {f"{case} {step} {n}": p.grad.clone().contiguous() for n, p in method.named_parameters()}
            said[f"{case} {step} loss"] = loss
        said |= {f"{case} {n}": v.clone().contiguous() for n, v in method.state_dict().items()}
    if rank() == 0:
        save_file(said, f"{folder}/{world_size()}")


def worker(process: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=process, world_size=2)
    train(folder)
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("together"))
    train(folder)
    torch.multiprocessing.spawn(worker, (folder,), nprocs=2)
    return load_file(f"{folder}/1"), load_file(f"{folder}/2")


@pytest.mark.parametrize("case", CASES)
def test_two_processes_of_8_are_one_of_16(both, case):
    one, two = both
    names = [name for name in one if name.startswith(f"{case} ")]
    assert one.keys() == two.keys() and len(names) > 60
    for name in names:
        torch.testing.assert_close(
            two[name], one[name], atol=1e-6, rtol=1e-6, msg=lambda m, n=name: f"{n}: {m}"
        )
