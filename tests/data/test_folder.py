"""`folder:PATH`: every form of folder, every kind of file, and everything that can be wrong with either."""

import os
import struct
import warnings

import numpy as np
import pytest
import torch
from PIL import Image, PngImagePlugin

from sslcourse.data import decode
from sslcourse.data.catalog import load
from sslcourse.data.decode import BadImage, check, image_size, read_rgb
from sslcourse.data.folder import load_folder, load_images, own_size
from sslcourse.data.images import ImageSet
from sslcourse.data.stream import Files, StreamedSet
from sslcourse.errors import UserError

RED, GREEN, BLUE = (220, 30, 30), (30, 200, 30), (30, 30, 210)


def save(path, colour=RED, size=(12, 12), mode="RGB", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).convert(mode).save(path, **options)
    return path


def tree(root, splits=("train", "test"), classes=("ant", "bee"), per_class=10, **options):
    for split in splits:
        for number, name in enumerate(classes):
            for i in range(per_class):
                save(root / split / name / f"{i:03d}.png", (number * 100, i * 10, 50), **options)
    return root


def one_line(error) -> str:
    text = str(error.value)
    assert "\n" not in text and text.isprintable() and len(text) < 400
    return text


# ---- forms of folder ----


def test_tree_with_splits(tmp_path):
    data = load_folder(tree(tmp_path))
    assert (len(data.train), len(data.val), len(data.test)) == (18, 2, 20)
    assert data.classes == data.test.classes == ("ant", "bee")
    assert data.size == 12 and data.train.images.dtype == torch.uint8
    for part in (data.train, data.val, data.test):
        assert torch.equal(part.images[:, 0, 0, 0].long(), part.labels * 100), (
            "labels do not follow their images"
        )
        assert [os.path.basename(os.path.dirname(p)) for p in part.paths] == [
            part.classes[y] for y in part.labels
        ]
    assert data.val.labels.bincount().tolist() == [1, 1]
    assert not set(data.train.paths) & set(data.val.paths)


def test_tree_without_splits_is_split_by_seed(tmp_path):
    tree(tmp_path, splits=("",), per_class=20)
    data, again, other = (load_folder(tmp_path, seed=seed) for seed in (0, 0, 1))
    assert [len(s) for s in (data.train, data.val, data.test)] == [32, 4, 4]
    assert data.train.paths == again.train.paths != other.train.paths
    paths = data.train.paths + data.val.paths + data.test.paths
    assert len(set(paths)) == 40
    assert data.test.labels.bincount().tolist() == [2, 2]


def test_own_val_split_is_used(tmp_path):
    tree(tmp_path, splits=("train", "valid", "Test"), per_class=3)
    data = load_folder(tmp_path)
    assert [len(s) for s in (data.train, data.val, data.test)] == [6, 6, 6]
    assert all("valid" in path for path in data.val.paths)


def test_flat_is_unlabelled(tmp_path):
    for i in range(20):
        save(tmp_path / f"{i}.jpg")
    data = load_folder(tmp_path)
    assert [len(s) for s in (data.train, data.val, data.test)] == [16, 2, 2]
    assert data.train.labels is None and data.classes == ()
    assert all(labels is None for _, _, labels in data.train.batches(4))


def test_flat_splits_are_unlabelled(tmp_path):
    for i in range(10):
        save(tmp_path / "train" / f"{i}.png")
    save(tmp_path / "test" / "0.png")
    data = load_folder(tmp_path)
    assert [len(s) for s in (data.train, data.val, data.test)] == [9, 1, 1] and data.test.labels is None


def test_a_class_may_be_called_train(tmp_path):
    data = load_folder(tree(tmp_path, splits=("",), classes=("bus", "car", "train")))
    assert data.classes == ("bus", "car", "train")


def test_one_class_only(tmp_path):
    data = load_folder(tree(tmp_path, classes=("ant",)))
    assert data.classes == ("ant",) and set(data.train.labels.tolist()) == {0}


