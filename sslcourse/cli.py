"""The `sslcourse` command: one subcommand per verb, a table for people, `--json` for machines."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from pathlib import Path

from sslcourse import __version__
from sslcourse.errors import Diverged, UserError


def table(rows: list[dict], columns: list[str] | None = None) -> str:
    """Rows of plain values as aligned text; columns default to the keys of the first row."""
    if not rows:
        return "(nothing)"
    columns = columns or list(rows[0])
    cells = [[_cell(row.get(c)) for c in columns] for row in rows]
    widths = [max(len(c), *(len(line[i]) for line in cells)) for i, c in enumerate(columns)]
    lines = [
        "  ".join(text.ljust(w) for text, w in zip(line, widths, strict=True)).rstrip()
        for line in [columns, *cells]
    ]
    return "\n".join([lines[0], "  ".join("-" * w for w in widths), *lines[1:]])


def _cell(value) -> str:
    if isinstance(value, float):
        return f"{value:.3f}" if abs(value) < 100 else f"{value:,.0f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return "" if value is None else str(value)


# ---------------------------------------------------------------------- the verbs: arguments -> (document, text)


def methods(a) -> tuple[list, str]:
    from sslcourse.methods import METHODS

    rows = [
        {
            "name": name,
            "chapter": m.chapter,
            "paper": str(m.paper),
            "title": m.paper.title,
            "arxiv": m.paper.arxiv,
        }
        for name, m in METHODS.items()
    ]
    return rows, table(rows, ["name", "chapter", "paper", "arxiv"])


def data(a) -> tuple[list, str]:
    from sslcourse.data import describe

    rows = describe()
    return rows, table(rows)


def load(a, name: str | None = None):
    from sslcourse.data import load

    return load(name or a.data, size=a.size, limit=a.limit, device=a.device, skip_corrupt=a.skip_corrupt)


def pretrain(a) -> tuple[dict, str]:
    from dataclasses import replace

    from sslcourse import recipes, train
    from sslcourse.methods import METHODS

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
    run = train.pretrain(
        a.method, load(a), recipe=replace(recipe, **changed), epochs=a.epochs, out=a.out, seed=a.seed,
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
    from sslcourse.runs import Run, trained_on, warn_of_changes

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

    from sslcourse.checkpoint import write_atomically
    from sslcourse.data import load_images, pick_device
    from sslcourse.evaluate import extract
    from sslcourse.train import Run

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
    from sslcourse.course import run_course

    status = run_course(a.lessons or None, profile=a.profile, write_back=a.write_back)
    if status:
        sys.exit(1)
    return {"lessons": a.lessons or "all", "failed": 0}, ""


def report(a) -> tuple[list, str]:
    from sslcourse.report import report, report_markdown

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
    from sslcourse.benchmark import run_benchmark

    rows = run_benchmark(a.rows or None)
    return rows, table(rows, ["name", "ours", "peer", "ratio", "images_per_second"])


def doctor(a) -> tuple[list, str]:
    from sslcourse.doctor import examine

    rows = examine()
    if not all(row["ok"] for row in rows):
        print(json.dumps(rows) if a.json else table(rows), file=a.stdout)
        sys.exit(1)
    return rows, table(rows)


# ---------------------------------------------------------------------- parsing


def count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


class Parser(argparse.ArgumentParser):
    def error(self, message: str):
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def seed(text: str) -> int:
    value = int(text)
    if not 0 <= value < 2**31:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 2**31 - 1")
    return value


def rate(text: str) -> float:
    value = float(text)
    if not 0 < value <= 1e6:
        raise argparse.ArgumentTypeError(f"{text} is not a learning rate, above 0 and at most a million")
    return value


def path(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("it is empty")
    return Path(text)


def parser() -> argparse.ArgumentParser:
    main = Parser(prog="sslcourse", description="Self-supervised learning in computer vision, made runnable.")
    main.add_argument("--version", action="version", version=f"sslcourse {__version__}")
    verbs = main.add_subparsers(dest="verb", required=True, metavar="VERB", parser_class=Parser)

    def verb(function, text: str) -> argparse.ArgumentParser:
        p = verbs.add_parser(function.__name__, help=text, description=text)
        p.set_defaults(function=function)
        p.add_argument("--json", action="store_true", help="one JSON document on stdout, nothing else")
        return p

    def data_options(p: argparse.ArgumentParser, required: bool, default: str | None = None) -> None:
        p.add_argument(
            "--data",
            required=required,
            default=default,
            metavar="D",
            help="a name of `sslcourse data`, or folder:PATH",
        )
        p.add_argument("--size", type=count, metavar="PX", help="resize images to this many pixels")
        p.add_argument("--limit", type=count, metavar="N", help="use the first N images of each part")
        p.add_argument(
            "--skip-corrupt", action="store_true", help="count unreadable images and go on without them"
        )
        p.add_argument("--device", default="auto", metavar="D", help="auto (default), cpu, cuda, cuda:N, mps")

    profiles = {"choices": ("smoke", "laptop", "gpu"), "help": "default: $SSLCOURSE_PROFILE, else laptop"}
    verb(methods, "list every method with its chapter and paper")
    verb(data, "what can be loaded, from where, how big")

    p = verb(pretrain, "train one method on one data set; goes on where a stopped run was saved")
    p.add_argument("method", metavar="METHOD", help="a name of `sslcourse methods`")
    data_options(p, required=True)
    p.add_argument("--out", required=True, type=path, metavar="DIR", help="folder of the run")
    p.add_argument("--seed", type=seed, default=0, metavar="N")
    p.add_argument("--epochs", type=count, metavar="N", help="default: the recipe's")
    p.add_argument("--batch", type=count, metavar="N", help="default: the recipe's; over all processes")
    p.add_argument("--lr", type=rate, metavar="X", help="default: the recipe's")
    p.add_argument("--precision", default="32", metavar="P", help="32 (default), bf16, fp16, 64")
    p.add_argument("--encoder", metavar="E", help="small, resnet18, resnet50, vit or timm:NAME")
    p.add_argument("--profile", **profiles)
    again = p.add_mutually_exclusive_group()
    again.add_argument("--fresh", action="store_true", help="start anew even if DIR holds a run")
    again.add_argument(
        "--extend",
        action="store_true",
        help="go on from the end of the finished run in DIR, up to --epochs in all, with a new schedule",
    )

    p = verb(evaluate, "score a run, beside the same encoder at random initialisation")
    p.add_argument("dir", type=Path, metavar="DIR", help="folder of a run")
    data_options(p, required=False)
    p.add_argument(
        "--protocols",
        nargs="+",
        default=["knn", "linear"],
        metavar="P",
        help="knn linear lowshot finetune factors",
    )
    p.add_argument("--seed", type=seed, default=0, metavar="N")

    p = verb(embed, "features, paths and labels of your own images, as one .npz")
    p.add_argument("dir", type=Path, metavar="DIR", help="folder of a run")
    data_options(p, required=True)
    p.add_argument("--out", required=True, type=path, metavar="FILE.npz")

    p = verb(course, "run the lessons in order, render them, print the table of claims")
    p.add_argument("--lessons", nargs="+", metavar="NN", help="default: all")
    p.add_argument("--profile", **profiles)
    p.add_argument("--write-back", action="store_true", help="store the outputs in the notebooks")

    p = verb(report, "the table and figure of every recorded result")
    p.add_argument(
        "--build",
        type=Path,
        default=Path("build"),
        metavar="DIR",
        help="where the figure goes (default: build)",
    )
    p.add_argument("--markdown", action="store_true", help="print RESULTS.md instead, and draw nothing")
    p = verb(record, "run a long experiment and write its record, which the lessons plot")
    p.add_argument(
        "study", metavar="STUDY", help="a name such as labels or shortcut_gap; a wrong one lists all"
    )
    p.add_argument("--seeds", nargs="+", type=seed, default=[0, 1, 2], metavar="N")
    p = verb(
        shortcuts, "list the leaks a pretext task can have, or run some: leaky and cured, with a control"
    )
    p.add_argument("names", nargs="*", metavar="NAME", help="those to run (default: list all)")
    p.add_argument("--seeds", nargs="+", type=seed, default=[0], metavar="N")
    p.add_argument("--device", default="auto", metavar="D", help="auto (default), cpu, cuda, cuda:N, mps")
    p = verb(benchmark, "this machine, side by side with lightly")
    p.add_argument("--rows", nargs="+", metavar="NAME", help="default: all rows")
    verb(doctor, "is this environment able to run the course")
    return main


def main(arguments: list[str] | None = None) -> None:
    a = parser().parse_args(arguments)
    a.stdout = sys.stdout
    try:
        with contextlib.redirect_stdout(sys.stderr if a.json else sys.stdout):
            document, text = a.function(a)
        if int(os.environ.get("RANK", 0)) == 0 and (a.json or text):
            print(json.dumps(document, indent=1) if a.json else text, flush=True)
    except UserError as error:
        sys.exit(_complain(error, 2))
    except Diverged as error:
        sys.exit(_complain(error, 1))
    except KeyboardInterrupt:
        print(f"\nsslcourse: stopped{_how_to_go_on(a)}", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # the reader has gone; nothing more is said, also not by Python as it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if os.environ.get("SSLCOURSE_DEBUG"):
            raise
        sys.exit(_complain(f"{type(error).__name__}: {error} (set SSLCOURSE_DEBUG=1 for the traceback)", 1))


def _how_to_go_on(a) -> str:
    if a.verb != "pretrain" or not (a.out / "state.safetensors").exists():
        return ""
    fresh = " without --fresh" if a.fresh else ""
    return f"; to go on, give the same command again{fresh} ({a.out} holds what was trained)"


def _complain(error: Exception | str, status: int) -> int:
    print("sslcourse: " + " ".join(str(error).split()), file=sys.stderr)
    return status


if __name__ == "__main__":
    main()
