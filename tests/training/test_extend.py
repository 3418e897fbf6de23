"""A finished run goes on with a new schedule, and a run of older code as it began."""

import json
import os
import signal
from dataclasses import replace

import pytest
import torch

from sslcourse import cli, evaluate, nets
from sslcourse.data.images import Data
from sslcourse.errors import UserError
from sslcourse.training import checkpoint, loop, recipes
from sslcourse.training.pretraining import pretrain
from sslcourse.training.recipes import Recipe
from sslcourse.training.run import Run
from tests.conftest import planted
from tests.stub import Stub

RECIPE = Recipe(encoder_arguments={"width": 4}, epochs=2, batch=32, lr=0.05, warmup=0.5)


made: list[torch.optim.Optimizer] = []  # in their order


class Stop(Exception):
    pass


class Watch(Stub):
    """Writes down the rate and the progress of every step."""

    def __init__(self, encoder, interrupt_at: int = -1):
        super().__init__(encoder)
        self.told, self.interrupt_at = [], interrupt_at

    def before_step(self):
        super().before_step()
        self.told.append((made[-1].param_groups[0]["lr"], self.progress))
        if len(self.told) == self.interrupt_at:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture(autouse=True)
def optimizers(monkeypatch):
    make = loop.make_optimizer
    monkeypatch.setattr(loop, "make_optimizer", lambda *a: made.append(make(*a)) or made[-1])


def run(data, out, epochs, interrupt_at=-1, recipe=RECIPE, **arguments):
    torch.manual_seed(0)
    method = Watch(nets.encoder("small", 16, width=4), interrupt_at)
    return pretrain(method, data, recipe=recipe, epochs=epochs, out=out, device="cpu", **arguments)


def same(a: Run, b: Run) -> None:
    first, second = a.method.state_dict(), b.method.state_dict()
    assert first.keys() == second.keys() and all(torch.equal(first[n], second[n]) for n in first)
    kept = ("epoch", "step", "loss", "lr", "queue")
    assert [[line[k] for k in kept] for line in a.history] == [[line[k] for k in kept] for line in b.history]


def test_an_extended_run_goes_on_with_a_schedule_of_its_own(tiny_data, tmp_path):
    two = run(tiny_data, tmp_path, 2)
    four = run(tiny_data, tmp_path, 4, extend=True)
    assert "prepare" not in four.method.events and four.method.events.count("loss") == 6
    assert [line["epoch"] for line in four.history] == [1, 2, 3, 4] and four.history[:2] == two.history
    assert four.method.prior == 96 and four.method.progress == 1.0
    # three steps an epoch: the rates and the progress of the six added steps are those of the first six
    assert four.method.told == two.method.told and [p for _, p in two.method.told] == [
        i / 6 for i in range(6)
    ]
    assert not torch.equal(torch.cat(four.method.seen[:3]), torch.cat(two.method.seen[:3]))
    known = [{"epochs": 2, "lr": 0.05, "warmup": 0.5}] * 2
    assert four.config["stretches"] == known and four.config["recipe"]["epochs"] == 4
    assert "stretches" not in two.config
    loaded = json.loads((tmp_path / "config.json").read_text())
    assert loaded == four.config


