import math

import pytest
import torch
from torch.nn import functional as F

from sslcourse import evaluate, nets
from sslcourse.errors import UserError
from sslcourse.methods import SplitBrain
from sslcourse.methods.pretext.split_brain import TASKS
from sslcourse.training.pretraining import pretrain
from sslcourse.training.run import Run
from sslcourse.views import lab_to_rgb, rgb_to_lab


def make(name="small", arguments=None, **method_arguments):
    torch.manual_seed(0)
    encoder = nets.encoder(name, 16, **({"width": 8} if arguments is None else arguments))
    method = SplitBrain(encoder, **{"size": 16, "step": 20, **method_arguments})
    method.view = lambda images: images
    return method


def test_halves_never_see_each_others_input():
    method = make().double().eval()
    images = (0.3 + 0.4 * torch.rand(2, 3, 16, 16)).double()
    lab = rgb_to_lab(images).requires_grad_()
    logits = method.predict(lab_to_rgb(lab))
    for told, own in (("ab", [0]), ("L", [1, 2])):
        gradient = (
            torch.autograd.grad(logits[told].square().sum(), lab, retain_graph=True)[0].abs().mean((0, 2, 3))
        )
        for i in range(3):
            assert gradient[i] > 1e-6 if i in own else gradient[i] < 1e-12
    width = method.encoder.dim // 2
    features = method.features(lab_to_rgb(lab))
    for half, own in ((features[:, :width], [0]), (features[:, width:], [1, 2])):
        gradient = torch.autograd.grad(half.square().sum(), lab, retain_graph=True)[0].abs().mean((0, 2, 3))
        assert all((gradient[i] > 1e-6) == (i in own) for i in range(3))


def test_the_loss_of_one_half_teaches_that_half_alone():
    method, images = make(), torch.rand(4, 3, 16, 16)
    F.cross_entropy(method.predict(images)["ab"], method.targets(images)["ab"]).backward()
    first, second = method.encoder.parts
    assert all(p.grad is not None for p in first.parameters())
    assert all(p.grad is None for p in second.parameters())


def test_halves_keep_the_number_of_features():
    method = make(arguments={"width": 16})
    assert method.kept.dim == nets.encoder("small", 16, width=16).dim == 64
    assert [part.channels for part in method.kept.parts] == ["L", "ab"]
    assert [part.encoder.spec["width"] for part in method.kept.parts] == [8, 8]


@pytest.mark.parametrize(("name", "arguments"), [("vit", {"dim": 24, "depth": 1}), ("resnet18", {})])
def test_networks_without_a_width_come_twice(name, arguments):
    method = make(name, arguments)
    assert method.kept.dim == 2 * nets.encoder(name, 16, **arguments).dim
    assert {told: x.shape for told, x in method.predict(torch.rand(2, 3, 16, 16)).items()} == {
        "ab": (2, 99, 4, 4), "L": (2, 50, 4, 4),
    }  # fmt: skip


def test_loss_is_the_sum_of_two_cross_entropies_to_the_nearest_bins():
    method, images = make().eval(), torch.rand(2, 3, 16, 16)
    logits, lab = method.predict(images), rgb_to_lab(images)
    total = 0.0
    for i in range(2):
        for y in range(4):
            for x in range(4):
                L, a, b = lab[i, :, 4 * y : 4 * y + 4, 4 * x : 4 * x + 4].mean((1, 2)).tolist()
                q = min(range(99), key=lambda q: math.dist((a, b), method.gamut.centres[q].tolist()))
                total -= (
                    logits["ab"][i, :, y, x].log_softmax(0)[q]
                    + logits["L"][i, :, y, x].log_softmax(0)[int(L // 2)]
                )
    assert method.loss(images)["loss"].item() == pytest.approx(total.item() / 32, rel=1e-5)


def test_lightness_has_fifty_bins_of_two():
    method = make()
    for grey, expected in ((0.0, 0), (1.0, 49)):
        assert (method.targets(torch.full((1, 3, 16, 16), grey))["L"] == expected).all()
    L = (
        torch.tensor([0.5, 1.9, 2.1, 51.0, 99.0]).view(5, 1, 1, 1).expand(5, 1, 16, 16)
    )  # (5,) -> (5, 1, H, W)
    images = lab_to_rgb(torch.cat([L, torch.zeros(5, 2, 16, 16)], 1))
    assert method.targets(images)["L"][:, 0, 0].tolist() == [0, 0, 1, 25, 49]


def test_chance_is_the_sum_of_the_logs():
    method = make(step=10)
    for classifiers in method.classifiers:
        for classifier in classifiers.values():
            torch.nn.init.zeros_(classifier.read.weight)
            torch.nn.init.zeros_(classifier.read.bias)
    loss = method.loss(torch.rand(8, 3, 16, 16))["loss"].item()
    assert loss == pytest.approx(math.log(306) + math.log(50), abs=1e-4)


@pytest.mark.parametrize("task", TASKS)
def test_every_control_learns_and_is_built_again(task):
    method = make(task=task)
    method.loss(torch.rand(4, 3, 16, 16))["loss"].backward()
    assert all(p.grad is not None for p in method.parameters())
    assert set(method.predict(torch.rand(2, 3, 16, 16))) == {
        told for tolds in TASKS[task].values() for told in tolds
    }
    assert method.kept.dim == (32 if len(TASKS[task]) == 2 or task == "auto" else 16)
    again = SplitBrain(nets.encoder(**method.encoder.spec), **method.arguments())
    again.load_state_dict(method.state_dict())


def test_a_saved_run_has_the_same_features_and_its_score_a_like_baseline(tiny_data, tmp_path):
    run = pretrain("split_brain", tiny_data, epochs=1, out=tmp_path, device="cpu")
    again, images = Run.load(tmp_path, "cpu"), tiny_data.val.floats()
    torch.testing.assert_close(again.encoder(images), run.encoder(images))
    score = evaluate.knn(again.encoder, tiny_data, device="cpu")
    bare = evaluate.knn(nets.random_like(run.encoder), tiny_data, beside_random=False, device="cpu")
    assert score.random == bare.value
    assert evaluate.knn(run.encoder.parts[1], tiny_data, device="cpu").value > 0


def test_refuses_what_it_cannot_halve():
    with pytest.raises(UserError, match="no task 'both'"):
        make(task="both")
    with pytest.raises(UserError, match="makes its halves"):
        SplitBrain(make().encoder, size=16, task="auto")
    bare = nets.SmallResNet(width=8)
    with pytest.raises(UserError, match="makes its halves"):
        SplitBrain(bare, size=16)
