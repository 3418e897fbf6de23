"""Real data sets through torchvision: how each is fetched, split, and turned into tensors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sslcourse.data.builtin import resize
from sslcourse.data.download import download, unpack
from sslcourse.data.images import Data, ImageSet
from sslcourse.data.splits import divide
from sslcourse.data.stream import image_sets


@dataclass(frozen=True)
class Real:
    """One data set. archives: (address, md5, folder under root). open(root, split): torchvision's data set.

    splits: ours -> torchvision's; what is missing is held out of train. counts, megabytes: for the table.
    """

    what: str
    archives: tuple[tuple[str, str, str], ...]
    open: Callable[[Path, str], Any]
    splits: dict[str, str]
    counts: tuple[int, int, int]
    size: int  # px when the user names none: the images' own, or 64 for photographs
    megabytes: int  # to fetch
    unpacked: str  # under root, once it is there

    def files(self, root: Path) -> list[Path]:
        return [root / folder / address.rsplit("/", 1)[1] for address, _, folder in self.archives]


def _named(name: str, **fixed) -> Callable[[Path, str], Any]:
    """torchvision's class of that name, its import put off until it is used."""

    def open_split(root: Path, split: str):
        import torchvision.datasets

        return getattr(torchvision.datasets, name)(root, **fixed, **({"split": split} if split else {}))

    return open_split


def _cifar(name: str) -> Callable[[Path, str], Any]:
    return lambda root, split: _named(name, train=split == "train")(root, "")


TORONTO = "https://www.cs.toronto.edu/~kriz/"
HOUSES = "http://ufldl.stanford.edu/housenumbers/"
OXFORD = "https://www.robots.ox.ac.uk/~vgg/data/"
STL = "http://ai.stanford.edu/~acoates/stl10/"
FASTAI = "https://s3.amazonaws.com/fast-ai-imageclas/"
TORCHGEO = "https://huggingface.co/datasets/torchgeo/eurosat/"
TRAIN_TEST = {"train": "train", "test": "test"}
TRAIN_VAL_TEST = {"train": "train", "val": "val", "test": "test"}

REAL: dict[str, Real] = {
    "cifar10": Real(
        "32 px photographs, 10 classes (Krizhevsky 2009)",
        ((TORONTO + "cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a", ""),),
        _cifar("CIFAR10"), TRAIN_TEST, (45000, 5000, 10000), 32, 170, "cifar-10-batches-py",
    ),
    "cifar100": Real(
        "32 px photographs, 100 classes (Krizhevsky 2009)",
        ((TORONTO + "cifar-100-python.tar.gz", "eb9058c3a382ffc7106e4002c42a8d85", ""),),
        _cifar("CIFAR100"), TRAIN_TEST, (45000, 5000, 10000), 32, 169, "cifar-100-python",
    ),
    "stl10": Real(
        "96 px photographs, 10 classes, the labelled part (Coates et al. 2011)",
        ((STL + "stl10_binary.tar.gz", "91f7769df0f17e558f3565bffb0c7dfb", ""),),
        _named("STL10"), TRAIN_TEST, (4500, 500, 8000), 96, 2640, "stl10_binary",
    ),
    "svhn": Real(
        "32 px house numbers, 10 digits (Netzer et al. 2011)",
        (
            (HOUSES + "train_32x32.mat", "e26dedcc434d2e4c54c9b2d4a06d8373", ""),
            (HOUSES + "test_32x32.mat", "eb5a983be6a315427106f1b164d9cef3", ""),
        ),
        _named("SVHN"), TRAIN_TEST, (68257, 5000, 26032), 32, 246, "test_32x32.mat",
    ),
    "imagenette": Real(
        "photographs, 10 easy classes of ImageNet, short side 160 px (Howard 2019)",
        ((FASTAI + "imagenette2-160.tgz", "e793b78cc4c9e9a4ccc0c1155377a412", ""),),
        _named("Imagenette", size="160px"), {"train": "train", "test": "val"},
        (8522, 947, 3925), 64, 99, "imagenette2-160",
    ),
    "flowers102": Real(
        "photographs of 102 kinds of flower (Nilsback and Zisserman 2008)",
        (
            (OXFORD + "flowers/102/102flowers.tgz", "52808999861908f626f3c1f4e79d11fa", "flowers-102"),
            (OXFORD + "flowers/102/imagelabels.mat", "e0620be6f572b9609742df49c70aed4d", "flowers-102"),
            (OXFORD + "flowers/102/setid.mat", "a5357ecc9cb78c4bef273ce3793fc85c", "flowers-102"),
        ),
        _named("Flowers102"), TRAIN_VAL_TEST, (1020, 1020, 6149), 64, 345, "flowers-102/jpg",
    ),
    "pets": Real(
        "photographs of 37 breeds of cat and dog (Parkhi et al. 2012)",
        (
            (OXFORD + "pets/data/images.tar.gz", "5c4f3ee8e5d25df40f4fd59a7f44e54c", "oxford-iiit-pet"),
            (OXFORD + "pets/data/annotations.tar.gz", "95a8c909bbe2e81eed6a22bccdf3f68f", "oxford-iiit-pet"),
        ),
        _named("OxfordIIITPet"), {"train": "trainval", "test": "test"},
        (3312, 368, 3669), 64, 811, "oxford-iiit-pet/annotations",
    ),
    "dtd": Real(
        "photographs of 47 kinds of texture (Cimpoi et al. 2014)",
        ((OXFORD + "dtd/download/dtd-r1.0.1.tar.gz", "fff73e5086ae6bdbea199a49dfb8a4c1", "dtd"),),
        _named("DTD"), TRAIN_VAL_TEST, (1880, 1880, 1880), 64, 625, "dtd/dtd",
    ),
    "eurosat": Real(
        "64 px satellite images, 10 kinds of land use (Helber et al. 2019)",
        (
            (
                TORCHGEO + "resolve/c877bcd43f099cd0196738f714544e355477f3fd/EuroSAT.zip",
                "c8fa014336c82ac7804f0398fcb19387",
                "eurosat",
            ),
        ),
        _named("EuroSAT"), {"train": ""}, (21870, 2430, 2700), 64, 95, "eurosat/2750",
    ),
    "food101": Real(
        "photographs of 101 dishes (Bossard et al. 2014)",
        (("http://data.vision.ee.ethz.ch/cvl/food-101.tar.gz", "85eeb15f3717b99a5da872d97d918f87", ""),),
        _named("Food101"), TRAIN_TEST, (70750, 5000, 25250), 64, 5000, "food-101",
    ),
}  # fmt: skip


