"""This machine, measured: our views, training, k-NN and linear probe beside the libraries people use for them.

Every ratio is of medians of alternating repeats in one process, on the same data with the same encoder. Lightly
gets its best: the faster of one process and of a DataLoader with a worker per core.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from sslcourse import nets
from sslcourse.data.images import ImageSet, pick_device
from sslcourse.errors import UserError
from sslcourse.views import simclr_view

BATCH = 256


def run_benchmark(names: list[str] | None = None, repeats: int = 5, *, images: int = 2048, vectors: int = 10_000,
                  device: str = "auto") -> list[dict]:
    """One dict per row of ROWS (or of `names`): name, ours and peer in seconds (medians of `repeats`), ratio =
    peer / ours, images_per_second of ours, device, and `what` was measured. Rows without a peer have None there.

    `images` are seen by the rows about images (the 64-pixel scenes: an eighth of them); `vectors` x 512 are the
    features of the rows about features, with a fifth as many queries.
    """
    unknown = sorted(set(names or ()) - set(ROWS))
    if unknown:
        raise UserError(f"no benchmark {', '.join(unknown)}: choose from {', '.join(ROWS)}")
    chosen, device = names or list(ROWS), pick_device(device)
    return [{"name": name, **ROWS[name](repeats, vectors if name in ("knn", "linear") else images, device)}
            for name in chosen]


def _row(repeats: int, count: int, device: torch.device, what: str, ours: Callable, *peers: Callable) -> dict:
    """Time `ours` and every peer in turn, `repeats` times after one warm-up; the fastest peer is the peer."""
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
    peer = min(others, default=None)
    return {"ours": mine, "peer": peer, "ratio": None if peer is None else peer / mine,
            "images_per_second": count / mine, "device": str(device), "repeats": repeats, "what": what,
            "peers": others}


# --- rows -----------------------------------------------------------------------------------------------------


def simclr_views(repeats: int, images: int, device: torch.device) -> dict:
    """Two SimCLR views of every image."""
    train, view = _toybox(images).to(device), simclr_view(32)

    def ours():
        for batch, _, _ in train.batches(BATCH):
            view(batch), view(batch)

    def peer(loader):
        for _ in loader:
            pass

    what = ("two SimCLR views of 32 px images (jitter 0.5, no blur), batch 256; peer: lightly SimCLRTransform on PIL "
            "images in a DataLoader, the faster of 0 and one worker per core")
    loaders = [_lightly_loader(train.to("cpu"), workers) for workers in (0, _workers())]
    return _row(repeats, len(train), device, what, ours, *(lambda loader=loader: peer(loader) for loader in loaders))


def simclr_epoch(repeats: int, images: int, device: torch.device) -> dict:
    """One epoch of SimCLR: views, encoder, head, loss, backward, SGD."""
    from lightly.loss import NTXentLoss
    from lightly.models.modules import SimCLRProjectionHead

    from sslcourse.methods import METHODS

    train = _toybox(images).to(device)
    method = METHODS["simclr"](nets.encoder("small")).to(device, memory_format=torch.channels_last)
    encoder = nets.random_like(method.encoder).to(device, memory_format=torch.channels_last)
    head = SimCLRProjectionHead(encoder.dim, encoder.dim, 128, num_layers=2, batch_norm=True).to(device)
    model, criterion = torch.nn.Sequential(encoder, head), NTXentLoss(temperature=0.5)
    our_sgd, peer_sgd = (torch.optim.SGD(m.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
                         for m in (method.train(), model.train()))

    def step(loss: Tensor, optimizer: torch.optim.Optimizer):
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def ours():
        for batch, index, _ in train.batches(BATCH, order=torch.randperm(len(train))):
            step(method(batch, index)["loss"], our_sgd)

    def peer(loader):
        for views, *_ in loader:
            z0, z1 = (model(view.to(device, non_blocking=True)) for view in views)
            step(criterion(z0, z1), peer_sgd)

    what = (f"one SimCLR epoch, encoder small, batch 256, SGD; peer: lightly's LightlyDataset, SimCLRTransform, "
            f"SimCLRProjectionHead and NTXentLoss, the faster of 0 and {_workers()} workers")
    loaders = [_lightly_loader(train.to("cpu"), workers) for workers in (0, _workers())]
    return _row(repeats, len(train), device, what, ours, *(lambda loader=loader: peer(loader) for loader in loaders))


def knn(repeats: int, vectors: int, device: torch.device) -> dict:
    """k-NN votes of queries among `vectors` features of 512 numbers."""
    from lightly.utils.benchmarking.knn import knn_predict

    from sslcourse.evaluate.knn import knn_predict as our_knn_predict

    bank, labels = _features(vectors, 0, device)
    queries, _ = _features(vectors // 5, 1, device)
    k = min(200, vectors // 2)

    def ours():
        our_knn_predict(queries, bank, labels, 10, k=k, temperature=0.1)

    def peer():
        for part in queries.split(BATCH):
            knn_predict(part, bank.T, labels, 10, k, 0.1)

    what = f"k-NN, k {k}, of {len(queries)} queries among {vectors} x 512; peer: lightly knn_predict, batch 256"
    return _row(repeats, len(queries), device, what, ours, peer)


def linear(repeats: int, vectors: int, device: torch.device) -> dict:
    """The linear probe's optimisation on `vectors` features of 512 numbers."""
    from sklearn.linear_model import LogisticRegression

    from sslcourse.evaluate.logistic import fit_logistic

    features, labels = _features(vectors, 0, device)
    x, y = features.cpu().numpy(), labels.cpu().numpy()

    def ours():
        fit_logistic(features, labels, 10, torch.tensor([1 / vectors]))

    def peer():
        LogisticRegression(C=1.0, max_iter=500).fit(x, y)

    what = (f"logistic regression on {vectors} x 512, 10 classes, the same objective (C = 1); "
            "peer: scikit-learn LogisticRegression on the CPU")
    return _row(repeats, vectors, device, what, ours, peer)


