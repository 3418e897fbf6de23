"""Two processes are one: every method in its steps (of 11 images each), and some through the whole training loop.

The two processes are started once for all: starting them takes longer than what they do.
"""

import inspect
import itertools

import pytest
import torch
from torch import Tensor

from sslcourse import nets, training
from sslcourse.data.images import Data, ImageSet
from sslcourse.methods import METHODS
from sslcourse.methods.parts.gathered import rank, world_size
from sslcourse.training.processes import with_global_batch_norm
from sslcourse.training.recipes import LAPTOP, Recipe
from tests.chance import SameChance
from tests.conftest import moving, planted
from tests.teachers import taught
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
    "bownet, binary": ("bownet", {"binary": True, "cosine": True, "cutmix": 1.0}),
    "obow, one level, no patches": ("obow", {"levels": 1, "patches": 0}),
    "moco, symmetric": ("moco", {"symmetric": True}),
    "swav, queue": ("swav", {"length": 20, "queue_from": 1}),
    "dino, norm in the head": ("dino", {"head_norm": True, "norm_last_layer": False}),
}
SMALL = {
    "length": 50,
    "hidden": 16,
    "dim": 8,
    "tower": 8,
    "d": 8,
    "clusters": [3, 5],
    "warmup": 0,
    "words": 12,
    "outputs": 12,
    "bottleneck": 8,
    "prototypes": 9,
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
    method = METHODS[name](encoder, **taught(name), **{**given, **small(name), **arguments}).double()
    method.prepare(data)
    return with_global_batch_norm(method, torch.device("cpu"))


def small(name: str) -> dict:
    known = inspect.signature(METHODS[name]).parameters
    return {key: value for key, value in SMALL.items() if key in known}


def steps() -> dict[str, Tensor]:
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


# through the loop: arguments
LOOPS = {
    "rotnet": {},
    "simclr": {},
    "moco": {"length": 80, "momentum": 0.9, "symmetric": True},
    "moco_v3": {"hidden": 16, "dim": 8},
    "pcl": {"length": 48, "momentum": 0.9, "images": 64, "clusters": [3, 5], "warmup": 0},
}
# The library would take over inside an allocation of Slurm. In it the first training starts: it opens the group.
SLURM = {"SLURM_JOB_ID": "1", "SLURM_NTASKS": "2", "SLURM_JOB_NAME": "train"}


def loops() -> dict[str, Tensor]:
    return {f"loop of {name} {n}": value for name in LOOPS for n, value in loop(name).items()}


def loop(name: str) -> dict[str, Tensor]:
    """An epoch of two steps of 32 images: the last gradients, the loss, what the method came to."""
    torch.manual_seed(0)
    data, said, calls = Data("tiny", planted(64, seed=1), planted(8), planted(8)), {}, itertools.count()
    method = METHODS[name](nets.encoder("small", 16, width=4), **LOOPS[name]).double()
    method.view = method.other_view = lambda x: x if name == "rotnet" or next(calls) % 2 else x.flip(3)

    def before_step():
        learned = {n: p.grad for n, p in method.named_parameters() if p.grad is not None}
        said.update({f"gradient {n}": gradient.contiguous().clone() for n, gradient in learned.items()})

    method.before_step = before_step
    recipe = Recipe(epochs=1, batch=32, warmup=0, lr=0.05)
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in (SLURM if name == "rotnet" else {}).items():
            patch.setenv(variable, value)
        run = training.pretrain(method, data, recipe=recipe, device="cpu", precision="64")
    said |= {n: value.clone().contiguous() for n, value in method.state_dict().items()}
    return {**said, "loss": torch.tensor([line["loss"] for line in run.history], dtype=torch.float64)}


def all_of_it() -> dict[str, Tensor]:
    return loops() | steps()


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    return one_and_two(all_of_it, tmp_path_factory.mktemp("together"))


def assert_one(both, beginning: str) -> dict[str, Tensor]:
    """What begins so is in each of two processes what it is in one; returned."""
    one, two = both
    own = {name: value for name, value in one.items() if name.startswith(beginning)}
    for process in two:
        assert one.keys() == process.keys()
        for name, value in own.items():
            torch.testing.assert_close(
                process[name], value, atol=1e-6, rtol=1e-6, msg=lambda m, n=name: f"{n}: {m}"
            )
    return own


@pytest.mark.parametrize("case", CASES)
def test_two_processes_of_11_are_one_of_22(both, case):
    assert len(assert_one(both, f"{case}/")) > 40


@pytest.mark.parametrize("name", LOOPS)
def test_two_processes_of_16_are_one_of_32_through_the_loop(both, name):
    """Losses, gradients, weights, queue, clusters."""
    own = assert_one(both, f"loop of {name} ")
    assert len(own) > 40
    if name == "moco":
        assert own["loop of moco queue.keys"].shape == (80, 128)
        assert sorted(set(own["loop of moco made"].tolist())) == [0, 1]
