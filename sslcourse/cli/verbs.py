"""The verbs of the command: arguments -> (document, text). Heavy imports wait until a verb is used."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from sslcourse.errors import UserError
from sslcourse.text import table


def methods(a) -> tuple[list, str]:
    import inspect

    from sslcourse.methods import METHODS

    package = Path(__file__).parents[2]

    rows = [
        {
            "name": name,
            "chapter": m.chapter,
            "paper": str(m.paper),
            "title": m.paper.title,
            "arxiv": m.paper.arxiv,
            "taught_by": m.taught_by,
            "file": Path(inspect.getfile(m)).relative_to(package).as_posix(),
        }
        for name, m in METHODS.items()
    ]
    return rows, table(rows, ["name", "chapter", "paper", "arxiv", "file"])


def data(a) -> tuple[list, str]:
    from sslcourse.data import describe

    rows = describe()
    return rows, table(rows)


def load(a, name: str | None = None):
    from sslcourse.data import load

    return load(name or a.data, size=a.size, limit=a.limit, device=a.device, skip_corrupt=a.skip_corrupt)


def pretrain(a) -> tuple[dict, str]:
    from dataclasses import replace

    from sslcourse import training
    from sslcourse.methods import METHODS
    from sslcourse.training import recipes

    if a.method not in METHODS:
        raise UserError(f"no method {a.method!r}; choose {', '.join(METHODS)}")
    recipe = recipes.recipe(a.method, a.data, a.profile)
    if a.encoder:
        name, dot, _ = a.encoder.partition(".")
        if dot and name.startswith("timm:"):
            raise UserError(
                f"{a.encoder} names trained weights, and pretrain starts from random ones: use {name}"
            )
        recipe = replace(recipe, encoder=a.encoder, encoder_arguments={})
    changed = {name: getattr(a, name) for name in ("batch", "lr") if getattr(a, name) is not None}
    run = training.pretrain(
        a.method, load(a), teacher=a.teacher, recipe=replace(recipe, **changed), epochs=a.epochs, out=a.out, seed=a.seed,
        device=a.device, precision=a.precision, resume=not a.fresh, extend=a.extend,
    )  # fmt: skip
    last = run.history[-1]
    document = {"method": a.method, "data": a.data, "out": str(a.out), "epochs": last["epoch"], "loss": last["loss"],
                "seconds": run.seconds, "history": run.history}  # fmt: skip
    columns = [c for c in last if c not in ("step",)]
    return (
        document,
        f"{table(run.history, columns)}\n\nsaved in {a.out}; score it with: sslcourse evaluate {a.out} --protocols knn linear",
    )


def evaluate(a) -> tuple[list, str]:
    from dataclasses import replace

    from sslcourse.evaluate import run_protocols
    from sslcourse.training.run import Run, trained_on, warn_of_changes

    run = Run.load(a.dir, device=a.device)
    name = a.data or run.config["data"]
    if a.size is None:
        a.size = run.config["size"]
    data = replace(load(a, a.data or trained_on(run.config, a.dir)), name=name)
    warn_of_changes(run.config, data)
    scores = run_protocols(run.encoder, data, a.protocols, seed=a.seed, device=a.device)
    rows = []
    for score in scores:
        row = {**score.to_dict(), "method": run.config["method"], "data": name}
        rows.append(row)
        if score.random is not None:
            rows.append({**row, "method": "random", "value": score.random})
    keys = ["method", "data", "protocol", "metric", "value", "n_train", "n_test", "seed", "seconds", "device"]
    rows = [{key: row.get(key) for key in keys} for row in rows]
    return rows, table(rows)


def embed(a) -> tuple[dict, str]:
    import numpy as np
    import torch

    from sslcourse.data import load_images, pick_device
    from sslcourse.evaluate import extract
    from sslcourse.training.checkpoint import write_atomically
    from sslcourse.training.loop import Run

    run = Run.load(a.dir, device=a.device)
    if a.size is None:
        a.size = run.config["size"]
    if a.data.startswith("folder:"):
        path = a.data.removeprefix("folder:")
        images = load_images(path, size=a.size, device=pick_device(a.device), skip_corrupt=a.skip_corrupt)
        parts = [images[: a.limit]]
    else:
        data = load(a)
        parts = [data.train, data.val, data.test]
    features = torch.cat([extract(run.encoder, part, device=a.device).cpu() for part in parts]).numpy()
    paths = [path for part in parts for path in (part.paths or [""] * len(part))]
    arrays = {"features": features, "paths": np.array(paths)}
    if parts[0].labels is not None:
        labels = torch.cat([part.labels.cpu() for part in parts]).numpy()
        arrays |= {"labels": labels, "classes": np.array(parts[0].classes)}

    def write(beside: Path) -> None:
        with open(beside, "wb") as file:
            np.savez_compressed(file, **arrays)

    try:
        write_atomically({a.out: write})
    except OSError as error:
        raise UserError(f"cannot write {a.out}: {error.strerror or error}") from error
    document = {"out": str(a.out), "images": len(features), "dim": features.shape[1]}
    return document, f"{len(features):,} features of {features.shape[1]} numbers in {a.out}"


def course(a) -> tuple[dict, str]:
    from sslcourse.lesson.course import run_course

    status = run_course(a.lessons or None, profile=a.profile, more=a.more, write_back=a.write_back)
    if status:
        sys.exit(1)
    return {"lessons": a.lessons or "all", "more": a.more, "failed": 0}, ""


def claims(a) -> tuple[list, str]:
    from sslcourse.talk.judged import counts, judged

    rows = judged()
    shown = [
        {**row, "lessons": " ".join(row["lessons"]), "claims": " ".join(c["id"] for c in row["claims"])}
        for row in rows
    ]
    columns = ["id", "lessons", "claims", "toys", "photographs", "statement"]
    return rows, f"{table(shown, columns)}\n\n{counts(rows)}"


def report(a) -> tuple[list, str]:
    from sslcourse.cli.report import report, report_markdown

    return report_markdown() if a.markdown else report(a.build)


def record(a) -> tuple[list, str]:
    from sslcourse.studies import record

    rows = record(a.study, a.seeds)
    return rows, f"{len(rows)} rows in data/results/{a.study}.json"


def shortcuts(a) -> tuple[list, str]:
    from sslcourse.shortcuts import SHORTCUTS, run

    if not a.names:
        rows = [
            {"name": s.name, "leak": s.warns, "task": s.task, "chance": s.chance, "control": s.control_name,
             "variants": [v.name for v in s.variants]} for s in SHORTCUTS.values()
        ]  # fmt: skip
        return rows, table(rows, ["name", "leak", "control"])
    unknown = [name for name in a.names if name not in SHORTCUTS]
    if unknown:
        raise UserError(f"no shortcut {unknown[0]!r}: choose from {', '.join(SHORTCUTS)}")
    rows = [row for name in a.names for seed in a.seeds for row in run(name, seed, device=a.device)]
    columns = ["shortcut", "variant", "kind", "pretext_accuracy", "control_accuracy", "chance", "probe_accuracy",
               "random_probe", "seed", "seconds"]  # fmt: skip
    return rows, table(rows, columns)


def benchmark(a) -> tuple[list, str]:
    from sslcourse.studies.benchmark import run_benchmark

    rows = run_benchmark(a.rows or None)
    return rows, table(rows, ["name", "ours", "peer", "ratio", "images_per_second"])


def doctor(a) -> tuple[list, str]:
    from sslcourse.doctor import examine

    rows = examine()
    if not all(row["ok"] for row in rows):
        print(json.dumps(rows) if a.json else table(rows), file=a.stdout)
        sys.exit(1)
    return rows, table(rows)
