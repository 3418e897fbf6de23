"""The arguments of the `sslcourse` command, all in one place."""

from __future__ import annotations

import argparse
from pathlib import Path

from sslcourse import __version__
from sslcourse.cli.verbs import (
    benchmark,
    claims,
    course,
    data,
    doctor,
    embed,
    evaluate,
    methods,
    pretrain,
    record,
    report,
    shortcuts,
)


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
    p.add_argument(
        "--teacher",
        type=path,
        metavar="RUN",
        help="folder of the finished run that a second stage learns from",
    )
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
        help="knn linear lowshot finetune segment factors",
    )
    p.add_argument("--seed", type=seed, default=0, metavar="N")

    p = verb(embed, "features, paths and labels of your own images, as one .npz")
    p.add_argument("dir", type=Path, metavar="DIR", help="folder of a run")
    data_options(p, required=True)
    p.add_argument("--out", required=True, type=path, metavar="FILE.npz")

    p = verb(course, "run the lessons in order, render them, print the table of claims")
    p.add_argument(
        "--lessons",
        nargs="+",
        metavar="NN",
        help="numbers, or names such as 06_simclr, also of notebooks/more; more: all of those (default: all lessons)",
    )
    p.add_argument("--more", action="store_true", help="all of notebooks/more after them")
    p.add_argument("--profile", **profiles)
    p.add_argument("--write-back", action="store_true", help="store the outputs in the notebooks")

    verb(claims, "the talk, statement by statement, with the verdicts of the lessons")
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
