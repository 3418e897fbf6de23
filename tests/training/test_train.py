import itertools
import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torch._inductor.config
from lightly.utils.lars import LARS
from lightning_fabric import Fabric
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from timm.optim import Lars

import sslcourse as sc
from sslcourse import nets
from sslcourse.data.folder import load_folder
from sslcourse.errors import UserError
from sslcourse.training import checkpoint, loop
from sslcourse.training.loop import Diverged, Run, data_order
from sslcourse.training.precision import Mixed
from sslcourse.training.pretraining import pretrain
from sslcourse.training.recipes import Recipe
from sslcourse.training.run import refuse_differences
from tests.conftest import planted
from tests.stub import Stub

SMALL = Recipe(encoder_arguments={"width": 4}, epochs=3, batch=32, lr=0.05, warmup=0.5)


def stub(**arguments) -> Stub:
    torch.manual_seed(0)
    return Stub(nets.encoder("small", 16, width=4), **arguments)


def weights(method) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in method.state_dict().items()}


def assert_same(a: dict, b: dict) -> None:
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


# ---------------------------------------------------------------------- the protocol


def test_every_hook_is_called_in_its_place(tiny_data):
    method = stub()
    run = pretrain(method, tiny_data, recipe=replace(SMALL, epochs=2), device="cpu")
    step = ["loss", "before_step", "after_step"]
    assert method.events == ["prepare", *(["start_epoch"] + step * 3) * 2]
    assert method.prior == 96 and method.progress == 1.0 and not method.training
    assert run.encoder is method.kept
    rows = torch.cat(method.seen[:3])
    assert sorted(rows.tolist()) == list(range(96))
    assert not torch.equal(rows, torch.cat(method.seen[3:]))
    assert torch.equal(rows, data_order(96, 0, 0))


def test_groups_have_their_own_learning_rate_and_all_follow_warm_up_and_cosine(tiny_data):
    rates = []

    class Watch(Stub):
        def before_step(self):
            rates.append([group["lr"] for group in watched[0].param_groups])

    watched = []
    make = loop.make_optimizer
    method = Watch(nets.encoder("small", 16, width=4))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "make_optimizer", lambda *a: watched.append(make(*a)) or watched[0])
        pretrain(method, tiny_data, recipe=replace(SMALL, warmup=1.0), device="cpu")
    body, head = zip(*rates, strict=True)
    assert head == pytest.approx([10 * r for r in body])
    assert body[0] < body[1] < body[2] <= body[3] == pytest.approx(0.05)
    assert all(a > b for a, b in itertools.pairwise(body[3:])) and body[-1] < 0.01


class Decays(Stub):
    """Its encoder's weight decay ends at 0.4; it writes down what each group has in every step."""

    def __init__(self, encoder):
        super().__init__(encoder)
        self.decays = []

    def parameter_groups(self):
        body, head = super().parameter_groups()
        return [{**body, "final_weight_decay": 0.4}, head]

    def before_step(self):
        self.decays.append([group["weight_decay"] for group in made[-1].param_groups])


made: list[torch.optim.Optimizer] = []  # in their order


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "lars"])
def test_weight_decay_goes_to_its_end_on_a_cosine_and_resumes(tiny_data, tmp_path, monkeypatch, optimizer):
    make = loop.make_optimizer
    monkeypatch.setattr(loop, "make_optimizer", lambda *a: made.append(make(*a)) or made[-1])
    recipe = replace(SMALL, optimizer=optimizer, weight_decay=0.04)
    torch.manual_seed(0)
    whole = pretrain(Decays(nets.encoder("small", 16, width=4)), tiny_data, recipe=recipe, device="cpu")
    expected = [0.4 - 0.36 * (1 + math.cos(math.pi * i / 9)) / 2 for i in range(9)]
    assert [each[0] for each in whole.method.decays] == pytest.approx(expected)
    assert expected[0] == pytest.approx(0.04) and all(each[1] == 0 for each in whole.method.decays)

    def stop(run):
        if run.history[-1]["epoch"] == 2:
            raise Stop

    parts = []
    for on_epoch in (stop, None):
        torch.manual_seed(0)
        parts.append(Decays(nets.encoder("small", 16, width=4)))
        with pytest.raises(Stop) if on_epoch else nullcontext():
            pretrain(parts[-1], tiny_data, recipe=recipe, out=tmp_path, device="cpu", on_epoch=on_epoch)
    assert parts[0].decays[:3] + parts[1].decays == whole.method.decays
    assert_same(weights(whole.method), weights(parts[1]))