def test_an_added_epoch_is_annealed_however_long_the_warm_up(tiny_data, tmp_path):
    recipe = replace(RECIPE, warmup=5.0, batch=16)  # six steps an epoch
    run(tiny_data, tmp_path, 2, recipe=recipe)
    told = run(tiny_data, tmp_path, 3, recipe=recipe, extend=True).method.told
    rates = [lr for lr, _ in told]
    assert len(rates) == 6 and rates[:3] == sorted(rates[:3]) and max(rates) == rates[3] == 0.05
    assert rates[3:] == sorted(rates[3:], reverse=True) and rates[-1] < 0.02


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("again", [{"extend": True}, {}])
def test_an_interrupted_extension_resumes_bit_for_bit_and_is_extended_again(
    tiny_data, tmp_path, optimizer, again
):
    recipe = replace(RECIPE, optimizer=optimizer, epochs=1)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for out in (whole, parts):
        run(tiny_data, out, 1, recipe=recipe)
    run(tiny_data, whole, 3, recipe=recipe, extend=True)
    for at in (1, 4):  # in the first epoch that is added, and in the second
        with pytest.raises(KeyboardInterrupt):
            run(tiny_data, parts, 3, at, recipe=recipe, **({"extend": True} if at == 1 else again))
        state = checkpoint.read_tensors(parts / "state.safetensors", "")[1]
        assert state["step"] == {1: 4, 4: 8}[at]
    same(run(tiny_data, whole, 3, recipe=recipe), run(tiny_data, parts, 3, recipe=recipe, **again))
    last = [run(tiny_data, out, 4, recipe=recipe, extend=True) for out in (whole, parts)]
    same(*last)
    assert [each["epochs"] for each in last[0].config["stretches"]] == [1, 2, 1]
    files = {p.name: p.read_bytes() for p in parts.iterdir()}
    run(tiny_data, parts, 4, recipe=recipe, extend=True)  # the same command again: nothing is left to do
    assert {p.name: p.read_bytes() for p in parts.iterdir()} == files


def test_an_extension_that_was_killed_before_its_first_save_begins_again(tiny_data, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for out in (whole, killed):
        run(tiny_data, out, 2)

    def die(run):
        raise Stop

    with pytest.raises(Stop):
        run(tiny_data, killed, 3, extend=True, on_epoch=die)
    same(*(run(tiny_data, out, 3, extend=True) for out in (whole, killed)))


def test_an_extended_run_is_loaded_and_evaluated(tiny_data, tmp_path):
    recipe = replace(RECIPE, arguments={"hidden": 32, "dim": 16})
    for more in ({}, {"epochs": 3, "extend": True}):
        kept = pretrain("moco_v3", tiny_data, **{"recipe": recipe, "out": tmp_path, "device": "cpu", **more})
    loaded = Run.load(tmp_path, "cpu")
    images = tiny_data.test.floats()
    assert torch.equal(loaded.encoder(images), kept.encoder(images)) and len(loaded.history) == 3
    assert 0 <= evaluate.knn(loaded.encoder, tiny_data, k=5).value <= 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"epochs": 4}, r"recipe.epochs = 2, and 4 .*; --extend goes on from its end with 2 epochs more"),
        ({"epochs": 1}, r"recipe.epochs = 2, and 1 was asked for: choose another --out, or the same settings$"),
        ({"epochs": 2, "extend": True}, "counts them all, so give more than 2"),
        ({"epochs": 1, "extend": True}, "counts them all, so give more than 2"),
        ({"epochs": 4, "extend": True, "seed": 1}, "seed = 0, and 1"),
        ({"epochs": 4, "extend": True, "recipe": replace(RECIPE, lr=0.1)}, "recipe.lr = 0.05, and 0.1"),
        ({"epochs": 4, "extend": True, "resume": False}, "cannot be with --fresh"),
        ({"epochs": 4, "extend": True, "out": None}, "goes on with the run in --out"),
        ({"epochs": 4, "extend": True, "out": "new"}, "holds no run to extend"),
    ],
)  # fmt: skip
def test_what_cannot_be_extended_is_one_line_and_harms_nothing(tiny_data, tmp_path, given, message):
    out = tmp_path / "run"
    run(tiny_data, out, 2)
    files = {p.name: p.read_bytes() for p in out.iterdir()}
    place = given.get("out", out) and tmp_path / given.get("out", "run")
    with pytest.raises(UserError, match=message) as caught:
        run(tiny_data, **{**given, "out": place})
    assert "\n" not in str(caught.value)
    assert {p.name: p.read_bytes() for p in out.iterdir()} == files and not (tmp_path / "new").exists()


