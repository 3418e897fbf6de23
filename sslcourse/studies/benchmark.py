"""This machine, measured: our views, training, k-NN and probe beside the libraries people use for them.

Ratios are of medians of alternating repeats in one process, on the same data with the same encoder. Lightly
gets its best: the faster of loading in this process and of a worker per core.
"""

from __future__ import annotations

import copy
import os
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from sslcourse import nets
from sslcourse.data.images import ImageSet, pick_device
from sslcourse.errors import UserError
from sslcourse.memory import peak_bytes
from sslcourse.views import simclr_view

BATCH = 256


def run_benchmark(names: list[str] | None = None, repeats: int = 5, *, images: int = 2048,
                  vectors: int = 10_000, pairs: int = 16_384, device: str = "auto") -> list[dict]:  # fmt: skip
    """One dict for every row in `names` (default: all of ROWS).

    name; ours and peer: seconds, medians of `repeats`; peers: those of each peer, the fastest counts; ratio:
    peer / ours; images_per_second of ours (queries in `knn`, vectors in `linear`); device; what was measured.
    Rows without a peer have None there. Rows about images see `images` of them (the scenes: an eighth), rows
    about features `vectors` x 512, with a fifth as many queries, and `infonce-16384` a batch of `pairs`.
    """
    names = names or list(ROWS)
    if unknown := [name for name in names if name not in ROWS]:
        raise UserError(f"no benchmark {', '.join(unknown)}: choose from {', '.join(ROWS)}")
    counts = {"knn": vectors, "linear": vectors, "infonce-16384": pairs}
    return [
        {"name": name, **ROWS[name](repeats, counts.get(name, images), pick_device(device))} for name in names
    ]


def measure(repeats: int, count: int, device: torch.device, what: str, ours: Callable, *peers: Callable):
    """Seconds of `ours` and of every peer, run in turn `repeats` times after one warm-up, as a row."""
    seconds = [[] for _ in (ours, *peers)]
    for repeat in range(repeats + 1):
        for measured, run in zip(seconds, (ours, *peers), strict=True):
            start = time.perf_counter()
            run()
            if device.type == "cuda":
                torch.cuda.synchronize()
            if repeat:
                measured.append(time.perf_counter() - start)
    mine, *others = map(statistics.median, seconds)
    peer, speed = min(others, default=None), count / mine
    return {
        "ours": mine,
        "peer": peer,
        "ratio": peer and peer / mine,
        "images_per_second": speed,
        "device": str(device),
        "what": what,
        "peers": others,
    }


def simclr_views(repeats: int, images: int, device: torch.device) -> dict:
    train, view = toybox(images).to(device), simclr_view(32)

    def ours():
        for batch, _, _ in train.batches(BATCH):
            view(batch), view(batch)

    peers = [lambda loader=loader: [None for _ in loader] for loader in lightly_loaders(train)]
    what = (
        "two SimCLR views of 32 px images (jitter 0.5, no blur), batch 256; peer: lightly's transform of "
        f"PIL images in a DataLoader, the faster of 0 and {os.cpu_count()} workers"
    )
    return measure(repeats, len(train), device, what, ours, *peers)


def simclr_epoch(repeats: int, images: int, device: torch.device) -> dict:
    from lightly.loss import NTXentLoss
    from lightly.models.modules import SimCLRProjectionHead

    from sslcourse.methods import METHODS

    train = toybox(images).to(device)
    method = METHODS["simclr"](nets.encoder("small"), temperature=0.5)
    encoder = nets.random_like(method.encoder)
    head = SimCLRProjectionHead(encoder.dim, encoder.dim, 128, num_layers=2, batch_norm=True)
    model, criterion = nn.Sequential(encoder, head), NTXentLoss(temperature=0.5)
    our_sgd, peer_sgd = sgd(method, device), sgd(model, device)

    def peer(loader: DataLoader):
        for views, *_ in loader:
            z0, z1 = (model(view.to(device, non_blocking=True)) for view in views)
            step(criterion(z0, z1), peer_sgd)

    what = (
        "one epoch of SimCLR, encoder small, batch 256, SGD; peer: lightly's dataset, transform, head, "
        f"NTXentLoss, the faster of 0 and {os.cpu_count()} workers"
    )
    peers = [partial(peer, loader) for loader in lightly_loaders(train)]
    return measure(repeats, len(train), device, what, partial(epoch, method, train, our_sgd), *peers)