def test_before_a_step_gradients_are_as_they_are_though_fp16_scales_them(tiny_data, monkeypatch):
    lengths = {}

    class Watch(Stub):
        def before_step(self):
            lengths.setdefault(scale, []).append(self.head.weight.grad.norm().item())

    for scale in (1, 1024):
        scaler = torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=10**6)
        mixed = Mixed("16-mixed", "cpu", scaler=scaler)
        mixed._desired_input_dtype = torch.float32
        mixed.forward_context = nullcontext
        fabric = Fabric(accelerator="cpu", devices=1, plugins=[mixed])
        monkeypatch.setattr("sslcourse.training.pretraining.make_fabric", lambda *_, f=fabric: f)
        torch.manual_seed(0)
        method = Watch(nets.encoder("small", 16, width=4))
        pretrain(method, tiny_data, recipe=replace(SMALL, epochs=1, clip=1e-3), device="cpu")
    assert lengths[1024] == pytest.approx(lengths[1], rel=1e-3) and len(lengths[1]) == 3


def test_progress_runs_from_zero_towards_one(tiny_data):
    seen = []

    class Watch(Stub):
        def before_step(self):
            seen.append(self.progress)

    pretrain(Watch(nets.encoder("small", 16, width=4)), tiny_data, recipe=SMALL, device="cpu")
    assert seen == pytest.approx([i / 9 for i in range(9)])


def test_methods_without_labels_never_see_them(tiny_data):
    class Blind(Stub):
        uses_labels = False

        def loss(self, images, index=None, labels=None):
            assert labels is None
            return super().loss(images, index, torch.zeros(len(images), dtype=torch.long))

    pretrain(
        Blind(nets.encoder("small", 16, width=4)), tiny_data, recipe=replace(SMALL, epochs=1), device="cpu"
    )


def test_accumulated_micro_batches_give_the_step_of_the_whole_batch(tiny_data):
    class Exact(Stub):
        def loss(self, images, index=None, labels=None):
            h = images.flatten(1)[:, : self.encoder.dim]  # (B, 3, H, W) -> (B, D); no batch norm, no noise
            self.latest = h
            loss = torch.nn.functional.cross_entropy(self.head(h), labels)
            return {"loss": loss + 0 * sum(p.sum() for p in self.encoder.parameters())}

    heads = []
    for accumulate in (1, 4):
        torch.manual_seed(0)
        method = Exact(nets.encoder("small", 16, width=4))
        run = pretrain(
            method, tiny_data, recipe=replace(SMALL, accumulate=accumulate, clip=0.1), device="cpu"
        )
        heads.append((method.head.weight.detach(), run.history[-1]["loss"]))
    torch.testing.assert_close(heads[0][0], heads[1][0])
    assert heads[0][1] == pytest.approx(heads[1][1], abs=1e-5)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "lars"])
@pytest.mark.parametrize("precision", ["32", "bf16"])
def test_optimisers_and_precisions(tiny_data, optimizer, precision):
    recipe = replace(SMALL, optimizer=optimizer, epochs=1)
    assert math.isfinite(
        pretrain("rotnet", tiny_data, recipe=recipe, device="cpu", precision=precision).history[0]["loss"]
    )


def test_mixed_precision_leaves_the_images_as_they_are(tiny_data):
    """In half precision a view would see 256 colours as fewer, and count pixels wrongly."""
    seen = []

    class Watches(Stub):
        def loss(self, images, index=None, labels=None):
            seen.append(images)
            half = self.encoder.stem[0](images).dtype
            assert half == torch.bfloat16
            return super().loss(images, index, labels)

    torch.manual_seed(0)
    method = Watches(nets.encoder("small", 16, width=4))
    pretrain(method, tiny_data, recipe=replace(SMALL, epochs=1), device="cpu", precision="bf16")
    given = tiny_data.train.floats(method.seen[0])
    assert seen[0].dtype == torch.float32 and torch.equal(seen[0], given)


