"""Plain functions behind the widgets, and one widget moved for real in a kernel."""

from types import SimpleNamespace

import pytest
import torch
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook
from torch import nn
from torch.nn import functional as F

from sslcourse import widgets
from sslcourse.errors import UserError
from sslcourse.views import lab_to_rgb, rgb_to_lab
from sslcourse.widgets import patches


class Corner(nn.Module):
    """Believes the turn that brought the top left corner where the brightest pixel is."""

    def __init__(self):
        super().__init__()
        self.sharp = nn.Parameter(torch.tensor(10.0))

    def logits(self, images):
        x = images.mean(1)
        corners = (
            x[:, 0, 0],
            x[:, -1, 0],
            x[:, -1, -1],
            x[:, 0, -1],
        )  # where a counter-clockwise turn takes it
        return self.sharp * torch.stack(corners, 1)


def test_belief_follows_the_turn_and_leaves_the_mode():
    image, method = torch.zeros(3, 8, 8), Corner()
    image[:, 0, 0] = 1.0
    for quarter in range(4):
        turned, belief = widgets.turn_belief(method, image[None], 90 * quarter)
        assert turned.shape == (1, 3, 8, 8) and belief.argmax() == quarter
        assert belief.sum() == pytest.approx(1)
    assert method.training
    figure = widgets.rotation_belief(SimpleNamespace(method=method), (image * 255).byte(), 180)
    assert figure.caption and "turned by 180 degrees" in figure.alt and "180° 1.00" in figure.alt


def test_toybox_factors_change_the_picture_and_nothing_else_does():
    first = widgets.toybox_image("car", size=24)
    assert first.shape == (3, 24, 24) and first.dtype == torch.uint8
    assert torch.equal(first, widgets.toybox_image("car", size=24))
    for change in ({"yaw": 90}, {"hue": 0.5}, {"floor": "stripes"}, {"x": 0.1}, {"light_azimuth": 120}):
        assert not torch.equal(first, widgets.toybox_image("car", size=24, **change)), change
    with pytest.raises(UserError, match="'weight' is unknown"):
        widgets.toybox_image("car", weight=1)


def test_controls_are_made_by_kind():
    made = widgets.controls(angle=(0, 90, 15), ratio=(0.0, 1.0), kind=["a", "b"], on=True)
    kinds = [type(widget).__name__ for widget in made.values()]
    assert kinds == ["IntSlider", "FloatSlider", "Dropdown", "Checkbox"]
    assert made["angle"].step == 15 and not made["angle"].continuous_update
    with pytest.raises(UserError, match=r"kind=.* is no control"):
        widgets.controls(kind=object())


def test_moving_a_control_redraws_the_one_figure():
    cells = [
        "from ipywidgets import IntSlider\nfrom sslcourse import plots, widgets\nslider = IntSlider(1)",
        "widgets.play(lambda k: plots.curves({'a': [0, k]}, caption='Up.'), k=slider)",
        "slider.value = 7",
    ]
    notebook = new_notebook(cells=[new_code_cell(source) for source in cells])
    NotebookClient(notebook, kernel_name="python3", store_widget_state=False).execute()
    controls, figure = notebook.cells[1].outputs
    assert controls.data["text/plain"] == "[controls, live in a running notebook: k]"
    assert figure.metadata["image/png"]["alt"].endswith("a from 0 to 7.") and not notebook.cells[2].outputs


class Compass(nn.Module):
    """Reads where two patches of a ramp lie: columns brighten to the right in red, rows downwards in green."""

    def __init__(self):
        super().__init__()
        self.sharp = nn.Parameter(torch.tensor(1000.0))

    def geometry(self, size):
        return size // 4, size // 8, 1

    def logits(self, first, second):
        right, down = ((second - first).mean((2, 3))[:, :2] / 0.3).round().clamp(-1, 1).T
        place = 3 * (down + 1) + right + 1
        place = (place - (place > 4).float()).long()
        return self.sharp * torch.nn.functional.one_hot(place, 8)


