"""Two stages: a run that learns from another keeps what it needs of it, and says in a line what is wrong with it."""

import json
import shutil
from dataclasses import replace

import pytest
import torch

from sslcourse import cli, nets, studies
from sslcourse.errors import UserError
from sslcourse.methods import METHODS
from sslcourse.training import recipes
from sslcourse.training.pretraining import pretrain
from sslcourse.training.recipes import Recipe
from sslcourse.training.run import Run
from sslcourse.training.teacher import digest
from tests.stub import Stub

FIRST = Recipe(encoder_arguments={"width": 4}, epochs=2, batch=32, lr=0.05, warmup=0)
SECOND = replace(FIRST, arguments={"words": 12})


class Stop(Exception):
    pass


@pytest.fixture
def teacher(tiny_data, tmp_path):
    return pretrain("rotnet", tiny_data, recipe=FIRST, out=tmp_path / "teacher", device="cpu")


def second(data, out=None, teacher=None, **more):
    return pretrain("bownet", data, teacher=teacher, recipe=SECOND, out=out, device="cpu", **more)


def assert_same(a: dict, b: dict) -> None:
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


def files(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_run_and_its_folder_teach_the_same_and_are_left_as_they_were(tiny_data, tmp_path, teacher):
    before, weights = files(tmp_path / "teacher"), digest(teacher.method)
    one, other = (second(tiny_data, teacher=given) for given in (teacher, tmp_path / "teacher"))
    assert_same(one.method.state_dict(), other.method.state_dict())
    kept = one.method.teacher.module.state_dict()
    assert_same(kept, teacher.encoder.state_dict())
    assert files(tmp_path / "teacher") == before and digest(teacher.method) == weights
    assert all(p.requires_grad for p in teacher.method.parameters())  # it can be extended
    assert one.config["teacher"] == {**teacher.config, "weights": weights}


def test_it_loads_is_evaluated_and_teaches_without_the_teachers_folder(
    tiny_data, tmp_path, teacher, monkeypatch
):
    run = second(tiny_data, tmp_path / "run", tmp_path / "teacher")
    shutil.rmtree(tmp_path / "teacher")
    loaded = Run.load(tmp_path / "run", "cpu")
    assert_same(loaded.method.state_dict(), run.method.state_dict())
    images = tiny_data.test.floats()
    assert torch.equal(loaded.encoder(images), run.encoder(images))
    assert torch.equal(loaded.method.bag(images), run.method.bag(images))
    third = second(tiny_data, tmp_path / "third", loaded)  # taught by a second stage
    shutil.rmtree(tmp_path / "run")
    assert_same(Run.load(tmp_path / "third", "cpu").method.state_dict(), third.method.state_dict())


def test_resumed_without_the_teacher_it_equals_uninterrupted_bit_for_bit(tiny_data, tmp_path, teacher):
    whole = second(tiny_data, teacher=teacher)

    def stop(run):
        if run.history[-1]["epoch"] == 2:
            raise Stop

    with pytest.raises(Stop):
        second(tiny_data, tmp_path / "run", tmp_path / "teacher", on_epoch=stop)
    shutil.move(tmp_path / "teacher", tmp_path / "elsewhere")
    with pytest.raises(
        UserError, match=r"is not a run: .*; without --teacher .*run goes on with what it keeps"
    ):
        second(tiny_data, tmp_path / "run", tmp_path / "teacher")
    resumed = second(tiny_data, tmp_path / "run")
    assert_same(whole.method.state_dict(), resumed.method.state_dict())
    assert [line["loss"] for line in whole.history] == [line["loss"] for line in resumed.history]
    assert resumed.config == json.loads((tmp_path / "run/config.json").read_text())
    again = second(tiny_data, tmp_path / "run", tmp_path / "elsewhere")  # the same teacher, wherever it lies
    assert_same(again.method.state_dict(), resumed.method.state_dict())
    more = pretrain(
        "bownet", tiny_data, recipe=replace(SECOND, epochs=3), out=tmp_path / "run", extend=True, device="cpu"
    )
    assert len(more.history) == 3


def test_another_teacher_is_refused_by_what_differs(tiny_data, tmp_path, teacher):
    second(tiny_data, tmp_path / "run", teacher)
    before = files(tmp_path / "run")
    other = pretrain("rotnet", tiny_data, recipe=FIRST, device="cpu", seed=1)
    with pytest.raises(UserError, match=r"holds a run with teacher.seed = 0, and 1 was"):
        second(tiny_data, tmp_path / "run", other)
    with torch.no_grad():
        next(teacher.method.parameters()).add_(1e-3)
    with pytest.raises(
        UserError, match=f"holds a run with teacher.weights = .* and '{digest(teacher.method)}'"
    ):
        second(tiny_data, tmp_path / "run", teacher)
    assert files(tmp_path / "run") == before


def test_what_is_told_of_a_teacher_of_the_same_weights_may_differ(tiny_data, tmp_path, teacher):
    run = second(tiny_data, tmp_path / "run", teacher)
    told = {**teacher.config, "data": "tiny, elsewhere"}
    again = second(tiny_data, tmp_path / "run", Run(teacher.method, told, teacher.history))
    assert_same(run.method.state_dict(), again.method.state_dict())


def test_what_a_digest_tells_apart(tiny_data):
    methods = [METHODS["rotnet"](nets.encoder("small", 16, width=4)) for _ in range(2)]
    methods[1].load_state_dict(methods[0].state_dict())
    assert len({digest(m.to(memory_format=torch.channels_last)) for m in methods} | {digest(methods[0])}) == 1
    for change in (
        lambda m: m.classifier.weight.data[3, 2].add_(1e-6),
        lambda m: m.encoder.stem[1].running_mean[0].add_(1),
        lambda m: m.double(),
    ):
        before = digest(methods[1])
        change(methods[1])
        assert digest(methods[1]) != before


def unfinished(teacher, tmp_path):
    line, *_ = (tmp_path / "teacher/history.jsonl").read_text().splitlines()
    (tmp_path / "teacher/history.jsonl").write_text(line + "\n")
    return tmp_path / "teacher"


def damaged(teacher, tmp_path):
    whole = (tmp_path / "teacher/model.safetensors").read_bytes()
    (tmp_path / "teacher/model.safetensors").write_bytes(whole[:100])
    return tmp_path / "teacher"


def lacking(teacher, tmp_path):
    (tmp_path / "teacher/model.safetensors").unlink()
    return tmp_path / "teacher"


WRONG = {
    "missing": (lambda teacher, tmp_path: tmp_path / "nowhere", r"nowhere is not a run"),
    "unfinished": (unfinished, r"teacher is an unfinished run, 1 of 2 epochs: give its pretrain again"),
    "stopped at once": (lacking, r"teacher holds no model.safetensors"),
    "damaged": (damaged, r"model.safetensors cannot be read"),
    "unknown": (
        lambda teacher, tmp_path: Run(Stub(nets.encoder("small", 16, width=4)), {"method": "Stub"}, teacher.history),
        r"the teacher was made by Stub with parts of its own",
    ),
    "none": (lambda teacher, tmp_path: None, r"bownet learns from a finished run, such as one of rotnet: .*--teacher"),
    "its own folder": (lambda teacher, tmp_path: tmp_path / "teacher", r"cannot be both --teacher and --out"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_teacher_that_cannot_teach_is_one_line_and_nothing_is_lost(tiny_data, tmp_path, teacher, name):
    wrong, message = WRONG[name]
    given = wrong(teacher, tmp_path)
    before = files(tmp_path / "teacher")
    out = tmp_path / ("teacher" if name == "its own folder" else "run")
    with pytest.raises(UserError, match=message) as caught:
        second(tiny_data, out, given, resume=False)
    assert "\n" not in str(caught.value)
    assert files(tmp_path / "teacher") == before and not (tmp_path / "run").exists()


def test_a_layer_that_the_teacher_lacks_is_named(tiny_data, teacher):
    recipe = replace(SECOND, arguments={"words": 12, "stage": "conv4"})
    with pytest.raises(
        UserError, match=r"stage 'conv4' of bownet: its teacher has stem, stage1, stage2, stage3"
    ):
        pretrain("bownet", tiny_data, teacher=teacher, recipe=recipe, device="cpu")


def test_a_teacher_for_a_method_that_takes_none_is_refused(tiny_data, teacher):
    with pytest.raises(UserError, match="simclr learns from the data alone and takes no teacher"):
        pretrain("simclr", tiny_data, teacher=teacher, recipe=FIRST, device="cpu")
    built = METHODS["bownet"](nets.encoder("small", 16, width=4), teacher=teacher.method, words=12)
    with pytest.raises(UserError, match="bownet is built already and takes no teacher"):
        pretrain(built, tiny_data, teacher=teacher, recipe=FIRST, device="cpu")
    with pytest.raises(UserError, match="no method 'bownett'"):
        pretrain("bownett", tiny_data, teacher=teacher, recipe=FIRST, device="cpu")


def test_a_second_stage_that_is_built_by_hand_is_loaded_by_hand(tiny_data, tmp_path, teacher):
    def built():
        return METHODS["bownet"](nets.encoder("small", 16, width=4), teacher=teacher.method, words=12)

    run = pretrain(built(), tiny_data, recipe=FIRST, out=tmp_path / "run", device="cpu")
    with pytest.raises(UserError, match=r"pass Run.load\(..., method=yours\)"):
        Run.load(tmp_path / "run")
    loaded = Run.load(tmp_path / "run", "cpu", method=built())
    assert_same(loaded.method.state_dict(), run.method.state_dict())


def test_a_configuration_whose_teacher_is_damaged_is_named(tiny_data, tmp_path, teacher):
    second(tiny_data, tmp_path / "run", teacher)
    config = json.loads((tmp_path / "run/config.json").read_text())
    del config["teacher"]["encoder"]
    (tmp_path / "run/config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"config.json cannot be read: it lacks 'encoder'"):
        Run.load(tmp_path / "run")


def test_runs_kept_by_studies_are_told_apart_by_their_teachers(tiny_data, monkeypatch):
    monkeypatch.setattr(recipes, "recipe", lambda method, *_: SECOND if method == "bownet" else FIRST)
    losses = []
    for seed in (0, 1, 0):
        taught_by = studies.trained("rotnet", tiny_data, seed)
        losses.append(studies.trained("bownet", tiny_data, 0, teacher=taught_by).history[-1]["loss"])
    assert losses[0] == losses[2] != losses[1]


def test_the_command_takes_a_teacher_and_mistakes_have_status_two(tmp_path, capsys):
    small = ["--data", "digits", "--limit", "64", "--size", "16", "--profile", "smoke", "--device", "cpu"]
    teacher, run = str(tmp_path / "teacher"), str(tmp_path / "run")
    cli.main(["pretrain", "rotnet", *small, "--out", teacher])
    cli.main(["pretrain", "bownet", *small, "--out", run, "--teacher", teacher])
    shutil.rmtree(teacher)
    cli.main(["pretrain", "bownet", *small, "--out", run])  # finished: nothing to do, and no teacher needed
    cli.main(["evaluate", run, "--protocols", "knn", "--limit", "64", "--device", "cpu", "--json"])
    capsys.readouterr()
    for method, more, said in (
        ("bownet", ["--out", str(tmp_path / "new")], "give its folder with --teacher RUN"),
        ("bownet", ["--out", str(tmp_path / "new"), "--teacher", teacher], "teacher is not a run"),
        ("simclr", ["--out", str(tmp_path / "new"), "--teacher", run], "takes no teacher"),
    ):
        with pytest.raises(SystemExit) as stop:
            cli.main(["pretrain", method, *small, *more])
        told = capsys.readouterr()
        assert stop.value.code == 2 and said in told.err and told.err.count("\n") == 1 and not told.out