def test_lars_is_that_of_lightly(tiny_data):
    theirs, ours = (nets.encoder("small", 16, width=4) for _ in range(2))
    ours.load_state_dict(theirs.state_dict())
    images = tiny_data.train.floats()[:32]
    settings = {"lr": 0.5, "momentum": 0.9, "weight_decay": 1e-4}
    optimizers = [LARS(theirs.parameters(), **settings), Lars(ours.parameters(), **settings)]
    for _ in range(4):
        for net, optimizer in zip((theirs, ours), optimizers, strict=True):
            optimizer.zero_grad()
            net(images).square().mean().backward()
            optimizer.step()
    for a, b in zip(theirs.parameters(), ours.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_a_group_may_keep_its_rate_while_the_others_warm_up_and_fall(tiny_data, monkeypatch):
    made, rates, make = [], [], loop.make_optimizer
    monkeypatch.setattr(loop, "make_optimizer", lambda *args: made.append(make(*args)) or made[-1])
    method = stub()
    encoder, head = method.parameter_groups()
    method.parameter_groups = lambda: [dict(encoder), {**head, "constant_lr": True}]
    method.after_step = lambda: rates.append([group["lr"] for group in made[0].param_groups])
    pretrain(method, tiny_data, recipe=SMALL, device="cpu")
    falling, kept = zip(*rates, strict=True)
    assert set(kept) == {10 * SMALL.lr}
    assert falling[0] < falling[1] and max(falling) == SMALL.lr and falling[-1] < 0.2 * SMALL.lr


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_compiled_training_follows_eager_training(tiny_data, tmp_path):
    """Of an encoder of one layer, because each takes the C++ compiler seconds; with no pool of processes for it."""
    tiny = {"dim": 8, "depth": 0, "heads": 2, "patch": 8}
    recipe = replace(SMALL, epochs=1, encoder="vit", encoder_arguments=tiny)
    with torch._inductor.config.patch(compile_threads=1):
        eager, compiled = (
            pretrain(
                "rotnet", tiny_data, recipe=replace(recipe, compile=c), out=tmp_path / str(c), device="cpu"
            )
            for c in (False, True)
        )
    assert compiled.method.encoder._compiled_call_impl is not None
    losses = [[line["loss"] for line in run.history] for run in (eager, compiled)]
    np.testing.assert_allclose(*losses, rtol=1e-4)
    assert_same(weights(Run.load(tmp_path / "True", "cpu").method), weights(compiled.method))


def test_same_seed_same_numbers_and_the_callers_generators_are_untouched(tiny_data):
    torch.manual_seed(7)
    random.seed(7)
    np.random.seed(7)  # noqa: NPY002
    before = torch.get_rng_state()
    a = pretrain("simclr", tiny_data, recipe=SMALL, device="cpu")
    assert torch.equal(before, torch.get_rng_state())
    torch.rand(3)
    b = pretrain(
        "simclr", tiny_data, recipe=SMALL, device="cpu", on_epoch=lambda run: {"drawn": torch.rand(1).item()}
    )
    c = pretrain("simclr", tiny_data, recipe=SMALL, device="cpu", seed=1)
    assert_same(weights(a.method), weights(b.method))
    assert not torch.equal(a.encoder.stem[0].weight, c.encoder.stem[0].weight)
    assert all("drawn" in line for line in b.history)


# ---------------------------------------------------------------------- saving and resuming


def test_a_saved_run_answers_as_before(tiny_data, tmp_path):
    run = pretrain("simclr", tiny_data, recipe=SMALL, out=tmp_path / "run", device="cpu")
    again = Run.load(tmp_path / "run", device="cpu")
    images = tiny_data.test.floats()
    assert torch.equal(again.encoder(images), run.encoder(images))
    assert again.history == run.history and again.config == json.loads(json.dumps(run.config))
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == [
        "config.json",
        "history.jsonl",
        "model.safetensors",
        "state.safetensors",
    ]
    run.save(tmp_path / "copy")
    assert (tmp_path / "copy/model.safetensors").read_bytes() == (
        tmp_path / "run/model.safetensors"
    ).read_bytes()


def test_a_run_that_began_from_trained_weights_is_loaded_without_a_network(tiny_data, tmp_path, monkeypatch):
    recipe = replace(SMALL, encoder="timm:resnet10t", encoder_arguments={}, epochs=1, steps_per_epoch=1)
    run = pretrain("rotnet", tiny_data, recipe=recipe, out=tmp_path, device="cpu")
    config = {**run.config, "encoder": {**run.config["encoder"], "pretrained": True}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    make = timm.create_model
    monkeypatch.setattr(
        timm,
        "create_model",
        lambda name, pretrained, **rest: (pretrained and pytest.fail()) or make(name, **rest),
    )
    assert_same(weights(Run.load(tmp_path, "cpu").method), weights(run.method))


class Stop(Exception):
    pass


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "lars"])
def test_resumed_equals_uninterrupted_bit_for_bit(tiny_data, tmp_path, optimizer):
    recipe = replace(SMALL, optimizer=optimizer)
    whole = pretrain(stub(), tiny_data, recipe=recipe, device="cpu")

    def stop_after_two(run):
        if run.history[-1]["epoch"] == 3:
            raise Stop

    with pytest.raises(Stop):
        pretrain(stub(), tiny_data, recipe=recipe, out=tmp_path, device="cpu", on_epoch=stop_after_two)
    second = stub()
    run = pretrain(second, tiny_data, recipe=recipe, out=tmp_path, device="cpu")
    assert "prepare" not in second.events and second.events.count("loss") == 3
    assert_same(weights(whole.method), weights(run.method))
    assert [line["loss"] for line in run.history] == [line["loss"] for line in whole.history]
    finished = pretrain(stub(), tiny_data, recipe=recipe, out=tmp_path, device="cpu")
    assert_same(weights(whole.method), weights(finished.method))


