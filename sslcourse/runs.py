"""Run: a training, saved and loaded."""

from __future__ import annotations

import inspect
import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import torch

from sslcourse import checkpoint, nets
from sslcourse.data.images import Data, pick_device
from sslcourse.errors import UserError
from sslcourse.methods import METHODS
from sslcourse.methods.method import Method
from sslcourse.nets import Encoder
from sslcourse.recipes import Recipe

RUN_FILES = ("config.json", "history.jsonl", "model.safetensors")


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

    def save(self, folder: str | Path) -> Path:
        """`config.json`, `history.jsonl` and `model.safetensors`, each written beside and renamed."""
        folder = Path(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            checkpoint.write_text(folder / "config.json", json.dumps(self.config, indent=1))
            checkpoint.write_text(
                folder / "history.jsonl", "".join(json.dumps(line) + "\n" for line in self.history)
            )
            checkpoint.write_tensors(folder / "model.safetensors", self.method.state_dict())
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
        checkpoint.load_into(method, checkpoint.read_tensors(folder / "model.safetensors")[0], folder)
        method.progress = 1.0
        method.to(pick_device(device), memory_format=torch.channels_last).eval()
        return cls(method, config, read_history(folder))


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
        config = json.loads((folder / "config.json").read_text())
        if missing := {"method", "arguments", "encoder", "data", "size"} - set(config):
            raise ValueError(f"it lacks {sorted(missing)[0]!r}")
        return config
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(
            f"{folder} is not a run: it has no config.json; make one with `sslcourse pretrain METHOD --out {folder}`"
        ) from None
    except (OSError, ValueError, TypeError) as error:
        raise UserError(
            f"{folder / 'config.json'} cannot be read: {error}; delete the folder and train again"
        ) from None


def read_history(folder: Path) -> list[dict]:
    path = folder / "history.jsonl"
    try:
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path} cannot be read: {error}; delete it and give the same pretrain again"
        ) from None


def build(name: str, data: Data, recipe: Recipe) -> Method:
    """The method `name` and its encoder, freshly initialised from torch's global generator."""
    if name not in METHODS:
        raise UserError(f"no method {name!r}; `sslcourse methods` lists them: {', '.join(METHODS)}")
    encoder = nets.encoder(recipe.encoder, data.size, **recipe.encoder_arguments)
    return METHODS[name](encoder, **{**METHODS[name].arguments_from(data), **recipe.arguments})


def build_saved(config: dict, folder: Path) -> Method:
    if config["method"] not in METHODS or not config["encoder"]:
        raise UserError(
            f"{folder} was made by {config['method']!r}, which sslcourse cannot build: pass Run.load(..., method=yours)"
        )
    try:
        return METHODS[config["method"]](nets.encoder(**config["encoder"]), **config["arguments"])
    except TypeError as error:
        raise UserError(
            f"{folder / 'config.json'} does not fit {config['method']}: {error}; was it made by another version?"
        ) from error


def default_arguments(method: str) -> dict:
    """What the constructor of a known method assumes, by name."""
    if method not in METHODS:
        return {}
    parameters = inspect.signature(METHODS[method].__init__).parameters
    return {name: p.default for name, p in parameters.items() if p.default is not p.empty}


def refuse_differences(saved: dict, asked: dict, out: Path) -> None:
    """UserError that names the first setting in which two configurations differ.

    An argument that the saved run does not know came later: it ran with what is the default today.
    """
    arguments = {**default_arguments(saved["method"]), **saved["arguments"]}
    saved = {**saved, "arguments": arguments if asked["arguments"] else saved["arguments"]}
    flat = [
        {**c, **{f"recipe.{k}": v for k, v in c["recipe"].items()}, "recipe": None} for c in (saved, asked)
    ]
    for name in flat[0] | flat[1]:  # in their order: the method comes first
        was, now = (c.get(name) for c in flat)
        if was != now:
            raise UserError(
                f"{out} holds a run with {name} = {was!r}, and {now!r} was asked for: choose another --out, or the same settings"
            )