def test_a_patch_puzzle_has_the_answer_it_shows_and_hides_it_before_a_guess():
    ramp = torch.linspace(0, 1, 64)
    image = torch.stack([ramp.expand(64, 64), ramp[:, None].expand(64, 64), torch.zeros(64, 64)])
    method = Compass()
    run, truths = SimpleNamespace(method=method), set()
    for seed in range(40):
        corners, shown, belief, truth = widgets.place_belief(method, image, seed)
        assert shown.shape == (2, 3, 16, 16) and belief.argmax() == truth and method.training
        for (top, left), patch in zip(corners.tolist(), shown, strict=True):
            assert torch.equal(patch, image[:, top : top + 16, left : left + 16])
        truths.add(truth)
    assert truths == set(range(8))
    assert torch.equal(shown, widgets.place_belief(method, image, seed)[1])  # the same puzzle again
    name = patches.PLACES[truth]
    hidden = widgets.patch_puzzle(run, image, seed=seed)
    answer = widgets.patch_puzzle(run, (image * 255).byte(), "below", seed)
    assert hidden.caption and not any(place in hidden.alt for place in (name, "belief"))
    assert f"the second lies {name}. Guessed: below." in answer.alt and f"{name} 1.00" in answer.alt
    with pytest.raises(UserError, match="'up' is no place"):
        widgets.patch_puzzle(run, image, "up")


def test_a_new_patch_puzzle_hides_the_answer():
    from ipywidgets import Dropdown

    made = []
    images, run = torch.rand(3, 3, 64, 64), SimpleNamespace(method=Compass())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(patches, "play", lambda function, **choices: made.append((function, choices)))
        widgets.play_patches(run, images)
    ((function, choices),) = made
    assert all(isinstance(c, Dropdown) for c in choices.values())
    choices["your_guess"].value = "above"
    assert "Guessed: above" in function(puzzle=1, your_guess="above").alt
    choices["puzzle"].value = 2
    assert choices["your_guess"].value == "?"


class Painter(nn.Module):
    """Gives every place the colour ab = (60 T, 0)."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def colourise(self, images, T):
        lab = rgb_to_lab(images)
        lab[:, 1], lab[:, 2] = 60 * T, 0
        return lab_to_rgb(lab)


def test_the_temperature_changes_the_colours_given():
    images, run = torch.full((2, 3, 8, 8), 0.5), SimpleNamespace(method=Painter())
    texts = [[t.get_text() for t in widgets.coloured(run, images, T).axes[0].texts] for T in (0.1, 0.5)]
    assert texts[0][:2] == texts[1][:2] == ["true\nchroma 0", "lightness\nchroma 0"]
    assert texts[0][2] == "T = 0.10\nchroma 6" and texts[1][2] == "T = 0.50\nchroma 30"


class Look(nn.Module):
    """A VideoColor whose embedding is what it is told, at stride 4."""

    references, stride = 2, 4

    def __init__(self, f):
        super().__init__()
        self.f = nn.Parameter(f)

    def embed(self, frames):
        return self.f[None, : frames.shape[1]]

    def small_ab(self, frames):
        B, T = frames.shape[:2]
        return rgb_to_lab(F.avg_pool2d(frames.flatten(0, 1), 4))[:, 1:].unflatten(0, (B, T))


def test_pointing_finds_the_place_with_the_same_embedding_and_copies_its_colour():
    f = torch.zeros(3, 2, 4, 4)
    f[1, :, 2, 3] = f[2, :, 0, 1] = (
        9.0  # place (0, 1) of the target looks like (2, 3) of the second reference
    )
    clip = torch.full((4, 3, 16, 16), 0.5)
    clip[2, :, 8:12, 12:16] = torch.tensor([0.9, 0.1, 0.1])[:, None, None]
    A, true, copied = widgets.pointed(Look(f), clip, 3, 0, 1)
    assert A.shape == (2, 4, 4) and A.sum() == pytest.approx(1, abs=1e-5) and A[1, 2, 3] > 0.99
    assert true.tolist() == pytest.approx([0.5] * 3, abs=0.01) and copied[0] > copied[1] + 0.3
    figure = widgets.pointing(SimpleNamespace(method=Look(f)), clip, 3, 0, 1)
    assert [ax.get_title() for ax in figure.axes] == ["frame 3", "frame 1: 0%", "frame 2: 100%", "its colour"]
    with pytest.raises(UserError, match="frame 1 has no 2 frames before it"):
        widgets.pointed(Look(f), clip, 1, 0, 0)
