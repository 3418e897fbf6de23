"""The studies of chapter three: collapse, batches, words, attention."""

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from sslcourse import evaluate, nets, studies
from sslcourse.studies import attention, batches, collapse, distillation, table, words
from sslcourse.training import recipes
from sslcourse.training.recipes import Recipe
from tests.small import SMALL

TINY = Recipe(encoder_arguments={"width": 4}, epochs=2, batch=32, warmup=0, lr=0.01)


@pytest.fixture
def tiny_recipes(monkeypatch, tiny_data):
    """Every method by a recipe of a second; every world is `tiny_data`, whose class masks are bright pixels."""
    for part in (tiny_data.train, tiny_data.val, tiny_data.test):
        bright = part.images.amax(1) > 125
        part.masks |= {
            "instance": bright.to(torch.uint8),
            "class": (bright * (part.labels[:, None, None] + 1)).byte(),
        }
    small = SMALL | {"obow": {"words": 8}, "bownet": {"words": 8}, "byol": {"hidden": 16, "dim": 8}}
    monkeypatch.setattr(recipes, "recipe", lambda name, *_: replace(TINY, arguments=small.get(name, {})))
    for module in (collapse, words, batches, attention):
        monkeypatch.setattr(module, "load", lambda name: tiny_data)
    monkeypatch.setattr(distillation, "images", lambda kind: tiny_data)
    return tiny_data


def test_what_is_taken_away_is_watched_from_the_untrained_network_on(tiny_recipes, monkeypatch):
    cases = {"byol": {"whole": {}}, "dino": {"centred only": {"sharpening": False}}}
    monkeypatch.setattr(collapse, "CASES", cases)
    monkeypatch.setattr(collapse, "EPOCHS", 2)
    rows = list(collapse.study(0))
    byol, dino = ([r for r in rows if r["method"] == m and r["what"] == "epoch"] for m in cases)
    assert [r["epoch"] for r in byol] == [r["epoch"] for r in dino] == [0, 1, 2]
    assert "std" in byol[1] and "std" not in byol[0] and byol[0]["effective_rank"] > 1
    assert 0 < dino[1]["entropy"] <= 1 and 0 < dino[1]["mean_entropy"] <= 1
    assert {r["protocol"] for r in rows if r["what"] == "score"} == {"knn", "linear"}


def test_entropies_are_shares_of_log_k():
    line = {
        "epoch": 1,
        "health": {"effective_rank": 3.0},
        "loss": 1.0,
        "entropy": 2.0,
        "mean_entropy": math.log(64),
    }
    run = SimpleNamespace(history=[line], method=SimpleNamespace(outputs=64))
    (row,) = collapse.curve(run)
    assert row["entropy"] == pytest.approx(2 / math.log(64)) and row["mean_entropy"] == pytest.approx(1)


def test_every_case_of_the_collapse_is_an_argument_of_its_method():
    for method, cases in collapse.CASES.items():
        for arguments in cases.values():
            recipes.recipe(method, "toybox", "laptop")
            studies.METHODS[method](nets.encoder("small", width=4), **SMALL.get(method, {}), **arguments)


def test_rates_are_chosen_on_val_by_the_first_seed(tiny_data, monkeypatch):
    monkeypatch.setattr(batches, "load", lambda name: tiny_data)
    told = []

    def trained(method, data, seed, *, epochs, changes):
        told.append((seed, changes["lr"]))
        return SimpleNamespace(encoder=(seed, changes["lr"] / batches.square_root_rule(method, data, changes["batch"])),
                               seconds=1.0)  # fmt: skip

    def linear(encoder, data, **_):
        factor = encoder[1]
        on_val = data.test is tiny_data.val
        return SimpleNamespace(
            protocol="linear", value={0.5: 0.6, 1.0: 0.7, 2.0: 0.5}[factor] if on_val else factor
        )

    monkeypatch.setattr(batches, "trained", trained)
    monkeypatch.setattr(evaluate, "linear", linear)
    monkeypatch.setattr(evaluate, "knn", linear)
    first, second = list(batches.study(0)), list(batches.study(1))
    assert sum(r["what"] == "rate" for r in first) == 2 * 4 * 3 and all(r["what"] == "batch" for r in second)
    assert all(r["value"] == 1.0 for r in second) and {seed for seed, _ in told} == {0, 1}


def test_the_table_teaches_bownet_by_rotnet(monkeypatch, tiny_data):
    taught = {}

    def scores(name, method, data, seed, **more):
        taught[name] = more
        return f"run of {name}", []

    monkeypatch.setattr(distillation, "images", lambda kind: tiny_data)
    monkeypatch.setattr(table, "scores", scores)
    monkeypatch.setattr(table, "labelled", lambda *_: [])
    for kind, names in distillation.ROWS.items():
        taught.clear()
        list(distillation.study(0, kind))
        assert tuple(taught) == names and taught.pop("bownet") == {"teacher": "run of rotnet"}
        assert not any(taught.values())


def test_words_in_use_are_shares_and_every_network_is_probed_at_every_place(tiny_recipes, monkeypatch):
    monkeypatch.setattr(words, "DENSE", ("obow", "bownet", "rotnet"))
    rows = list(words.study(0))
    use = [r for r in rows if r["what"] == "perplexity"]
    assert {(r["levels"], r["layer"]) for r in use} == {(2, "stage2"), (2, "stage3"), (1, "stage3")}
    assert all(1 / 8 <= r["value"] <= 1 for r in use)
    dense = {(r["method"], r["layer"]) for r in rows if r["what"] == "dense"}
    assert dense == {(m, layer) for m in ("obow", "bownet", "rotnet", "random") for layer in words.LAYERS}


def test_attention_is_recorded_beside_a_random_network_with_maps_of_the_first_images(
    tiny_recipes, monkeypatch
):
    monkeypatch.setattr(attention, "VIT", {"patch": 4, "dim": 12, "depth": 1, "heads": 3})
    monkeypatch.setattr(attention, "EPOCHS", 1)
    monkeypatch.setattr(attention, "RUNS", {"dino": ({}, {}), "supervised": ({}, {})})
    first, second = (list(attention.study(seed)) for seed in (0, 1))
    overlap = [r for r in first if r["what"] == "overlap"]
    assert [r["method"] for r in overlap] == ["dino", "supervised", "random"] and len(
        overlap[0]["heads"]
    ) == 3
    maps = torch.tensor(next(r["maps"] for r in first if r["what"] == "maps"))
    assert maps.shape == (attention.SHOWN, 3, 16) and (maps.sum(2) < 1.001).all()
    assert not [r for r in second if r["what"] == "maps"]
