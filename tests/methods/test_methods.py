"""What every method must do, whatever it is."""

import json
import math
from dataclasses import replace

import pytest
import torch
from torch.overrides import TorchFunctionMode

from sslcourse import nets
from sslcourse.methods import METHODS, Method
from sslcourse.training.optimiser import make_optimizer
from sslcourse.training.pretraining import pretrain
from sslcourse.training.recipes import LAPTOP, Recipe
from tests.small import SMALL
from tests.teachers import taught, taught_by_a_run

NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


def make(name: str, data, **arguments) -> Method:
    torch.manual_seed(0)
    given = {**METHODS[name].arguments_from(data), **SMALL.get(name, {}), **arguments}
    return METHODS[name](nets.encoder("small", data.size, width=8), **taught(name, data.size), **given)


def batch(data):
    return next(data.train.batches(32))


@pytest.fixture
def own_data(name, tiny_data, tiny_clips):
    """Clips for the methods that learn from clips, images for the others."""
    return tiny_clips if METHODS[name].clips else tiny_data


@pytest.mark.parametrize("name", METHODS)
def test_says_where_it_comes_from(name):
    method = METHODS[name]
    assert method.name == name and method.paper.year > 1990 and method.chapter
    assert method.__doc__ and "kept" in method.__doc__
    *_, folder, file = method.__module__.split(".")
    assert file == name and folder == {"control": "methods"}.get(method.chapter, method.chapter)


@pytest.mark.parametrize("name", METHODS)
def test_loss_is_finite_and_reaches_every_weight_that_learns(name, own_data):
    method = make(name, own_data)
    images, index, labels = batch(own_data)
    logged = method(images, index=index, labels=labels if method.uses_labels else None)
    assert logged["loss"].ndim == 0 and torch.isfinite(logged["loss"])
    logged["loss"].backward()
    learned = {id(p) for group in method.parameter_groups() for p in group["params"]}
    for label, p in method.named_parameters():
        assert (p.grad is not None) == p.requires_grad, label
        assert (id(p) in learned) == p.requires_grad, label


@pytest.mark.parametrize("name", METHODS)
def test_keeps_its_arguments_so_that_it_can_be_built_again(name, own_data):
    method = make(name, own_data)
    arguments = json.loads(json.dumps(method.arguments()))
    again = METHODS[name](nets.encoder(**method.encoder.spec), **taught(name), **arguments)
    again.load_state_dict(method.state_dict())


EASIER = {  # the tiny set tells places by brightness and colour, which two methods take away
    "context": {"colours": "keep", "normalise": False, "degrade": 0.0, "patch": 5, "gap": 0, "jitter": 0, "min_area": 1.0},
    "jigsaw": {"normalise": False, "grey": 0.0},
    "cpc": {"patch": 0.5, "stride": 1.0, "negatives": 0, "scale": 0.2, "grey": 0.0, "jitter": 0.0, "min_area": 1.0, "drop": 0.0},
    "cmc": {"negatives": 16, "min_scale": 0.8, "temperature": 0.07},  # of 96 images, 512 would hold each own one often
    "pirl": {"negatives": 2048, "temperature": 0.1},
    "tracking": {"hard_after": 1.0},  # hard negatives from some step on would make its losses incomparable
    "exemplar": {"transforms": ["scale", "hue"]},
    "triplet": {"negatives": "all"},
    "moco": {"length": 16, "momentum": 0.5, "min_scale": 0.9, "head": "linear"},  # 50 steps are few for a slow encoder
    "moco_v3": {"temperature": 0.1, "momentum": 0.5, "min_scale": 0.9},
    "pcl": {"length": 48, "momentum": 0.5, "min_scale": 0.9, "warmup": 0, "clusters": [4]},
    "swav": {"min_scale": 0.9, "local_scale": [0.5, 0.9], "prototypes": 30, "eps": 0.02},
    "dino": {"momentum": 0.99, "centre_momentum": 0.5, "teacher_temperature": 0.02, "final_teacher_temperature": 0.02,
             "min_scale": 0.9, "local_scale": [0.5, 0.9], "outputs": 64, "head_norm": True, "freeze_last_layer": 0, "n_local": 2},
    "infomin": {"length": 16, "momentum": 0.5, "min_scale": 1.0, "operations": 0, "beta": 0.0},
    "byol": {"momentum": 0.5, "min_scale": 0.9},
    "vicreg": {"min_scale": 0.9, "lam": 1.0},  # views of noise hardly agree, and at its 25 that is most of the loss
    "obow": {"words": 24, "momentum": 0.5, "crop_scale": [0.8, 1.0], "patches": 0},
    "bownet": {"words": 12, "cutmix": 0.0, "min_scale": 0.9},
}  # fmt: skip


