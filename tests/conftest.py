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


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """The cache of this test session, shared by its tests, never the user's."""
    monkeypatch.setenv("SSLCOURSE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
