"""The leaks: controls without content, tasks whose labels are right, and one experiment for all."""

import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from sslcourse import nets, shortcuts, studies
from sslcourse.data.images import Data
from sslcourse.errors import UserError
from sslcourse.methods import SimCLR
from sslcourse.shortcuts import SHORTCUTS, controls, heldout_accuracy
from sslcourse.shortcuts.autoencoders import Inpainter
from sslcourse.shortcuts.experiment import experiment
from sslcourse.shortcuts.tasks import (
    AbsolutePosition,
    GuessScale,
    LeakySimCLR,
    Turned,
    turn,
)
from sslcourse.views import four_rotations, rotate90
from tests.conftest import planted


def small(size: int = 32, name: str = "small", **arguments):
    torch.manual_seed(0)
    return nets.encoder(name, size, **({"width": 8} if name == "small" else {}) | arguments)


# ---------------------------------------------------------------------- controls


def correlation(x: torch.Tensor, shift: int) -> float:
    """Of pixels `shift` columns apart, over images (N, 3, H, W)."""
    x = x - x.mean()
    return float((x[..., shift:] * x[..., :-shift]).mean() / x.square().mean())


def test_white_noise_has_no_neighbours_and_smooth_noise_only_near_ones():
    white, smooth = (
        make(48).train.floats(slice(0, 400)) for make in (controls.white_noise, controls.smooth_noise)
    )
    assert abs(correlation(white, 1)) < 0.01
    assert correlation(smooth, 1) > 0.8 and abs(correlation(smooth, 12)) < 0.03
    edge, middle = smooth[..., :3].std(), smooth[..., 22:25].std()
    assert abs(edge / middle - 1) < 0.03  # no border that tells a place
    red, green = smooth[:, 0].flatten(), smooth[:, 1].flatten()
    assert torch.corrcoef(torch.stack([red, green]))[0, 1] > 0.8


def test_a_plaid_repeats_after_its_period_and_every_image_has_its_own_phase():
    x = controls.plaid(64, period=16.0).train.floats(slice(0, 50))
    assert (x[..., 16:] - x[..., :-16]).abs().max() < 2 / 255
    assert (x[0] - x[1]).abs().max() > 0.2


def test_shuffled_pixels_keep_the_histogram_and_rows_only_keeps_the_rows():
    data = Data("planted", planted(12), planted(4), planted(4))
    given, shuffled = data.train.floats(), controls.shuffled_pixels(data).train.floats()
    assert torch.equal(given.flatten(2).sort(2).values, shuffled.flatten(2).sort(2).values)
    assert not torch.equal(given, shuffled)
    pixels, kept = (sorted(map(tuple, x[0].flatten(1).T.tolist())) for x in (given, shuffled))
    assert pixels == kept  # whole pixels move, not single channels
    rows = controls.rows_only(data).train.floats()
    torch.testing.assert_close(rows.mean(3), given.mean(3), atol=0.5 / 255 + 1e-6, rtol=0)
    assert torch.equal(rows[..., 0], rows[..., -1])


# ---------------------------------------------------------------------- tasks


def test_turn_by_a_right_angle_is_the_exact_quarter_turn_and_by_45_degrees_smooths_noise():
    x = torch.rand(4, 3, 16, 16)
    torch.testing.assert_close(
        turn(x, torch.full((4,), 90.0)), rotate90(x, torch.ones(4, dtype=torch.long)), atol=1e-5, rtol=0
    )
    noise = torch.randn(64, 3, 16, 16)
    centre = (slice(None), slice(None), slice(6, 10), slice(6, 10))
    assert turn(noise, torch.full((64,), 45.0))[centre].std() < 0.8 * noise[centre].std()


def test_turned_by_quarters_asks_what_rotnet_asks(monkeypatch):
    method = Turned(small(16))
    seen = {}
    monkeypatch.setattr("sslcourse.shortcuts.tasks.disc", lambda x: seen.setdefault("x", x))
    method.loss(x := torch.rand(3, 3, 16, 16))
    assert torch.equal(seen["x"], four_rotations(x)[0])


def captured_labels(method, images):
    """The labels of the task, read from what reaches the cross-entropy."""
    found = {}

    def spy(logits, y, **_):
        found["y"] = y
        return logits.sum()

    real, F.cross_entropy = F.cross_entropy, spy
    try:
        method.loss(images)
    finally:
        F.cross_entropy = real
    return found["y"]


