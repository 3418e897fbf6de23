"""Folders of very few images: what cannot be trained or measured on them is said, with its cause."""

import pytest
import torch

from sslcourse import cli
from sslcourse.data.folder import load_folder
from sslcourse.data.splits import divide, needed
from sslcourse.errors import UserError
from sslcourse.evaluate import run_protocols
from tests.data.folders import pictures, train


class Mean(torch.nn.Module):
    def forward(self, images):
        return images.mean((2, 3))


@pytest.mark.parametrize("protocol", ["knn", "linear", "lowshot", "finetune"])
def test_a_test_of_classes_that_have_no_train_image_is_refused(tmp_path, protocol):
    data = load_folder(pictures(tmp_path, ("ant", "bee", "cat", "dog"), each=1))
    with pytest.raises(UserError) as error:
        run_protocols(Mean(), data, [protocol], device="cpu")
    (name,) = (data.classes[y] for y in data.test.labels.tolist())
    line = str(error.value)
    assert "\n" not in line and f"{name} (1 in all)" in line and "3 images or more" in line


def test_one_tiny_class_among_many_is_named_once_and_stops_nobody(tmp_path, capsys):
    pictures(tmp_path, ("ant", "bee"), each=30)
    pictures(tmp_path, ("cat",), each=1)
    data = load_folder(tmp_path)
    data.test.labels[0] = 2  # the split may have put it elsewhere
    data.train.labels[data.train.labels == 2] = 0
    scores = run_protocols(Mean(), data, ["knn", "linear"], device="cpu", beside_random=False)
    assert len(scores) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: ") and "1 of 3 test classes" in line and "cat (" in line


def test_evaluate_says_it_in_one_line(tmp_path, capsys):
    train(pictures(tmp_path / "images", ("ant", "bee"), each=10), tmp_path / "run")
    few = pictures(tmp_path / "few", ("ant", "bee", "cat", "dog"), each=1)
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        cli.main(["evaluate", str(tmp_path / "run"), "--data", f"folder:{few}", "--device", "cpu"])
    (line,) = capsys.readouterr().err.splitlines()
    assert stop.value.code == 2 and "no test image is of a class with train images" in line


@pytest.mark.parametrize("count", range(3, 8))
def test_a_class_of_three_is_always_trained_on(count):
    """So says the line: whatever else lies in the folder."""
    for others in range(0, 60, 7):
        labels = torch.tensor([0] * count + [1] * others)
        for seed in range(5):
            assert 0 in labels[divide({"train": len(labels)}, labels, seed)["train"][1]]


def test_three_images_of_which_two_are_held_out(tmp_path):
    folder = pictures(tmp_path / "images", ("ant",), each=3)
    with pytest.raises(UserError) as error:
        train(folder, tmp_path / "run")
    line = str(error.value)
    assert "3 images, 2 of them held out for val and test" in line and "at least 4" in line
    pictures(tmp_path / "more", ("ant",), each=4)
    assert len(train(tmp_path / "more", tmp_path / "run").history) == 1


def test_without_held_out_images_nothing_is_said_of_them(tmp_path):
    for split, each in (("train", 1), ("val", 1), ("test", 1)):
        pictures(tmp_path / split, ("ant",), each=each)
    with pytest.raises(UserError, match=r"has 1 image\(s\) to train on: give at least 2") as error:
        train(tmp_path, tmp_path / "run")
    assert "held out" not in str(error.value)


def test_a_limit_is_not_called_held_out(tmp_path):
    with pytest.raises(UserError, match=r"has 1 image\(s\) to train on") as error:
        train(pictures(tmp_path / "images"), tmp_path / "run", limit=1)
    assert "held out" not in str(error.value)


def test_the_number_needed_is_the_least_that_is_enough():
    def left(total, parts):
        own = {split: 1 for split in ("val", "test")[: 2 - parts]}
        return len(divide({"train": total, **own}, None, 0)["train"][1])

    for parts in (0, 1, 2):
        for train_images in (2, 4, 9, 64, 200):
            total = needed(train_images, parts)
            assert left(total, parts) >= train_images > left(total - 1, parts)
