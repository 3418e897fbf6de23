"""`load` by name, downloads from a server of our own, and sets built from archives of our own."""

import hashlib
import http.server
import io
import pickle
import re
import subprocess
import sys
import tarfile
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sslcourse.data import catalog, real
from sslcourse.data.builtin import BLOCK, load_photographs
from sslcourse.data.catalog import describe, load
from sslcourse.data.download import download, md5_of, unpack
from sslcourse.errors import UserError

CONTENT = np.random.default_rng(0).bytes(300_000)
MD5 = hashlib.md5(CONTENT).hexdigest()


class Server(http.server.BaseHTTPRequestHandler):
    """Serves `files`; obeys Range unless told not to; may hang up early."""

    files: dict[str, bytes] = {}  # noqa: RUF012
    ranges = True
    hang_up_after: int | None = None
    asked: list[str | None] = []  # noqa: RUF012

    def do_GET(self):
        cls = type(self)
        content, wanted = cls.files.get(self.path), self.headers.get("Range")
        cls.asked.append(wanted)
        if content is None:
            return self.send_error(404)
        start = int(re.match(r"bytes=(\d+)-", wanted)[1]) if wanted and cls.ranges else 0
        if start >= len(content) > 0:
            return self.send_error(416)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        end, cls.hang_up_after = cls.hang_up_after, None
        self.wfile.write(content[start:end])

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.delenv("SSLCOURSE_MIRROR", raising=False)
    Server.files, Server.asked, Server.ranges, Server.hang_up_after = {"/a.bin": CONTENT}, [], True, None
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
    Server.address = f"http://127.0.0.1:{running.server_port}"
    yield Server
    running.shutdown()
    running.server_close()


def failure(act, *words) -> str:
    with pytest.raises(UserError) as error:
        act()
    text = str(error.value)
    assert "\n" not in text and all(word in text for word in words), text
    return text


# ---- download ----


def test_download_once(server, tmp_path):
    path = download(server.address + "/a.bin", tmp_path / "deep" / "a.bin", MD5)
    assert path.read_bytes() == CONTENT and [p.name for p in path.parent.iterdir()] == ["a.bin"]
    download(server.address + "/a.bin", path, MD5)
    assert len(server.asked) == 1


def test_download_resumes_a_part(server, tmp_path):
    (tmp_path / "a.bin.part").write_bytes(CONTENT[:123_456])
    assert download(server.address + "/a.bin", tmp_path / "a.bin", MD5).read_bytes() == CONTENT
    assert server.asked == ["bytes=123456-"]


def test_download_goes_on_when_the_server_hangs_up(server, tmp_path):
    server.hang_up_after = 100_000
    assert download(server.address + "/a.bin", tmp_path / "a.bin", MD5).read_bytes() == CONTENT
    assert server.asked == [None, "bytes=100000-"]


def test_download_from_a_server_without_ranges(server, tmp_path):
    server.ranges = False
    (tmp_path / "a.bin.part").write_bytes(CONTENT[:1000])
    assert download(server.address + "/a.bin", tmp_path / "a.bin", MD5).read_bytes() == CONTENT
    assert len(server.asked) == 1


def test_complete_part_is_taken(server, tmp_path):
    (tmp_path / "a.bin.part").write_bytes(CONTENT)
    assert download(server.address + "/a.bin", tmp_path / "a.bin", MD5).read_bytes() == CONTENT


def test_part_of_something_else_starts_again(server, tmp_path):
    (tmp_path / "a.bin.part").write_bytes(b"x" * 5000)
    assert download(server.address + "/a.bin", tmp_path / "a.bin", MD5).read_bytes() == CONTENT


def test_wrong_checksum(server, tmp_path):
    url, path = server.address + "/a.bin", tmp_path / "a.bin"
    failure(lambda: download(url, path, "0" * 32), url, MD5, "0" * 32, str(path))
    assert not list(tmp_path.iterdir()), "a wrong file was kept"


def test_wrong_file_in_place(server, tmp_path):
    (tmp_path / "a.bin").write_bytes(b"else")
    failure(
        lambda: download(server.address + "/a.bin", tmp_path / "a.bin", MD5),
        str(tmp_path / "a.bin"),
        "remove it",
    )
    assert server.asked == []


