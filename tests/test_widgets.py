"""Plain functions behind the widgets, and one widget moved for real in a kernel."""

from types import SimpleNamespace

import pytest
import torch
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook
from torch import nn

from sslcourse import widgets
from sslcourse.errors import UserError


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