def toybox_32(repeats: int, images: int, device: torch.device) -> dict:
    return _render("toybox", repeats, images)


def toybox_scenes_64(repeats: int, images: int, device: torch.device) -> dict:
    return _render("toybox-scenes", repeats, max(images // 8, 1))


ROWS: dict[str, Callable[[int, int, torch.device], dict]] = {
    "simclr-views": simclr_views, "simclr-epoch": simclr_epoch, "knn": knn, "linear": linear,
    "toybox-32": toybox_32, "toybox-scenes-64": toybox_scenes_64,
}


# --- data -----------------------------------------------------------------------------------------------------


def _render(world: str, repeats: int, count: int) -> dict:
    from sslcourse.data.toybox import render_world

    what = f"rendering {count} images of {world} on the CPU, no peer"
    return _row(repeats, count, torch.device("cpu"), what, lambda: render_world(world, "train", count))


def _toybox(count: int) -> ImageSet:
    from sslcourse.data.toybox import load_toybox

    return load_toybox("toybox", limit=count, splits=("train",)).train


def _workers() -> int:
    return os.cpu_count() or 1


class _PILImages(Dataset):
    """Images as PIL, already decoded, with a label: what lightly's transforms are made for."""

    transform: Callable  # set by LightlyDataset

    def __init__(self, images: ImageSet):
        from torchvision.transforms.functional import to_pil_image

        self.images = [to_pil_image(image) for image in images.images]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int):
        return self.transform(self.images[index]), 0


def _lightly_loader(images: ImageSet, workers: int) -> DataLoader:
    """Lightly's own data path, without normalisation, because our encoders normalise themselves."""
    from lightly.data import LightlyDataset
    from lightly.transforms import SimCLRTransform

    transform = SimCLRTransform(input_size=32, cj_strength=0.5, gaussian_blur=0.0, normalize=None)
    dataset = LightlyDataset.from_torch_dataset(_PILImages(images), transform=transform)
    return DataLoader(dataset, batch_size=BATCH, shuffle=True, num_workers=workers,
                      persistent_workers=workers > 0)


def _features(count: int, seed: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Unit vectors (N, 512) around ten overlapping centres and their classes (N,)."""
    centres = torch.randn(10, 512, generator=torch.Generator().manual_seed(9))
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(10, (count,), generator=generator)
    features = centres[labels] * 0.15 + torch.randn(count, 512, generator=generator)
    return torch.nn.functional.normalize(features, dim=1).to(device), labels.to(device)
