import pytest
import torch
from torch.nn import functional as F

from sslcourse import nets
from sslcourse.data.images import Data, ImageSet
from sslcourse.methods import Tracking
from sslcourse.methods.pretext.tracking import most_moving, track, triplets


def world(drift: int = 0, contrast: float = 1.0, n: int = 4, T: int = 4, side: int = 48, seed: int = 0):
    """Grey clips (n, T, S, S): a textured floor that drifts to the right, a textured square that moves down.

    Also its place (n, T, 2).
    """
    generator = torch.Generator().manual_seed(seed)
    floor = torch.rand(n, side, side + T * abs(drift), generator=generator)
    toy = torch.rand(n, 10, 10, generator=generator)
    floor, toy = (F.avg_pool2d(x[:, None], 3, 1, 1, count_include_pad=False)[:, 0] for x in (floor, toy))
    place = torch.randint(8, 20, (n, 1, 2), generator=generator) + torch.tensor(
        [[4 * t, t] for t in range(T)]
    )
    clips = torch.empty(n, T, side, side)
    for i in range(n):
        for t in range(T):
            start = (T - t) * drift
            clips[i, t] = floor[i, :, start : start + side] * contrast
            y, x = place[i, t].tolist()
            clips[i, t, y : y + 10, x : x + 10] = toy[i]
    return clips, place


@pytest.mark.parametrize("drift", [0, 3])
def test_the_square_that_moves_is_found_and_followed(drift):
    clips, place = world(drift)
    start = most_moving(clips, 18)
    # a patch of 18 holds both where the square of 10 was and, 4 pixels lower, where it went
    assert ((start <= place[:, 0] + 1) & (start + 18 >= place[:, 0] + 9)).all()
    found = track(clips, place[:, 0], 10)
    assert torch.equal(found, place)


def test_contrast_beside_it_does_not_distract():
    clips, place = world()
    clips = clips * 0.1
    clips[:, :, ::2, 30:] = 1.0  # stripes within reach
    for i in range(4):
        for t in range(4):
            y, x = place[i, t].tolist()
            clips[i, t, y : y + 10, x : x + 10] = world()[0][i, 0, 0:10, 0:10] * 0.1
    assert torch.equal(track(clips, place[:, 0], 10), place)


def test_a_track_stays_inside_the_image():
    clips, _ = world()
    found = track(clips, torch.tensor([[0, 0], [38, 38], [0, 38], [38, 0]]), 10)
    assert found.min() >= 0 and found.max() <= 38


def naive(x, positive, margin, k):
    """The K hardest negatives of the formula, one row at a time."""
    total = 0.0
    for i in range(len(x)):
        near = 1 - float(x[i] @ positive[i])
        losses = [max(0, near - (1 - float(x[i] @ positive[j])) + margin) for j in range(len(x)) if j != i]
        total += sum(sorted(losses, reverse=True)[:k])
    return total / len(x)


def test_loss_is_the_formula_with_the_hardest_of_the_batch():
    torch.manual_seed(0)
    x, p = F.normalize(torch.randn(2, 9, 6), dim=2)
    assert triplets(x, p, 0.5, 4, hard=True)[0].item() == pytest.approx(naive(x, p, 0.5, 4), abs=1e-5)
    random = torch.stack([triplets(x, p, 0.5, 4, hard=False)[0] for _ in range(400)])
    assert random.max() <= naive(x, p, 0.5, 4) + 1e-5
    assert random.mean().item() == pytest.approx(naive(x, p, 0.5, 8) / 2, rel=0.05)  # 4 of 8, on average


def test_equal_embeddings_cost_the_margin_and_perfect_ones_nothing():
    same = F.normalize(torch.ones(6, 3), dim=1)
    assert triplets(same, same, 0.5, 4, hard=True)[0].item() == pytest.approx(4 * 0.5, abs=1e-5)
    loss, accuracy = triplets(torch.eye(6), torch.eye(6), 0.5, 4, hard=True)
    assert loss == 0 and accuracy == 1


def test_hard_negatives_come_with_progress_and_patches_follow_the_track(tiny_clips):
    torch.manual_seed(0)
    method = Tracking(nets.encoder("small", 16, width=4), **Tracking.arguments_from(tiny_clips)).eval()
    method.prepare(tiny_clips)
    clips, n = tiny_clips.train.floats(slice(8)), torch.arange(8)
    losses = {}
    for progress in (0.0, 0.9):
        method.progress = progress
        losses[progress] = sum(method.loss(clips, n)["loss"].item() for _ in range(5)) / 5
    assert losses[0.9] > losses[0.0]
    patch = method.patches(clips, n, torch.full((8,), 3))
    y, x = method.tracks[2, 3].long().tolist()
    expected = clips[2, 3, :, y : y + 5, x : x + 5]
    expected = F.interpolate(expected[None], size=(16, 16), mode="bilinear", align_corners=False)
    torch.testing.assert_close(patch[2], expected[0], atol=1e-5, rtol=0)


def test_tracks_of_the_planted_clips_lie_on_their_squares():
    clips, place = world(n=6, contrast=0.2)
    images = (clips[:, :, None].expand(-1, -1, 3, -1, -1) * 255).to(torch.uint8)
    part = ImageSet(images)
    data = Data("squares", part, part, part)
    method = Tracking(nets.encoder("small", 48, width=4), **Tracking.arguments_from(data))
    method.prepare(data)
    inside = (method.tracks <= place + 1) & (method.tracks + method.patch >= place + 9)
    assert inside.float().mean() > 0.9