def moco_epoch(repeats: int, images: int, device: torch.device, length: int = 4096) -> dict:
    from lightly.loss import NTXentLoss
    from lightly.models.modules import MoCoProjectionHead
    from lightly.models.utils import deactivate_requires_grad, update_momentum
    from lightly.transforms import MoCoV2Transform

    from sslcourse.methods import METHODS

    train = toybox(images).to(device)
    method = METHODS["moco"](nets.encoder("small"), length=length, momentum=0.99)
    encoder = nets.random_like(method.encoder)
    model = nn.Sequential(encoder, MoCoProjectionHead(encoder.dim, encoder.dim, 128))
    slow = copy.deepcopy(model).to(device, memory_format=torch.channels_last)
    deactivate_requires_grad(slow)
    criterion = NTXentLoss(temperature=0.2, memory_bank_size=(length, 128)).to(device)
    our_sgd, peer_sgd = sgd(method, device), sgd(model, device)

    def peer(loader: DataLoader):
        for views, *_ in loader:
            update_momentum(model, slow, 0.99)
            query, key = (view.to(device, non_blocking=True) for view in views)
            with torch.no_grad():
                k = slow(key)
            step(criterion(model(query), k), peer_sgd)

    what = (
        f"one epoch of MoCo v2, encoder small, batch 256, queue {length}, SGD; peer: lightly's dataset, transform, "
        f"head, momentum update, NTXentLoss with its bank, the faster of 0 and {os.cpu_count()} workers"
    )
    transform = MoCoV2Transform(input_size=32, gaussian_blur=0.0, normalize=None)
    peers = [partial(peer, loader) for loader in lightly_loaders(train, transform)]
    return measure(repeats, len(train), device, what, partial(epoch, method, train, our_sgd), *peers)


def sgd(module: nn.Module, device: torch.device) -> torch.optim.Optimizer:
    """The module on the device, ready to train, and its optimiser."""
    module.train().to(device, memory_format=torch.channels_last)
    learned = [p for p in module.parameters() if p.requires_grad]
    return torch.optim.SGD(learned, lr=0.05, momentum=0.9, weight_decay=5e-4)