def test_nested_class_folders_and_litter(tmp_path):
    tree(tmp_path, splits=("",))
    save(tmp_path / "ant" / "more" / "deep" / "x.png")
    for litter in (
        ".DS_Store",
        "ant/Thumbs.db",
        "ant/.hidden.png",
        "ant/desktop.ini",
        ".git/config",
        "README.txt",
    ):
        (tmp_path / litter).parent.mkdir(exist_ok=True)
        (tmp_path / litter).write_text("not an image")
    (tmp_path / "empty").mkdir()
    everything = load_images(tmp_path)
    assert len(everything) == 21 and everything.classes == ("ant", "bee")
    assert everything.labels.bincount().tolist() == [11, 10]


def test_non_ascii_names(tmp_path):
    tree(tmp_path, splits=("",), classes=("Käfer", "蜂"))
    raw = os.fsencode(tmp_path / "Käfer") + b"/caf\xe9.png"  # latin-1: not decodable
    os.rename(tmp_path / "Käfer" / "000.png", raw)
    found = load_images(tmp_path)
    assert len(found) == 20 and found.classes == ("Käfer", "蜂")
    assert raw in [os.fsencode(path) for path in found.paths]


def test_symlinks_are_followed_once(tmp_path):
    tree(tmp_path / "set", splits=("",))
    save(tmp_path / "elsewhere" / "x.png")
    (tmp_path / "set" / "ant" / "loop").symlink_to(tmp_path / "set" / "ant")
    (tmp_path / "set" / "ant" / "up").symlink_to("..")
    (tmp_path / "set" / "ant" / "file.png").symlink_to(tmp_path / "elsewhere" / "x.png")
    (tmp_path / "set" / "cat").symlink_to(tmp_path / "elsewhere")
    found = load_images(tmp_path / "set")
    assert found.classes == ("ant", "bee", "cat")
    assert found.labels.bincount().tolist() == [11, 10, 1]


def test_limit_is_a_mixed_prefix(tmp_path):
    tree(tmp_path, per_class=20)
    whole, part = load_folder(tmp_path), load_folder(tmp_path, limit=8)
    assert [len(s) for s in (part.train, part.val, part.test)] == [8, 4, 8]
    assert torch.equal(part.train.images, whole.train.images[:8]) and part.test.paths == whole.test.paths[:8]
    assert set(part.train.labels.tolist()) == {0, 1}


def test_load_images_takes_every_split_in_order(tmp_path):
    tree(tmp_path, splits=("train", "test"), per_class=2)
    found = load_images(tmp_path)
    assert len(found) == 8 and found.paths == sorted(found.paths)
    assert [os.path.basename(os.path.dirname(p)) for p in found.paths] == [
        found.classes[y] for y in found.labels
    ]


# ---- sizes ----


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([(12, 12)] * 2, 12),
        ([(97, 97)] * 2, 64),
        ([(12, 12), (13, 13)], 32),
        ([(80, 60), (90, 90)], 64),
        ([(80, 70)], 64),
    ],
)
def test_default_size(tmp_path, sizes, expected):
    assert own_size([str(save(tmp_path / f"{i}.png", size=s)) for i, s in enumerate(sizes)]) == expected


def test_resize_takes_the_centre_and_antialiases(tmp_path):
    wide = np.zeros((40, 120, 3), dtype=np.uint8)
    wide[:, 40:80] = (
        np.indices((40, 40)).sum(0)[..., None] % 2 * 255
    )  # a fine chequerboard between black wings
    Image.fromarray(wide).save(tmp_path / "x.png")
    out = read_rgb(tmp_path / "x.png", 10)
    assert out.shape == (10, 10, 3) and abs(out[2:-2, 2:-2].astype(int) - 128).max() < 6
    assert read_rgb(tmp_path / "x.png").shape == (40, 120, 3) and image_size(tmp_path / "x.png") == (40, 120)


