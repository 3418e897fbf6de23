import pytest
import torch

from sslcourse.data.images import Data, ImageSet
from sslcourse.errors import UserError
from sslcourse.evaluate import propagate, propagation
from sslcourse.evaluate.propagation import region_similarity


def moving_square(step: int = 4, T: int = 4, side: int = 32, width: int = 8):
    """Masks (1, T, H, W) of a square that moves to the right, aligned with a grid of 4 pixels."""
    masks = torch.zeros(1, T, side, side, dtype=torch.uint8)
    for t in range(T):
        masks[0, t, 8 : 8 + width, 4 + step * t : 4 + step * t + width] = 1
    return masks


def by_place(clips):
    """Every pixel of the small map has its own direction, in every frame: the pointer stays where it is."""
    B, T, _, H, _ = clips.shape
    h = H // 4
    return 50 * torch.eye(h * h).view(1, 1, h * h, h, h).expand(B, T, -1, -1, -1)


def by_content(step: int):
    """The directions of `by_place`, moved by `step` small pixels a frame: the pointer follows."""

    def embed(clips):
        f = by_place(clips)
        return torch.stack([f[:, t].roll(step * t, 3) for t in range(f.shape[1])], 1)

    return embed


def clips_like(masks):
    return torch.zeros(*masks.shape[:2], 3, *masks.shape[2:])


def test_a_pointer_that_stays_copies_the_first_frame():
    masks = moving_square()
    found = propagate(by_place, clips_like(masks), masks[:, 0])
    assert torch.equal(found[:, 3], found[:, 0])
    # hand count: 8 wide, moved by 4, 8, 12 of the same rows: overlap 4 of 12, 0, 0 columns
    J = region_similarity(masks[:, :1].expand_as(masks).long(), masks)[0, 0].tolist()
    assert J == pytest.approx([1, 4 / 12, 0, 0])


@pytest.mark.parametrize("window, first", [(1, False), (3, False), (2, True)])
def test_a_perfect_pointer_follows_a_shift(window, first):
    masks = moving_square()
    found = propagate(by_content(1), clips_like(masks), masks[:, 0], window=window, first=first)
    start = found[:, 0]
    for t in range(4):
        assert torch.equal(found[:, t], start.roll(4 * t, 2))
    assert region_similarity(found, masks).min() > 0.9
    still = propagate(by_place, clips_like(masks), masks[:, 0])
    assert region_similarity(still, masks)[0, 0, 1:].max() < 0.4


def test_radius_and_top_leave_only_what_they_name():
    masks = moving_square(step=12, T=2)
    far = propagate(by_content(3), clips_like(masks), masks[:, 0])
    near = propagate(by_content(3), clips_like(masks), masks[:, 0], radius=2)
    assert region_similarity(far, masks)[0, 0, 1] > 0.9 and region_similarity(near, masks)[0, 0, 1] < 0.2
    flat = lambda clips: by_content(1)(clips) / 1000  # noqa: E731  nearly no preference
    masks = moving_square(T=2)
    blurred = propagate(flat, clips_like(masks), masks[:, 0], window=1)
    sharp = propagate(flat, clips_like(masks), masks[:, 0], window=1, top=1)
    assert blurred[:, 1].sum() == 0 and region_similarity(sharp, masks)[0, 0, 1] > 0.9


def test_without_preference_a_radius_of_half_a_pixel_copies():
    masks = moving_square()
    nothing = lambda clips: 0 * by_place(clips)  # noqa: E731
    assert propagate(nothing, clips_like(masks), masks[:, 0])[:, 1].sum() == 0
    found = propagate(nothing, clips_like(masks), masks[:, 0], radius=0.5)
    assert torch.equal(found[:, 3], found[:, 0])


def test_a_window_of_two_sees_past_a_blind_frame():
    masks = moving_square(step=0)

    def blind(clips):
        f = by_place(clips).clone()
        f[:, 1] = 0
        return f

    found = {w: propagate(blind, clips_like(masks), masks[:, 0], window=w) for w in (1, 2)}
    assert found[1][:, 2].sum() == 0 and torch.equal(found[2][:, 2], found[2][:, 0])
    again = propagate(blind, clips_like(masks), masks[:, 0], window=1, first=True)
    assert torch.equal(again[:, 3], again[:, 0])


def test_objects_count_where_they_are_visible():
    masks = torch.zeros(1, 3, 4, 4, dtype=torch.uint8)
    masks[0, 0, :2, :2] = 1  # gone in frame 1
    masks[0, 2, :2, :2] = 1
    masks[0, 1:, 3, 3] = 2  # not in frame 0
    J = region_similarity(masks.long(), masks)
    assert J[0, 0].nan_to_num(-1).tolist() == [1, -1, 1] and J[0, 1].isnan().all()


def test_score_stands_beside_copying_and_the_ceiling():
    masks = torch.cat([moving_square(), moving_square(0)])
    part = ImageSet(clips_like(masks).to(torch.uint8), masks={"instance": masks})
    data = Data("squares", part, part, part)
    score = propagation(by_content(1), data, device="cpu")
    assert score.metric == "J" and score.details["copy"] == pytest.approx([(4 / 12 + 1) / 2, 0.5, 0.5])
    assert len(score.details["J"]) == 3 and score.value == pytest.approx(sum(score.details["J"]) / 3)
    assert score.random is None and min(score.details["ceiling"]) > 0.9
    with pytest.raises(UserError, match="clips with instance masks"):
        propagation(by_place, Data("stills", *[ImageSet(torch.zeros(2, 3, 8, 8, dtype=torch.uint8))] * 3))
