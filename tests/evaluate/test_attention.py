import pytest
import torch

from sslcourse import nets
from sslcourse.data.images import ImageSet
from sslcourse.errors import UserError
from sslcourse.evaluate import attention_overlap, on_objects, strongest


def test_the_fewest_places_that_hold_the_share():
    attention = torch.tensor([[0.1, 0.4, 0.2, 0.3], [0.7, 0.1, 0.1, 0.1]])
    assert strongest(attention, 0.6).tolist() == [[False, True, False, True], [True, False, False, False]]
    assert strongest(attention, 1.0).all()
    assert torch.equal(strongest(attention / 2, 0.6), strongest(attention, 0.6))  # of what is there


def test_share_and_iou_by_hand():
    mask = torch.zeros(1, 4, 4, dtype=torch.bool)
    mask[0, :2, :2] = mask[0, 0, 2] = True  # all of the first patch, a quarter of the second
    attention = torch.tensor([[[0.5, 0.2, 0.2, 0.1], [0.0, 0.0, 0.0, 1.0]]])  # (1, 2 heads, 4)
    found = on_objects(attention, mask, kept=0.5)
    assert found["share"].tolist() == [pytest.approx([0.55, 0.0])]
    # head 1 keeps one patch, 1 of the object's 1.25; with 0.6, two, all 1.25 in an area of 2
    assert found["IoU"][0, 1] == 0 and found["IoU"][0, 0] == pytest.approx(1 / 1.25)
    assert on_objects(attention, mask, kept=0.6)["IoU"][0, 0] == pytest.approx(1.25 / 2)


def test_a_network_that_looks_everywhere_has_the_area():
    images = ImageSet(torch.randint(256, (6, 3, 16, 16), dtype=torch.uint8))
    with pytest.raises(UserError, match="needs images with masks of instances"):
        attention_overlap(nets.encoder("vit", 16, patch=4, dim=12, depth=1), images)
    images.masks["instance"] = torch.zeros(6, 16, 16, dtype=torch.uint8)
    images.masks["instance"][:, 4:, :8] = torch.arange(1, 7, dtype=torch.uint8)[:, None, None]
    net = nets.encoder("vit", 16, patch=4, dim=12, depth=1, heads=3)
    torch.nn.init.zeros_(net.blocks[0].attention.qkv.weight)
    found = attention_overlap(net, images, device="cpu", batch_size=4)
    assert found["area"] == pytest.approx(0.375) and found["share"] == pytest.approx([0.375] * 3)
