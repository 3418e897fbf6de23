"""Small worlds for tests: no downloads, no cache outside the temporary folder."""

import os

import pytest
import torch

os.environ.setdefault("SSLCOURSE_PROFILE", "smoke")

from sslcourse.data.images import Data, ImageSet


def planted(n: int, size: int = 16, classes: int = 4, seed: int = 0) -> ImageSet:
    """Noise with a bright quarter whose place is the class: easy to learn, and it turns when the image does."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % classes
    images = torch.randint(0, 120, (n, 3, size, size), generator=generator, dtype=torch.uint8)
    half = size // 2
    for i, label in enumerate(labels.tolist()):
        y, x = (label // 2 % 2) * half, (label % 2) * half
        images[i, label % 3, y : y + half, x : x + half] += 130
    return ImageSet(images, labels, tuple(f"class{c}" for c in range(classes)))


@pytest.fixture
def tiny_data() -> Data:
    return Data("tiny", planted(96, seed=1), planted(32, seed=2), planted(32, seed=3))


def moving(n: int, size: int = 16, frames: int = 4, seed: int = 0) -> ImageSet:
    """Clips of a coloured square that moves over a coloured floor of faint noise; its way is the camera's."""
    generator = torch.Generator().manual_seed(seed)
    floor, toy = torch.randint(20, 200, (2, n, 3), generator=generator)
    noise = torch.randint(0, 30, (n, 1, 1, size, size), generator=generator)
    speed = torch.randint(-2, 3, (n, 2), generator=generator)
    start = torch.randint(size // 4, size // 2, (n, 2), generator=generator)
    place = (start[:, None] + speed[:, None] * torch.arange(frames)[:, None]).clamp(0, size - 5)  # (n, T, 2)
    at = torch.arange(size)
    rows, columns = ((at >= place[:, :, i, None]) & (at < place[:, :, i, None] + 5) for i in (0, 1))
    mask = rows[:, :, :, None] & columns[:, :, None]  # (n, T, H, W)
    toy = torch.where(toy.sum(1, keepdim=True) > floor.sum(1, keepdim=True), toy + 25, toy - 20)
    images = torch.where(
        mask[:, :, None], toy[:, None, :, None, None], (floor[:, None, :, None, None] + noise)
    )
    camera = place.double() / size
    factors = {
        "camera_azimuth": camera[:, :, 0], "camera_elevation": camera[:, :, 1],
        "camera_distance": 1 + camera.mean(2),
    }  # fmt: skip
    return ImageSet(images.to(torch.uint8), factors=factors, masks={"instance": mask.to(torch.uint8)})


@pytest.fixture
def tiny_clips() -> Data:
    return Data("tiny-clips", moving(96, seed=1), moving(32, seed=2), moving(32, seed=3))


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """The cache of this test session, shared by its tests, never the user's."""
    monkeypatch.setenv("SSLCOURSE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(autouse=True)
def same_numbers():
    """Every test draws the same random numbers, whichever ran before it."""
    torch.manual_seed(0)
