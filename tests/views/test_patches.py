import numpy as np
import pytest
import torch
from torch.nn import functional as F

from sslcourse.errors import UserError
from sslcourse.views import (
    cut,
    degrade,
    drop_colours,
    grid_corners,
    halve,
    jitter_channels,
    overlapping_patches,
    patch_grid,
    project_colours,
    quarters,
    standardise,
    tiles,
)


def addresses(b: int, h: int, w: int) -> torch.Tensor:
    """Images (b, 3, h, w) whose three channels tell which image, row and column a pixel is: exact in float32."""
    image, row, column = torch.meshgrid(torch.arange(b), torch.arange(h), torch.arange(w), indexing="ij")
    return torch.stack((image, row, column), 1).float()


def corners_of(patches: torch.Tensor) -> torch.Tensor:
    """(B, 9, 3, s, s) cut from `addresses` -> (B, 9, 2), after checking that each is a solid piece of its image."""
    b, s = len(patches), patches.shape[-1]
    corners = patches[:, :, 1:, 0, 0]
    step = torch.arange(s).float()
    assert (patches[:, :, 0] == torch.arange(b).view(b, 1, 1, 1)).all()
    assert (patches[:, :, 1] == corners[:, :, :1, None] + step[:, None]).all()
    assert (patches[:, :, 2] == corners[:, :, 1:, None] + step).all()
    return corners.long()


def test_cut_equals_slicing(generator):
    images = torch.rand(3, 3, 12, 17, generator=generator)
    corners = torch.stack((torch.randint(8, (3, 5)), torch.randint(13, (3, 5))), 2)
    patches = cut(images, corners, 5)
    for i in range(3):
        for j, (y, x) in enumerate(corners[i].tolist()):
            assert torch.equal(patches[i, j], images[i, :, y : y + 5, x : x + 5])


@pytest.mark.parametrize("gap, jitter", [(0, 0), (4, 0), (3, 2)])
def test_grids_lie_row_major_with_gap_and_jitter(gap, jitter, generator):
    corners = corners_of(patch_grid(addresses(400, 50, 60), 8, gap, jitter, generator)).view(400, 3, 3, 2)
    down = corners[:, 1:, :, 0] - corners[:, :-1, :, 0]  # between neighbours, along rows and along columns
    right = corners[:, :, 1:, 1] - corners[:, :, :-1, 1]
    for steps in (down, right):  # the difference of two independent moves of up to jitter each
        assert steps.min() == 8 + gap - 2 * jitter and steps.max() == 8 + gap + 2 * jitter
    drift = corners[:, :, 1:, 0] - corners[:, :, :-1, 0]  # a row's patches move up and down on their own
    assert drift.abs().max() == 2 * jitter
    first = corners[:, 0, 0]  # everywhere in the image, up to its last pixel
    room = torch.tensor([50, 60]) - 3 * 8 - 2 * gap
    assert first.amin(0).tolist() == [0, 0] and (first.amax(0) == room + jitter).all()
    assert (corners.flatten(0, 2).amax(0) == torch.tensor([50, 60]) - 8).all()


def test_jitter_is_uniform_and_axes_are_independent(generator):
    free = torch.zeros(3000, 3, 31, 31)  # the origin varies too, so look at differences within a grid
    corners = grid_corners(free, 5, 4, 1, generator).view(-1, 3, 3, 2)
    d = (corners[:, 1, 2] - corners[:, 1, 1] - torch.tensor([0, 9])).double()
    inside = (corners[:, 1, 1] > 9).all(1) & (corners[:, 1, 1] < 16).all(1)  # not clamped
    share = torch.bincount((d[inside, 0] + 2).long(), minlength=5) / inside.sum()
    torch.testing.assert_close(share, torch.tensor([1, 2, 3, 2, 1]) / 9, atol=0.03, rtol=0)
    assert abs(np.corrcoef(d[inside].T.numpy())[0, 1]) < 0.06


def test_a_tight_canvas_clamps_and_never_pads(generator):
    corners = grid_corners(torch.zeros(200, 3, 32, 32), 8, 4, 3, generator)
    assert corners.min() == 0 and corners.max() == 24
    assert corners[:, 4].min() == 12 - 3 and corners[:, 4].max() == 12 + 3  # the middle one moves freely


def test_tiles_stay_in_their_cells_and_go_everywhere(generator):
    corners = corners_of(tiles(addresses(600, 33, 33), 10, 7, generator)).view(600, 3, 3, 2)
    lattice = torch.stack(torch.meshgrid(torch.arange(3), torch.arange(3), indexing="ij"), 2) * 10
    within = corners - lattice  # origin 0..3 and place in the cell 0..3
    assert within.min() == 0 and within.max() == 6
    gaps = corners[:, :, 1:, 1] - corners[:, :, :-1, 1] - 7
    assert gaps.min() == 0 and gaps.max() == 6 and abs(gaps.double().mean() - 3) < 0.1
    whole = corners_of(tiles(addresses(2, 30, 30), 10, 10, generator))
    assert torch.equal(whole, lattice.flatten(0, 1).expand(2, 9, 2))


