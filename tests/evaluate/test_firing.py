import pytest
import torch

from sslcourse.data.images import ImageSet
from sslcourse.evaluate import firing, place_boxes

IMAGES = ImageSet(
    torch.randint(256, (23, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
)
WORDS = torch.rand(5, 3, generator=torch.Generator().manual_seed(1))


def local(x):
    return torch.nn.functional.avg_pool2d(x, 4).flatten(2).transpose(1, 2)  # (B, 3, 2, 2) -> (B, 4, 3)


def test_a_word_fires_on_its_nearest_places_one_of_an_image():
    found = firing(local, IMAGES, WORDS, 4, batch_size=7)
    for k, word in enumerate(WORDS):  # by hand, image by image
        ranked = []
        for i in range(len(IMAGES)):
            distance = [float((u - word).norm()) for u in local(IMAGES.floats([i]))[0]]
            ranked.append((min(distance), i, distance.index(min(distance))))
        ranked.sort()
        assert [
            tuple(pair) for pair in zip(found.rows[k].tolist(), found.places[k].tolist(), strict=True)
        ] == [(i, u) for _, i, u in ranked[:4]]
        assert found.distances[k].tolist() == pytest.approx([d for d, _, _ in ranked[:4]], abs=1e-5)


def test_used_is_the_share_of_places_and_a_word_far_away_has_none():
    words = torch.cat([WORDS, torch.full((1, 3), 1e3)])
    used = firing(local, IMAGES, words, batch_size=10).used
    nearest = (local(IMAGES.floats()).flatten(0, 1)[:, None] - words).norm(dim=2).argmin(1)
    assert used.tolist() == pytest.approx([float((nearest == k).float().mean()) for k in range(6)])
    assert used[5] == 0 and float(used.sum()) == pytest.approx(1)


def test_few_images_give_few_places():
    assert firing(local, IMAGES[:2], WORDS, 6).rows.shape == (5, 2)


def test_boxes_lie_over_their_places_and_inside_the_image():
    boxes = place_boxes(torch.tensor([[0, 5], [6, 15]]), side=4, size=32, around=0.5)
    assert boxes.tolist() == [[[0, 0, 16, 16], [4, 4, 16, 16]], [[4, 12, 16, 16], [16, 16, 16, 16]]]
    assert place_boxes(torch.tensor(5), 4, 32, around=0).tolist() == [8, 8, 8, 8]
    assert place_boxes(torch.tensor(3), 2, 32, around=1.0).tolist() == [
        0,
        0,
        32,
        32,
    ]  # no larger than the image


def test_patches_show_the_places_of_their_words():
    found = firing(local, IMAGES, WORDS, 3)
    patches = found.patches(IMAGES, [4, 1], side=2, around=0)
    assert patches.shape == (2, 3, 3, 8, 8)
    for r, k in enumerate([4, 1]):  # a patch is its place, enlarged: it has the place's mean
        for n in range(3):
            u = local(IMAGES.floats([int(found.rows[k, n])]))[0, int(found.places[k, n])]
            assert patches[r, n].mean((1, 2)).tolist() == pytest.approx(u.tolist(), abs=0.02)
