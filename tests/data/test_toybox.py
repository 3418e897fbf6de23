import dataclasses
import hashlib
import math

import pytest
import torch
from safetensors import SafetensorError
from sklearn.feature_selection import mutual_info_classif

from sslcourse import sources
from sslcourse.data.toybox import CLASSES, WORLDS, load, load_toybox, render_world, solids, trace
from sslcourse.data.toybox.load import single
from sslcourse.data.toybox.scene import assemble, outline
from sslcourse.data.toybox.toys import BUILDERS, MAX_PARTS, SHAPE_DRAWS, build
from sslcourse.data.toybox.world import PATTERNS, Draw, draw_factors
from sslcourse.errors import UserError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SSLCOURSE_CACHE", str(tmp_path))
    return tmp_path / "toybox"


@pytest.fixture(scope="module")
def forty():
    return render_world("toybox", count=40)


def same(a, b) -> bool:
    tensors = [(getattr(a, f), getattr(b, f)) for f in ("images", "labels", "boxes", "depth")]
    tensors += [(a.factors[k], b.factors[k]) for k in a.factors] + [(a.masks[k], b.masks[k]) for k in a.masks]
    return all(x is y is None or torch.equal(x, y) for x, y in tensors)


# --- the ray tracer against closed forms ---


def one_part(box: bool, shape, half=(1.0, 1.0, 1.0), centre=(0.0, 0.0, 1.0)) -> trace.Scene:
    """A part seen from 10 away along x at its own height; the image is 4 wide there."""

    def row(v):
        return torch.tensor([v])

    parts = trace.Parts(
        row([centre]),
        torch.eye(3).view(1, 1, 3, 3),
        row([half]),
        row([shape]),
        row([box]),
        torch.ones(1, 1, 3),
        torch.zeros(1, 1),
        torch.ones(1, 1, dtype=torch.int64),
    )
    view = torch.tensor([[[0.0, 0, -1], [0.2, 0, 0], [0, -0.2, 0]]])  # looks along -x; y is right, z is up
    return trace.Scene(
        parts,
        row([10.0, 0.0, centre[2]]),
        view,
        row([0.0, 0.0, 1.0]),
        row([1.0, 0.5, 0.1]),
        torch.zeros(1, 1, 6),
        torch.full((1, 2, 3), 0.3),
        torch.zeros(1, 17),
        torch.ones(1, 2, 3),
    )


@pytest.mark.parametrize(
    "box, shape, area",
    [
        (False, (1.0, 0.0, -1.0, -1.0), math.pi),  # ball
        (False, (1.0, 0.0, -1.0, 0.0), math.pi / 2),  # dome
        (False, (1.0, 0.0, 0.0, -1.0), 4.0),  # cylinder
        (False, (0.25, -0.5, 0.25, -1.0), 2.0),  # cone
        (False, (0.5, -0.5, 0.0, -1.0), 8 / 3),  # paraboloid: y^2 <= (1 - z) / 2
        (True, (1.0, 1.0, 0.0, 0.0), 4.0),  # box
        (True, (0.5, 0.5, 0.0, 0.0), 3.0),  # tapered box
    ],
)
def test_silhouettes_have_the_right_area(box, shape, area):
    scene = one_part(box, shape)
    # from afar: nearly parallel rays
    scene.eye[:, 0], scene.view[:, :, :2] = 1000.0, scene.view[:, :, :2] / 100
    seen = trace.render(scene, 128)["instance"].float().sum() * (4 / 128) ** 2
    assert abs(seen.item() - area) < 0.02 * area + 0.02


def test_depth_and_normal_of_a_ball():
    out = trace.trace(one_part(False, (1.0, 0.0, -1.0, -1.0)), torch.tensor([[0.0, 0.25]]), torch.zeros(1, 2))
    # second ray: direction (-1, 0.05, 0); |10 - t, 0.05 t| = 1
    a, b, c = 1 + 0.05**2, -20.0, 99.0
    t = (-b - math.sqrt(b * b - 4 * a * c)) / (2 * a)
    torch.testing.assert_close(out["depth"], torch.tensor([[9.0, t * math.sqrt(a)]]), atol=1e-4, rtol=0)


