"""CPC and AMDIM: two processes of 4 images are one of 8."""

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from sslcourse import nets
from sslcourse.methods import AMDIM, CPC
from sslcourse.nets.world import rank, with_global_batch_norm, world_size


def as_it_is(x):
    return x


def measure() -> dict:
    """Loss, accuracy and gradients of both methods, on this process's share of 8 images; means over processes."""
    torch.manual_seed(0)
    layered = nets.encoder("small", 16, width=4, norm="layer")
    methods = {
        "cpc": CPC(layered, size=16, hidden=8, depth=2, directions=4),
        "amdim": AMDIM(nets.encoder("small", 16, width=4), d=8),  # its last layer has one place, so no chance
    }
    images = torch.rand(8, 3, 16, 16, dtype=torch.float64)
    out = {}
    for name, method in methods.items():
        method.view = method.patch_view = method.flip = as_it_is
        with_global_batch_norm(method.double(), torch.device("cpu"))
        logged = method(images.chunk(world_size())[rank()])
        logged["loss"].backward()
        found = {label: p.grad for label, p in method.named_parameters()} | logged
        out |= {f"{name} {label}": value.detach().double().contiguous() for label, value in found.items()}
    for value in out.values():
        if world_size() > 1:
            dist.all_reduce(value)
            value /= world_size()
    return out


def worker(process: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=process, world_size=2)
    out = measure()
    if process == 0:
        torch.save(out, f"{folder}/both")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    folder = tmp_path_factory.mktemp("together")
    mp.spawn(worker, (str(folder),), nprocs=2)
    return torch.load(folder / "both")


@pytest.mark.parametrize("name", ["cpc", "amdim"])
def test_two_processes_are_one_with_the_global_batch(both, name):
    one = {label: value for label, value in measure().items() if label.startswith(name)}
    assert one.keys() <= both.keys() and len(one) > 20
    for label, value in one.items():
        torch.testing.assert_close(
            both[label], value, atol=1e-6, rtol=1e-6, msg=lambda m, n=label: f"{n}: {m}"
        )
