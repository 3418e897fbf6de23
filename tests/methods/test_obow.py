"""OBoW: its loss and gradients against loops, and the order in which teacher, words and student move."""

import math

import pytest
import torch
from torch.nn import functional as F

from sslcourse import nets
from sslcourse.errors import UserError
from sslcourse.methods import OBoW
from sslcourse.training.pretraining import pretrain
from sslcourse.training.recipes import Recipe


def make(encoder=None, **arguments) -> OBoW:
    torch.manual_seed(0)
    encoder = encoder or nets.encoder("small", 32, width=4, stem_stride=2)
    return OBoW(encoder, **{"words": 5, "inv_delta": 10.0, "kappa": 5.0, **arguments})


@pytest.mark.parametrize("levels", [1, 2])
def test_loss_and_gradients_are_those_of_loops(levels):
    method, images = make(levels=levels).double(), torch.rand(3, 3, 32, 32, dtype=torch.float64)
    crops, patches = (
        torch.rand(6, 3, 24, 24, dtype=torch.float64),
        torch.rand(9, 3, 16, 16, dtype=torch.float64),
    )
    method.views, method.weak = (lambda _: [crops, patches]), (lambda x: x.flip(3))
    for vocabulary in method.vocabulary.values():
        vocabulary.decay = 1.0  # mu stays
    loss = method.loss(images)["loss"]
    loss.backward()
    weights = [method.encoder.stem[0].weight, method.generator["stage3"].layers[0].weight]

    maps = list(method.teacher.layers(images.flip(3)).items())[-levels:]
    expected = torch.zeros((), dtype=torch.float64)
    for views in (crops, patches):
        f = method.encoder(views)
        for name, x in maps:
            vocabulary, G = method.vocabulary[name], method.generator[name].layers
            hidden = F.normalize(vocabulary.words, dim=1) @ G[0].weight.T
            spread = (hidden.var(0, unbiased=False) + 1e-5).sqrt()
            hidden = ((hidden - hidden.mean(0)) / spread * G[1].weight + G[1].bias).clamp(min=0)
            W = hidden @ G[3].weight.T + G[3].bias
            y = vocabulary.bag(x)
            for i, row in enumerate(f):
                logits = [5.0 * (row @ w) / w.norm() for w in W]
                normaliser = sum(torch.exp(logit) for logit in logits)
                for k, logit in enumerate(logits):  # view after view: i % 3 is the image
                    share = y[i % 3, k] / (len(f) * levels)
                    expected = expected - share * torch.log(torch.exp(logit) / normaliser)
    assert loss.item() == pytest.approx(expected.item(), abs=1e-9)
    for weight, gradient in zip(weights, torch.autograd.grad(expected, weights), strict=True):
        torch.testing.assert_close(weight.grad, gradient, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(("patches", "parts"), [(0, 1), (2, 2)])
def test_a_student_that_knows_nothing_costs_log_k_for_each_kind_of_part(patches, parts):
    logged = make(kappa=0.0, patches=patches, words=64).loss(torch.rand(8, 3, 32, 32))
    assert logged["loss"].item() == pytest.approx(parts * math.log(64), abs=1e-5)
    assert 0 < logged["kl"] < logged["loss"] and 1 <= logged["perplexity_stage3"] <= 64


def test_the_teacher_moves_before_its_targets_and_once_in_a_step():
    method, images = make(momentum=0.6), torch.rand(4, 3, 32, 32)
    psi, theta = (net.stem[0].weight for net in (method.teacher, method.encoder))
    seen, layers = [], method.teacher.layers
    method.teacher.layers = lambda x: seen.append(psi.clone()) or layers(x)
    for progress, alpha in ((0.0, 0.6), (0.5, 0.8), (1.0, 1.0)):
        psi.zero_()
        method.progress = progress
        for _ in range(2):  # micro-batches
            method.loss(images)
            torch.testing.assert_close(seen[-1], (1 - alpha) * theta.detach())
        method.after_step()
    psi.zero_()
    method.eval().loss(images)
    assert not psi.any() and not method.fresh


def test_words_change_after_the_step_by_one_of_each_image():
    method, images = make(words=12), torch.rand(4, 3, 32, 32)
    before = {name: v.words.clone() for name, v in method.vocabulary.items()}
    method.loss(images)
    method.loss(images)
    assert all(torch.equal(v.words, before[name]) for name, v in method.vocabulary.items())
    drawn = [words for name, words in method.fresh if name == "stage2"]
    method.after_step()
    words = method.vocabulary["stage2"].words
    assert torch.equal(words[:8], torch.cat(drawn)) and torch.equal(words[8:], before["stage2"][8:])
    assert not method.fresh


def test_levels_are_the_last_ones():
    assert list(make().vocabulary) == list(make().generator) == ["stage2", "stage3"]
    assert list(make(levels=1).vocabulary) == ["stage3"]
    for wrong in ({"levels": 0}, {"levels": 5}, {"crops": 0}):
        with pytest.raises(UserError, match="use 1 to 4 levels"):
            make(**wrong)


def test_parts_have_the_papers_sizes_and_one_view_comes_after_the_other():
    crops, patches = make(nets.encoder("small", 224, width=4)).views(torch.rand(2, 3, 224, 224))
    assert crops.shape == (4, 3, 160, 160) and patches.shape == (10, 3, 96, 96)
    dark = torch.cat([torch.zeros(1, 3, 32, 32), torch.ones(1, 3, 32, 32)])
    for views in make().views(dark):
        assert [bool(x.mean() > 0.3) for x in views] == [False, True] * (len(views) // 2)
    assert len(make(patches=0).views(dark)) == 1


def test_a_transformer_learns_too():
    vit = nets.encoder("vit", 32, patch=4, dim=24, depth=2, heads=2)
    method = make(vit, crop=0.75, patch=0.5)
    assert list(method.vocabulary) == ["block1", "block2"]
    method.loss(torch.rand(4, 3, 32, 32))["loss"].backward()


def test_resumed_equals_uninterrupted_bit_for_bit(tiny_data, tmp_path):
    """Also words, mu and the teacher."""
    recipe = Recipe(
        encoder_arguments={"width": 4}, epochs=3, batch=32, lr=0.05, warmup=0, arguments={"words": 40}
    )
    whole = pretrain("obow", tiny_data, recipe=recipe, device="cpu")

    def stop(run):
        if len(run.history) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pretrain("obow", tiny_data, recipe=recipe, out=tmp_path, device="cpu", on_epoch=stop)
    again = pretrain("obow", tiny_data, recipe=recipe, out=tmp_path, device="cpu")
    for name, value in whole.method.state_dict().items():
        assert torch.equal(value, again.method.state_dict()[name]), name
    assert whole.method.vocabulary["stage3"].mu != 0.5
