"""A folder that changed while its training stood still: every row of a memory bank would be another image."""

import os

import pytest
from PIL import Image

from sslcourse import cli
from sslcourse.data.folder import load_folder
from sslcourse.data.origin import Origin
from sslcourse.errors import UserError
from sslcourse.training import checkpoint
from tests.data.folders import make_old, pictures, train


def renamed(root):
    (root / "ant" / "007.bmp").rename(root / "ant" / "zebra.bmp")


def replaced(root):
    Image.new("RGB", (8, 9)).save(root / "ant" / "007.bmp")  # 54 + 3 * 8 * 9 bytes


def exchanged(root):
    (root / "ant" / "007.bmp").rename(root / "bee" / "007b.bmp")


def added(root):
    for i in range(3):
        Image.new("RGB", (8, 8)).save(root / "bee" / f"x{i}.bmp")


def removed(root):
    for i in range(3):
        (root / "bee" / f"00{i}.bmp").unlink()


CHANGES = {
    renamed: "ant/007.bmp is gone (the first of 2 such differences)",
    replaced: "ant/007.bmp was 246 bytes and is 270: ",
    exchanged: "ant/007.bmp is gone (the first of 2 such differences)",
    added: "bee/x0.bmp is new (the first of 3 such differences)",
    removed: "bee/000.bmp is gone (the first of 3 such differences)",
}


@pytest.mark.parametrize("method", ["simclr", "npid"])
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_the_first_difference_is_named(tmp_path, change, method):
    folder, out = pictures(tmp_path / "images"), tmp_path / "run"
    train(folder, out, method, size=8)
    train(folder, out, method, size=8)
    change(folder)
    with pytest.raises(UserError) as error:
        train(folder, out, method, size=8)
    line = str(error.value)
    assert CHANGES[change] in line and "--fresh" in line and "\n" not in line and "{" not in line
    before = (out / "state.safetensors").read_bytes()
    with pytest.raises(UserError):
        train(folder, out, method, size=8)
    assert (out / "state.safetensors").read_bytes() == before


def test_files_that_training_does_not_draw_on_may_change(tmp_path):
    folder, out = tmp_path / "images", tmp_path / "run"
    for split in ("train", "val", "test"):
        pictures(folder / split)
    history = train(folder, out).history
    (folder / "test" / "ant" / "003.bmp").unlink()
    (folder / "train" / "ant" / "Thumbs.db").write_text("litter")
    assert train(folder, out).history == history


def test_another_number_of_images_is_told_in_words(tmp_path):
    """Not as two dictionaries of arguments, one of which says n = 18."""
    folder, out = pictures(tmp_path / "images"), tmp_path / "run"
    train(folder, out, "npid")
    with pytest.raises(UserError, match=r"a run with n_train = 16, and 10 was asked for"):
        train(folder, out, "npid", limit=10)


def test_a_run_from_before_the_files_were_kept_goes_on(tmp_path):
    folder, out = pictures(tmp_path / "images"), tmp_path / "run"
    history = train(folder, out).history
    make_old(out)
    renamed(folder)
    assert train(folder, out).history == history


def test_a_hundred_thousand_files_are_half_a_megabyte(tmp_path):
    names = [f"train/class{i // 1000:03}/IMG_{i * 7919 % 1000003:08}.jpg" for i in range(100_000)]
    origin = Origin.of(tmp_path, names, ())
    assert origin.count == 100_000 and len(origin.files) < 1e6
    assert origin.difference(origin.files) == ""
    fewer = Origin.of(tmp_path, names[:77] + names[78:], ())
    assert (
        fewer.difference(origin.files) == f"{names[77]} is gone" and fewer.fingerprint != origin.fingerprint
    )


def test_names_are_told_apart_whatever_is_in_them(tmp_path):
    odd = [b"a\nb.png", b"caf\xe9.png", b"1 2\t3.png", "蜂.png".encode()]
    before = Origin.of(tmp_path, [str(tmp_path / os.fsdecode(name)) for name in odd], ())
    for name in odd:
        left = [str(tmp_path / os.fsdecode(other)) for other in odd if other != name]
        told = Origin.of(tmp_path, left, ()).difference(before.files)
        assert told.endswith(" is gone") and told.isprintable()


def test_the_list_lies_in_the_state_once(tmp_path):
    folder, out = pictures(tmp_path / "images"), tmp_path / "run"
    run = train(folder, out)
    tensors, saved = checkpoint.read_tensors(out / "state.safetensors", "")
    origin = load_folder(folder).origin
    assert tensors["files"].numpy().tobytes() == origin.files
    assert saved["config"]["files"] == run.config["files"] == origin.fingerprint


def test_evaluate_says_that_the_held_out_images_are_drawn_anew(tmp_path, capsys):
    folder, out = pictures(tmp_path / "images", each=20), tmp_path / "run"
    train(folder, out)
    command = ["evaluate", str(out), "--protocols", "knn", "--device", "cpu"]
    cli.main(command)
    assert "changed" not in capsys.readouterr().err
    added(folder)
    cli.main(command)
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "changed" in line]
    assert line.startswith(f"warning: the files of folder:{folder} have changed since")