def test_a_steep_ray_meets_only_one_nappe_of_a_cone():
    shape = torch.tensor([0.25, -0.5, 0.25, -1.0]).unsqueeze(1)
    for sign in (1.0, -1.0):  # through the base at z = -1, up or down, a quarter off the axis
        o, d = torch.tensor([[0.25], [0.0], [-5.0 * sign]]), torch.tensor([[1e-3], [0.0], [sign]])
        near, far = solids.round_interval(o, d, shape)
        low, high = sorted((o[2] + t * d[2]).item() for t in (near, far))
        assert abs(low + 1) < 0.01 and abs(high - 0.5) < 0.02  # radius (1 - z) / 2 = 0.25 at z = 0.5


def test_the_shadow_of_a_ball_lies_opposite_the_sun():
    scene = one_part(False, (1.0, 0.0, -1.0, -1.0), half=(0.5, 0.5, 0.5), centre=(0.0, 0.0, 0.5))
    scene.eye = torch.tensor([[0.0, 0.0, 10.0]])  # from above: x is right, y is down in the image
    scene.view = torch.tensor([[[0.2, 0, 0], [0, 0.2, 0], [0, 0, -1.0]]])
    scene.sun = torch.tensor([[0.6, 0.0, 0.8]])
    image = trace.render(scene, 64)["images"][0, 0].float()
    floor = image[:4].mean()
    assert image[32, 20] < 0.75 * floor  # the shadow reaches from the ball to x = -0.375 - 0.5 / 0.8 ...
    # ... not further, and not to the sun
    assert abs(image[32, 12] - floor) < 2 and abs(image[32, 44] - floor) < 2


# --- toys ---


def test_every_toy_stands_on_the_floor_and_is_about_one_high():
    labels = torch.arange(10).repeat(20)
    parts, symmetry = build(labels, torch.rand(200, SHAPE_DRAWS, generator=torch.Generator().manual_seed(0)))
    none = torch.zeros(200, MAX_PARTS, 3)
    table = trace.Parts(
        parts["centre"], parts["rotation"], parts["half"], parts["shape"], parts["box"], none, none, none
    )
    z = outline(table)[..., 2].unflatten(1, (MAX_PARTS, -1))  # (200, P, Q)
    low = z.masked_fill(~parts["present"].unsqueeze(-1), 9).flatten(1).amin(1)
    high = z.masked_fill(~parts["present"].unsqueeze(-1), -9).flatten(1).amax(1)
    assert low.min() > -0.05 and low.max() < 0.05
    assert high.min() > 0.35 and high.max() < 2.1
    assert set(BUILDERS) == set(CLASSES) and parts["present"].sum(1).max() <= MAX_PARTS
    assert (symmetry[labels == CLASSES.index("lamp")] == 0).all()
    assert (symmetry[labels == CLASSES.index("car")] == 1).all()


@pytest.mark.parametrize(
    "name, turn",
    [("table", math.pi), ("dumbbell", math.pi), ("rocket", None), ("mushroom", None), ("lamp", 1.234)],
)
def test_symmetry_order_is_true(name, turn):
    """Turned by 2 pi / order, a toy fills the same pixels."""
    world = dataclasses.replace(WORLDS["toybox"], sun=(89.9, 89.9), roll=0.0)
    f = draw_factors(world, "test", 20)
    f["label"][:] = CLASSES.index(name)
    scene, extra = assemble(world, f)
    f["yaw"] = f["yaw"] + (turn or 2 * math.pi / extra["symmetry"])
    turned, _ = assemble(world, f)
    turned.view = scene.view
    a, b = (trace.render(single(s), 32)["depth"].float() for s in (scene, turned))
    assert ((a - b).abs() > 0.02).float().mean() < 0.004


