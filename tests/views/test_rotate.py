import pytest
import torch

from sslcourse.errors import UserError
from sslcourse.views import four_rotations, rotate90


def test_y_counts_counter_clockwise_quarter_turns_per_image():
    images = torch.rand(9, 3, 6, 6)
    y = torch.tensor([0, 1, 2, 3, 1, 1, 0, 2, 3])
    out = rotate90(images, y)
    for i, k in enumerate(y.tolist()):
        assert torch.equal(out[i], torch.rot90(images[i], k, (1, 2)))


def test_one_means_counter_clockwise():
    """A mark on the right edge goes to the top."""
    image = torch.zeros(1, 3, 5, 5)
    image[:, :, 2, 4] = 1
    assert (rotate90(image, torch.tensor([1]))[:, :, 0, 2] == 1).all()


def test_four_quarter_turns_are_no_turn():
    images, one = torch.rand(3, 3, 8, 8), torch.ones(3, dtype=torch.long)
    turned = images
    for _ in range(4):
        turned = rotate90(turned, one)
    assert torch.equal(turned, images)


def test_four_rotations_are_ordered_by_turn():
    images = torch.rand(5, 3, 8, 8)
    turned, targets = four_rotations(images)
    assert turned.shape == (20, 3, 8, 8)
    assert targets.tolist() == [0] * 5 + [1] * 5 + [2] * 5 + [3] * 5
    assert torch.equal(turned, rotate90(images.repeat(4, 1, 1, 1), targets))


@pytest.mark.parametrize("rotate", [four_rotations, lambda x: rotate90(x, torch.zeros(2))])
def test_oblong_images_are_refused(rotate):
    with pytest.raises(UserError, match="square"):
        rotate(torch.rand(2, 3, 8, 9))