def test_ctrl_c_in_mid_epoch_saves_and_resumes_exactly(tiny_data, tmp_path):
    class Interrupted(Stub):
        def before_step(self):
            if len(self.seen) == 5:
                os.kill(os.getpid(), signal.SIGINT)

    torch.manual_seed(0)
    with pytest.raises(KeyboardInterrupt):
        pretrain(
            Interrupted(nets.encoder("small", 16, width=4)),
            tiny_data,
            recipe=SMALL,
            out=tmp_path,
            device="cpu",
        )
    assert checkpoint.read_tensors(tmp_path / "state.safetensors", "")[1]["step"] == 5
    second = stub()
    second.__class__.__name__ = "Stub"
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["method"] == "Interrupted"
    Stub.__name__ = "Interrupted"
    try:
        resumed = pretrain(second, tiny_data, recipe=SMALL, out=tmp_path, device="cpu")
    finally:
        Stub.__name__ = "Stub"
    whole = pretrain(stub(), tiny_data, recipe=SMALL, device="cpu")
    assert_same(weights(whole.method), weights(resumed.method))
    assert [line["loss"] for line in whole.history] == [line["loss"] for line in resumed.history]


def test_history_is_cut_to_the_saved_step(tiny_data, tmp_path):
    run = pretrain("rotnet", tiny_data, recipe=SMALL, out=tmp_path, device="cpu")
    with open(tmp_path / "history.jsonl", "a") as file:
        file.write(json.dumps({"epoch": 4, "step": 12, "loss": 0, "seconds": 0}) + "\n")
    again = pretrain("rotnet", tiny_data, recipe=SMALL, out=tmp_path, device="cpu")
    assert [line["epoch"] for line in again.history] == [1, 2, 3] == [line["epoch"] for line in run.history]


def test_another_configuration_is_refused_by_name(tiny_data, tmp_path):
    pretrain("rotnet", tiny_data, recipe=SMALL, out=tmp_path, device="cpu")
    with pytest.raises(UserError, match=r"recipe.lr = 0.05, and 0.1 was asked for"):
        pretrain("rotnet", tiny_data, recipe=replace(SMALL, lr=0.1), out=tmp_path, device="cpu")
    with pytest.raises(UserError, match="seed = 0, and 1"):
        pretrain("rotnet", tiny_data, recipe=SMALL, out=tmp_path, device="cpu", seed=1)
    with pytest.raises(UserError, match="method = 'rotnet', and 'simclr'"):
        pretrain("simclr", tiny_data, recipe=SMALL, out=tmp_path, device="cpu")
    pretrain(
        "rotnet", tiny_data, recipe=replace(SMALL, lr=0.1, epochs=1), out=tmp_path, device="cpu", resume=False
    )


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_checkpoint(tiny_data, tmp_path):
    with pytest.raises(Diverged, match="nan at step 7"):
        pretrain(stub(fail_at=8), tiny_data, recipe=SMALL, out=tmp_path, device="cpu")
    tensors, metadata = checkpoint.read_tensors(tmp_path / "state.safetensors", "")
    assert metadata["step"] == 6
    assert all(torch.isfinite(t.float()).all() for t in tensors.values())
    with pytest.raises(Diverged) as caught:
        pretrain(stub(fail_at=1), tiny_data, recipe=SMALL, out=tmp_path / "new", device="cpu")
    assert "keeps" not in str(caught.value)  # nothing was saved


