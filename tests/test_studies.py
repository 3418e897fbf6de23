import json
from dataclasses import replace

import pytest
import torch

from sslcourse import evaluate, lesson, nets, recipes, studies
from sslcourse.errors import UserError
from sslcourse.studies import cifar, colour, foundation, motivation, rotations, table
from tests.conftest import planted


def test_long_tail_keeps_fewer_and_fewer():
    labels = torch.arange(5000) % 10
    counts = labels[motivation.long_tail(labels, most=400, ratio=100)].bincount().tolist()
    assert counts[0] == 400 and counts[-1] == 4 and counts == sorted(counts, reverse=True)


def test_only_keeps_two_kinds_and_names_them_anew(tiny_data):
    pair = rotations.only(tiny_data, ("class3", "class1"))
    assert pair.classes == ("class3", "class1") and pair.train.labels.unique().tolist() == [0, 1]
    first = pair.train.images[pair.train.labels == 0]
    assert torch.equal(first, tiny_data.train.images[tiny_data.train.labels == 3])


def test_turned_changes_the_test_images_alone(tiny_data):
    changed = rotations.turned(tiny_data, seed=0)
    assert torch.equal(changed.train.images, tiny_data.train.images)
    assert not torch.equal(changed.test.images, tiny_data.test.images)
    assert torch.equal(
        changed.test.images.flatten(1).sort().values, tiny_data.test.images.flatten(1).sort().values
    )


def test_profiles_give_rotation_away_where_one_side_is_bright(tiny_data):
    bright = tiny_data.train.images.clone()
    bright[:, :, :8] //= 4
    easy = replace(
        tiny_data, train=replace(tiny_data.train, images=bright), test=replace(tiny_data.train, images=bright)
    )
    assert foundation.rotation_from_profiles(easy) > 0.95
    noise = torch.randint(0, 256, bright.shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    hard = replace(
        tiny_data,
        train=replace(tiny_data.train, images=noise[:48]),
        test=replace(tiny_data.train, images=noise[48:]),
    )
    assert foundation.rotation_from_profiles(hard) < 0.45


def test_a_study_is_recorded_with_its_seeds_and_command(tmp_path, monkeypatch):
    module = type(
        "Study",
        (),
        {"study": staticmethod(lambda seed: [{"method": "m", "protocol": "knn", "value": seed / 10}])},
    )
    monkeypatch.setattr(studies.importlib, "import_module", lambda name: module)
    monkeypatch.setattr(lesson, "results_dir", lambda: tmp_path)
    rows = studies.record("labels", [2, 0, 1])
    assert studies.pick(rows, method="m") == [0.0, 0.1, 0.2]
    saved = json.loads((tmp_path / "labels.json").read_text())
    assert saved["results"] == rows and saved["command"] == "sslcourse record labels --seeds 2 0 1"
    with pytest.raises(UserError, match="study 'x' is unknown"):
        studies.record("x")


def test_runs_are_trained_once_and_kept_apart_by_what_shaped_them(tiny_data, monkeypatch):
    small = replace(recipes.LAPTOP["rotnet"], encoder_arguments={"width": 4}, epochs=1, batch=32)
    monkeypatch.setattr(recipes, "recipe", lambda *a: small)
    first = studies.trained("rotnet", tiny_data, 0)
    again = studies.trained("rotnet", tiny_data, 0)
    assert again.history == first.history
    assert studies.trained("rotnet", tiny_data, 1).history != first.history
    other = replace(tiny_data, train=planted(96, seed=9))
    assert studies.trained("rotnet", other, 0).history != first.history


def test_profiles_choose_recipes(monkeypatch):
    assert recipes.recipe("simclr", "toybox", "gpu").encoder == "resnet18"
    smoke = recipes.recipe("simclr", "toybox", "smoke")
    assert smoke.epochs == 1 and smoke.steps_per_epoch > 0
    monkeypatch.setenv("SSLCOURSE_PROFILE", "phone")
    with pytest.raises(UserError, match="profile 'phone' is unknown"):
        recipes.recipe("simclr")


def test_smaller_subsets_lie_inside_larger_ones():
    labels = torch.arange(1000) % 10
    few, more = (set(evaluate.subset(labels, fraction=f, seed=1).tolist()) for f in (0.02, 0.1))
    assert few < more and len(few) == 20


def test_a_row_of_the_table_carries_its_baseline_and_its_own_task(tiny_data):
    run, (near, probe) = table.scores("RotNet", "rotnet", tiny_data, 0, epochs=1)
    assert [near["protocol"], probe["protocol"]] == ["knn", "linear"]
    assert {
        "method": "RotNet",
        "data": "tiny",
        "probe": "tiny",
        "seconds": run.seconds,
    }.items() <= probe.items()
    assert 0 <= probe["random"] <= 1 and 0.1 < probe["pretext"] < 0.9
    fresh = evaluate.linear(nets.random_like(run.encoder, 0), tiny_data, seed=0, beside_random=False)
    assert probe["random"] == pytest.approx(fresh.value)


def test_cifar_asks_for_its_folder(monkeypatch):
    monkeypatch.delenv("SSLCOURSE_CIFAR", raising=False)
    with pytest.raises(UserError, match="SSLCOURSE_CIFAR"):
        next(cifar.study(0))


def test_chroma_is_the_distance_from_grey():
    grey, red = torch.full((1, 3, 4, 4), 0.4), torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    assert colour.chroma(grey) < 0.01
    assert colour.chroma(red) == pytest.approx(104.55, abs=0.1)  # a 80.09, b 67.20