@pytest.mark.parametrize("name", METHODS)
def test_learns_on_a_tiny_set(name, own_data):
    arguments = {**LAPTOP[name].arguments, **EASIER.get(name, {})}
    recipe = replace(LAPTOP[name], encoder_arguments={"width": 8}, arguments=arguments, epochs=25, batch=48)
    recipe = replace(recipe, epochs=75) if name == "infomin" else recipe  # its colours hide what is easy here
    run = pretrain(name, own_data, **taught_by_a_run(name, own_data), recipe=recipe, device="cpu")
    # the rest of DINO's loss is its targets' entropy, which rises as centring spreads them
    losses = [line["kl" if name == "dino" else "loss"] for line in run.history]
    start = losses[
        1 if hasattr(make(name, own_data), "queue") else 0
    ]  # a queue begins with random keys: easy
    assert losses[-1] < 0.9 * start


@pytest.mark.parametrize("name", METHODS)
def test_features_are_those_of_the_kept_encoder(name, own_data, tiny_data):
    method = make(name, own_data).eval()
    images = batch(tiny_data)[0]
    assert torch.equal(method.features(images), method.kept(images))
    assert method.features(images).shape == (32, method.kept.dim)


@pytest.mark.parametrize("name", METHODS)
def test_a_loss_in_evaluation_changes_nothing(name, own_data):
    """Neither a fresh method's, nor a trained one's: memories, normalisers and statistics belong to training."""
    method, (images, index, labels) = make(name, own_data), batch(own_data)
    for step in range(2):
        before = {key: value.clone() for key, value in method.eval().state_dict().items()}
        method(images, index=index, labels=labels if method.uses_labels else None)
        with torch.no_grad():
            assert all(torch.equal(value, before[key]) for key, value in method.state_dict().items()), step
        method.train()(images, index=index, labels=labels if method.uses_labels else None)
        with torch.no_grad():
            method.after_step()


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=NO_GPU)])
@pytest.mark.parametrize("precision", ["64", "bf16"])  # 32 is every other test's
@pytest.mark.parametrize("name", METHODS)
def test_runs_in_every_precision(name, own_data, precision, device):
    more = taught_by_a_run(name, own_data)
    run = pretrain(name, own_data, **more, epochs=1, device=device, precision=precision)
    assert math.isfinite(run.history[-1]["loss"])


MAKERS = {torch.zeros, torch.ones, torch.full, torch.empty, torch.arange, torch.linspace, torch.eye, torch.tensor,
          torch.rand, torch.randn, torch.randint, torch.randperm}  # fmt: skip


class Homeless(TorchFunctionMode):
    """Notes every tensor that is made without saying where it shall live."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func in MAKERS and kwargs.get("device") is None and kwargs.get("generator") is None:
            self.found.append(f"{func.__name__}{args}")
        return func(*args, **kwargs)


@pytest.mark.parametrize("name", METHODS)
def test_a_step_makes_no_tensor_without_saying_where(name, own_data):
    method = make(name, own_data)
    images, index, labels = batch(own_data)
    with Homeless() as homeless:
        method(images, index=index, labels=labels if method.uses_labels else None)["loss"].backward()
        method.before_step()
        with torch.no_grad():
            method.after_step()
    assert not homeless.found


def test_default_groups_spare_norms_and_biases_from_decay(tiny_data):
    method = make("rotnet", tiny_data)
    decayed, spared = method.parameter_groups()
    assert all(p.ndim > 1 for p in decayed["params"]) and all(p.ndim == 1 for p in spared["params"])
    groups = make_optimizer(method, Recipe(weight_decay=0.3)).param_groups
    assert [group["weight_decay"] for group in groups] == [0.3, 0.0]
