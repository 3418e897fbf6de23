import json
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from sslcourse import evaluate, lesson, nets, sources, studies
from sslcourse.data.images import Data, ImageSet
from sslcourse.data.toybox import render_world
from sslcourse.errors import UserError
from sslcourse.methods import METHODS
from sslcourse.studies import (
    augmentations,
    cifar,
    cifar_gpu,
    colour,
    foundation,
    instances,
    moco,
    motivation,
    records,
    rotations,
    table,
)
from sslcourse.training import recipes
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
    assert (changed.test.images != tiny_data.test.images).flatten(1).any(1).all()  # not one is left upright
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
    monkeypatch.setattr(records, "results_dir", lambda: tmp_path)
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


def test_a_mended_method_is_trained_anew_and_the_others_are_not(tiny_data, monkeypatch):
    small = recipes.Recipe(encoder_arguments={"width": 4}, epochs=1, batch=32, warmup=0)
    monkeypatch.setattr(recipes, "recipe", lambda *a: small)

    def measured(run):
        return {}

    measured.__module__ = "sslcourse.studies.moco"  # a study's own, which measures with other code

    def found() -> list[str]:
        studies.used.clear()
        for method, more in (("rotnet", {}), ("triplet", {}), ("triplet", {"on_epoch": measured})):
            for _ in range(2):  # the second time from the cache, but trained now
                studies.trained(method, tiny_data, 3, **more)
        return list(studies.used.values())

    assert found() == ["trained"] * 3
    for module, expected in (
        ("sslcourse.methods.pretext.rotnet", ["trained", "cached", "cached"]),
        ("sslcourse.evaluate.knn", ["cached", "cached", "trained"]),
    ):
        with monkeypatch.context() as patch:
            mended = sources.texts() | {module: f"{sources.texts()[module]}\nMENDED = 1\n"}
            patch.setattr(sources, "texts", lambda mended=mended: mended)
            assert found() == expected


def test_a_record_says_how_many_runs_came_from_the_cache(tiny_data, tmp_path, monkeypatch, capsys):
    small = recipes.Recipe(encoder_arguments={"width": 4}, epochs=2, batch=32, warmup=0)
    monkeypatch.setattr(recipes, "recipe", lambda *a: small)
    monkeypatch.setattr(records, "results_dir", lambda: tmp_path)
    rounds = [0]

    def stopped(run):
        if rounds[0] == 0 and run.history[-1]["epoch"] == 2:
            raise KeyboardInterrupt
        return {}

    def study(seed):
        for method, more in (("rotnet", {}), ("rotnet", {}), ("triplet", {"on_epoch": stopped})):
            yield {"value": studies.trained(method, tiny_data, seed, **more).history[-1]["loss"]}

    module = type("Study", (), {"study": staticmethod(study)})
    monkeypatch.setattr(studies.importlib, "import_module", lambda name: module)
    with pytest.raises(KeyboardInterrupt):
        studies.record("labels", [7])
    rounds[0] = 1
    for seeds, runs in (
        ([7, 8], {"trained": 2, "resumed": 1, "cached": 1}),
        ([7, 8], {"trained": 0, "resumed": 0, "cached": 4}),
    ):
        studies.record("labels", seeds)
        capsys.readouterr()
        found = lesson.record("labels")
        assert found["runs"] == runs
        kept = runs["resumed"] + runs["cached"]
        assert (f"with {kept} of 4 runs from the cache" in capsys.readouterr().out) == (kept > 0)


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


def test_a_toy_on_its_own_floor_is_the_image_it_was_and_another_floor_leaves_the_toy():
    test = render_world("toybox", "test", 6)
    rows, moved = torch.arange(6), torch.tensor([1, 2, 3, 4, 5, 0])
    assert torch.equal(instances.on_floors(rows, rows), test.images)
    assert torch.equal(instances.on_floors(moved, moved), test.images[moved])
    change = (instances.on_floors(rows, moved).float() - test.images.float()).abs().mean(1)  # (6, S, S)
    # pixels inside the toy hardly see the floor: through gaps, at their corners
    inside = -F.max_pool2d(-(test.masks["instance"][:, None] > 0).float(), 3, 1, 1)[:, 0] > 0
    assert change[inside].mean() < 0.2 and change[test.masks["instance"] == 0].mean() > 10


