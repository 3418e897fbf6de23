"""Run: a training, saved and loaded."""

from __future__ import annotations

import inspect
import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from sslcourse import nets
from sslcourse.data.images import Data, pick_device
from sslcourse.data.origin import FOLDER, one_name
from sslcourse.errors import UserError, warn_once
from sslcourse.methods import METHODS
from sslcourse.methods.method import Method
from sslcourse.nets import Encoder
from sslcourse.training import checkpoint
from sslcourse.training.recipes import Recipe

RUN_FILES = ("config.json", "history.jsonl", "model.safetensors")
STATE = ("config", "step", "sums", "seconds", "numbers", "random", "scaler")  # of a state's metadata
# Fields that recipes did not always have, and what training did before; a run that lacks one goes on so
BEFORE = {"nesterov": True}
NEEDED = {"method": str, "arguments": dict, "encoder": dict, "data": str, "size": int}  # of a configuration


@dataclass
class Run:
    """A finished (or saved) training: its method, the encoder that is kept, and a line of history per epoch."""

    method: Method
    config: dict
    history: list[dict] = field(default_factory=list)

    @property
    def encoder(self) -> Encoder:
        return self.method.kept

    @property
    def seconds(self) -> float:
        """Seconds of training, without `on_epoch`."""
        return sum(line["seconds"] for line in self.history)

    def save(self, folder: str | Path, more: dict[str, checkpoint.Writer] | None = None) -> Path:
        """`config.json`, `history.jsonl`, `model.safetensors` and `more`: all of them, or none if one cannot be."""
        folder = Path(folder)
        writers = {
            "config.json": checkpoint.text_writer(json.dumps(self.config, indent=1)),
            "history.jsonl": checkpoint.text_writer(
                "".join(json.dumps(line) + "\n" for line in self.history)
            ),
            "model.safetensors": checkpoint.tensor_writer(self.method.state_dict()),
            **(more or {}),
        }
        try:
            folder.mkdir(parents=True, exist_ok=True)
            checkpoint.write_atomically({folder / name: write for name, write in writers.items()})
        except FileNotFoundError as error:
            raise UserError(
                f"cannot save to {folder}: {error.filename} vanished as it was written; does another process train there?"
            ) from error
        except OSError as error:
            raise UserError(
                f"cannot save to {folder}: {error.strerror or error}; what was saved before is intact"
            ) from error
        return folder

    @classmethod
    def load(cls, folder: str | Path, device: str = "auto", method: Method | None = None) -> Run:
        """What `save` wrote. A method that is not in METHODS must be built by the caller and given as `method`."""
        folder = Path(folder)
        config = read_config(folder)
        if not (folder / "model.safetensors").exists():
            raise UserError(
                f"{folder} holds no model.safetensors: the run was stopped before its first save; pretrain again"
            )
        method = build_saved(config, folder) if method is None else method
        model = folder / "model.safetensors"
        checkpoint.load_into(
            method, checkpoint.read_tensors(model, mend(folder, "delete it and "))[0], folder
        )
        method.progress = 1.0
        method.to(pick_device(device), memory_format=torch.channels_last).eval()
        return cls(method, config, read_history(folder))


def mend(folder: Path, first: str = "") -> str:
    """What to do about a damaged file of a run; `first`: what comes before its state restores it."""
    whole = (folder / "state.safetensors").exists()
    return f"{first}give the same pretrain again" if whole else "pretrain again with --fresh"


def is_whole(folder: Path, config: dict) -> bool:
    """Are the files that `evaluate` needs there, and of this configuration? A save cut short can leave another's."""
    try:
        return all((folder / name).exists() for name in RUN_FILES) and read_config(folder) == config
    except UserError:
        return False


def read_state(folder: Path) -> tuple[dict[str, Tensor], dict] | None:
    """The tensors and metadata of `state.safetensors`, which resume; None if the folder holds no run."""
    path = folder / "state.safetensors"
    if not path.exists():
        refuse_half(folder)
        return None
    advice = "choose another --out, or train over it with --fresh"
    tensors, saved = checkpoint.read_tensors(path, advice)
    if missing := [name for name in STATE if name not in saved]:
        raise UserError(f"{path} cannot be read (it lacks {missing[0]!r}); {advice}")
    return tensors, saved


def later_fields(config: dict) -> dict:
    """The fields of a recipe that a saved configuration does not know, and what it did instead."""
    return {name: value for name, value in BEFORE.items() if name not in config["recipe"]}


def refuse_half(folder: Path) -> None:
    """UserError if the folder holds a run that cannot go on, and that a new one would overwrite."""
    kept = [name for name in RUN_FILES if (folder / name).exists()]
    if kept:
        raise UserError(
            f"{folder} holds {kept[-1]} and no state.safetensors, without which it cannot go on: "
            "choose another --out, or train over it with --fresh"
        )