def step(loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def epoch(method, train: ImageSet, optimizer: torch.optim.Optimizer) -> None:
    for batch, index, _ in train.batches(BATCH, order=torch.randperm(len(train))):
        step(method(batch, index)["loss"], optimizer)
        with torch.no_grad():
            method.after_step()


def infonce(repeats: int, pairs: int, device: torch.device, block: int = 256) -> dict:
    """Time and memory of one NT-Xent, forward and backward; the peer's time is scaled where its table does not fit."""
    from lightly.loss import NTXentLoss

    from sslcourse.methods.contrastive.simclr import nt_xent

    def ours(pairs: int = pairs, device: torch.device | str = device):
        nt_xent(*torch.randn(2, pairs, 128, device=device, requires_grad=True), 0.5, block)[0].backward()

    def peer(pairs: int, device: torch.device | str = device):
        z0, z1 = torch.randn(2, pairs, 128, device=device, requires_grad=True)
        NTXentLoss(temperature=0.5)(z0, z1).backward()

    small = min(pairs, 256)  # counted there, and larger tables are larger by the square
    needed = peak_bytes(peer, small) * (pairs // small) ** 2
    fits = pairs
    while needed * (fits / pairs) ** 2 > free_bytes(device) / 2:
        fits //= 2
    scale = (pairs / fits) ** 2
    what = f"NT-Xent of {pairs} pairs x 128, forward and backward, ours in blocks of {block} rows; peer: lightly's NTXentLoss"
    what += f", timed on {fits} pairs, times {scale:.0f}" if scale > 1 else ""
    row = measure(min(repeats, 2), pairs, device, what, ours, partial(peer, fits))
    row["peer"], row["peers"] = row["peer"] * scale, [seconds * scale for seconds in row["peers"]]
    row["ratio"] = row["peer"] / row["ours"]
    return row | {"peak_bytes": peak_bytes(partial(ours, device="meta")), "peer_peak_bytes": needed}


def free_bytes(device: torch.device) -> int:
    """Memory that is free now, on the device."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if "SC_AVPHYS_PAGES" in getattr(os, "sysconf_names", ()):
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return 4 * 2**30


def knn(repeats: int, vectors: int, device: torch.device) -> dict:
    from lightly.utils.benchmarking import knn as lightly

    from sslcourse.evaluate.knn import knn_predict

    bank, labels = features(vectors, 0, device)
    queries, _ = features(vectors // 5, 1, device)
    k = min(200, vectors // 2)

    def peer():
        for part in queries.split(BATCH):
            lightly.knn_predict(part, bank.T, labels, 10, k, 0.1)

    what = f"k-NN, k {k}, of {len(queries)} queries among {vectors} x 512; peer: lightly's knn_predict"
    ours = partial(knn_predict, queries, bank, labels, 10, k=k, temperature=0.1)
    return measure(repeats, len(queries), device, what, ours, peer)


def linear(repeats: int, vectors: int, device: torch.device) -> dict:
    from sklearn.linear_model import LogisticRegression

    from sslcourse.evaluate.linear import L2
    from sslcourse.evaluate.logistic import fit_logistic

    x, y = features(vectors, 0, device)
    x_numpy, y_numpy = x.cpu().numpy(), y.cpu().numpy()

    strengths = torch.tensor(L2)
    what = f"the probe's {len(L2)} strengths of L2, {vectors} x 512, 10 classes; peer: scikit-learn, one fit for each"

    def peer():
        for l2 in L2:
            LogisticRegression(C=1 / (vectors * l2), max_iter=500).fit(x_numpy, y_numpy)

    return measure(repeats, vectors, device, what, partial(fit_logistic, x, y, 10, strengths), peer)


def render(world: str, repeats: int, count: int) -> dict:
    from sslcourse.data.toybox import render_world

    what = f"rendering {count} images of {world} on the CPU; no peer"
    return measure(repeats, count, torch.device("cpu"), what, lambda: render_world(world, "train", count))


ROWS: dict[str, Callable[[int, int, torch.device], dict]] = {
    "simclr-views": simclr_views,
    "simclr-epoch": simclr_epoch,
    "moco-epoch": moco_epoch,
    "infonce-16384": infonce,
    "knn": knn,
    "linear": linear,
    "toybox-32": lambda repeats, images, device: render("toybox", repeats, images),
    "toybox-scenes-64": lambda repeats, images, device: render("toybox-scenes", repeats, max(images // 8, 1)),
}


def toybox(count: int) -> ImageSet:
    from sslcourse.data.toybox import load_toybox

    return load_toybox("toybox", limit=count, splits=("train",)).train


class PILImages(Dataset):
    """Images as PIL, already decoded, with a label: what lightly's transforms are made for."""

    transform: Callable  # set by LightlyDataset

    def __init__(self, images: ImageSet):
        from torchvision.transforms.functional import to_pil_image

        self.images = [to_pil_image(image) for image in images.images.cpu()]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int):
        return self.transform(self.images[index]), 0


def lightly_loaders(
    images: ImageSet, transform: Callable | None = None, workers: tuple[int, ...] | None = None, **options
) -> list[DataLoader]:
    """Lightly's data path for each number of workers (default: none, and one per core), with DataLoader's `options`.

    Our encoders normalise themselves, so it does not.
    """
    from lightly.data import LightlyDataset
    from lightly.transforms import SimCLRTransform

    transform = transform or SimCLRTransform(
        input_size=32, cj_strength=0.5, gaussian_blur=0.0, normalize=None
    )
    dataset = LightlyDataset.from_torch_dataset(PILImages(images), transform=transform)
    options = {"batch_size": BATCH, "shuffle": True, "pin_memory": torch.cuda.is_available(), **options}
    numbers = (0, os.cpu_count()) if workers is None else workers
    return [DataLoader(dataset, num_workers=n, persistent_workers=n > 0, **options) for n in numbers]


def features(count: int, seed: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Unit vectors (N, 512) around ten overlapping centres, and their classes (N,)."""
    centres = torch.randn(10, 512, generator=torch.Generator().manual_seed(9))
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(10, (count,), generator=generator)
    vectors = centres[labels] * 0.15 + torch.randn(count, 512, generator=generator)
    return torch.nn.functional.normalize(vectors, dim=1).to(device), labels.to(device)
