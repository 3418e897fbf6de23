"""What holds for every view."""

import pytest
import torch

from sslcourse import views as V
from sslcourse.errors import UserError

VIEWS = {
    "crop": V.RandomResizedCrop(flip=0.5),
    "flip": V.HorizontalFlip(0.5),
    "shift": V.ShiftCrop(4),
    "jitter": V.ColourJitter(0.4, 0.4, 0.4, 0.1, p=0.8),
    "grey": V.Greyscale(0.5),
    "blur": V.GaussianBlur(0.5),
    "solarise": V.Solarise(0.5),
    "simclr": V.simclr_view(None, strength=1.0, blur=True),
    "simclr without colour": V.simclr_view(None, colour=False),
    "weak": V.weak_view(),
    "moco v1": V.moco_v1_view(None),
    "moco v2": V.moco_v2_view(None),
    "byol 1": V.byol_views(None)[0],
    "byol 2": V.byol_views(None)[1],
    "exemplar": V.ExemplarView(),
    "lens": V.Lens((0.0, 0.05), (0.0, 0.5)),
    "cutout": V.Cutout(0.5, p=0.8),
    "sobel": V.Sobel(0.5),
    "noise": V.GaussianNoise(0.2, p=0.8),
    "randaugment": V.RandAugment(2, 10),
    "strong": V.strong_view(),
}
THREADS = torch.get_num_threads()
NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
DEVICES = ["cpu", pytest.param("cuda", marks=NO_GPU)]


@pytest.fixture(params=VIEWS)
def view(request):
    return VIEWS[request.param]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("shape", [(1, 3, 32, 32), (5, 3, 64, 64), (3, 3, 24, 40)])
def test_shape_range_device_and_input_kept(view, shape, device):
    images = torch.rand(shape, device=device)
    images[0, :, :4] = 0
    images[0, :, 4:8] = 1
    before = images.clone()
    for _ in range(3):
        out = view(images)
        assert out.shape == images.shape and out.dtype == images.dtype and out.device == images.device
        assert out.min() >= 0 and out.max() <= 1 and out.isfinite().all()
        assert torch.equal(images, before)


@pytest.mark.parametrize("device", DEVICES)
def test_equal_images_get_different_views(view, device):
    image = torch.rand(1, 3, 32, 32, device=device)
    out = view(image.expand(32, -1, -1, -1), torch.Generator(device).manual_seed(0))
    assert len(torch.unique(out, dim=0)) > 1