def test_large_jpeg_drafts_to_the_same_picture(tmp_path):
    y, x = np.mgrid[:160, :160]
    stripes = x // 10 % 2 * 255
    picture = np.stack([x * 255 // 160, y * 255 // 160, stripes], -1).astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / "x.jpg", quality=95)
    Image.fromarray(picture).save(tmp_path / "x.png")
    difference = read_rgb(tmp_path / "x.jpg", 32).astype(int) - read_rgb(tmp_path / "x.png", 32)
    assert abs(difference).mean() < 3 and abs(difference).max() < 25


# ---- kinds of file ----


@pytest.mark.parametrize(
    ("name", "mode", "options"),
    [
        ("x.jpg", "RGB", {"quality": 95}),
        ("x.jpg", "CMYK", {"quality": 95}),
        ("x.tiff", "CMYK", {}),
        ("x.png", "P", {}),
        ("x.gif", "P", {}),
        ("x.png", "RGBA", {}),
        ("x.webp", "RGBA", {"lossless": True}),
        ("x.bmp", "RGB", {}),
        ("x.ppm", "RGB", {}),
        ("x.tiff", "YCbCr", {}),
    ],
)
def test_colour_survives_every_format(tmp_path, name, mode, options):
    out = read_rgb(save(tmp_path / name, RED, mode=mode, **options))
    assert out.shape == (12, 12, 3) and out.dtype == np.uint8
    assert abs(out.reshape(-1, 3).mean(0) - RED).max() < 16


@pytest.mark.parametrize(("name", "mode"), [("x.png", "L"), ("x.jpg", "L"), ("x.png", "LA"), ("x.png", "1")])
def test_grey_becomes_rgb(tmp_path, name, mode):
    out = read_rgb(save(tmp_path / name, (255, 255, 255), mode=mode))
    assert out.shape == (12, 12, 3) and (out == 255).all()


def test_transparency_lies_over_white(tmp_path):
    Image.new("RGBA", (8, 8), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    Image.new("RGBA", (8, 8), (255, 0, 0, 128)).save(tmp_path / "half.png")
    Image.new("LA", (8, 8), (0, 0)).save(tmp_path / "grey.png")
    palette = Image.new("RGB", (8, 8), RED).quantize()
    palette.save(tmp_path / "palette.png", transparency=palette.getpixel((0, 0)))
    Image.new("RGB", (8, 8), RED).save(tmp_path / "key.png", transparency=RED)
    for name in ("clear", "grey", "palette", "key"):
        assert (read_rgb(tmp_path / f"{name}.png") == 255).all(), name
    assert abs(read_rgb(tmp_path / "half.png")[0, 0].astype(int) - (255, 127, 127)).max() <= 1


def test_sixteen_bits_and_floats_scale(tmp_path):
    ramp = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    for name in ("x.png", "x.tiff"):
        Image.fromarray(ramp).save(tmp_path / name)
        out = read_rgb(tmp_path / name)[..., 0].astype(int)
        assert abs(out - ramp / 257).max() <= 1, name
    Image.fromarray((ramp / 65535).astype(np.float32)).save(tmp_path / "f.tiff")
    assert abs(read_rgb(tmp_path / "f.tiff")[..., 1].astype(int) - ramp / 257).max() <= 1
    Image.fromarray(ramp.astype(np.int32)).save(tmp_path / "i.tiff")
    assert abs(read_rgb(tmp_path / "i.tiff")[..., 1].astype(int) - ramp / 257).max() <= 1


def test_sixteen_bit_colour_png(tmp_path):
    """Pillow cannot write one: three 16-bit channels by hand."""
    import zlib

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    row = b"\0" + struct.pack(">3H", 65535, 32768, 0) * 4
    header = struct.pack(">IIBBBBB", 4, 4, 16, 2, 0, 0, 0)
    png = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(row * 4))
        + chunk(b"IEND", b"")
    )
    (tmp_path / "x.png").write_bytes(png)
    assert read_rgb(tmp_path / "x.png")[0, 0].tolist() == [255, 128, 0]


@pytest.mark.parametrize(("orientation", "corner"), [(1, (0, 0)), (3, (-1, -1)), (6, (0, -1)), (8, (-1, 0))])
def test_exif_orientation(tmp_path, orientation, corner):
    picture = np.zeros((16, 16, 3), dtype=np.uint8)
    picture[:8, :8] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(picture).save(tmp_path / "x.jpg", exif=exif, quality=95)
    for size in (None, 16):
        out = read_rgb(tmp_path / "x.jpg", size)
        corners = {c: int(out[c].sum()) for c in ((0, 0), (0, -1), (-1, 0), (-1, -1))}
        assert max(corners, key=corners.get) == corner


def test_broken_exif_is_no_reason(tmp_path):
    save(tmp_path / "x.jpg", exif=b"Exif\0\0MM\0*" + b"\xff" * 20)
    assert read_rgb(tmp_path / "x.jpg").shape == (12, 12, 3)


def test_wrong_extension_loads(tmp_path):
    save(tmp_path / "a.png", GREEN).rename(tmp_path / "a.jpg")
    save(tmp_path / "b.png", GREEN).rename(tmp_path / "b")
    assert (read_rgb(tmp_path / "a.jpg")[0, 0] == GREEN).all() and (
        read_rgb(tmp_path / "b")[0, 0] == GREEN
    ).all()


# ---- files that do not load ----


def bad_file(folder, kind):
    path = folder / f"bad-{kind}.jpg"
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("this is not an image at all, but it is long enough to be taken for one\n" * 9)
    elif kind == "truncated":
        noise.save(path, "JPEG")
        path.write_bytes(path.read_bytes()[:1500])
    elif kind == "truncated png":
        noise.save(path, "PNG")
        path.write_bytes(path.read_bytes()[:1500])
    elif kind == "corrupt png":
        noise.save(path, "PNG")
        path.write_bytes(path.read_bytes().replace(b"IDAT", b"IDAX"))
    elif kind == "header only":
        path.write_bytes(b"\xff\xd8\xff\xe0")
    elif kind == "animated":
        frames = [Image.new("RGB", (8, 8), (i * 90, 0, 0)) for i in range(3)]
        frames[0].save(path, "GIF", save_all=True, append_images=frames[1:])
    elif kind == "animated webp":
        frames = [Image.new("RGB", (8, 8), (i * 90, 0, 0)) for i in range(3)]
        frames[0].save(path, "WEBP", save_all=True, append_images=frames[1:])
    elif kind == "pages":
        frames = [Image.new("RGB", (8, 8), (i * 90, 0, 0)) for i in range(3)]
        frames[0].save(path, "TIFF", save_all=True, append_images=frames[1:])
    elif kind == "bomb":
        save(path.with_suffix(".png"))
        data = path.with_suffix(".png").read_bytes()
        head = struct.pack(">II", 60000, 60000) + data[24:29]
        import zlib

        path.with_suffix(".png").unlink()
        path.write_bytes(data[:16] + head + struct.pack(">I", zlib.crc32(b"IHDR" + head)) + data[33:])
    elif kind == "broken link":
        path.symlink_to("nowhere")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "script":
        path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    return path


KINDS = {
    "empty": "is empty",
    "text": "is not an image",
    "truncated": "is truncated",
    "truncated png": "is truncated|is corrupt",
    "corrupt png": "is corrupt|is truncated|is not an image",
    "header only": "is not an image|is truncated|is corrupt",
    "animated": "is animated",
    "animated webp": "is animated",
    "pages": "has pages",
    "bomb": "is too large",
    "broken link": "is a broken link",
    "pipe": "is not a regular file",
    "script": "is not an image",
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stream", [False, True])
def test_bad_file_is_named_or_left_out(tmp_path, capsys, kind, stream):
    tree(tmp_path, splits=("train", "test"))
    path = bad_file(tmp_path / "train" / "bee", kind)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserError, match=KINDS[kind]) as error:
            load_folder(tmp_path, stream=stream)
        assert str(path) in one_line(error) and "--skip-corrupt" in str(error.value)
        data = load_folder(tmp_path, stream=stream, skip_corrupt=True)
    assert len(data.train) + len(data.val) == 20 and len(data.test) == 20
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1 and "left out 1 of" in said[0] and str(path) in said[0]
    for part in (data.train, data.val):
        assert len(part.labels) == len(part.paths) == len(part)
        for images, index, labels in part.batches(7):
            assert torch.equal((images[:, 0, 0, 0] * 255).round().long(), labels * 100), "labels have slipped"
            assert torch.equal(labels, part.labels[index])


def test_several_bad_files_are_counted(tmp_path, capsys):
    tree(tmp_path)
    paths = [bad_file(tmp_path / place, kind) for place, kind in
             (("train/ant", "empty"), ("test/ant", "text"), ("test/bee", "animated"))]  # fmt: skip
    with pytest.raises(UserError, match="3 such files among 43") as error:
        load_folder(tmp_path)
    assert str(paths[0]) in one_line(error)
    load_folder(tmp_path, skip_corrupt=True)
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1 and "left out 3 of 43 files" in said[0]


def test_nothing_readable_is_an_error_even_when_skipping(tmp_path):
    for i in range(10):
        (tmp_path / f"{i}.jpg").write_text("no")
    with pytest.raises(UserError, match="is not an image"):
        load_folder(tmp_path, skip_corrupt=True)


def test_a_part_without_any_readable_file_is_an_error(tmp_path):
    tree(tmp_path, splits=("train",))
    (tmp_path / "test" / "ant").mkdir(parents=True)
    (tmp_path / "test" / "ant" / "0.png").write_text("no")
    with pytest.raises(UserError, match=r"test/ant/0\.png is not an image"):
        load_folder(tmp_path, skip_corrupt=True)


def test_permission_denied_is_named(tmp_path, monkeypatch):
    """Root may read everything, so the refusal is played."""
    tree(tmp_path)
    opened = Image.open

    def refuse(path, *args, **kwargs):
        if str(path).endswith("005.png"):
            raise PermissionError(13, "Permission denied")
        return opened(path, *args, **kwargs)

    monkeypatch.setattr(decode.Image, "open", refuse)
    with pytest.raises(UserError, match="permission denied") as error:
        load_folder(tmp_path)
    assert "005.png" in one_line(error)


def test_names_that_would_break_the_line(tmp_path):
    tree(tmp_path, splits=("",))
    (tmp_path / "ant" / "two\nlines\x1b[31m.jpg").write_text("no")
    with pytest.raises(UserError) as error:
        load_folder(tmp_path)
    assert "two\\nlines" in one_line(error)


def test_trailing_bytes_are_no_reason(tmp_path):
    path = save(tmp_path / "x.jpg")
    path.write_bytes(path.read_bytes() + b"\0" * 500)
    check(str(path))
    assert read_rgb(path).shape == (12, 12, 3)


def test_check_agrees_with_reading(tmp_path):
    for kind in KINDS:
        path = bad_file(tmp_path, kind)
        for act in (check, read_rgb):
            with pytest.raises(BadImage, match=KINDS[kind]):
                act(str(path))
    check(str(save(tmp_path / "fine.webp")))


# ---- folders that do not load ----


def wrong(tmp_path, make):
    make(tmp_path)
    with pytest.raises(UserError) as error:
        load(f"folder:{tmp_path}", device="cpu")
    text = one_line(error)
    assert str(tmp_path) in text
    return text


def test_wrong_folders(tmp_path):
    def train_only_text(root):
        (root / "train").mkdir()

    def mixed(root):
        save(tree(root, splits=("",)) / "loose.png")

    def unknown_class(root):
        tree(root, classes=("ant",), splits=("train",))
        tree(root, classes=("ant", "wasp"), splits=("test",))

    def half_flat(root):
        tree(root, splits=("train",))
        save(root / "test" / "0.png")

    def no_train(root):
        tree(root, splits=("val", "test"))

    def twins(root):
        tree(root, splits=("train", "val", "valid"))

    cases = {
        "is empty": lambda root: None,
        "holds no images": train_only_text,
        "loose.png": mixed,
        "class wasp": unknown_class,
        "give both the same form": half_flat,
        "no train/": no_train,
        "two val folders": twins,
        "too few": lambda root: save(root / "a" / "0.png"),
    }
    for number, (expected, make) in enumerate(cases.items()):
        root = tmp_path / str(number)
        root.mkdir()
        assert expected in wrong(root, make), expected


def test_missing_folder_and_file(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        load(f"folder:{tmp_path}/nowhere")
    with pytest.raises(UserError, match="is a file"):
        load(f"folder:{save(tmp_path / 'x.png')}")
    with pytest.raises(UserError, match="names no folder"):
        load("folder:")


# ---- streaming ----


def test_streamed_set_equals_the_set_in_memory(tmp_path):
    tree(tmp_path, per_class=12)
    held, streamed = load_folder(tmp_path), load_folder(tmp_path, stream=True)
    assert isinstance(held.train, ImageSet) and isinstance(streamed.train, StreamedSet)
    order = torch.tensor([5, 0, 20, 3, 7])
    for kwargs in ({}, {"order": order}, {"order": order, "drop_last": True}):
        ours, theirs = list(streamed.train.batches(2, **kwargs)), list(held.train.batches(2, **kwargs))
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            assert all(torch.equal(x, y) and x.dtype == y.dtype for x, y in zip(a, b, strict=True))
    assert list(streamed.train.paths) == held.train.paths and streamed.classes == held.classes
    assert streamed.size == held.size and len(streamed.val) == len(held.val)
    mask = held.train.labels == 1
    for index in (slice(2, 6), [3, 1], torch.tensor([4]), mask):
        assert torch.equal(streamed.train[index].load().images, held.train[index].images)
        assert torch.equal(streamed.train[index].labels, held.train[index].labels)
    assert torch.equal(streamed.train.floats([1, 2]), held.train.floats([1, 2]))
    with pytest.raises(UserError, match="batches"):
        streamed.train.images  # noqa: B018


def test_workers_deliver_in_order(tmp_path):
    tree(tmp_path, splits=("",), per_class=20)
    streamed = load_images(tmp_path, stream=True)
    streamed.workers = 2
    batches = list(streamed.batches(6, torch.arange(39, -1, -1)))
    assert torch.cat([index for _, index, _ in batches]).tolist() == list(range(39, -1, -1))
    greens = torch.cat([images[:, 1, 0, 0] for images, _, _ in batches])
    expected = [int(os.path.basename(p)[:3]) * 10 for p in streamed.paths][::-1]
    assert (greens * 255).round().int().tolist() == expected


def test_file_that_breaks_later(tmp_path):
    for i in range(10):
        save(tmp_path / f"{i}.png")
    strict, lenient = (load_images(tmp_path, stream=True, skip_corrupt=skip) for skip in (False, True))
    (tmp_path / "4.png").write_text("gone")
    with pytest.raises(UserError, match=r"4\.png is not an image"):
        list(strict.batches(4))
    with pytest.warns(UserWarning, match="grey"):
        images = torch.cat([images for images, _, _ in lenient.batches(4)])
    assert len(images) == 10 and (images[4] == 127 / 255).all()


def test_memory_is_flat_however_large_the_folder(tmp_path):
    """Streaming 3,000 files of 64 px (37 MB of pixels) needs no more memory than streaming 300."""
    original = save(tmp_path / "original.jpg", size=(80, 80))
    for folder, count in (("few", 300), ("many", 3000)):
        (tmp_path / folder).mkdir()
        for i in range(count):
            os.link(original, tmp_path / folder / f"{i:05d}.jpg")

    def resident() -> int:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    if not os.path.exists("/proc/self/statm"):
        pytest.skip("no /proc")
    peaks = {}
    for folder in ("few", "few", "many"):  # once to warm up
        streamed = load_images(tmp_path / folder, size=64, stream=True)
        streamed.workers = 0
        peaks[folder] = max(resident() for _ in streamed.batches(64))
    assert len(streamed) == 3000
    assert peaks["many"] - peaks["few"] < 12e6


def test_files_are_compact():
    names = [f"/data/train/{i:06d}.jpg" for i in range(1000)]
    files = Files(names)
    assert list(files) == names and files[-1] == names[-1] and list(files[2:4]) == names[2:4]
    assert files.bytes.nbytes + files.ends.nbytes < 40 * len(names)
    with pytest.raises(IndexError):
        files[1000]


def test_animated_png(tmp_path):
    frames = [Image.new("RGB", (8, 8), (i * 90, 0, 0)) for i in range(3)]
    frames[0].save(tmp_path / "x.png", save_all=True, append_images=frames[1:])
    assert PngImagePlugin.PngImageFile(tmp_path / "x.png").n_frames == 3
    with pytest.raises(BadImage, match="3 frames"):
        read_rgb(tmp_path / "x.png")
