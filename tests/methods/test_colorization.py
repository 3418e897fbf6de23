import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from sslcourse import evaluate, nets
from sslcourse.data.images import Data, ImageSet
from sslcourse.methods import Colorization
from sslcourse.methods.parts.gamut import rebalancing
from sslcourse.training.pretraining import pretrain
from sslcourse.training.run import Run
from sslcourse.views import rgb_to_lab


def make(encoder=None, **arguments):
    torch.manual_seed(0)
    encoder = encoder or nets.encoder("small", 16, width=4)
    method = Colorization(encoder, **{"size": 16, "step": 20, **arguments})
    method.view = lambda images: images
    return method


def plain(colour, n=8):
    images = torch.tensor(colour, dtype=torch.uint8).view(1, 3, 1, 1).expand(n, 3, 16, 16)
    return ImageSet(images.contiguous())


def naive(method, images):
    """The formula, one place at a time."""
    logits, lab, total, places = method.predict(images), rgb_to_lab(images), 0.0, 0
    centres = method.gamut.centres.tolist()
    s = method.stride
    for i in range(len(images)):
        for y in range(16 // s):
            for x in range(16 // s):
                a, b = lab[i, 1:, s * y : s * y + s, s * x : s * x + s].mean((1, 2)).tolist()
                d = [math.dist((a, b), c) for c in centres]
                nearest = sorted(range(len(d)), key=d.__getitem__)[: method.neighbours]
                z = {q: math.exp(-(d[q] ** 2) / (2 * method.sigma**2)) for q in nearest}
                log_p = logits[i, :, y, x].double().log_softmax(0)
                v = method.w[nearest[0]].item() if method.rebalance else 1.0
                total -= v * sum(weight * log_p[q].item() for q, weight in z.items()) / sum(z.values())
                places += 1
    return total / places


@pytest.mark.parametrize("rebalance", [True, False])
@pytest.mark.parametrize("stride", [2, 4])
def test_loss_is_the_formula(rebalance, stride):
    method = make(rebalance=rebalance, stride=stride, sigma=10.0).eval()
    images = torch.rand(2, 3, 16, 16)
    method.w.copy_(torch.rand(len(method.w)) + 0.5)
    logged = method.loss(images)
    assert logged["loss"].item() == pytest.approx(naive(method, images), rel=1e-4)
    method.rebalance = False
    assert logged["cross_entropy"].item() == pytest.approx(naive(method, images), rel=1e-4)


def test_chance_is_the_log_of_the_number_of_bins():
    method = make(step=10)
    torch.nn.init.zeros_(method.classifier.read.weight)
    torch.nn.init.zeros_(method.classifier.read.bias)
    assert method.loss(torch.rand(8, 3, 16, 16))["cross_entropy"].item() == pytest.approx(
        math.log(306), abs=1e-4
    )


def test_what_is_kept_sees_lightness_only():
    method = make().eval()
    images = torch.rand(4, 3, 16, 16) * 0.4 + 0.3
    method.gamut.annealed_mean = lambda logits, T: 10 * torch.randn(4, 2, 4, 4)
    recoloured = method.colourise(images)
    assert (recoloured - images).abs().mean() > 0.02
    torch.testing.assert_close(method.features(recoloured), method.features(images), atol=1e-3, rtol=1e-3)


def test_colours_come_from_the_net_and_lightness_from_the_image():
    method, images = make().eval(), torch.rand(4, 3, 16, 16) * 0.4 + 0.3
    red = method.gamut.nearest(torch.tensor([20.0, 0.0]).view(1, 2, 1, 1)).item()
    torch.nn.init.zeros_(method.classifier.read.weight)
    method.classifier.read.bias.data.fill_(-50)[red] = 50
    for T in (0, 0.38, 1):
        L, a, b = rgb_to_lab(method.colourise(images, T)).unbind(1)
        torch.testing.assert_close(L, rgb_to_lab(images)[:, 0], atol=1e-2, rtol=0)
        assert (a - 20).abs().max() < 0.1 and b.abs().max() < 0.1


def test_frequencies_come_from_the_training_images_alone():
    method = make()
    red, blue = plain((255, 0, 0)), plain((0, 0, 255))
    method.prepare(Data("red", red, blue, blue))
    bin_of = {
        name: method.gamut.nearest(method.colours(part.floats()))[0, 0, 0]
        for name, part in (("red", red), ("blue", blue))
    }
    assert method.p.argmax() == bin_of["red"] and method.p[bin_of["blue"]] < 1e-6
    assert method.w.argmin() == bin_of["red"]
    assert (method.p * method.w).sum().item() == pytest.approx(1, abs=1e-5)
    torch.testing.assert_close(method.w, rebalancing(method.p, 0.5))


def test_grey_images_count_for_nothing():
    method = make().eval()
    grey, coloured = torch.rand(3, 1, 16, 16).expand(3, 3, 16, 16), torch.rand(2, 3, 16, 16)
    coloured[:, 0] = 1.0
    alone, together = method.loss(coloured), method.loss(torch.cat([coloured, grey]))
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
    assert method.loss(grey)["loss"] == 0


@pytest.mark.parametrize(("name", "arguments"), [("vit", {"dim": 24, "depth": 1}), ("resnet18", {})])
def test_works_with_other_encoders(name, arguments):
    method = make(nets.encoder(name, 16, **arguments))
    assert method.predict(torch.rand(2, 3, 16, 16)).shape == (2, 99, 4, 4)
    method.loss(torch.rand(2, 3, 16, 16))["loss"].backward()


def test_a_saved_run_has_the_same_colours_and_its_score_a_like_baseline(tiny_data, tmp_path):
    run = pretrain("colorization", tiny_data, epochs=1, out=tmp_path, device="cpu")
    again, images = Run.load(tmp_path, "cpu"), tiny_data.val.floats()
    torch.testing.assert_close(again.method.colourise(images), run.method.colourise(images))
    assert torch.equal(again.method.w, run.method.w) and run.method.w.std() > 0
    score = evaluate.knn(again.encoder, tiny_data, device="cpu")
    bare = evaluate.knn(nets.random_like(run.encoder), tiny_data, beside_random=False, device="cpu")
    assert score.random == bare.value and run.encoder.spec["channels"] == "L"


def test_learns_to_predict_a_colour_that_follows_from_lightness(tiny_data):
    """Dark images are blue, bright ones yellow."""
    bright = (torch.arange(96) % 2)[:, None, None, None]
    colour = torch.tensor([[20, 20, 110], [220, 200, 40]])[bright[:, 0, 0, 0]][:, :, None, None]
    images = (colour + torch.randint(-8, 9, (96, 1, 16, 16))).to(torch.uint8)
    part = ImageSet(images)
    run = pretrain("colorization", replace(tiny_data, train=part, val=part), epochs=25, device="cpu")
    error = F.l1_loss(run.method.colourise(part.floats(), T=0.38), part.floats())
    assert error < 0.1
