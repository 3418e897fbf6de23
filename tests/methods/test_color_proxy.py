import colorsys
import math

import pytest
import torch

from sslcourse import evaluate, nets
from sslcourse.errors import UserError
from sslcourse.methods import ColorProxy
from sslcourse.methods.pretext.color_proxy import histograms, hue_chroma
from sslcourse.training.pretraining import pretrain
from sslcourse.training.run import Run


def make(**arguments):
    torch.manual_seed(0)
    encoder = nets.encoder("small", 16, width=4)
    method = ColorProxy(encoder, **{"size": 16, "bins": 8, "points": 16, "hidden": 8, **arguments})
    method.view = lambda images: images
    return method


def test_hue_is_that_of_the_standard_library():
    images = torch.rand(2, 3, 8, 8)
    hue, chroma = hue_chroma(images)
    for i in range(2):
        for y in range(8):
            for x in range(8):
                rgb = images[i, :, y, x].tolist()
                assert hue[i, y, x].item() == pytest.approx(colorsys.rgb_to_hsv(*rgb)[0], abs=1e-5)
                assert chroma[i, y, x].item() == pytest.approx(max(rgb) - min(rgb), abs=1e-6)


def test_pure_colours_and_greys():
    images = torch.tensor([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.4, 0.4, 0.4]]).view(4, 3, 1, 1)
    hue, chroma = hue_chroma(images)
    torch.testing.assert_close(hue.flatten(), torch.tensor([0, 1 / 3, 2 / 3, 0]))
    assert chroma.flatten().tolist() == [1, 1, 1, 0]


@pytest.mark.parametrize("weighted", [False, True])
def test_histograms_count_what_the_window_holds(weighted):
    values, weights = torch.rand(2, 9, 9), torch.rand(2, 9, 9)
    values[0, 0, 0] = 1.0
    found = histograms(values, 4, 5, weights if weighted else None)
    for y, x in ((0, 0), (4, 4), (8, 3)):
        expected = torch.zeros(4)
        for v in range(max(y - 2, 0), min(y + 3, 9)):
            for u in range(max(x - 2, 0), min(x + 3, 9)):
                expected[min(int(values[0, v, u] * 4), 3)] += weights[0, v, u] if weighted else 1
        torch.testing.assert_close(found[0, :, y, x], expected / expected.sum())


def test_loss_is_the_formula():
    """With uniform predictions KL is log(bins) less the entropy of the target; all points of one image."""
    method = make(points=4000).eval()
    torch.nn.init.zeros_(method.read.weight)
    torch.nn.init.zeros_(method.read.bias)
    images = torch.rand(1, 3, 16, 16)
    logged = method.loss(images)
    hue, chroma = hue_chroma(images)

    def divergence(h):
        return math.log(8) + torch.special.xlogy(h, h).sum(1)

    kl_chroma = divergence(histograms(chroma, 8, 7)).mean()
    kl_hue = (chroma * divergence(histograms(hue, 8, 7, chroma))).mean()
    assert logged["chroma"].item() == pytest.approx(kl_chroma.item(), rel=0.02)
    assert logged["hue"].item() == pytest.approx(kl_hue.item(), rel=0.02)
    torch.testing.assert_close(logged["loss"], logged["chroma"] + 5 * logged["hue"])


def test_targets_and_predictions_are_read_at_the_same_points():
    """One bright red pixel column: the chroma that a point is told is that of its own place."""
    method = make(window=1, points=500).eval()
    images = torch.full((1, 3, 16, 16), 0.5)
    images[:, 0, :, 8:] = 1.0
    asked = {}

    def predict(images, points):
        asked["x"] = points[0, :, 0]
        right = (points[..., :1] > 0).float() * 1000  # exactly one of two bins
        logits = torch.zeros(1, 500, 8)
        logits[..., 4:5], logits[..., :1] = right, 1000 - right
        return logits, torch.zeros(1, 500, 8)

    method.predict = predict
    assert method.loss(images)["chroma"].item() == pytest.approx(0, abs=1e-6)
    assert (asked["x"] > 0).any() and (asked["x"] < 0).any()


def test_grey_images_have_no_hue_to_learn():
    logged = make().loss(torch.rand(4, 1, 16, 16).expand(4, 3, 16, 16))
    assert logged["hue"] == 0 and logged["loss"] == logged["chroma"]


def test_what_is_kept_sees_the_mean_of_the_channels_only():
    method, images = make().eval(), torch.rand(4, 3, 16, 16)
    torch.testing.assert_close(method.features(images), method.features(images.flip(1)))
    assert not torch.allclose(method.features(images), method.features(images * 0.5))


def test_works_with_a_transformer():
    method = ColorProxy(nets.encoder("vit", 16, dim=24, depth=1), size=16)
    method.loss(torch.rand(2, 3, 16, 16))["loss"].backward()
    assert method.project.in_features == 24


def test_a_saved_run_has_the_same_features_and_its_score_a_like_baseline(tiny_data, tmp_path):
    run = pretrain("color_proxy", tiny_data, epochs=1, out=tmp_path, device="cpu")
    again, images = Run.load(tmp_path, "cpu"), tiny_data.val.floats()
    torch.testing.assert_close(again.encoder(images), run.encoder(images))
    score = evaluate.knn(again.encoder, tiny_data, device="cpu")
    bare = evaluate.knn(nets.random_like(run.encoder), tiny_data, beside_random=False, device="cpu")
    assert score.random == bare.value


def test_a_window_has_a_middle():
    with pytest.raises(UserError, match="use an odd number"):
        make(window=6)