def test_no_server(tmp_path):
    url = "http://127.0.0.1:9/a.bin"
    failure(
        lambda: download(url, tmp_path / "a.bin", MD5),
        url,
        str(tmp_path / "a.bin"),
        "by hand",
        "SSLCOURSE_MIRROR",
    )


def test_missing_on_the_server(server, tmp_path):
    failure(lambda: download(server.address + "/b.bin", tmp_path / "b.bin", MD5), "/b.bin", "Not Found")


def test_mirror(server, tmp_path, monkeypatch):
    monkeypatch.setenv("SSLCOURSE_MIRROR", server.address + "/")
    assert download("http://127.0.0.1:9/far/a.bin", tmp_path / "a.bin", MD5).read_bytes() == CONTENT


def test_unpack_replaces_what_was_half_unpacked(tmp_path):
    archive = tmp_path / "x.tar.gz"
    archive.write_bytes(tar_of({"x/a.txt": b"new"}))
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "old.txt").write_text("half")
    unpack(archive, tmp_path)
    assert [p.name for p in (tmp_path / "x").iterdir()] == ["a.txt"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x", "x.tar.gz"]
    archive.write_bytes(b"no archive")
    failure(lambda: unpack(archive, tmp_path), str(archive))


# ---- real sets from small archives of the same layout ----


def tar_of(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def jpeg(colour, size=(40, 30)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, "JPEG", quality=95)
    return out.getvalue()


def serve(server, monkeypatch, name: str, archives: list[bytes]) -> None:
    """Point `name` at the server, which has `archives` instead of the real ones."""
    moved = []
    for (address, _, folder), content in zip(real.REAL[name].archives, archives, strict=True):
        file = "/" + address.rsplit("/", 1)[1]
        server.files[file] = content
        moved.append((server.address + file, hashlib.md5(content).hexdigest(), folder))
    monkeypatch.setitem(real.REAL, name, replace(real.REAL[name], archives=tuple(moved)))


def test_cifar10(server, tmp_path, monkeypatch):
    import torchvision.datasets

    rng, files = np.random.default_rng(0), {}
    for number in range(6):
        labels = [i % 10 for i in range(20)]
        pixels = rng.integers(0, 255, (20, 3072), dtype=np.uint8)
        pixels[:, 0] = labels  # red of the first pixel
        pixels[:, 1] = 100 + pixels[:, 0]  # and of its neighbour to the right
        name = f"data_batch_{number + 1}" if number < 5 else "test_batch"
        files[name] = pickle.dumps({"data": pixels, "labels": labels})
    files["batches.meta"] = pickle.dumps({"label_names": [f"class {i}" for i in range(10)]})
    sums = {name: hashlib.md5(content).hexdigest() for name, content in files.items()}
    cls = torchvision.datasets.CIFAR10
    monkeypatch.setattr(cls, "train_list", [[n, sums[n]] for n in files if n.startswith("data")])
    monkeypatch.setattr(cls, "test_list", [["test_batch", sums["test_batch"]]])
    monkeypatch.setattr(cls, "meta", cls.meta | {"md5": sums["batches.meta"]})
    archive = tar_of({f"cifar-10-batches-py/{name}": content for name, content in files.items()})
    serve(server, monkeypatch, "cifar10", [archive])

    data = load("cifar10", root=tmp_path, device="cpu")
    assert [len(s) for s in (data.train, data.val, data.test)] == [90, 10, 20] and data.size == 32
    assert data.classes[3] == "class 3" and data.val.labels.bincount().tolist() == [1] * 10
    for part in (data.train, data.val, data.test):
        assert torch.equal(part.images[:, 0, 0, 0].long(), part.labels)
        assert torch.equal(part.images[:, 0, 0, 1].long(), part.labels + 100)
    limited = load("cifar10", root=tmp_path, device="cpu", limit=15)
    assert len(server.asked) == 1, "it was fetched twice"
    assert torch.equal(limited.train.images, data.train.images[:15]) and len(limited.test) == 15
    assert len(set(limited.train.labels.tolist())) > 3
    assert load("cifar10", root=tmp_path, device="cpu", size=16, limit=3).test.images.shape == (3, 3, 16, 16)

    (tmp_path / "cifar-10-batches-py" / "data_batch_2").write_bytes(
        b"broken"
    )  # mends itself from the archive
    assert torch.equal(load("cifar10", root=tmp_path, device="cpu").train.images, data.train.images)
    assert next(row for row in describe(tmp_path) if row["name"] == "cifar10")["on_disk"]


def test_imagenette(server, tmp_path, monkeypatch):
    folders = ("n01440764", "n02102040")
    files = {
        f"imagenette2-160/{split}/{wnid}/{i}.JPEG": jpeg((y * 200, 90, 90))
        for split, count in (("train", 20), ("val", 5))
        for y, wnid in enumerate(folders)
        for i in range(count)
    }
    serve(server, monkeypatch, "imagenette", [tar_of(files)])
    data = load("imagenette", root=tmp_path, device="cpu", size=24)
    assert [len(s) for s in (data.train, data.val, data.test)] == [36, 4, 10]
    assert data.classes[:2] == ("tench", "English springer") and data.train.images.shape[1:] == (3, 24, 24)
    for part in (data.train, data.val, data.test):
        assert torch.equal((part.images[:, 0, 5, 5] > 100).long(), part.labels)


def test_pets(server, tmp_path, monkeypatch):
    names = [f"{breed}_{i}" for breed in ("Abyssinian", "beagle") for i in range(10)]
    images = tar_of({f"images/{name}.jpg": jpeg(((name[0] == "b") * 200, 50, 50)) for name in names})
    lines = [f"{name} {1 + (name[0] == 'b')} 1 1\n" for name in names]
    notes = tar_of({
        "annotations/trainval.txt": "".join(lines[:6] + lines[10:16]).encode(),
        "annotations/test.txt": "".join(lines[6:10] + lines[16:]).encode(),
    })  # fmt: skip
    serve(server, monkeypatch, "pets", [images, notes])
    data = load("pets", root=tmp_path, device="cpu")
    assert [len(s) for s in (data.train, data.val, data.test)] == [11, 1, 8] and data.size == 64
    assert torch.equal((data.test.images[:, 0, 9, 9] > 100).long(), data.test.labels)


def test_addresses_and_checksums_are_those_of_torchvision():
    """A typing error would only show on the day somebody downloads."""
    import inspect

    import torchvision.datasets as sets

    classes = dict(cifar10=sets.CIFAR10, cifar100=sets.CIFAR100, stl10=sets.STL10, svhn=sets.SVHN,
                   dtd=sets.DTD,
                   imagenette=sets.Imagenette, flowers102=sets.Flowers102, pets=sets.OxfordIIITPet,
                   eurosat=sets.EuroSAT, food101=sets.Food101)  # fmt: skip
    assert set(classes) == set(real.REAL)
    for name, cls in classes.items():
        source = inspect.getsource(cls)
        for address, md5, _ in real.REAL[name].archives:
            assert md5 in source, name
            assert address.rsplit("/", 1)[1] in source, name


@pytest.mark.parametrize("name", real.REAL)
def test_without_network_every_real_set_says_what_to_do(name, tmp_path, monkeypatch):
    monkeypatch.setenv("SSLCOURSE_MIRROR", "http://127.0.0.1:9")
    failure(lambda: load(name, root=tmp_path, device="cpu"), "http://127.0.0.1:9/", str(tmp_path), "by hand")


# ---- what ships with scikit-learn ----


def test_digits():
    data = load("digits", device="cpu")
    assert [len(s) for s in (data.train, data.val, data.test)] == [1257, 180, 360]
    assert data.train.images.shape[1:] == (3, 32, 32) and data.classes == tuple("0123456789")
    assert data.train.images.amax() == 255 and data.train.images.amin() == 0
    assert data.test.labels.bincount().min() > 30
    small = load("digits", device="cpu", size=8, limit=20)
    assert len(small.train) == len(small.val) == 20
    assert torch.equal(small.train.labels, data.train.labels[:20])
    from sklearn.datasets import load_digits

    known = {
        image.tobytes(): label
        for image, label in zip(load_digits().images, load_digits().target, strict=True)
    }
    for image, label in zip(small.train.images[:, 0], small.train.labels, strict=True):
        assert known[(image.double() * 16 / 255).round().numpy().tobytes()] == label


def test_photos_split_by_region():
    data, photographs = load("photos", device="cpu"), load_photographs()
    assert data.classes == ("china", "flower") and data.size == 64
    assert all(p.shape == (3, 427, 640) and p.dtype == torch.uint8 for p in photographs)
    seen = torch.zeros(3, 2, 427, 640, dtype=torch.bool)
    for number, part in enumerate((data.train, data.val, data.test)):
        assert part.labels.bincount().tolist() == [len(part) // 2] * 2
        x, y = (part.factors[name].long() for name in "xy")
        assert part.factors["x"].is_floating_point()  # a place, not a class
        rows = zip(part.images, part.labels.tolist(), x, y, strict=True)
        for image, photo, x, y in rows:
            assert torch.equal(image, photographs[photo][:, y : y + 64, x : x + 64])
            seen[number, photo, y : y + 64, x : x + 64] = True
    assert (seen.sum(0) <= 1).all(), "a pixel lies in two splits"
    assert torch.equal(load("photos", device="cpu", limit=7).train.images, data.train.images[:7])
    failure(lambda: load("photos", size=BLOCK + 1, device="cpu"), str(BLOCK))


# ---- names ----


def test_toybox_is_loaded_lazily_and_passes_arguments(monkeypatch):
    toybox = pytest.importorskip("sslcourse.data.toybox")
    asked = {}

    class Loaded:
        def to(self, device):
            return asked | {"device": str(device)}

    def played(name, **options):
        asked.update(name=name, **options)
        return Loaded()

    monkeypatch.setattr(toybox, "load_toybox", played)
    assert load("toybox-sky", size=16, limit=4, device="cpu") == dict(
        name="toybox-sky", size=16, limit=4, device="cpu"
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("toybx", ["unknown", "toybox"]),
        ("toybox-nowhere", ["unknown", "toybox-"]),
        ("CIFAR10", ["unknown", "cifar10"]),
        ("qqqqqqqq", ["unknown", "sslcourse data"]),
        ("", ["unknown"]),
        ("coco", ["not loadable yet", "folder:"]),
        ("voc2007", ["not loadable yet"]),
        ("movi-c", ["not loadable yet"]),
    ],
)
def test_names_that_do_not_load(name, words):
    failure(lambda: load(name, device="cpu"), *words)


def test_a_bare_folder_is_recognised(tmp_path):
    failure(lambda: load(str(tmp_path)), f"folder:{tmp_path}")


@pytest.mark.parametrize(
    "options", [{"limit": 0}, {"limit": -3}, {"size": 0}, {"size": 2.5}, {"device": "quantum"}]
)
def test_arguments_that_do_not_work(options):
    failure(lambda: load("digits", **{"device": "cpu"} | options), str(next(iter(options.values()))))


def test_describe_lists_every_name_without_loading(tmp_path, monkeypatch):
    monkeypatch.setenv("SSLCOURSE_CACHE", str(tmp_path))
    rows = describe()
    listed = [row["name"] for row in rows]
    assert listed == [*catalog.names(), "folder:PATH"] and len(set(listed)) == len(listed)
    keys = {
        "name",
        "what",
        "train",
        "val",
        "test",
        "size",
        "megabytes",
        "download_megabytes",
        "source",
        "on_disk",
    }
    assert all(set(row) == keys for row in rows)
    digits = next(row for row in rows if row["name"] == "digits")
    data = load("digits", device="cpu")
    assert (digits["train"], digits["val"], digits["test"]) == (
        len(data.train),
        len(data.val),
        len(data.test),
    )
    assert not next(row for row in rows if row["name"] == "cifar10")["on_disk"] and digits["on_disk"]
    assert not list(Path(tmp_path).iterdir())


def test_import_is_light():
    script = "import sys, sslcourse.data; assert 'torch' not in sys.modules, 'torch came along'"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_md5_of(tmp_path):
    (tmp_path / "x").write_bytes(CONTENT)
    assert md5_of(tmp_path / "x") == MD5
