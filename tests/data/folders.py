"""Folders of small pictures for tests, trainings on them, and such as older code saved."""

import json
from pathlib import Path

from PIL import Image

from sslcourse.data.folder import load_folder
from sslcourse.training import checkpoint
from sslcourse.training.loop import Run
from sslcourse.training.pretraining import pretrain
from sslcourse.training.recipes import Recipe

TINY = Recipe(encoder_arguments={"width": 4}, epochs=1, batch=8, lr=0.05)


def pictures(root: Path, classes=("ant", "bee"), each=10, size=8) -> Path:
    for number, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for i in range(each):
            Image.new("RGB", (size, size), (number * 50, i * 10, 50)).save(root / name / f"{i:03}.bmp")
    return root


def train(folder, out: Path, method: str = "simclr", **options) -> Run:
    return pretrain(method, load_folder(folder, **options), recipe=TINY, out=out, device="cpu")


def make_old(out: Path) -> None:
    """Take from a run what code before the fingerprint did not write."""
    tensors, saved = checkpoint.read_tensors(out / "state.safetensors", "")
    del tensors["files"]
    for config in (saved["config"], told := json.loads((out / "config.json").read_text())):
        del config["folder"], config["files"]
    checkpoint.tensor_writer(tensors, saved)(out / "state.safetensors")
    (out / "config.json").write_text(json.dumps(told))
