"""Every method: two processes of 11 images are one of 22, in loss, gradients, weights and buffers."""

import pytest
import torch
from torch import Tensor

from sslcourse import nets
from sslcourse.data.images import Data, ImageSet
from sslcourse.methods import METHODS
from sslcourse.nets.world import rank, with_global_batch_norm, world_size
from sslcourse.recipes import LAPTOP
from tests.chance import SameChance
from tests.conftest import moving, planted
from tests.together import global_step, one_and_two

# beside every method by its laptop recipe: name of the case -> method, arguments that change it
CASES = {name: (name, {}) for name in METHODS} | {
    "context_encoder, adversary": ("context_encoder", {"region": "centre", "adversarial": 0.1}),
    "colorization, not rebalanced": ("colorization", {"rebalance": False}),
    "exemplar, 9 seeds": ("exemplar", {"seeds": 9}),
    "npid, nce": ("npid", {"negatives": 12, "proximal": 2.0}),
    "triplet, hard": ("triplet", {"kind": "triplet", "negatives": "hard"}),
    "triplet, pair": ("triplet", {"kind": "pair", "negatives": "semihard"}),
    "triplet, ranking": ("triplet", {"kind": "ranking", "negatives": "all"}),
    "cpc, four directions": ("cpc", {"directions": 4, "negatives": 0}),
    "pirl, turned": ("pirl", {"transform": "rotation", "lam": 0.3}),
    "detcon S": ("detcon", {"kind": "S"}),
    "moco, symmetric": ("moco", {"symmetric": True}),
}
SMALL = {
    "length": 50,
    "hidden": 16,
    "dim": 8,
    "tower": 8,
    "d": 8,
    "clusters": [3, 5],
    "warmup": 0,
}  # instead of a recipe's
B = 22


def world(clips: bool) -> Data:
    """40 images, or clips. The first nine differ from the others, so that the two processes have unequal shares:
    they are grey, and in clips the last frame has other colours than those before it."""
    images = (moving if clips else planted)(40, seed=1).images.clone()
    if clips:
        images[:9, -1] = 255 - images[:9, -1]
        known = moving(40, seed=1)
        some = ImageSet(images, factors=known.factors, masks=known.masks)
    else:
        images[:9] = images[:9].float().mean(1, keepdim=True).to(torch.uint8)
        some = ImageSet(images, torch.arange(40) % 4, tuple("abcd"))
    return Data("world", some, some[:8], some[:8])


def make(name: str, arguments: dict, data: Data):
    torch.manual_seed(0)
    recipe = LAPTOP.get(name)
    encoder = nets.encoder("small", data.size, **{**(recipe.encoder_arguments if recipe else {}), "width": 4})
    given = {**METHODS[name].arguments_from(data), **(recipe.arguments if recipe else {})}
    method = METHODS[name](encoder, **{**given, **small(name), **arguments}).double()
    method.prepare(data)
    return with_global_batch_norm(method, torch.device("cpu"))


def small(name: str) -> dict:
    known = METHODS[name](nets.encoder("small", 16, width=4)).arguments()
    return {key: value for key, value in SMALL.items() if key in known}


def train() -> dict[str, Tensor]:
    """Two steps of each case on this process's share of 22 images: what was computed, and what it came to."""
    said = {}
    for case, (name, arguments) in CASES.items():
        data = world(METHODS[name].clips)
        method = make(name, arguments, data)
        optimizer = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], lr=0.05)
        with SameChance(B // world_size(), rank()):
            for step in range(2):
                method.start_epoch(data)
                method.progress = step / 2
                index = torch.arange(B) + 18 * step
                images = data.train.floats(index).double()
                labels = data.train.labels[index] if method.uses_labels else None
                done = global_step(method.train(), optimizer, images, index, labels)
                said |= {f"{case}/{step} {n}": x for n, x in done.items()}
        said |= {f"{case}/{n}": v.clone().contiguous() for n, v in method.state_dict().items()}
    return said


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    return one_and_two(train, str(tmp_path_factory.mktemp("together")))


@pytest.mark.parametrize("case", CASES)
def test_two_processes_of_11_are_one_of_22(both, case):
    one, two = both
    names = [name for name in one if name.startswith(f"{case}/")]
    assert one.keys() == two.keys() and len(names) > 40
    for name in names:
        torch.testing.assert_close(
            two[name], one[name], atol=1e-6, rtol=1e-6, msg=lambda m, n=name: f"{n}: {m}"
        )