def test_other_data_and_unfinished_runs_are_not_extended(tiny_data, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(tiny_data, tmp_path, 2, interrupt_at=4)
    other = Data("tiny", planted(64, seed=1), tiny_data.val, tiny_data.test)
    with pytest.raises(UserError, match="n_train = 96, and 64"):
        run(other, tmp_path, 4, extend=True)
    with pytest.raises(
        UserError, match="not come to the end of its 2 epochs: give it --epochs 2 without --extend"
    ):
        run(tiny_data, tmp_path, 4, extend=True)


def test_the_command_extends(tmp_path, capsys):
    given = [
        "pretrain",
        "rotnet",
        "--data",
        "toybox",
        "--limit",
        "64",
        "--device",
        "cpu",
        "--out",
        str(tmp_path),
    ]
    cli.main([*given, "--json"])
    assert json.loads(capsys.readouterr().out)["epochs"] == 1
    with pytest.raises(SystemExit, match="2"):
        cli.main([*given, "--epochs", "2"])
    assert "--extend goes on from its end with 1 epochs more" in capsys.readouterr().err
    cli.main([*given, "--epochs", "2", "--extend", "--json"])
    assert json.loads(capsys.readouterr().out)["epochs"] == 2
    with pytest.raises(SystemExit, match="2"):
        cli.main([*given, "--extend", "--fresh"])
    assert "not allowed with" in capsys.readouterr().err


# ---------------------------------------------------------------------- plain and Nesterov's momentum


def forget_nesterov(out) -> None:
    """The run as it was saved before recipes had the field."""
    tensors, saved = checkpoint.read_tensors(out / "state.safetensors", "")
    del saved["config"]["recipe"]["nesterov"]
    checkpoint.write_atomically({
        out / "state.safetensors": checkpoint.tensor_writer(tensors, saved),
        out / "config.json": checkpoint.text_writer(json.dumps(saved["config"], indent=1)),
    })  # fmt: skip


def test_momentum_is_what_the_recipe_says(tiny_data):
    method = Stub(nets.encoder("small", 16, width=4))
    for recipe, nesterov in (
        (RECIPE, True),
        (replace(RECIPE, nesterov=False), False),
        (replace(RECIPE, momentum=0.0), False),
    ):
        assert [g["nesterov"] for g in loop.make_optimizer(method, recipe).param_groups] == [nesterov] * 2
    for profile in ("laptop", "gpu", "smoke"):
        for name in ("moco", "npid", "cmc", "pcl", "infomin", "pirl", "simclr"):
            assert not recipes.recipe(name, profile_name=profile).nesterov
        for name in ("rotnet", "supervised", "jigsaw", "a method of one's own"):
            assert recipes.recipe(name, profile_name=profile).nesterov


def test_a_run_from_before_recipes_said_nesterov_goes_on_with_it(tiny_data, tmp_path):
    plain, older = replace(RECIPE, nesterov=False), tmp_path / "older"
    whole = run(tiny_data, tmp_path / "whole", 2)
    assert run(tiny_data, None, 2, recipe=plain).history != whole.history
    with pytest.raises(KeyboardInterrupt):
        run(tiny_data, older, 2, interrupt_at=2)
    forget_nesterov(older)
    for at in (1, 2):  # stopped and taken up again and again, it stays what it was
        with pytest.raises(KeyboardInterrupt):
            run(tiny_data, older, 2, interrupt_at=at, recipe=plain)
    ended = run(tiny_data, older, 2, recipe=plain)
    same(whole, ended)
    assert "nesterov" not in ended.config["recipe"]
    assert json.loads((older / "config.json").read_text()) == ended.config
    same(
        run(tiny_data, tmp_path / "whole", 3, extend=True),
        run(tiny_data, older, 3, recipe=plain, extend=True),
    )
    with pytest.raises(UserError, match=r"recipe.nesterov = True, and False"):
        run(tiny_data, tmp_path / "whole", 3, recipe=plain)
