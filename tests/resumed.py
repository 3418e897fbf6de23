"""A run that was stopped and went on, beside one that was not."""

from pathlib import Path

import pytest
import torch

from sslcourse.data.images import Data
from sslcourse.training.pretraining import pretrain
from sslcourse.training.recipes import Recipe
from sslcourse.training.run import Run


class Stop(Exception):
    pass


def assert_resumes(name: str, data: Data, recipe: Recipe, out: Path) -> Run:
    """Stopped in its last epoch and resumed, it has the weights, buffers and losses of the whole run, which is returned."""
    whole = pretrain(name, data, recipe=recipe, device="cpu")

    def stop(run):
        if run.history[-1]["epoch"] == recipe.epochs:
            raise Stop

    with pytest.raises(Stop):
        pretrain(name, data, recipe=recipe, out=out, device="cpu", on_epoch=stop)
    resumed = pretrain(name, data, recipe=recipe, out=out, device="cpu")
    expected, found = whole.method.state_dict(), resumed.method.state_dict()
    assert expected.keys() == found.keys()
    assert [key for key in expected if not torch.equal(expected[key], found[key])] == []
    assert [line["loss"] for line in whole.history] == [line["loss"] for line in resumed.history]
    return whole