def test_a_step_that_ruins_the_weights_is_not_saved(tiny_data, tmp_path):
    class Ruined(Stub):
        def after_step(self):
            if len(self.seen) == 6:  # the last of an epoch: no loss comes after it
                self.head.weight[0, 0] = math.inf

    torch.manual_seed(0)
    method = Ruined(nets.encoder("small", 16, width=4))
    with pytest.raises(Diverged, match=r"a weight is not finite after step 5; .* keeps the last good"):
        pretrain(method, tiny_data, recipe=SMALL, out=tmp_path, device="cpu", on_epoch=lambda run: {})
    tensors, metadata = checkpoint.read_tensors(tmp_path / "state.safetensors", "")
    assert metadata["step"] == 3 and checkpoint.all_finite(tensors.values())
    method = stub()
    method.prior.fill_(math.inf)  # a buffer may be what its method likes
    pretrain(method, tiny_data, recipe=replace(SMALL, epochs=1), device="cpu")


@pytest.mark.parametrize("warmup", [0.0, 1.0])
def test_a_run_of_one_step_learns(tiny_data, warmup):
    recipe = replace(SMALL, epochs=1, batch=96, warmup=warmup)
    assert pretrain("rotnet", tiny_data, recipe=recipe, device="cpu").history[0]["lr"] == recipe.lr


def test_a_folder_that_cannot_be_written_is_named_before_training(tiny_data, tmp_path):
    (tmp_path / "file").touch()
    method = stub()
    with pytest.raises(UserError, match=r"cannot write to .*: Not a directory; choose another --out"):
        pretrain(method, tiny_data, recipe=SMALL, out=tmp_path / "file" / "run", device="cpu")
    assert method.progress == 0


def test_the_state_alone_brings_back_a_finished_run(tiny_data, tmp_path):
    run = pretrain("rotnet", tiny_data, recipe=SMALL, out=tmp_path, device="cpu")
    files = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    for name in files.keys() - {"state.safetensors"}:
        (tmp_path / name).unlink()
    again = pretrain("rotnet", tiny_data, recipe=SMALL, out=tmp_path, device="cpu")
    assert again.history == run.history
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == files


@pytest.mark.parametrize("name", ["simclr", "exemplar"])
def test_streamed_training_is_training_in_memory(tmp_path, name):
    for i, image in enumerate(planted(600, size=16, seed=1).images):  # more than two chunks: workers decode
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(tmp_path / f"{i:03}.png")  # -> (H, W, 3)
    memory, streamed = (
        pretrain(name, load_folder(tmp_path, stream=stream), recipe=replace(SMALL, epochs=2), device="cpu")
        for stream in (False, True)
    )
    assert_same(weights(memory.method), weights(streamed.method))


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), SafetensorError("No space left on device")]
)
def test_a_full_disk_is_one_line_and_harms_nothing(tiny_data, tmp_path, monkeypatch, error):
    pretrain("rotnet", tiny_data, recipe=replace(SMALL, epochs=1), out=tmp_path, device="cpu")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    def full(tensors, path, metadata):
        if path.name.startswith("state"):  # the last of the files, and the largest
            raise error
        save_file(tensors, path, metadata)

    monkeypatch.setattr(checkpoint, "save_file", full)
    other = replace(SMALL, epochs=1, lr=0.1)
    with pytest.raises(UserError, match=f"cannot save to {tmp_path}: No space left on device; what was"):
        pretrain("rotnet", tiny_data, recipe=other, out=tmp_path, device="cpu", resume=False)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_a_kill_between_two_files_of_a_fresh_run_leaves_the_other_run_whole(tiny_data, tmp_path, monkeypatch):
    recipe = replace(SMALL, epochs=1)
    pretrain("rotnet", tiny_data, recipe=recipe, out=tmp_path, device="cpu")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    def killed(beside, path):
        if path.name.startswith("state"):
            raise KeyboardInterrupt
        os.rename(beside, path)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "replace", killed)
        pretrain("simclr", tiny_data, recipe=recipe, out=tmp_path, device="cpu", resume=False)
    assert json.loads((tmp_path / "config.json").read_text())["method"] == "simclr"
    pretrain("rotnet", tiny_data, recipe=recipe, out=tmp_path, device="cpu")
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_two_writers_of_one_run_are_told_of_each_other(tiny_data, tmp_path, monkeypatch):
    def taken(tensors, path, metadata):
        save_file(tensors, path, metadata)
        path.unlink()  # the other has renamed it

    monkeypatch.setattr(checkpoint, "save_file", taken)
    with pytest.raises(UserError, match=r"model.safetensors.part vanished.*another process"):
        pretrain("rotnet", tiny_data, recipe=SMALL, out=tmp_path, device="cpu")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_run_without_its_state_is_overwritten_only_when_asked(tiny_data, tmp_path, name):
    recipe = replace(SMALL, epochs=1)
    pretrain("rotnet", tiny_data, recipe=recipe, out=tmp_path, device="cpu")
    for path in tmp_path.iterdir():
        if path.name != name:
            path.unlink()
    before = (tmp_path / name).read_bytes()
    with pytest.raises(UserError, match=f"holds {name} and no state.*--fresh"):
        pretrain("rotnet", tiny_data, recipe=recipe, out=tmp_path, device="cpu")
    assert (tmp_path / name).read_bytes() == before and len(list(tmp_path.iterdir())) == 1
    pretrain("rotnet", tiny_data, recipe=recipe, out=tmp_path, device="cpu", resume=False)
    assert len(list(tmp_path.iterdir())) == 4