# --- determinism ---


def test_limit_is_an_exact_prefix_on_any_chunking(forty, monkeypatch):
    monkeypatch.setattr(load, "CHUNK", 5 * 1024)
    monkeypatch.setattr(load, "BLOCK", 7)
    assert same(forty[:17], render_world("toybox", count=17))


def test_seeds_splits_and_worlds_differ():
    a = draw_factors(WORLDS["toybox"], "train", 10)["yaw"]
    for world, split, seed in (("toybox", "train", 1), ("toybox", "val", 0), ("toybox-natural", "train", 0)):
        assert not torch.equal(a, draw_factors(WORLDS[world], split, 10, seed)["yaw"])


FACTORS = "91e4f8583af9b26d"


def test_factors_are_golden():
    """Exact: uniforms are read from Philox row by row. Streams without transcendental functions only."""
    f = draw_factors(WORLDS["toybox"], "train", 50)
    drawn = torch.cat(
        [f[k].double().flatten() for k in ("label", "shape", "size", "light_strength", "floor_kind")]
    )
    assert hashlib.sha256(drawn.numpy().tobytes()).hexdigest()[:16] == FACTORS


def test_pixels_are_golden(forty):
    """Four block means of three images, up to what another CPU's rounding may change."""
    means = torch.nn.functional.avg_pool2d(forty.floats([0, 1, 2]), 16).flatten(1)[:, ::3]
    torch.testing.assert_close(means, torch.tensor(PIXELS), atol=0.004, rtol=0)


PIXELS = [
    [0.4017, 0.3865, 0.4746, 0.5467],
    [0.4838, 0.4505, 0.5367, 0.6381],
    [0.3834, 0.3589, 0.4989, 0.3555],
]


# --- factors ---


def test_labels_are_balanced_in_every_block_of_ten():
    labels = draw_factors(WORLDS["toybox"], "train", 1000)["label"].view(100, 10)
    assert torch.equal(labels.sort(1).values, torch.arange(10).expand(100, 10))
    assert not torch.equal(labels[0], labels[1])


def test_factors_are_independent_of_the_class_except_for_natural_colours():
    f = draw_factors(WORLDS["toybox"], "train", 4000)
    columns = torch.cat(
        [f[k].flatten(1)[:, :4] for k in f if k not in ("label", "present", "colour", "shape")], 1
    )
    knows = mutual_info_classif(columns.numpy(), f["label"].flatten().numpy(), n_neighbors=10, random_state=0)
    assert knows.max() < 0.05
    colour = f["colour"].flatten(1)
    assert mutual_info_classif(colour.numpy(), f["label"].flatten().numpy(), random_state=0).max() < 0.05
    natural = draw_factors(WORLDS["toybox-natural"], "train", 1000)
    hue = natural["hue"].flatten(1)
    assert mutual_info_classif(hue.numpy(), natural["label"].flatten().numpy(), random_state=0).max() > 0.5


def test_size_and_place_hold_in_the_image():
    """The visible box is as long and lies where the factors say, for every class."""
    s = render_world("toybox", "val", 100, size=64)
    x0, y0, x1, y1 = s.boxes[:, 0].unbind(1)
    side = torch.maximum(x1 - x0, y1 - y0) / 64
    assert (side - s.factors["size"]).abs().max() < 0.06
    centre = torch.stack([x0 + x1, y0 + y1], 1) / 64 - 1
    assert (centre - s.factors["place"]).abs().max() < 0.1