def test_a_grid_that_does_not_fit_is_refused():
    images = torch.zeros(2, 3, 32, 32)
    with pytest.raises(UserError, match="spans 36 px, the images have 32x32"):
        patch_grid(images, 8, 6, 0)
    with pytest.raises(UserError, match="spans 33 px"):
        tiles(images, 11, 8)
    with pytest.raises(UserError, match="do not fit cells"):
        tiles(images, 10, 11)
    with pytest.raises(UserError, match="patch_grid wants images"):
        patch_grid(torch.zeros(2, 1, 32, 32), 8, 0, 0)


@pytest.mark.parametrize("per_channel", [True, False])
def test_standardise_equals_numpy(per_channel, generator):
    patches = torch.rand(2, 9, 3, 6, 6, generator=generator)
    before, out = patches.clone(), standardise(patches, per_channel)
    for i in range(2):
        for j in range(9):
            x = patches[i, j].numpy()
            axes = (1, 2) if per_channel else None
            expected = 0.5 + 0.25 * (x - x.mean(axes, keepdims=True)) / x.std(axes, keepdims=True)
            np.testing.assert_allclose(out[i, j].numpy(), expected, atol=1e-5)
    assert torch.equal(patches, before)
    blank = standardise(torch.full((1, 3, 4, 4), 0.3) + 1e-4 * torch.rand(1, 3, 4, 4))
    assert (blank - 0.5).abs().max() < 0.01  # not blown up


def test_one_channel_is_kept_and_noise_is_a_hundredth_of_it(generator):
    patches = torch.rand(300, 9, 3, 8, 8, generator=generator) * torch.tensor([0.2, 0.5, 1.0]).view(3, 1, 1)
    out = drop_colours(patches, generator)
    centred = patches - patches.mean((-2, -1), keepdim=True) + 0.5
    kept = ((out - centred).abs().amax((-2, -1)) < 1e-6).flatten(0, 1)  # (2700, 3)
    assert (kept.sum(1) == 1).all()
    torch.testing.assert_close(kept.float().mean(0), torch.full((3,), 1 / 3), atol=0.04, rtol=0)
    assert (
        (kept.view(300, 9, 3).sum(1) > 0).sum(1) > 1
    ).float().mean() > 0.99  # drawn per patch, not per image
    deviation = out.flatten(0, 1).std((-2, -1))  # (2700, 3)
    ratio = deviation[~kept].view(-1, 2) / deviation[kept][:, None]
    assert abs(ratio.mean() - 0.01) < 3e-4
    assert (out.flatten(0, 1).mean((-2, -1)) - 0.5).abs().max() < 0.01


def test_projection_is_the_matrix_of_the_paper(generator):
    patches = torch.rand(2, 9, 3, 4, 4, generator=generator)
    a = np.array([[-1.0, 2.0, -1.0]])
    matrix = np.eye(3) - a.T @ a / (a @ a.T)
    expected = np.einsum("...chw,cd->...dhw", patches.numpy(), matrix)
    out = project_colours(patches)
    np.testing.assert_allclose(out.numpy(), expected, atol=1e-6)
    np.testing.assert_allclose(project_colours(out).numpy(), expected, atol=1e-6)
    grey = torch.full((1, 3, 2, 2), 0.4)
    torch.testing.assert_close(project_colours(grey), grey)


def test_every_channel_is_shifted_on_its_own(generator):
    patches = addresses(1, 9, 9)[:, 1:2].expand(200, 3, 9, 9)  # a pixel's value is its row
    rows = jitter_channels(patches, 2, generator)[:, :, 4, 4] - 4  # (200, 3)
    assert sorted(rows.unique().tolist()) == [-2, -1, 0, 1, 2]
    assert abs(np.corrcoef(rows.T.numpy())[0, 1]) < 0.2 and (rows.std(1) > 0).float().mean() > 0.9
    columns = jitter_channels(patches.mT, 2, generator)[:, :, 4, 4] - 4
    assert sorted(columns.unique().tolist()) == [-2, -1, 0, 1, 2]
    image = torch.rand(1, 3, 7, 7, generator=generator)
    out = jitter_channels(image, 2, generator)
    padded = F.pad(image, (2, 2, 2, 2), mode="replicate")
    for c in range(3):  # equal to some window of the patch with its edges repeated
        windows = padded[0, c].unfold(0, 7, 1).unfold(1, 7, 1).reshape(-1, 7, 7)
        assert (windows == out[0, c]).all(2).all(1).any()
    assert jitter_channels(image, 0) is image