def refuse_unwritable(folder: Path) -> None:
    """UserError before the training, not after its first epoch, if nothing can be written to the folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise UserError(
            f"cannot write to {folder}: {error.strerror or error}; choose another --out"
        ) from error


def read_config(folder: Path) -> dict:
    try:
        return checked(json.loads((folder / "config.json").read_text()))
    except KeyError as error:
        raise UserError(
            f"{folder / 'config.json'} cannot be read: it lacks {error}; {mend(folder)}"
        ) from None
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(
            f"{folder} is not a run: it has no config.json; make one with `sslcourse pretrain METHOD --out {folder}`"
        ) from None
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{folder / 'config.json'} cannot be read: {error}; {mend(folder)}") from None


def checked(config: dict) -> dict:
    """A configuration, and those of its teachers, if they hold what is needed; else KeyError or TypeError."""
    for name, kind in NEEDED.items():
        if not isinstance(config[name], kind):
            raise TypeError(f"its {name!r} is {config[name]!r}")
    if "teacher" in config:
        checked(config["teacher"])
    return config


def read_history(folder: Path) -> list[dict]:
    path = folder / "history.jsonl"
    try:
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}; delete it, the run works without") from None


def build(name: str, data: Data, recipe: Recipe, teacher: Method | None = None) -> Method:
    """The method `name` and its encoder, freshly initialised from torch's global generator; teacher: of a second stage."""
    if name not in METHODS:
        raise UserError(f"no method {name!r}; `sslcourse methods` lists them: {', '.join(METHODS)}")
    encoder = nets.encoder(recipe.encoder, data.size, **recipe.encoder_arguments)
    learned = {} if teacher is None else {"teacher": teacher}
    return METHODS[name](encoder, **learned, **{**METHODS[name].arguments_from(data), **recipe.arguments})


def build_saved(config: dict, folder: Path) -> Method:
    known = METHODS.get(config["method"])
    if known is None or not config["encoder"] or (known.taught_by and "teacher" not in config):
        raise UserError(
            f"{folder} was made by {config['method']!r}, which sslcourse cannot build: pass Run.load(..., method=yours)"
        )
    try:
        encoder = nets.encoder(**nets.untrained(config["encoder"]))  # its weights come from the run
        teacher = {"teacher": build_saved(config["teacher"], folder)} if "teacher" in config else {}
        return known(encoder, **teacher, **{**known.before, **config["arguments"]})
    except TypeError as error:
        raise UserError(
            f"{folder / 'config.json'} does not fit {config['method']}: {error}; was it made by another version?"
        ) from error


def default_arguments(method: str) -> dict:
    """What a saved run that does not know an argument of its method was made with, by name."""
    if method not in METHODS:
        return {}
    parameters = inspect.signature(METHODS[method].__init__).parameters
    defaults = {name: p.default for name, p in parameters.items() if p.default is not p.empty}
    return {**defaults, **METHODS[method].before}


def refuse_differences(saved: dict, asked: dict, out: Path, files: str = "") -> None:
    """UserError that names the first setting in which two configurations differ.

    An argument that the saved run does not know came later: it ran with what is the default today, or with what
    the method says of `before`. files: the first difference between the files of the two in words, if there is one.
    """
    arguments = {**default_arguments(saved["method"]), **saved["arguments"]}
    saved = {**saved, "arguments": arguments if asked["arguments"] else saved["arguments"]}
    had, given = (c.get("teacher", {}).get("weights") for c in (saved, asked))
    if had and had == given:  # the same teacher, whatever is told of it
        saved = {**saved, "teacher": asked["teacher"]}
    flat = [told_apart(c) for c in (saved, asked)]
    if files and all(flat[0][name] == flat[1][name] for name in ("method", "data", "size")):
        raise UserError(
            f"{out} holds a run on {asked['data']} as it was, and {files}: restore the files, or train anew,"
            " with another --out or over it with --fresh"
        )
    for name in flat[0] | flat[1]:  # in their order: the method comes first
        was, now = (c.get(name) for c in flat)
        if was != now:
            more = name == "recipe.epochs" and now > was
            how = f"; --extend goes on from its end with {now - was} epochs more" if more else ""
            raise UserError(
                f"{out} holds a run with {name} = {was!r}, and {now!r} was asked for: choose another --out, or the same settings{how}"
            )


def told_apart(config: dict) -> dict:
    """What must agree, each by a name of its own; a folder by where it lies, not by how it was spelled."""
    first = {"method": config["method"], "data": one_name(config["data"], config.get("folder"))}
    first |= {name: config.get(name) for name in ("size", "n_train")}  # what follows from them comes after
    others = {k: v for k, v in config.items() if k not in first and k not in ("folder", "files")}
    return first | flattened(others)


def flattened(settings: dict, prefix: str = "") -> dict:
    """{"a": {"b": 1}} -> {"a.b": 1}."""
    flat = {}
    for name, value in settings.items():
        flat |= flattened(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat


def trained_on(config: dict, folder: Path) -> str:
    """The name to load a run's data by, wherever one stands: a folder's is absolute, if the run knows it."""
    if "folder" not in config:
        return config["data"]
    if not Path(config["folder"]).is_dir():
        raise UserError(
            f"{folder} was trained on {config['data']}, and {config['folder']} is not there any more:"
            " say where such images are with --data folder:PATH"
        )
    return FOLDER + config["folder"]


def warn_of_changes(config: dict, data: Data) -> None:
    """One line on stderr if the run learned from this folder when it held other files, and its splits were others."""
    origin = data.origin
    if origin is None or "files" not in config or config["folder"] != origin.folder or not origin.held_out:
        return
    if config["files"] != origin.fingerprint:
        warn_once(
            f"the files of {data.name} have changed since the run was trained: what is held out for"
            f" {' and '.join(origin.held_out)} is drawn anew, and the run may have learned from some of it"
        )