def test_above_has_no_preferred_rotation():
    f = draw_factors(WORLDS["toybox-above"], "train", 8000)
    for name in ("camera_roll", "light_azimuth", "yaw"):
        quarter = torch.histc(f[name].float(), 4, -math.pi, math.pi) / 8000
        assert (quarter - 0.25).abs().max() < 0.02
    assert (f["camera_elevation"] == math.pi / 2).all()
    turned = torch.tensor(trace.SUBSAMPLES) @ torch.tensor([[0.0, 1.0], [-1.0, 0.0]])
    assert {tuple(p) for p in turned.tolist()} == set(trace.SUBSAMPLES)


# --- masks, boxes, depth ---


def test_nothing_of_the_toy_lies_outside_its_mask():
    """Without light and floor, only pixels at the mask's edge or inside it are not black."""
    world = WORLDS["toybox"]
    scene = single(assemble(world, draw_factors(world, "test", 20))[0])
    scene.floor[:], scene.sky[:], scene.parts.colour[:] = 0, 0, 1
    out = trace.render(scene, 32)
    shines, mask = out["images"].amax(1) > 0, (out["instance"] > 0).float()
    grown = torch.nn.functional.max_pool2d(mask.unsqueeze(1), 3, 1, 1).squeeze(1) > 0
    shrunk = -torch.nn.functional.max_pool2d(-mask.unsqueeze(1), 3, 1, 1).squeeze(1) > 0
    assert not (shines & ~grown).any()
    assert shines[shrunk].all()


@pytest.mark.parametrize("name", ["toybox", "toybox-scenes"])
def test_boxes_classes_and_depth_agree_with_the_masks(name):
    s = render_world(name, "val", 12)
    instance, kind = s.masks["instance"], s.masks["class"]
    label = s.labels.unsqueeze(1) if s.labels is not None else s.factors["label"]
    for i in range(len(s)):
        for k in range(s.boxes.shape[1]):
            mine = instance[i] == k + 1
            if not mine.any():
                assert (s.boxes[i, k] == -1).all()
                continue
            y, x = mine.nonzero().unbind(1)
            assert s.boxes[i, k].tolist() == [x.min(), y.min(), x.max() + 1, y.max() + 1]
            assert (kind[i][mine] == label[i, k] + 1).all()
    assert ((kind == 0) == (instance == 0)).all()
    assert (s.depth > 0).all()
    if name == "toybox":  # a toy is in front of the floor that it hides
        world = WORLDS[name]
        scene = single(assemble(world, draw_factors(world, "val", 12))[0])
        scene.parts.instance[:] = 0
        bare = trace.render(scene, 32)["depth"]
        hidden = instance > 0
        assert (s.depth[hidden] <= bare[hidden] + 0.01).all() and torch.equal(s.depth[~hidden], bare[~hidden])


def test_scenes_hold_three_to_six_toys_apart_from_each_other():
    f = draw_factors(WORLDS["toybox-scenes"], "train", 300)
    count = f["present"].sum(1)
    assert count.min() >= 3 and count.max() == 6 and len(count.unique()) == 4
    place = f["place"][:, 0]
    both = f["present"].unsqueeze(1) & f["present"].unsqueeze(2) & ~torch.eye(6, dtype=torch.bool)
    assert torch.cdist(place, place)[both].min() > 1.1


def test_clips_move_and_keep_their_toys():
    s = render_world("toybox-video", count=3, size=32)
    assert s.images.shape == (3, 8, 3, 32, 32) and s.boxes.shape == (3, 8, 4, 4)
    assert s.masks["instance"].shape == (3, 8, 32, 32)
    assert s.factors["camera_azimuth"].shape == (3, 8) and s.factors["place"].shape == (3, 8, 4, 2)
    step = (s.images[:, 1:].float() - s.images[:, :-1].float()).abs().mean((2, 3, 4))
    assert (step > 0.3).all() and step.mean() < 30
    assert torch.equal(s.factors["hue"].isfinite(), torch.ones_like(s.factors["hue"]).bool())


def test_texture_has_no_toy_and_labels_its_kind():
    s = render_world("toybox-texture", count=12)
    assert not s.masks["instance"].any() and s.classes == tuple(PATTERNS)[1:]
    assert torch.equal(s.labels + 1, s.factors["floor_kind"])


