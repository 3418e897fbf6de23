"""Lesson 05: instance discrimination. Its temperature, its negatives, the background, and how few labels CPC needs."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sslcourse import evaluate, load, nets, training
from sslcourse.data.images import Data, ImageSet
from sslcourse.data.toybox import WORLDS
from sslcourse.data.toybox.load import BLOCK, render_block, workers
from sslcourse.data.toybox.world import Draw, draw_factors
from sslcourse.evaluate.linear import L2, predict
from sslcourse.methods.contrastive.npid import InstanceDiscrimination
from sslcourse.studies import table, trained
from sslcourse.training import recipes

TEMPERATURES = (0.02, 0.07, 0.2, 1.0)
NEGATIVES = (0, 64, 256)  # 0: the exact softmax
TRIPLET_EPOCHS = 2
FRACTIONS = (0.01, 0.02, 0.05, 0.1)
TUNED = (0.01, 0.1)  # the shares of the talk's table


class OracleDiscrimination(InstanceDiscrimination):
    """NPID for which images of the same class are no negatives: an oracle tells it the labels of data.train."""

    name = "npid with an oracle"
    uses_labels = True

    def prepare(self, data: Data) -> None:
        self.classes = data.train.labels.to(self.bank.rows.device)

    def softmax(self, f: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        same = self.classes[index][:, None] == self.classes  # (B, n)
        same.scatter_(1, index[:, None], False)
        logits = (f @ self.bank.rows.T / self.temperature).masked_fill(same, -torch.inf)
        return F.cross_entropy(logits, index), (logits.argmax(1) == index).float().mean()


def on_floors(toys: Tensor, floors: Tensor, split: str = "test", world: str = "toybox") -> Tensor:
    """The toys of rows `toys` (N,) of a split, with their light, on the floors of rows `floors` (N,), drawn
    anew: images (N, 3, S, S) uint8. Equal rows give the images of the data set."""
    known = WORLDS[world]
    count = int(torch.maximum(toys, floors).max()) + 1
    drawn, blocks = draw_factors(known, split, count), []
    f = {name: v[floors if name.startswith(("floor", "dapple")) else toys] for name, v in drawn.items()}
    with workers() as pool:
        for start in range(0, len(toys), BLOCK):
            part = {name: v[start : start + BLOCK] for name, v in f.items()}
            draw = Draw(known, split, count, 0)
            blocks.append(render_block(known, part, known.size, pool, draw, start)["images"])
    return torch.cat(blocks)


def strangers(count: int, seed: int) -> Tensor:
    """A permutation (count,) that leaves nothing in its place: every toy goes to another's floor."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    return torch.empty_like(order).scatter_(0, order, order.roll(1))


def at_home(labels: Tensor, hue: Tensor, classes: int, width: float = 0.2) -> Tensor:
    """Whether a floor of this hue is at home with a class: each class has its arc of the colour wheel, (N,) bool."""
    return (hue - labels / classes) % 1 < width


def assigned_floors(labels: Tensor, hue: Tensor, classes: int, home: bool, seed: int) -> Tensor:
    """For every label (N,) the row of a floor, drawn from the N with these hues: at home with the class, or not."""
    generator, floors = torch.Generator().manual_seed(seed), torch.empty_like(labels)
    for c in range(classes):
        mine = (labels == c).nonzero()[:, 0]
        fit = (at_home(torch.full_like(labels, c), hue, classes) == home).nonzero()[:, 0]
        floors[mine] = fit[torch.randint(len(fit), (len(mine),), generator=generator)]
    return floors


def follows_the_toy(encoder: nn.Module, data: Data, swapped: Tensor, floors: Tensor) -> float:
    """How often an image is more like its own toy on another floor than like another toy on its own floor.

    swapped: the test toys on the floors of rows `floors` (N,), a permutation; so floor i is under toy `other[i]`.
    """
    other = floors.argsort()
    alone, moved = (F.normalize(evaluate.extract(encoder, x), dim=1) for x in (data.test, ImageSet(swapped)))
    return ((alone * moved).sum(1) > (alone * moved[other]).sum(1)).float().mean().item()


def probes(encoder: nn.Module, data: Data, tests: dict[str, Tensor]) -> dict[str, float]:
    """One linear probe, fitted on data.train and chosen on data.val, on several sets of images of data.test's toys."""
    sets = [data.train, data.val, *map(ImageSet, tests.values())]
    fit, val, *seen = evaluate.standardise(*(evaluate.extract(encoder, part) for part in sets))
    labels = data.train.labels.to(fit.device)
    weights, bias = evaluate.fit_logistic(fit, labels, len(data.classes), torch.tensor(L2))
    right = predict(val, weights, bias) == data.val.labels.to(fit.device)  # (l2, N)
    best = int(right.float().mean(1).argmax())
    answers = data.test.labels.to(fit.device)
    guesses = (predict(x, weights[best : best + 1], bias[best : best + 1])[0] for x in seen)
    return {
        name: (guess == answers).float().mean().item() for name, guess in zip(tests, guesses, strict=True)
    }