def test_strangers_leave_nothing_in_its_place():
    order = instances.strangers(50, 0)
    assert sorted(order.tolist()) == list(range(50)) and (order != torch.arange(50)).all()


def test_floors_are_at_home_with_the_class_or_not():
    labels, hue = torch.arange(400) % 10, torch.rand(400, generator=torch.Generator().manual_seed(0))
    for home in (True, False):
        floors = instances.assigned_floors(labels, hue, 10, home, 0)
        assert (instances.at_home(labels, hue[floors], 10) == home).all()
    at = instances.at_home(torch.tensor([0, 0, 9, 9]), torch.tensor([0.19, 0.21, 0.05, 0.15]), 10)
    assert at.tolist() == [True, False, True, False]  # the arc of class 9 goes round the wheel


def test_features_of_the_toy_follow_it_and_features_of_the_floor_do_not():
    N = 12
    floors = instances.strangers(N, 0)

    def painted(toy, floor):
        colours = torch.stack([toy, floor, 0 * toy], 1).to(torch.uint8)  # (N, 3)
        return colours[:, :, None, None].expand(-1, -1, 4, 4).contiguous()

    own = torch.arange(N)
    test = ImageSet(painted(own, own), own)
    for channel, share in ((0, 1.0), (1, 0.0)):

        def encoder(x, channel=channel):
            return F.one_hot((x[:, channel, 0, 0] * 255).round().long(), N).float()

        found = instances.follows_the_toy(
            encoder, Data("painted", test, test, test), painted(own, floors), floors
        )
        assert found == share


def test_the_oracle_ignores_images_of_the_same_class_but_for_the_image_itself(tiny_data):
    torch.manual_seed(0)
    method = instances.OracleDiscrimination(nets.encoder("small", width=4), images=96, dim=8, negatives=0)
    method.prepare(tiny_data)
    f, index = F.normalize(torch.randn(5, 8), dim=1), torch.tensor([3, 7, 20, 41, 90])
    labels, tau = tiny_data.train.labels, method.temperature
    terms = []
    for v, i in zip(f, index.tolist(), strict=True):
        kept = [j for j in range(96) if j == i or labels[j] != labels[i]]
        scores = (method.bank.rows[kept] @ v) / tau
        terms.append(scores.logsumexp(0) - scores[kept.index(i)])
    assert torch.allclose(method.softmax(f, index)[0], torch.stack(terms).mean(), rtol=1e-5)
    assert instances.OracleDiscrimination.uses_labels


def test_one_probe_on_several_test_sets_is_the_linear_probe(tiny_data):
    encoder = nets.random_like(nets.encoder("small", width=4), 0)
    black = torch.zeros_like(tiny_data.test.images)
    found = instances.probes(encoder, tiny_data, {"as it is": tiny_data.test.images, "black": black})
    assert found["as it is"] == evaluate.linear(encoder, tiny_data, beside_random=False).value
    assert found["black"] == pytest.approx(0.25)  # one answer for all


def test_what_a_run_told_after_each_epoch_is_kept_with_it(tiny_data, monkeypatch):
    small = replace(recipes.LAPTOP["moco"], encoder_arguments={"width": 4}, epochs=2, batch=32, warmup=0)
    monkeypatch.setattr(recipes, "recipe", lambda *a: small)
    calls = []

    def watched(run):
        calls.append(len(run.history))
        return {"seen": [{"steps": run.history[-1]["step"]}]}

    plain = studies.trained("moco", tiny_data, 0, length=64)
    first, again = (studies.trained("moco", tiny_data, 0, on_epoch=watched, length=64) for _ in range(2))
    assert calls == [1, 2] and again.history == first.history
    assert [line["seen"] for line in again.history] == [[{"steps": 3}], [{"steps": 6}]]
    assert [line["loss"] for line in first.history] == [line["loss"] for line in plain.history]


