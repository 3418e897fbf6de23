"""Long experiments, recorded once: `sslcourse record NAME` writes data/results/NAME.json, lessons plot it.

A study is a function `study(seed) -> rows`; a row is a flat dict of plain values with its seed.
Trained runs are kept in the cache, so that a stopped study goes on and studies share their runs. They are told by
recipe, images and the code that trained them: when a method is mended, its runs are trained anew.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from sslcourse import training
from sslcourse.data.images import Data, cache_dir
from sslcourse.errors import UserError
from sslcourse.methods import METHODS
from sslcourse.sources import behind, digest
from sslcourse.training import recipes
from sslcourse.training.run import read_history
from sslcourse.training.teacher import digest as weights

SHORTCUTS = (
    *("gap", "jitter", "statistics", "aberration", "interpolation", "scale"),
    *("histogram", "sky", "batchnorm", "architecture"),
)
# Folder of a run -> how this process first came by it: "trained", "resumed" or "cached"
used: dict[Path, str] = {}
# "METHOD on DATA, PROFILE" -> the recipe that `trained` began with
quoted: dict[str, dict] = {}
# name -> module with `study(seed)`, or module:argument with `study(seed, argument)`
STUDIES = {
    "foundation": "sslcourse.studies.foundation",
    "labels": "sslcourse.studies.labels",
    "motivation": "sslcourse.studies.motivation",
    "rotations": "sslcourse.studies.rotations",
    "rotations_photographs": "sslcourse.studies.rotations:photographs",
    "motion": "sslcourse.studies.motion",
    "structure": "sslcourse.studies.structure",
    "colour": "sslcourse.studies.colour",
    "cifar": "sslcourse.studies.cifar",
    "cifar_gpu": "sslcourse.studies.cifar_gpu",
    "augmentations": "sslcourse.studies.augmentations",
    "augmentations_photographs": "sslcourse.studies.augmentations:photographs",
    "simclr": "sslcourse.studies.simclr",
    "simclr_photographs": "sslcourse.studies.simclr:photographs",
    "normaliser": "sslcourse.studies.normaliser",
    "instances": "sslcourse.studies.instances",
    "semisupervised": "sslcourse.studies.semisupervised",
    "moco": "sslcourse.studies.moco",
    "contrastive": "sslcourse.studies.contrastive",
    "distillation": "sslcourse.studies.distillation",
    "distillation_photographs": "sslcourse.studies.distillation:photographs",
    "collapse": "sslcourse.studies.collapse",
    "batches": "sslcourse.studies.batches",
    "words": "sslcourse.studies.words",
    "attention": "sslcourse.studies.attention",
    **{f"shortcut_{name}": f"sslcourse.studies.shortcut:{name}" for name in SHORTCUTS},
}


def trained(
    method: str,
    data: Data,
    seed: int,
    *,
    epochs: int | None = None,
    encoder: dict | None = None,
    changes: dict | None = None,
    on_epoch: Callable[[training.Run], dict] | None = None,
    profile: str = "laptop",
    precision: str = "32",
    teacher: training.Run | None = None,
    **arguments,
) -> training.Run:
    """A run of the profile's recipe, from the cache if the same was trained before on the same images by this code.

    encoder: arguments of its network; changes: of other fields of the recipe; arguments: of the method.
    on_epoch(run) -> dict is kept in the run's history, also in the cache: its name and the code
    of its module tell such runs apart. teacher: what a second stage learns from; its weights tell runs apart.
    """
    recipe = recipes.recipe(method, data.name, profile)
    quoted[quotation(method, data.name, profile)] = plain(recipe)
    recipe = replace(
        recipe,
        arguments={**recipe.arguments, **arguments},
        epochs=epochs or recipe.epochs,
        encoder_arguments=recipe.encoder_arguments if encoder is None else encoder,
        **(changes or {}),
    )
    made_by = ["sslcourse.training.pretraining", *([METHODS[method].__module__] if method in METHODS else [])]
    made_by += [on_epoch.__module__] if on_epoch else []
    told = [method, seed, plain(recipe), len(data.train), digest(behind(*made_by))]
    told += [on_epoch.__name__] if on_epoch else []
    told += [precision] if precision != "32" else []
    told += [weights(teacher.method)] if teacher else []
    told = json.dumps(told, sort_keys=True).encode()
    told += data.train.images[:: max(1, len(data.train) // 64)].cpu().numpy().tobytes()
    out = cache_dir() / "runs" / f"{method}-{data.name}-{seed}-{hashlib.sha256(told).hexdigest()[:12]}"
    used.setdefault(out, held(out, recipe.epochs))
    return training.pretrain(
        method,
        data,
        teacher=teacher,
        recipe=recipe,
        out=out,
        seed=seed,
        precision=precision,
        on_epoch=on_epoch,
    )


def quotation(method: str, data: str, profile: str) -> str:
    """What a record calls a recipe: toys share one, and so do all other images."""
    return f"{method} on {'toys' if data.startswith('toybox') else 'photographs'}, {profile}"


def plain(recipe: recipes.Recipe) -> dict:
    """All of a recipe that shapes a run."""
    found = asdict(recipe)
    del found["measured"]
    return found


def outdated(record: dict) -> list[str]:
    """The recipes that a record quotes and that have changed since, as `quotation` has them."""
    found = []
    for name, recipe in record.get("recipes", {}).items():
        method, _, rest = name.partition(" on ")
        kind, _, profile = rest.partition(", ")
        now = plain(recipes.recipe(method, "toybox" if kind == "toys" else "cifar10", profile))
        if json.loads(json.dumps(now)) != recipe:
            found.append(name)
    return found


def held(folder: Path, epochs: int) -> str:
    """What a training of so many epochs finds in its folder: nothing ("trained"), a part ("resumed"), all ("cached")."""
    try:
        found = len(read_history(folder))
    except UserError:  # damaged: pretrain will mend it
        return "resumed"
    return "cached" if found >= epochs else "resumed" if found else "trained"


def record(name: str, seeds: Sequence[int] = (0, 1, 2)) -> list[dict]:
    """Run the study `name` for every seed and write its record. Returns its rows."""
    from sslcourse.studies.records import save_record

    if name not in STUDIES:
        raise UserError(f"study {name!r} is unknown: choose from {', '.join(STUDIES)}")
    module, _, argument = STUDIES[name].partition(":")
    study = importlib.import_module(module).study
    more = (argument,) if argument else ()
    start, rows = time.perf_counter(), []
    used.clear(), quoted.clear()
    for seed in seeds:
        for row in study(seed, *more):
            rows.append({**row, "seed": seed})
            print(
                {
                    k: round(v, 3) if isinstance(v, float) else v
                    for k, v in rows[-1].items()
                    if not isinstance(v, list)
                },
                flush=True,
            )
    command = f"sslcourse record {name} --seeds {' '.join(str(s) for s in seeds)}"
    runs = dict.fromkeys(("trained", "resumed", "cached"), 0) | Counter(used.values())
    save_record(name, rows, command, time.perf_counter() - start, list(seeds), runs=runs, recipes=quoted)
    return rows


def pick(rows: list[dict], key: str = "value", **wanted) -> list:
    """`key` of every row that matches, in order of seed: one number per seed."""
    found = [row for row in rows if all(row.get(k) == v for k, v in wanted.items())]
    return [row[key] for row in sorted(found, key=lambda row: row["seed"])]


__all__ = ["STUDIES", "pick", "record", "trained"]