def test_a_file_is_written_through_a_link_and_never_over_a_device(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "near").symlink_to(tmp_path / "far" / "file")
    checkpoint.write_atomically({tmp_path / "near": checkpoint.text_writer("new")})
    assert (tmp_path / "near").is_symlink() and (tmp_path / "far" / "file").read_text() == "new"
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path / "far"):
        with pytest.raises(OSError, match=f"{path} is not a file"):
            checkpoint.write_atomically({path: checkpoint.text_writer("new")})
    assert (tmp_path / "pipe").is_fifo()


KILLED = """
    import os, random, signal, sys, time, torch
    torch.set_num_threads(1)
    from tests.conftest import planted
    from sslcourse.data.images import Data
    from sslcourse.training.recipes import Recipe
    from sslcourse.training import pretrain
    data = Data("tiny", planted(64, seed=1), planted(8), planted(8))
    recipe = Recipe(encoder_arguments={"width": 4}, epochs=12, batch=32)

    def start(out):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                pretrain("simclr", data, recipe=recipe, out=out, device="cpu")
                code = 0
            finally:
                os._exit(code)
        return child

    def end(child):
        assert os.waitpid(child, 0)[1] == 0

    begun = time.monotonic()
    end(start("whole"))
    whole = time.monotonic() - begun
    draw, kills = random.Random(0), 0
    while kills < int(sys.argv[1]):
        child = start("killed")
        time.sleep(draw.uniform(0, 0.75 * whole))
        os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
        if os.WIFSIGNALED(status):
            kills += 1
        else:  # it came to its end: begin again
            assert status == 0
            for file in os.listdir("killed"):
                os.unlink(f"killed/{file}")
    end(start("killed"))
"""


def test_killed_at_random_moments_it_ends_with_the_same_bytes(tmp_path):
    """Four kills; SSLCOURSE_KILLS=20 for the long version. The processes killed are forks of one that has imported."""
    kills = os.environ.get("SSLCOURSE_KILLS", "4")
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED), kills], cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    for name in ("model.safetensors", "config.json"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes(), name
    a, b = (load_file(tmp_path / run / "state.safetensors") for run in ("whole", "killed"))
    assert_same(a, b)
    assert not list((tmp_path / "killed").glob("*.part"))


# ---------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "simclrr"}, "no method 'simclrr'"),
        ({"epochs": 0}, "train for at least 1"),
        ({"recipe": replace(SMALL, lr=math.nan)}, "lr = nan: give a positive number"),
        ({"device": "gpu"}, "device 'gpu' is unknown"),
        ({"device": "meta"}, "device 'meta' cannot train"),
        ({"precision": "16"}, "precision '16' is unknown"),
        ({"precision": "fp16"}, "needs a GPU"),
        ({"recipe": replace(SMALL, batch=1)}, "use 2 or more"),
        ({"recipe": replace(SMALL, optimizer="adam")}, "no optimiser 'adam'"),
        ({"recipe": replace(SMALL, encoder="res")}, "no encoder 'res'"),
    ],
)
def test_bad_input_is_one_clear_line(tiny_data, arguments, message):
    given = {"method": "rotnet", "recipe": SMALL, "device": "cpu", **arguments}
    with pytest.raises(UserError, match=message) as caught:
        pretrain(given.pop("method"), tiny_data, **given)
    assert "\n" not in str(caught.value)