def test_learning_rates_follow_the_square_root_of_the_batch(tiny_data):
    known = recipes.recipe("moco", tiny_data.name, "laptop")
    assert moco.square_root_rule("moco", tiny_data, known.batch) == known.lr
    assert moco.square_root_rule("moco", tiny_data, known.batch // 4) == pytest.approx(known.lr / 2)


def test_methods_with_a_memory_have_no_held_out_pretext_accuracy(tiny_data, monkeypatch):
    small = replace(recipes.LAPTOP["npid"], arguments={}, encoder_arguments={"width": 4}, epochs=1, batch=32)
    monkeypatch.setattr(recipes, "recipe", lambda *a: small)
    pretexts = {
        name: table.scores(name, name, tiny_data, 0)[1][0]["pretext"] for name in ("npid", "moco", "simclr")
    }
    assert pretexts["npid"] is None and pretexts["moco"] is None and 0 <= pretexts["simclr"] <= 1


def test_our_scores_stand_beside_the_rows_of_the_talk():
    rows = [
        *({"method": m, "protocol": p, "layer": "stage3", "value": v, "seed": 0} for m, p, v in (
            ("rotnet", "linear", 0.8), ("random", "linear", 0.3))),
        {"method": "rotnet", "protocol": "linear", "layer": "stage1", "value": 0.1, "seed": 0},
    ]  # fmt: skip
    nat = [
        {"method": "nat", "protocol": "linear", "value": v, "random": 0.4, "seed": s}
        for s, v in enumerate((0.5, 0.7))
    ]
    records = {"rotations": rows, "contrastive": nat, "motion": [], "structure": [], "colour": []}
    found = {row["pre-trained with"].split(" (")[0]: row for row in table.beside_talk(records)}
    assert len(found) == 15 and found["RotNet"]["detect (% mAP)"] == 54.4
    ours = ("here, on", "frozen", "untrained")
    assert [found["RotNet"][c] for c in ours] == ["toybox", pytest.approx(80), pytest.approx(30)]
    assert [found["NAT"][c] for c in ours] == ["toybox", pytest.approx(60), pytest.approx(40)]
    assert [found["BiGAN"][c] for c in ours] == [None] * 3


def test_epochs_beside_lightly_are_measured_in_turn_and_leave_the_network(tiny_data):
    method = METHODS["simclr"](nets.encoder("small", width=4))
    before, seen = [p.clone() for p in method.parameters()], []
    method.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    views, epoch = cifar_gpu.beside_lightly(method, tiny_data.train[:70], batch=32, repeats=1, workers=0)
    assert [views["name"], epoch["name"]] == ["simclr-views", "simclr-epoch"]
    for row in (views, epoch):
        assert (
            row["ratio"] == pytest.approx(row["peer"] / row["ours"]) and "epoch of 64 images" in row["what"]
        )
    assert all(map(torch.equal, before, method.parameters()))
    # two steps of ours and two of lightly's, to warm up and again; lightly's are 32 px whatever the images are
    assert [tuple(x.shape) for x in seen] == [(64, 3, s, s) for s in (16, 16, 32, 32) * 2]
    assert all((x[:32] != x[32:]).flatten(1).any(1).all() for x in seen)


def test_the_literature_trains_on_all_training_images(tiny_data):
    data = cifar_gpu.whole(tiny_data)
    assert len(data.train) == len(tiny_data.train) + len(tiny_data.val) and len(data.test) == len(
        tiny_data.test
    )


def test_under_a_sky_only_the_upper_third_is_lighter(tiny_data):
    sky, were = rotations.under_a_sky(tiny_data).val.images, tiny_data.val.images
    H = were.shape[2]
    top = -(-H // 3)  # rows above a third, rounded up
    assert sky.dtype == torch.uint8 and (sky[:, :, 0] == 255).all()
    assert torch.equal(sky[:, :, top:], were[:, :, top:]) and (sky >= were).all()
    assert (sky[:, :, 1].float() > were[:, :, 1]).float().mean() > 0.9


def test_a_record_carries_its_recipes_and_tells_when_they_have_changed(tiny_data, tmp_path, monkeypatch):
    monkeypatch.setenv("SSLCOURSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(records, "results_dir", lambda: tmp_path)

    def study(seed):
        tiny_data.name = "toybox, tiny"
        studies.trained("rotnet", tiny_data, seed, epochs=1)
        yield {"value": 1.0}

    monkeypatch.setattr(studies.importlib, "import_module", lambda name: type("Study", (), {"study": study}))
    studies.record("labels", [0])
    saved = json.loads((tmp_path / "labels.json").read_text())
    assert list(saved["recipes"]) == ["rotnet on toys, laptop"] and studies.outdated(saved) == []
    assert (
        saved["recipes"]["rotnet on toys, laptop"]["epochs"] == recipes.LAPTOP["rotnet"].epochs
    )  # before changes
    monkeypatch.setitem(recipes.LAPTOP, "rotnet", replace(recipes.LAPTOP["rotnet"], measured="better"))
    assert studies.outdated(saved) == []
    monkeypatch.setitem(recipes.LAPTOP, "rotnet", replace(recipes.LAPTOP["rotnet"], lr=1.0))
    assert studies.outdated(saved) == ["rotnet on toys, laptop"]


# Recorded before records carried their recipes, and not again since
BEFORE_RECIPES = {"cifar_gpu"}


@pytest.mark.parametrize("path", sorted(records.results_dir().glob("*.json")), ids=lambda path: path.stem)
def test_no_record_is_older_than_the_recipes_it_quotes(path):
    record = json.loads(path.read_text(encoding="utf-8"))
    assert ("recipes" in record) != (path.stem in BEFORE_RECIPES)
    assert not (found := studies.outdated(record)), f"record {path.stem} again: {', '.join(found)} changed"


def test_photographs_have_recipes_of_their_own(monkeypatch):
    own = replace(recipes.LAPTOP["simclr"], epochs=3)
    monkeypatch.setitem(recipes.PHOTOGRAPHS, "simclr", own)
    assert recipes.recipe("simclr", "cifar10, 20,000 images", "laptop") is own
    assert recipes.recipe("simclr", "toybox, turned", "laptop") is recipes.LAPTOP["simclr"]
    assert recipes.recipe("npid", "cifar10", "laptop") is recipes.LAPTOP["npid"]
    assert recipes.recipe("simclr", "cifar10", "gpu") is recipes.GPU["simclr"]


def test_figure_5_compares_crop_with_the_best_other_of_each_seed():
    names = augmentations.DISTORTIONS
    rows = [
        {"first": a, "second": b, "seed": seed, "value": 0.1}
        for seed in (1, 0)
        for i, a in enumerate(names)
        for b in names[i:]
    ]

    def set_value(first, second, *values):
        for row in rows:
            if (row["first"], row["second"]) == (first, second):
                row["value"] = values[row["seed"]]

    set_value("crop", "crop", 0.5, 0.6)
    set_value("colour", "colour", 0.2, 0.7)  # another transform is the best other in each seed
    set_value("sobel", "sobel", 0.4, 0.3)
    set_value("crop", "colour", 0.7, 0.6)
    set_value("crop", "sobel", 0.5, 0.1)
    set_value("noise", "rotate", 0.1, 0.4)
    cells = augmentations.figure5(rows)
    assert cells.shape == (7, 7, 2) and cells[3, 0].tolist() == pytest.approx([0.5, 0.1])
    crop, other = augmentations.crop_alone(cells)
    assert crop == pytest.approx([0.5, 0.6]) and other == pytest.approx([0.4, 0.7])
    pair, rest = augmentations.crop_and_colour(cells)
    assert pair == pytest.approx([0.7, 0.6]) and rest == pytest.approx([0.5, 0.4])
