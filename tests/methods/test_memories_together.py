"""PIRL, CMC, NAT and DetCon: two processes of 8 are one of 16, with their banks, permutations and targets."""

import pytest
import torch
from torch.nn import functional as F

from sslcourse import nets
from sslcourse.methods import METHODS
from sslcourse.nets.world import with_global_batch_norm
from tests.together import global_step, one_and_two

CASES = {
    "pirl": ("pirl", {"images": 40, "negatives": 30, "dim": 8}),
    "pirl turned": ("pirl", {"images": 40, "negatives": 30, "dim": 8, "transform": "rotation", "lam": 0.3}),
    "cmc": ("cmc", {"images": 40, "negatives": 12, "dim": 8}),
    "nat": ("nat", {"images": 40, "dim": 8}),
    "detcon B": ("detcon", {"images": 40, "size": 16, "hidden": 8, "dim": 4}),
    "detcon S": ("detcon", {"images": 40, "size": 16, "hidden": 8, "dim": 4, "kind": "S"}),
}


def encoder():
    return nets.encoder("small", 16, width=8, stem_stride=2, blocks=(1,))


def without_chance(name: str, method) -> None:
    """Everything that is drawn follows from the images alone."""
    method.view = lambda images: images
    if name == "pirl":
        method.bank.draw = lambda count: torch.arange(count) * 7 % 40
        method.shuffled = lambda x: (
            F.pad(x, (1, 1, 1, 1)).unfold(2, 6, 6).unfold(3, 6, 6).flatten(2, 3).permute(0, 2, 1, 3, 4)
        )
        method.turned = lambda x: x.rot90(1, (2, 3))
    if name == "cmc":
        method.banks[0].draw = lambda count: torch.arange(count) * 7 % 40
    if name == "detcon":
        method.segmented.copy_(torch.arange(40 * 256).view(40, 16, 16) // 7 % 5)
        method.looks = [False, True]
        method.view = lambda x, maps, flip: (x.flip(3), maps.long().flip(2)) if flip else (x, maps.long())
        method.draw = lambda places: places[:, [0, 3, 1, 1, 2, 3]] if places.shape[1] > 3 else places


def train() -> dict[str, torch.Tensor]:
    """Two steps of each case on this process's share of 16 images; process 0 writes what they came to."""
    said = {}
    for case, (name, arguments) in CASES.items():
        torch.manual_seed(0)
        method = METHODS[name](encoder(), **arguments).double()
        with_global_batch_norm(method, torch.device("cpu"))
        without_chance(name, method)
        optimizer = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], lr=0.05)
        generator = torch.Generator().manual_seed(1)
        for step in range(2):
            images = torch.rand(16, 3, 16, 16, generator=generator, dtype=torch.float64)
            index = torch.randperm(40, generator=generator)[:16]
            done = global_step(method, optimizer, images, index)
            said |= {f"{case}/{step} {n}": x for n, x in done.items()}
        said |= {f"{case}/{n}": v.clone() for n, v in method.state_dict().items()}
    return said


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    return one_and_two(train, str(tmp_path_factory.mktemp("together")))


@pytest.mark.parametrize("case", CASES)
def test_two_processes_of_8_are_one_of_16(both, case):
    one, two = both
    names = [name for name in one if name.startswith(f"{case}/")]
    assert one.keys() == two.keys() and len(names) > 40
    for name in names:
        torch.testing.assert_close(
            two[name], one[name], atol=1e-6, rtol=1e-6, msg=lambda m, n=name: f"{n}: {m}"
        )
    moved = {"pirl": "bank.rows", "cmc": "banks.1.rows", "nat": "owned", "detcon": "projector.0.weight"}
    torch.manual_seed(0)
    name, arguments = CASES[case]
    fresh = METHODS[name](encoder(), **arguments).double().state_dict()
    assert not torch.equal(one[f"{case}/{moved[name]}"], fresh[moved[name]])