def open_split(real: Real, root: Path, split: str):
    """torchvision's data set, fetched and unpacked if it is not there."""
    try:
        return real.open(root, split)
    except (RuntimeError, FileNotFoundError):  # not there, or not whole
        for (address, md5, folder), file in zip(real.archives, real.files(root), strict=True):
            download(address, file, md5)
            if file.suffix in (".gz", ".tgz", ".zip"):
                unpack(file, root / folder)
        return real.open(root, split)


def tensors(dataset) -> tuple[Tensor | list[str], Tensor, tuple[str, ...]]:
    """A torchvision data set as (uint8 (N, 3, H, W) or file names, labels (N,), class names)."""
    names = getattr(dataset, "classes", ())
    names = tuple(name if isinstance(name, str) else name[0] for name in names)
    if hasattr(dataset, "data"):  # CIFAR: (N, H, W, 3) and a list; STL10, SVHN: (N, 3, H, W) and an array
        pixels = torch.from_numpy(dataset.data)
        labels = torch.as_tensor(dataset.targets if hasattr(dataset, "targets") else dataset.labels)
        content = (pixels.permute(0, 3, 1, 2) if pixels.shape[-1] == 3 else pixels).contiguous()
    else:
        samples = getattr(dataset, "samples", None) or getattr(
            dataset, "_samples", None
        )  # EuroSAT, Imagenette
        files = (
            [p for p, _ in samples] if samples else getattr(dataset, "_image_files", None) or dataset._images
        )
        labels = torch.as_tensor([y for _, y in samples] if samples else dataset._labels)
        content = [str(file) for file in files]
    return content, labels.long(), names or tuple(str(y) for y in range(int(labels.max()) + 1))


def load_real(
    name: str,
    root: Path,
    *,
    size: int | None = None,
    limit: int | None = None,
    device: torch.device,
    skip_corrupt: bool = False,
    seed: int = 0,
) -> Data:
    """A set of `REAL`. `limit`: the first so many of each split in a seeded order, a prefix of the whole."""
    real = REAL[name]
    size = size or real.size
    parts = {split: tensors(open_split(real, root, theirs)) for split, theirs in real.splits.items()}
    _, labels, classes = parts["train"]
    chosen = divide({split: len(labels) for split, (_, labels, _) in parts.items()}, labels, seed, limit)
    if isinstance(parts["train"][0], Tensor):
        sets = {
            split: ImageSet(resize(parts[part][0][rows], size), parts[part][1][rows], classes).to(device)
            for split, (part, rows) in chosen.items()
        }
    else:
        files = {
            split: ([parts[part][0][row] for row in rows.tolist()], parts[part][1][rows])
            for split, (part, rows) in chosen.items()
        }
        sets = image_sets(files, classes, size=size, device=device, skip_corrupt=skip_corrupt)
    return Data(name, **sets)