def test_degraded_patches_are_shrunk_and_enlarged(generator):
    patches = torch.rand(1, 3, 24, 24, generator=generator).expand(900, 3, 24, 24)
    out = degrade(patches, 1 / 3, 6, generator)
    same = (out - patches).abs().flatten(1).amax(1) < 1e-6
    assert abs((~same).float().mean() - 1 / 3) < 0.04
    peers = torch.cat(
        [
            F.interpolate(
                F.interpolate(patches[:1], (n, n), mode="bilinear", antialias=True), (24, 24), mode="bilinear"
            )
            for n in range(6, 25)
        ]
    )
    distance = torch.cdist(
        out.flatten(1).double(), peers.flatten(1).double()
    )  # every result is one of the 19
    assert distance.amin(1).max() < 1e-3 and len(distance[~same].argmin(1).unique()) == 18
    assert degrade(patches, 0.0) is patches
    assert degrade(patches[:4].unsqueeze(0), 1.0, generator=generator).shape == (1, 4, 3, 24, 24)


@pytest.mark.parametrize("side", [96, 16])
def test_of_degraded_patches_the_number_of_pixels_is_uniform(side, generator):
    """As in the authors' code: (48^2 - 10^2) / (95^2 - 10^2) = 0.247 have less than half the side."""
    patches = torch.rand(1200, 1, side, side, generator=generator, dtype=torch.float64).expand(-1, 3, -1, -1)
    sides = torch.linalg.matrix_rank(degrade(patches, 1.0, generator=generator)[:, 0], rtol=1e-5)
    assert sides.min() <= max(2, side // 5) and sides.max() < side
    for part, share in ((0.25, 0.053), (0.5, 0.247), (0.75, 0.57)):  # of the side: of the patches
        assert (sides < part * side).float().mean() == pytest.approx(share, abs=0.03)


def test_quarters_and_halves(generator):
    images = torch.rand(40, 3, 8, 12, generator=generator)
    q = quarters(images)
    for j, (rows, columns) in enumerate([(0, 0), (0, 6), (4, 0), (4, 6)]):
        assert torch.equal(q[:, j], images[:, :, rows : rows + 4, columns : columns + 6])
    peers = torch.stack(
        [
            images[:, :, 1::2, 1::2],  # nearest-exact takes the pixel at or after the centre
            F.interpolate(images, (4, 6), mode="bilinear", antialias=True),
            F.interpolate(images, (4, 6), mode="bicubic", antialias=True).clamp(0, 1),
            images.view(40, 3, 4, 2, 6, 2).mean((3, 5)),
        ]
    )
    error = (halve(images, generator) - peers).abs().flatten(2).amax(2)  # (4, 40)
    assert error.amin(0).max() < 1e-5 and (error.argmin(0).bincount(minlength=4) > 3).all()
    assert ((error < 1e-3).sum(0) == 1).all()  # four kernels that differ


def test_the_same_seed_gives_the_same_patches():
    def draw():
        g = torch.Generator().manual_seed(3)
        x = patch_grid(images, 6, 2, 1, g)
        x = degrade(jitter_channels(x, 1, g), 0.5, generator=g)
        return drop_colours(x, g), tiles(images, 8, 6, g), halve(images, g)

    images = torch.rand(3, 3, 24, 24)
    for first, second in zip(draw(), draw(), strict=True):
        assert torch.equal(first, second)


def test_overlapping_patches_are_different_places_of_a_jittered_grid(generator):
    """OBoW's numbers: 96 px in 256 with jitter 24, places (256 - 96 - 24) / 2 = 68 px apart."""
    b = 60
    patches = overlapping_patches(addresses(b, 256, 256), 96, 24, 5, generator)
    assert patches.shape == (b, 5, 3, 96, 96)
    corners = corners_of(patches)
    place, moves = corners // 68, corners % 68
    assert place.max() == 2 and moves.max() == 24 and moves.min() == 0
    numbers = place[:, :, 0] * 3 + place[:, :, 1]
    assert (
        all(len(set(row)) == 5 for row in numbers.tolist())
        and len({tuple(row) for row in numbers.tolist()}) > 40
    )
    assert set(numbers.flatten().tolist()) == set(range(9))


def test_overlapping_patches_that_do_not_fit_are_refused():
    for side, jitter, count in ((30, 3, 5), (16, 3, 10), (16, 3, 0)):
        with pytest.raises(UserError, match="do not fit images of 32 px"):
            overlapping_patches(torch.rand(2, 3, 32, 32), side, jitter, count)
