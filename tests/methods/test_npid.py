import math

import pytest
import torch
from torch.nn import functional as F

from sslcourse import nets
from sslcourse.methods import InstanceDiscrimination
from sslcourse.training.pretraining import pretrain
from sslcourse.training.recipes import Recipe


def made(**arguments) -> InstanceDiscrimination:
    torch.manual_seed(0)
    method = InstanceDiscrimination(
        nets.encoder("small", 16, width=4), **{"images": 40, "dim": 8, "temperature": 0.5, **arguments}
    ).double()
    method.view = lambda images: images
    return method


def embeddings(count: int = 5) -> torch.Tensor:
    """Unit vectors (count, 8), as leaves."""
    f = torch.randn(count, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return F.normalize(f, dim=1).requires_grad_()


INDEX = torch.tensor([0, 7, 39, 12, 13])


def test_softmax_is_the_formula():
    method, f = made(), embeddings()
    total = 0.0
    for v, i in zip(f.tolist(), INDEX.tolist(), strict=True):
        e = [
            math.exp(sum(a * b for a, b in zip(v, row, strict=True)) / 0.5)
            for row in method.bank.rows.tolist()
        ]
        total -= math.log(e[i] / sum(e)) / 5
    assert method.softmax(f, INDEX)[0].item() == pytest.approx(total, abs=1e-10)


def test_nce_is_the_formula():
    """h computed as it is written, one sample at a time."""
    method, f = made(negatives=6), embeddings()
    noise = torch.tensor([1, 1, 5, 39, 22, 30])
    method.bank.draw = lambda count: noise[:count]
    v = method.bank.rows
    ours = method.nce(f, INDEX)[0]

    def odds(k, b):
        return (v[k] @ f[b] / 0.5).exp()

    Z = 40 * sum(odds(k, b) for b in range(5) for k in [INDEX[b], *noise]).detach() / (5 * 7)
    torch.testing.assert_close(method.Z, Z)
    h = lambda k, b: (odds(k, b) / Z) / (odds(k, b) / Z + 6 / 40)  # noqa: E731
    theirs = -sum(h(INDEX[b], b).log() + sum((1 - h(k, b)).log() for k in noise) for b in range(5)) / 5
    torch.testing.assert_close(ours, theirs, atol=1e-10, rtol=0)
    torch.testing.assert_close(
        *(torch.autograd.grad(loss, f, retain_graph=True)[0] for loss in (ours, theirs))
    )


@pytest.mark.parametrize("m", [1, 16, 100])
def test_nce_of_a_bank_of_equals(m):
    """Then P = 1/n for every image: L = log(1 + m) + m log(1 + 1/m)."""
    method, f = made(negatives=m), embeddings()
    method.bank.rows.copy_(method.bank.rows[:1].expand(40, 8))
    loss = method.nce(f[:1], INDEX[:1])[0]
    assert loss.item() == pytest.approx(math.log(1 + m) + m * math.log(1 + 1 / m), abs=1e-9)


def test_much_noise_and_the_true_normaliser_give_the_gradient_of_the_softmax():
    method, f = made(negatives=200_000), embeddings(1)
    P = (f @ method.bank.rows.T / 0.5).exp()
    method.Z.copy_(P.sum())
    torch.testing.assert_close((P / method.Z).sum().item(), 1.0)
    nce, exact = (torch.autograd.grad(loss(f, INDEX[:1])[0], f)[0] for loss in (method.nce, method.softmax))
    torch.testing.assert_close(nce, exact, atol=0.02, rtol=0)


def test_at_the_start_the_softmax_costs_about_log_n():
    method = made(images=500, temperature=1.0)
    assert method.softmax(embeddings(), INDEX)[0].item() == pytest.approx(math.log(500), abs=0.5)


def test_the_normaliser_is_estimated_once_and_saved():
    method, images = made(negatives=6), torch.rand(5, 3, 16, 16, dtype=torch.float64)
    assert method.Z == 0
    method.loss(images, INDEX)
    first = method.Z.clone()
    assert first > 0
    method.loss(1 - images, INDEX.flip(0))
    assert torch.equal(method.Z, first)
    again = made(negatives=6)
    again.load_state_dict(method.state_dict())
    again.loss(1 - images, INDEX)
    assert torch.equal(again.Z, first)
    again.refresh_Z = True
    again.loss(1 - images, INDEX)
    assert not torch.equal(again.Z, first)


def test_the_bank_changes_after_the_step_and_in_its_rows_only():
    method, images = made(negatives=0, momentum=0.25), torch.rand(5, 3, 16, 16, dtype=torch.float64)
    before = method.bank.rows.clone()
    f = method.embed(images).detach()
    logged = method(images, index=INDEX)
    assert torch.equal(method.bank.rows, before) and not method.bank.rows.requires_grad
    logged["loss"].backward()
    method.after_step()
    torch.testing.assert_close(method.bank.rows[INDEX], F.normalize(0.25 * before[INDEX] + 0.75 * f, dim=1))
    others = [i for i in range(40) if i not in INDEX.tolist()]
    assert torch.equal(method.bank.rows[others], before[others])
    now = method.bank.rows.clone()
    method.after_step()
    assert torch.equal(method.bank.rows, now)  # what was seen counts once


def test_looking_without_training_leaves_no_trace_in_the_bank():
    method = made(negatives=0).eval()
    before = method.bank.rows.clone()
    method.loss(torch.rand(5, 3, 16, 16, dtype=torch.float64), INDEX)
    method.after_step()
    assert torch.equal(method.bank.rows, before)


def test_the_proximal_term_pulls_towards_what_is_remembered():
    images = torch.rand(5, 3, 16, 16, dtype=torch.float64)
    plain, near = made(negatives=0), made(negatives=0, proximal=30.0)
    distance = (plain.embed(images) - plain.bank.rows[INDEX]).square().sum(1).mean()
    a, b = (method.loss(images, INDEX)["loss"] for method in (plain, near))
    torch.testing.assert_close(b - a, 30 * distance)


def test_nothing_that_is_learned_grows_with_the_images():
    sizes = [sum(p.numel() for p in made(images=n).parameters()) for n in (40, 4000)]
    assert sizes[0] == sizes[1]
    assert made(images=4000).bank.rows.shape == (4000, 8)


def test_a_run_goes_on_with_its_bank_and_normaliser(tiny_data, tmp_path):
    recipe = Recipe(
        encoder_arguments={"width": 4}, arguments={"negatives": 16}, epochs=2, batch=32, lr=0.01, warmup=0
    )
    whole = pretrain("npid", tiny_data, recipe=recipe, device="cpu")

    class Stop(Exception):
        pass

    def stop(run):
        if len(run.history) == 2:
            raise Stop

    with pytest.raises(Stop):  # after the first epoch is saved
        pretrain("npid", tiny_data, recipe=recipe, out=tmp_path, device="cpu", on_epoch=stop)
    resumed = pretrain("npid", tiny_data, recipe=recipe, out=tmp_path, device="cpu")
    assert resumed.method.Z > 0
    for name, value in whole.method.state_dict().items():
        assert torch.equal(value, resumed.method.state_dict()[name]), name
