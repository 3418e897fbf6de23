import math

import pytest
import torch

from sslcourse import nets
from sslcourse.errors import UserError
from sslcourse.methods import Egomotion
from sslcourse.methods.pretext.egomotion import pairs


def make(data, **arguments):
    torch.manual_seed(0)
    return Egomotion(nets.encoder("small", 16, width=4), **{**Egomotion.arguments_from(data), **arguments})


def test_pairs_are_ordered_and_of_different_frames():
    a, b = pairs(5)
    expected = {(i, j) for i in range(5) for j in range(5) if i != j}
    assert set(zip(a.tolist(), b.tolist(), strict=True)) == expected and len(a) == 20


def test_chance_is_log_of_the_bins(tiny_clips):
    method = make(tiny_clips)
    method.prepare(tiny_clips)
    torch.nn.init.zeros_(method.heads.weight)
    loss = method.loss(tiny_clips.train.floats(slice(32)), torch.arange(32))["loss"].item()
    assert loss == pytest.approx(math.log(20), abs=0.1)


def test_classes_are_the_camera_s_motion_in_bins_of_equal_frequency(tiny_clips):
    factors = tiny_clips.train.factors
    generator = torch.Generator().manual_seed(0)
    for name in ("camera_azimuth", "camera_elevation", "camera_distance"):
        factors[name] = 3 + torch.rand(96, 4, generator=generator, dtype=torch.double)
    method = make(tiny_clips, bins=5)
    method.prepare(tiny_clips)
    a, b = pairs(4)
    y = method.classes(torch.arange(96), a.expand(96, -1), b.expand(96, -1))  # (N, P, 3)
    for motion in range(3):
        share = y[..., motion].flatten().bincount(minlength=5) / y[..., motion].numel()
        assert share.min() > 0.17 and share.max() < 0.23
    moved = factors["camera_azimuth"][:, b] - factors["camera_azimuth"][:, a]
    zoomed = factors["camera_distance"][:, b].log() - factors["camera_distance"][:, a].log()
    for motion, values in ((0, moved), (2, zoomed)):  # classes go up with what they stand for
        order = values.flatten().argsort()
        assert (y[..., motion].flatten()[order].diff() >= 0).all()


def test_back_and_forth_are_opposite(tiny_clips):
    method = make(tiny_clips, bins=2)
    method.prepare(tiny_clips)
    method.edges.zero_()
    method.camera[0, 1] = method.camera[0, 0] + 1
    t = torch.tensor([[0, 1]])
    there, back = method.classes(torch.zeros(1, dtype=torch.long), t, t.flip(1))[0].tolist()
    assert there == [1, 1, 1] and back == [0, 0, 0]


def test_heads_see_the_order_of_the_frames(tiny_clips):
    method = make(tiny_clips).eval()
    x, y = method.encoder.final_map(torch.rand(8, 3, 16, 16)).chunk(2)
    assert not torch.allclose(method.logits(x, y), method.logits(y, x))


def test_every_pair_meets_its_own_class(tiny_clips):
    """A head that reads the camera off the maps, and edges between, is always right."""
    method = make(tiny_clips, seen=4, bins=2).eval()
    method.prepare(tiny_clips)
    method.edges.zero_()
    clips, n = tiny_clips.train.floats(slice(16)), torch.arange(16)
    method.encoder.final_map = lambda x: x  # the maps are the frames, whose first pixel tells the camera
    clips[:, :, :, 0, 0] = method.camera[:16].float()
    method.logits = lambda x, y: torch.stack([x - y, y - x], 2)[..., 0, 0]  # (B, 3, 2, H, W) -> (B, 3, 2)
    assert method.loss(clips, n)["accuracy"] == 1


def test_clips_that_do_not_know_their_camera_are_refused(tiny_clips):
    tiny_clips.train.factors.clear()
    with pytest.raises(UserError, match="no factor camera_azimuth"):
        make(tiny_clips).prepare(tiny_clips)