def test_absolute_position_labels_the_ninth_row_major():
    method = AbsolutePosition(small(48), patch=16, aberration=0.0)
    ramp = torch.linspace(0, 1, 48)
    images = torch.stack([ramp.expand(48, 48), ramp[:, None].expand(48, 48), torch.zeros(48, 48)])[
        None
    ]  # x in red, y in green
    seen = {}
    method.treated = lambda patches: seen.setdefault("patches", patches)
    y = captured_labels(method, images.repeat(40, 1, 1, 1))
    x, up = seen["patches"][:, 0].mean((1, 2)), seen["patches"][:, 1].mean((1, 2))
    assert y.unique().numel() == 9
    for row in range(3):
        for column in range(3):
            mine = y == 3 * row + column
            assert (x[mine] - (1 / 6 + (column + 0.5) * 2 / 9)).abs().max() < 0.13
            assert (up[mine] - (1 / 6 + (row + 0.5) * 2 / 9)).abs().max() < 0.13


def test_the_cures_of_aberration_take_away_what_they_should():
    patches = torch.rand(6, 3, 8, 8)
    from sslcourse.shortcuts.tasks import CURES

    assert torch.equal(CURES["none"](patches), patches)
    one = CURES["one channel"](patches).var((2, 3))
    assert ((one > 0.01).sum(1) == 1).all()
    with pytest.raises(UserError, match="cure"):
        AbsolutePosition(small(), cure="prayer")


@pytest.mark.parametrize("kernel", ["bilinear", "random", "coarse"])
def test_scale_is_labelled_by_the_crop(kernel):
    method, seen = GuessScale(small(32), kernel=kernel), {}
    method.encoder.register_forward_pre_hook(lambda _, given: seen.update(x=given[0]))
    y = captured_labels(method, torch.rand(16, 3, 32, 32))
    assert seen["x"].shape == (64, 3, 32, 32) and y.tolist() == sorted(y.tolist())
    rough = (seen["x"][..., 1:] - seen["x"][..., :-1]).square().mean((1, 2, 3)).view(4, 16).mean(1)
    if kernel == "bilinear":
        assert (rough.diff() > 0).all()  # less enlarged, less smooth


def test_shuffling_changes_nothing_where_batch_norm_sees_the_whole_batch_and_something_where_it_does_not():
    images = torch.rand(16, 3, 16, 16)

    def loss(**arguments):
        method = LeakySimCLR(small(16), **arguments).double()
        method.view = lambda x: x.double()
        torch.manual_seed(1)
        return method.loss(images)["loss"].item()

    assert math.isclose(loss(rows=0), loss(rows=0, shuffled=True), rel_tol=1e-9)
    assert not math.isclose(loss(rows=4), loss(rows=4, shuffled=True), rel_tol=1e-3)
    assert not math.isclose(loss(rows=0), loss(rows=4), rel_tol=1e-3)


def test_simclr_on_one_group_is_simclr():
    images = torch.rand(16, 3, 16, 16)
    found = []
    for cls in (LeakySimCLR, SimCLR):
        method = cls(small(16), temperature=0.2, min_scale=0.3, **({"rows": 0} if cls is LeakySimCLR else {}))
        method.view = lambda x: x
        method.projector.load_state_dict(found[0][1] if found else method.projector.state_dict())
        found.append((method.loss(images)["loss"].item(), method.projector.state_dict()))
    assert math.isclose(
        found[0][0], found[1][0], rel_tol=1e-3
    )  # batch norm per view or over both: equal for equal views


VIT = {"name": "vit", "patch": 4, "dim": 24, "depth": 2}


@pytest.mark.parametrize("mask", ["centre", "random"])
@pytest.mark.parametrize(("encoder", "dropped"), [("small", False), ("vit", False), ("vit", True)])
def test_an_inpainter_never_sees_what_it_paints(encoder, dropped, mask):
    method = Inpainter(
        small(16) if encoder == "small" else small(16, **VIT), mask=mask, dropped=dropped
    ).eval()
    images = torch.rand(2, 3, 16, 16, requires_grad=True)
    hidden = method.hidden(images)
    assert hidden.sum(1).tolist() == ([4, 4] if mask == "centre" else [12, 12])
    painted = method.painted(images, hidden)
    assert painted.shape == (2, 16, 48)
    grid = hidden.view(2, 1, 4, 4).float()
    shadow = F.interpolate(grid, 16, mode="nearest").bool().expand(2, 3, 16, 16)
    (gradient,) = torch.autograd.grad(painted.square().sum(), images)
    assert gradient[shadow].abs().max() == 0 and gradient[~shadow].abs().max() > 0


