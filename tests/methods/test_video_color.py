import math

import pytest
import torch

from sslcourse import nets
from sslcourse.errors import UserError
from sslcourse.methods import VideoColor
from sslcourse.methods.pretext.video_color import copied, places, pointer
from sslcourse.training.pretraining import pretrain
from sslcourse.views.lab import lab_to_rgb, rgb_to_lab


def make(**arguments):
    torch.manual_seed(0)
    return VideoColor(nets.encoder("small", 16, width=4), size=16, **arguments)


def naive(f, target, tau):
    """A, one pair of pixels at a time, for one clip: f (R, d, h, w), target (d, h, w)."""
    R, _, h, w = f.shape
    A = torch.zeros(R * h * w, h * w)
    for j in range(h * w):
        weights = [
            math.exp(float(f[r, :, y, x] @ target[:, j // w, j % w]) / tau)
            for r in range(R) for y in range(h) for x in range(w)
        ]  # fmt: skip
        A[:, j] = torch.tensor(weights) / sum(weights)
    return A


@pytest.mark.parametrize("tau", [0.5, 1.0])
def test_pointer_is_the_formula_over_all_references_together(tau):
    f, target = torch.randn(2, 3, 5, 2, 4), torch.randn(2, 5, 2, 4)
    ours = pointer(f, target, tau)
    torch.testing.assert_close(ours[1], naive(f[1], target[1], tau), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(ours.sum(1), torch.ones(2, 8))
    assert not torch.allclose(pointer(2 * f, target), pointer(f, target))  # lengths matter


def test_a_sharp_pointer_copies_what_lies_under_it():
    f = torch.eye(12).view(1, 12, 3, 2, 2).transpose(1, 2) * 50  # every reference pixel has its own direction
    values = torch.rand(1, 3, 7, 2, 2)
    y = copied(pointer(f, f[:, 1]), values)
    torch.testing.assert_close(y, values[:, 1])


def test_loss_is_minus_log_of_the_copied_colour(tiny_clips):
    method = make()
    method.prepare(tiny_clips)
    images = tiny_clips.train.floats(slice(8))
    method.jitter = 0.0
    loss = method.loss(images)["loss"].item()
    c, f = method.quantise(images), method.embed(images)
    y = copied(pointer(f[:, :-1], f[:, -1]), torch.nn.functional.one_hot(c[:, :-1], 16).movedim(4, 2).float())
    found = y.gather(1, c[:, -1:])[:, 0]  # (B, h, w)
    assert loss == pytest.approx(-found[found > 0].log().mean().item(), abs=1e-4)


def test_equal_embeddings_point_everywhere_and_cost_the_share_of_the_colour(tiny_clips):
    method = make()
    method.prepare(tiny_clips)
    torch.nn.init.zeros_(method.mix[-1].weight)
    images = tiny_clips.train.floats(slice(8))
    c = method.quantise(images)
    share = (c[:, :-1].flatten(1)[:, :, None] == c[:, -1].flatten(1)[:, None]).float().mean(1)
    assert method.loss(images)["loss"].item() == pytest.approx(
        -share[share > 0].log().mean().item(), abs=1e-4
    )


def test_colours_that_no_reference_has_do_not_count_and_leave_no_nan():
    method = make(jitter=0.0)
    method.centres.copy_(torch.randn(16, 2) * 40)
    images = torch.rand(4, 4, 3, 16, 16)
    method.centres[0] = torch.tensor([-500.0, 500.0])
    images[:, -1, :, 8:] = torch.tensor([0.0, 0.9, 0.0]).view(3, 1, 1)
    green = method.small_ab(images)[0, -1, :, -1, 0]
    method.centres[0] = green
    logged = method.loss(images)
    logged["loss"].backward()
    assert torch.isfinite(logged["loss"]) and all(torch.isfinite(p.grad).all() for p in method.parameters())
    assert (
        not (method.quantise(images)[:, :-1] == 0).any() and (method.quantise(images)[:, -1, 2:] == 0).all()
    )
    assert logged["loss"] < 10  # not the -log 1e-30 = 69 of a colour that is nowhere


def test_colour_never_enters_the_embedding():
    method = make().eval()
    grey = torch.rand(2, 4, 1, 16, 16).expand(-1, -1, 3, -1, -1)
    lab = rgb_to_lab(grey.flatten(0, 1) * 0.4 + 0.3)
    lab[:, 1:] += 12
    coloured = lab_to_rgb(lab).unflatten(0, (2, 4))
    assert not torch.allclose(coloured, grey * 0.4 + 0.3, atol=0.02)
    torch.testing.assert_close(method.embed(coloured), method.embed(grey * 0.4 + 0.3), atol=2e-3, rtol=1e-2)


def test_colour_clusters_separate_the_colours_of_the_clips(tiny_clips):
    method = make(colours=8)
    method.prepare(tiny_clips)
    c = method.quantise(tiny_clips.train.floats())
    assert len(c.unique()) == 8
    ab = method.small_ab(tiny_clips.train.floats()).movedim(2, 4)
    assert (ab - method.centres[c]).square().sum(-1).mean() < 0.3 * (ab - ab.mean((0, 1, 2, 3))).square().sum(
        -1
    ).mean()


def test_places_name_x_then_y():
    p = places(torch.zeros(1, 1, 3, 5))
    assert (
        p[0, :, 0, 0].tolist() == [-1, -1]
        and p[0, :, 0, -1].tolist() == [1, -1]
        and p[0, :, -1, 0].tolist() == [-1, 1]
    )


def test_clips_and_images_are_not_confused(tiny_data, tiny_clips):
    with pytest.raises(UserError, match=r"video_color learns from clips.*tiny is images: use toybox-video"):
        pretrain("video_color", tiny_data)
    with pytest.raises(UserError, match=r"rotnet learns from images.*tiny-clips is clips"):
        pretrain("rotnet", tiny_clips)
    with pytest.raises(UserError, match=r"clips have 4 frames; use references=3"):
        make(references=4).prepare(tiny_clips)
