"""ImageSet, StreamedSet and the seeded splits: same rows, same pixels, whatever the index."""

import pytest
import torch

import sslcourse.data
from sslcourse.data.images import Data, ImageSet, cache_dir, pick_device
from sslcourse.data.splits import divide, hold_out, shuffled
from sslcourse.errors import UserError


@pytest.fixture
def images() -> ImageSet:
    n = 10
    return ImageSet(
        torch.arange(n, dtype=torch.uint8)[:, None, None, None].expand(n, 3, 4, 6).contiguous(),
        torch.arange(n) % 3,
        ("a", "b", "c"),
        factors={"yaw": torch.arange(n) * 0.5},
        masks={"instance": torch.arange(n)[:, None, None].expand(n, 4, 6).byte()},
        boxes=torch.arange(n)[:, None, None].expand(n, 2, 4).float(),
        paths=[f"{i}.png" for i in range(n)],
    )


@pytest.mark.parametrize(
    ("index", "rows"),
    [
        (slice(2, 5), [2, 3, 4]),
        (slice(None, None, -3), None),
        ([7, 0, 7], [7, 0, 7]),
        (torch.tensor([9, 1]), [9, 1]),
        (torch.arange(10) >= 8, [8, 9]),
        (3, [3]),
        ([], []),
    ],
)
def test_indexing_takes_the_same_rows_of_everything(images, index, rows):
    if rows is None:
        with pytest.raises(ValueError):
            images[index]
        return
    part = images[index]
    assert len(part) == len(rows) and part.classes == images.classes and part.size == 4
    assert part.images[:, 0, 0, 0].tolist() == rows and part.images.dtype == torch.uint8
    assert part.labels.tolist() == [i % 3 for i in rows]
    assert part.factors["yaw"].tolist() == [i * 0.5 for i in rows]
    assert part.masks["instance"].shape == (len(rows), 4, 6)
    assert part.boxes[:, 0, 0].tolist() == rows
    assert part.paths == [f"{i}.png" for i in rows]


def test_batches_follow_the_order_and_scale_to_one(images):
    order = torch.tensor([9, 0, 4, 1, 8])
    batches = list(images.batches(2, order))
    assert [len(b[0]) for b in batches] == [2, 2, 1]
    pixels, index, labels = (torch.cat(part) for part in zip(*batches, strict=True))
    assert index.tolist() == order.tolist() and labels.tolist() == [0, 0, 1, 1, 2]
    assert pixels.dtype == torch.float32 and torch.equal(pixels[:, 0, 0, 0], order / 255)
    assert [len(b[0]) for b in images.batches(2, order, drop_last=True)] == [2, 2]
    assert torch.equal(torch.cat([i for _, i, _ in images.batches(3)]), torch.arange(10))


def test_batches_leave_the_stored_bytes_alone(images):
    before = images.images.clone()
    for pixels, _, _ in images.batches(4):
        pixels.zero_()
    assert torch.equal(images.images, before)
    assert images.floats([1])[0, 0, 0, 0] == 1 / 255


def test_without_labels(images):
    plain = ImageSet(images.images)
    assert all(labels is None for _, _, labels in plain.batches(4))
    assert plain[2:4].labels is None


def test_data_forwards_and_moves(images):
    data = Data("x", images, images[:2], images[2:3])
    assert data.classes == ("a", "b", "c") and data.size == 4
    moved = data.to("meta")
    assert moved.train.images.device.type == moved.val.labels.device.type == "meta"
    assert moved.test.factors["yaw"].device.type == "meta"


def test_pick_device():
    assert pick_device("cpu").type == "cpu"
    assert pick_device().type in ("cpu", "cuda", "mps")
    with pytest.raises(UserError, match="unknown"):
        pick_device("quantum")


def test_cache_dir_obeys_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("SSLCOURSE_CACHE", str(tmp_path))
    assert cache_dir() == tmp_path


def test_shuffled_is_a_seeded_permutation():
    rows = torch.arange(100)
    assert torch.equal(shuffled(rows, 3), shuffled(rows, 3))
    assert not torch.equal(shuffled(rows, 3), shuffled(rows, 4))
    assert torch.equal(shuffled(rows, 3).sort().values, rows)


def test_hold_out_is_stratified_disjoint_and_capped():
    labels = torch.tensor([0] * 70 + [1] * 20 + [2] * 10)
    kept, held = hold_out(torch.arange(100), labels, seed=0)
    assert torch.equal(torch.cat([kept, held]).sort().values, torch.arange(100))
    assert labels[held].bincount().tolist() == [7, 2, 1]
    assert labels[kept[:30]].bincount(minlength=3).min() > 0, "kept rows are still sorted by class"
    assert len(hold_out(torch.arange(100), None, seed=0, most=3)[1]) == 3
    assert len(hold_out(torch.arange(2), None, seed=0)[1]) == 1


def test_divide_fills_in_what_is_missing():
    labels = torch.arange(100) % 4
    chosen = divide({"train": 100, "test": 20}, labels, seed=0)
    assert [(part, len(rows)) for part, rows in chosen.values()] == [
        ("train", 90),
        ("train", 10),
        ("test", 20),
    ]
    alone = divide({"train": 100}, labels, seed=0)
    rows = torch.cat([rows for _, rows in alone.values()])
    assert torch.equal(rows.sort().values, torch.arange(100)), "splits overlap or lose images"
    limited = divide({"train": 100}, labels, seed=0, limit=5)
    assert all(torch.equal(limited[split][1], alone[split][1][:5]) for split in alone)


def test_exports_are_lazy_and_complete():
    assert all(getattr(sslcourse.data, name) for name in sslcourse.data.__all__)
    with pytest.raises(AttributeError):
        sslcourse.data.nothing  # noqa: B018