@pytest.mark.parametrize("device", DEVICES)
def test_seeds_decide_everything(view, device):
    images = torch.rand(16, 3, 32, 32, device=device)
    a, b, c = (view(images, torch.Generator(device).manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(a, b) and not torch.equal(a, c)
    state = torch.random.get_rng_state()
    view(images, torch.Generator(device).manual_seed(1))
    assert torch.equal(state, torch.random.get_rng_state())  # a generator leaves the global one alone
    torch.manual_seed(3)
    first = view(images)
    torch.manual_seed(3)
    assert torch.equal(first, view(images))


@NO_GPU
def test_a_cpu_generator_gives_the_same_view_on_both_devices(view):
    images = torch.rand(16, 3, 32, 32)
    cpu, cuda = (view(images.to(d), torch.Generator().manual_seed(0)).cpu() for d in ("cpu", "cuda"))
    torch.testing.assert_close(cpu, cuda, atol=1e-4, rtol=0)


def test_chunks_and_threads_change_nothing(view, monkeypatch):
    images, outs = torch.rand(37, 3, 16, 16), []
    for chunk in (10**9, 5 * 3 * 16 * 16):
        monkeypatch.setattr("sslcourse.views.view.CHUNK", chunk)
        outs.append(view(images, torch.Generator().manual_seed(0)))
    torch.testing.assert_close(*outs, atol=1e-6, rtol=0)
    assert torch.get_num_threads() == THREADS


def test_views_carry_no_gradient_and_ignore_autocast(view):
    images = torch.rand(2, 3, 16, 16, requires_grad=True)
    plain = view(images, torch.Generator().manual_seed(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = view(images, torch.Generator().manual_seed(0))
    assert not plain.requires_grad and torch.equal(plain, cast)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_images_are_changed_in_full(view, dtype):
    images = torch.rand(8, 3, 40, 40).to(dtype)
    half, full = (view(x, torch.Generator().manual_seed(0)) for x in (images, images.float()))
    assert half.dtype == dtype and torch.equal(half, full.to(dtype))


@pytest.mark.parametrize(
    "images", [torch.rand(3, 8, 8), torch.rand(2, 1, 8, 8), torch.zeros(2, 3, 8, 8, dtype=torch.uint8)]
)
def test_wrong_images_are_named_in_one_line(images):
    with pytest.raises(UserError, match="ColourJitter wants images") as error:
        V.ColourJitter()(images)
    assert "\n" not in str(error.value)


def test_recipes_have_the_papers_parts():
    def kinds(recipe):
        return [type(v).__name__ for v in recipe.views]

    assert kinds(V.simclr_view()) == ["RandomResizedCrop", "ColourJitter", "Greyscale"]
    assert kinds(V.simclr_view(224, 1.0, blur=True)) == [
        "RandomResizedCrop",
        "ColourJitter",
        "Greyscale",
        "GaussianBlur",
    ]
    assert kinds(V.simclr_view(colour=False)) == ["RandomResizedCrop"]
    jitter = V.simclr_view(strength=0.5).views[1]
    assert (jitter.brightness, jitter.contrast, jitter.saturation) == (0.4, 0.4, 0.4)
    assert (jitter.hue, jitter.p) == (0.1, 0.8)
    first, second = V.byol_views(224)
    assert kinds(first)[-1] == "GaussianBlur" and first.views[-1].p == 1.0
    assert kinds(second)[-2:] == ["GaussianBlur", "Solarise"] and second.views[-1].p == 0.2
    assert V.simclr_view(flip=False).views[0].flip == 0
    crop, grid = V.obow_views(160, 256)
    assert kinds(crop)[1:] == ["ColourJitter", "Greyscale", "GaussianBlur"] and len(kinds(grid)) == 3
    assert (crop.views[0].scale, grid.views[0].scale) == ((0.08, 0.6), (0.6, 1.0))
    assert crop.views[0].flip == grid.views[0].flip == crop.views[-1].p == 0.5
    dino = V.dino_views(32, 16, n_local=6)
    assert [tuple(v.shape[2:]) for v in dino(torch.rand(2, 3, 40, 40))] == [(32, 32)] * 2 + [(16, 16)] * 6
    swav = V.swav_views(224, 96, n_local=3)
    assert [view.views[0].scale for view in swav.views] == [(0.14, 1.0)] * 2 + [(0.05, 0.14)] * 3
    assert all(kinds(view) == kinds(V.simclr_view(224, 1.0, blur=True)) for view in swav.views)
    jitter = swav.views[-1].views[1]
    assert (jitter.brightness, jitter.saturation, jitter.hue, jitter.p) == (0.8, 0.8, 0.2, 0.8)
    assert V.swav_views(strength=0.5, hue=0.4).views[0].views[1].hue == 0.4
    assert V.swav_views(strength=0.5).views[0].views[1].brightness == 0.4


def test_moco_v1_turns_grey_before_the_jitter(generator):
    """A red pixel then has the grey of red, 0.338, times a brightness of 0.6 to 1.4, and no hue's in between."""
    red = torch.tensor([0.9, 0.1, 0.1]).view(1, 3, 1, 1).expand(6000, 3, 4, 4)
    out = V.moco_v1_view(None)(red, generator)[:, :, 0, 0]
    grey = out[(out.amax(1) - out.amin(1)) < 1e-3, 0]
    assert len(grey) / 6000 == pytest.approx(0.2, abs=0.03)
    assert grey.mean().item() == pytest.approx(0.338, abs=0.01)
    assert grey.std().item() == pytest.approx(0.079, abs=0.006)