def test_patches_are_noisy():
    quiet = dataclasses.replace(WORLDS["toybox-patches"], noise=0.0)
    a, b = (render_world(w, count=4).images.float() for w in (WORLDS["toybox-patches"], quiet))
    assert abs((a - b).std() / 255 - WORLDS["toybox-patches"].noise) < 0.003


# --- the cache ---


def test_cache_serves_prefixes_and_survives_corruption(cache, monkeypatch):
    first = load_toybox("toybox", limit=12)
    assert [len(s) for s in (first.train, first.val, first.test)] == [12, 12, 12]
    files = sorted(cache.glob("*"))
    assert len(files) == 3 and all(f.suffix == ".safetensors" for f in files)

    def never(*_):
        raise AssertionError("rendered although cached")

    with monkeypatch.context() as m:
        m.setattr(load, "render_split", never)
        assert same(load_toybox("toybox", limit=12).train, first.train)
        assert same(load_toybox("toybox", limit=5, splits=("train", "val", "test")).val, first.val[:5])
    for file in files:
        file.write_bytes(file.read_bytes()[:2000])
    assert same(load_toybox("toybox", limit=12).train, first.train)


def test_a_mended_renderer_renders_anew(cache, monkeypatch):
    load_toybox("toybox", limit=4)
    files, module, known = set(cache.glob("*")), "sslcourse.data.toybox.trace", sources.texts()
    for more, rendered in (("\n# a comment\n", 0), ("\nMENDED = True\n", 3)):
        text = known[module] + more
        monkeypatch.setattr(sources, "texts", lambda text=text: known | {module: text})
        load_toybox("toybox", limit=4)
        assert len(set(cache.glob("*")) - files) == rendered


@pytest.mark.parametrize("full", [False, True])
def test_without_a_cache_it_is_rendered_each_time_with_one_warning(tmp_path, monkeypatch, capsys, full):
    cached = load_toybox("toybox", limit=4)
    load.warn_once.cache_clear()

    def no_space(*_):
        raise SafetensorError("No space left on device")

    if full:
        monkeypatch.setenv("SSLCOURSE_CACHE", str(tmp_path / "full"))
        monkeypatch.setattr(load, "save_file", no_space)
    else:
        (tmp_path / "file").touch()
        monkeypatch.setenv("SSLCOURSE_CACHE", str(tmp_path / "file" / "below"))
    assert same(load_toybox("toybox", limit=4).train, cached.train)
    load_toybox("toybox", limit=4)
    said = capsys.readouterr().err.strip()
    assert said.count("warning") == 1 and "takes no files" in said and "set SSLCOURSE_CACHE" in said


def test_splits_left_out_are_empty():
    data = load_toybox("toybox", limit=3, splits=("val",))
    assert [len(s) for s in (data.train, data.val, data.test)] == [0, 3, 0]


@pytest.mark.parametrize("bad", [{"name": "toybx"}, {"size": 3}, {"limit": 0}])
def test_mistakes_are_named(bad):
    with pytest.raises(UserError):
        load_toybox(**bad)


@pytest.mark.parametrize(
    "name, size, counts",
    [
        ("toybox", 32, (10_000, 1_000, 2_000)),
        ("toybox-scenes", 64, (4_000, 300, 500)),
        ("toybox-video", 64, (800, 100, 100)),
    ],
)
def test_counts_are_those_of_the_contract(name, size, counts):
    assert WORLDS[name].size == size and WORLDS[name].counts == counts


def test_draws_are_prefixes():
    a, b = (Draw(WORLDS["toybox"], "train", n, 0) for n in (5, 9))
    assert torch.equal(a("x", 3), b("x", 3)[:5]) and torch.equal(a.balanced("y", 10), b.balanced("y", 10)[:5])