def test_loading_what_is_not_a_run(tmp_path):
    with pytest.raises(UserError, match="is not a run"):
        sc.Run.load(tmp_path)
    whole = {"method": "rotnet", "arguments": {}, "encoder": {}, "data": "tiny", "size": 16}
    for text in ("{", "[]", "null", "{}", json.dumps({**whole, "data": 3})):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(UserError, match=r"config.json cannot be read"):
            sc.Run.load(tmp_path)
    with pytest.raises(UserError, match="is not a run"):
        sc.Run.load(tmp_path / "config.json")


def test_files_that_do_not_fit_a_run_are_named(tiny_data, tmp_path):
    run = pretrain("rotnet", tiny_data, recipe=replace(SMALL, epochs=1), out=tmp_path, device="cpu")
    wrong = {**run.config, "arguments": {"temperature": 0.2}}
    (tmp_path / "config.json").write_text(json.dumps(wrong))
    with pytest.raises(UserError, match=r"config.json does not fit rotnet"):
        sc.Run.load(tmp_path)
    run.save(tmp_path)
    with open(tmp_path / "history.jsonl", "a") as file:
        file.write('{"epoch": ')
    with pytest.raises(UserError, match=r"history.jsonl cannot be read"):
        sc.Run.load(tmp_path)
    for metadata in (None, {"json": "{}"}):
        save_file({"weights": torch.zeros(3)}, tmp_path / "state.safetensors", metadata)
        with pytest.raises(UserError, match=r"state.safetensors cannot be read.*--fresh"):
            pretrain("rotnet", tiny_data, recipe=replace(SMALL, epochs=1), out=tmp_path, device="cpu")


def test_the_advice_on_a_damaged_file_mends_the_run(tiny_data, tmp_path):
    def give_the_same():
        return pretrain("rotnet", tiny_data, recipe=replace(SMALL, epochs=1), out=tmp_path, device="cpu")

    give_the_same()
    whole = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    for name, advice in {
        "config.json": "; give the same pretrain again",
        "model.safetensors": "; delete it and give the same pretrain again",
        "history.jsonl": "; delete it, the run works without",
    }.items():
        (tmp_path / name).write_bytes(whole[name][:40])
        with pytest.raises(UserError, match=f"{name} cannot be read.*{advice}"):
            Run.load(tmp_path)
        if "delete" in advice:
            (tmp_path / name).unlink()
        if "again" in advice:
            give_the_same()
            assert (tmp_path / name).read_bytes() == whole[name]
        Run.load(tmp_path)
    (tmp_path / "state.safetensors").unlink()
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match="pretrain again with --fresh"):
        Run.load(tmp_path)


def test_a_truncated_state_is_named(tiny_data, tmp_path):
    pretrain("rotnet", tiny_data, recipe=replace(SMALL, epochs=1), out=tmp_path, device="cpu")
    state = tmp_path / "state.safetensors"
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(UserError, match="cannot be read"):
        pretrain("rotnet", tiny_data, recipe=replace(SMALL, epochs=1), out=tmp_path, device="cpu")


def test_a_method_built_for_another_size_is_refused(tiny_data):
    method = sc.METHODS["colorization"](nets.encoder("small", 32, width=8), size=32)
    with pytest.raises(UserError, match="built for images of 32 px and tiny has 16: give size=16"):
        pretrain(method, tiny_data, epochs=1)


def test_a_run_from_before_an_argument_came_resumes_with_its_default(tiny_data, tmp_path):
    out = tmp_path / "run"
    config = pretrain("simclr", tiny_data, recipe=SMALL, out=out, device="cpu").config
    older = {**config, "arguments": {k: v for k, v in config["arguments"].items() if k != "block"}}
    refuse_differences(older, config, out)
    with pytest.raises(UserError, match="arguments"):
        refuse_differences(older, {**config, "arguments": {**config["arguments"], "block": 8}}, out)