def test_patches_of_an_inpainter_are_row_major():
    method = Inpainter(small(16))
    images = torch.zeros(1, 3, 16, 16)
    images[0, :, 0:4, 4:8] = 1
    assert method.patches(images)[0].mean(1).tolist() == [0, 1] + [0] * 14


def test_an_inpainter_refuses_what_it_cannot_do():
    with pytest.raises(UserError, match="vit"):
        Inpainter(small(), dropped=True)
    with pytest.raises(UserError, match="mask"):
        Inpainter(small(), mask="left")


# ---------------------------------------------------------------------- the experiment


@pytest.mark.parametrize("name", SHORTCUTS)
def test_every_variant_of_every_shortcut_runs(name, monkeypatch):
    monkeypatch.setenv("SSLCOURSE_PROFILE", "smoke")
    size = 64 if SHORTCUTS[name].encoder else 32

    def stub(seed=0):
        return Data("planted", planted(64, size), planted(32, size), planted(32, size))

    variants = tuple(
        replace(v, world=stub if v.world else None, control=stub if v.control else None,
                encoder=v.encoder | ({"dim": 24, "depth": 1} if v.encoder else {}))
        for v in SHORTCUTS[name].variants
    )  # fmt: skip
    kinds = [v.kind for v in variants]
    assert kinds[0] == "leaky" and "cured" in kinds
    shortcut = replace(
        SHORTCUTS[name], variants=variants, world=stub, probe=stub, control=stub if SHORTCUTS[name].control else None,
        extra={key: stub for key in SHORTCUTS[name].extra},
    )  # fmt: skip
    rows = list(experiment(shortcut, 0, device="cpu"))
    assert [row["variant"] for row in rows] == [v.name for v in variants]
    for row in rows:
        assert {
            "pretext_accuracy",
            "probe_accuracy",
            "random_probe",
            "chance",
            "seed",
            "seconds",
        } <= row.keys()
        assert 0 <= row["probe_accuracy"] <= 1 and row["pretext_accuracy"] <= 1
        has_control = shortcut.control or variants[0].control
        assert (row["control_accuracy"] is not None) == bool(has_control)


def test_heldout_accuracy_repeats_itself_and_leaves_no_trace(tiny_data):
    method = Turned(small(16)).train()
    state = torch.random.get_rng_state()
    first, second = (heldout_accuracy(method, tiny_data.test) for _ in range(2))
    assert first == second and method.training
    assert torch.equal(state, torch.random.get_rng_state())


def test_unknown_names_are_refused_in_one_line():
    with pytest.raises(UserError, match="gap"):
        shortcuts.run("back door")
    with pytest.raises(UserError, match="gap of half a patch"):
        shortcuts.run("gap", variants=["wider"])


def test_every_shortcut_can_be_recorded():
    assert tuple(SHORTCUTS) == studies.SHORTCUTS


def test_the_layout_of_an_image_is_asked_patch_by_patch():
    method = AbsolutePosition(small(32), patch=8)
    patches, true, guessed = shortcuts.recovered_layout(method, torch.rand(3, 32, 32), steps=4)
    assert patches.shape == (16, 3, 8, 8) and true.shape == guessed.shape == (16, 2)
    assert true[1].tolist() == pytest.approx([1 / 3, 0.0])  # x first, row-major
    assert (guessed > 1 / 6 - 1e-6).all() and (guessed < 5 / 6 + 1e-6).all()


def test_judging_with_the_batchs_statistics_leaves_the_network_as_it_was(tiny_data):
    method = Turned(small(16))
    before = {name: tensor.clone() for name, tensor in method.state_dict().items()}
    heldout_accuracy(method, tiny_data.test, batch_statistics=True)
    assert all(torch.equal(tensor, before[name]) for name, tensor in method.state_dict().items())
