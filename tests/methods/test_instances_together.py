"""Instance discrimination and metric learning: two processes of 8 are one of 16."""

import pytest
import torch

from sslcourse import nets
from sslcourse.methods import METHODS
from sslcourse.nets.world import with_global_batch_norm
from tests.together import global_step, one_and_two

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


def train() -> dict[str, torch.Tensor]:
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
            done = global_step(method, optimizer, images, index)
            said |= {f"{case} {step} {n}": x for n, x in done.items()}
        said |= {f"{case} {n}": v.clone().contiguous() for n, v in method.state_dict().items()}
    return said


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    return one_and_two(train, str(tmp_path_factory.mktemp("together")))


@pytest.mark.parametrize("case", CASES)
def test_two_processes_of_8_are_one_of_16(both, case):
    one, two = both
    names = [name for name in one if name.startswith(f"{case} ")]
    assert one.keys() == two.keys() and len(names) > 60
    for name in names:
        torch.testing.assert_close(
            two[name], one[name], atol=1e-6, rtol=1e-6, msg=lambda m, n=name: f"{n}: {m}"
        )