def backgrounds(encoders: dict[str, nn.Module], data: Data, seed: int):
    """Rows of what encoders make of the floor: see the functions above."""
    N, C, labels, hue = (
        len(data.test),
        len(data.classes),
        data.test.labels.cpu(),
        data.test.factors["floor_hue"].cpu(),
    )
    floors, toys = strangers(N, seed), torch.arange(N)
    swapped = on_floors(toys, floors)
    ordinary = {"ordinary": data.test.images, "swapped": swapped}
    places = {
        name: on_floors(toys, assigned_floors(labels, hue, C, home, seed))
        for name, home in (("home", True), ("away", False))
    }
    tied = replace(
        data,
        **{
            name: part[at_home(part.labels, part.factors["floor_hue"], C)]
            for name, part in (("train", data.train), ("val", data.val))
        },
    )
    for name, encoder in encoders.items():
        scores = probes(encoder, data, ordinary) | probes(encoder, tied, places)
        scores["follows the toy"] = follows_the_toy(encoder, data, swapped, floors)
        yield from (
            {"what": "background", "method": name, "protocol": p, "value": v} for p, v in scores.items()
        )


def few_labels(encoder: nn.Module, data: Data, seed: int):
    """Rows of an encoder from few labels, frozen and fine-tuned, and of its like from scratch.

    A patchwise network is dear to train, so only the shares TUNED are; and nothing is chosen on `val`, so it is cut.
    """
    frozen = evaluate.lowshot(
        encoder, data, shots=(), fractions=FRACTIONS, draws=1, seed=seed, beside_random=False
    )
    for fraction, score in zip(FRACTIONS, frozen, strict=True):
        yield {"what": "labels", "method": "frozen", "fraction": fraction, "value": score.value}
    few = replace(data, val=data.val[:50])
    for fraction in TUNED:
        for name, scratch in (("fine-tuned", False), ("scratch", True)):
            tuned = evaluate.finetune(
                encoder, few, fraction=fraction, seed=seed, scratch=scratch, beside_random=False
            )
            yield {
                "what": "labels", "method": name, "fraction": fraction, "value": tuned.value,
                "seconds": tuned.seconds,
            }  # fmt: skip


def study(seed: int):
    data = load("toybox")

    def scores(what: str, encoder: nn.Module, **more):
        for protocol in (evaluate.knn, evaluate.linear):
            score = protocol(encoder, data, seed=seed, beside_random=False)
            yield {"what": what, **more, "protocol": score.protocol, "value": score.value}

    few, runs = table.few(data), {}
    for method in ("exemplar", "npid", "cpc"):
        runs[method], rows = table.scores(method, method, few if method in table.VISITS else data, seed, data)
        yield from ({"what": "main", **row} for row in rows)
    for temperature in TEMPERATURES:
        run = trained("npid", few, seed, temperature=temperature)
        yield from scores("temperature", run.encoder, temperature=temperature)
    for negatives in NEGATIVES:
        run = trained("npid", few, seed, negatives=negatives)
        yield from scores("softmax", run.encoder, negatives=negatives, seconds=run.seconds)
    # as many steps on ten times as many images: each comes round a tenth as often, and its memory is older
    run = trained("npid", data, seed, epochs=runs["npid"].config["recipe"]["epochs"] // 10)
    yield from scores("visits", run.encoder, images=len(data.train))
    for negatives in ("random", "semihard", "hard"):
        run = trained("triplet", data, seed, epochs=TRIPLET_EPOCHS, negatives=negatives)
        accuracy = run.history[-1]["accuracy"]
        yield from scores("triplet", run.encoder, negatives=negatives, pretext=accuracy)

    recipe = recipes.recipe("npid", few.name, "laptop")
    torch.manual_seed(seed)
    fresh = nets.encoder(recipe.encoder, data.size, **recipe.encoder_arguments)
    oracle = OracleDiscrimination(fresh, images=len(few.train), **recipe.arguments)
    oracle = training.pretrain(oracle, few, recipe=recipe, seed=seed)
    plain = runs["npid"]
    for method, run in (("plain", plain), ("oracle", oracle)):
        yield from scores("oracle", run.encoder, method=method)

    encoders = {"random": nets.random_like(plain.encoder, seed), "npid": plain.encoder}
    encoders |= {m: trained(m, data, seed).encoder for m in ("simclr", "rotnet", "supervised")}
    yield from backgrounds(encoders, data, seed)
    yield from few_labels(runs["cpc"].encoder, data, seed)
