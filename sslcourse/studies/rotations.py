"""Lesson 02: what RotNet learns, where, and where it fails."""

from __future__ import annotations

from dataclasses import replace

import torch

from sslcourse import evaluate, load, nets
from sslcourse.data.images import Data
from sslcourse.evaluate.features import Layer
from sslcourse.studies import trained
from sslcourse.studies.foundation import pretext_accuracy
from sslcourse.views import rotate90

PAIR = ("lamp", "mushroom")  # alike
UNLIKE = ("car", "rocket")
SHORT = 3  # epochs in the worlds that are compared


def only(data: Data, names: tuple[str, ...]) -> Data:
    """The images of a few classes, relabelled from 0."""
    kinds = [data.classes.index(name) for name in names]

    def cut(part):
        part = part[torch.isin(part.labels, torch.tensor(kinds, device=part.labels.device))]
        labels = torch.stack([part.labels == kind for kind in kinds]).float().argmax(0)
        return replace(part, labels=labels, classes=names)

    return Data(f"{data.name}: {' or '.join(names)}", cut(data.train), cut(data.val), cut(data.test))


def turned(data: Data, seed: int, parts: tuple[str, ...] = ("test",), least: int = 1) -> Data:
    """The same images, those of `parts` each turned by a random number of quarters, from `least` to 3."""
    generator = torch.Generator().manual_seed(seed)

    def turn(part):
        y = torch.randint(least, 4, (len(part),), generator=generator).to(part.device)
        return replace(part, images=rotate90(part.images, y))

    return replace(data, name=f"{data.name}, turned", **{name: turn(getattr(data, name)) for name in parts})


def few_components(encoder, data: Data, layer: str, k: int = 32) -> float:
    """A linear probe of the first k principal components of a stage, so that wide stages have no advantage."""
    stage = Layer(encoder, layer)
    train, test = evaluate.standardise(*(evaluate.extract(stage, part) for part in (data.train, data.test)))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        axes = torch.pca_lowrank(train, q=k, niter=4)[2]  # (D, k)
    weights, bias = evaluate.fit_logistic(
        train @ axes, data.train.labels, len(data.classes), torch.tensor([1e-3])
    )
    guess = (test @ axes @ weights[0] + bias[0]).argmax(1)
    return (guess == data.test.labels).float().mean().item()


def study(seed: int):
    data = load("toybox")
    torch.manual_seed(seed)
    rotnet, simclr = trained("rotnet", data, seed), trained("simclr", data, seed)
    epochs = rotnet.config["recipe"]["epochs"]
    runs = {
        "random": nets.encoder("small"),
        "rotnet": rotnet.encoder,
        "one turn, same epochs": trained("rotnet", data, seed, epochs=epochs, all_four=False).encoder,
        "one turn, same compute": trained("rotnet", data, seed, epochs=4 * epochs, all_four=False).encoder,
        "simclr": simclr.encoder,
    }

    def probe(encoder, data: Data, **options) -> float:
        return evaluate.linear(encoder, data, seed=seed, beside_random=False, **options).value

    def row(method: str, what: str, value: float, **more) -> dict:
        return {"method": method, "protocol": what, "value": value, **more}

    deeper = trained("rotnet", data, seed, encoder={"blocks": (1, 1, 1, 1)}).encoder
    for layer in ("stage1", "stage2", "stage3", "stage4"):
        yield row("rotnet, four stages", "linear", probe(deeper, data, layer=layer), layer=layer)
        yield row("rotnet, four stages", "32 components", few_components(deeper, data, layer), layer=layer)
    for name, encoder in runs.items():
        for layer in ("stage1", "stage2", "stage3"):
            yield row(name, "linear", probe(encoder, data, layer=layer), layer=layer)
    for name in ("random", "rotnet", "simclr"):
        encoder = runs[name]
        yield row(name, "turned", probe(encoder, turned(data, seed)))
        yield row(name, "pair", probe(encoder, only(data, PAIR)))
        yield row(name, "unlike pair", probe(encoder, only(data, UNLIKE)))
        few = evaluate.lowshot(
            encoder, data, shots=(), fractions=(0.05,), draws=1, seed=seed, beside_random=False
        )
        yield row(name, "frozen, 5% of labels", few[0].value)
        tuned = evaluate.finetune(encoder, data, fraction=0.05, seed=seed, beside_random=False)
        yield row(name, "finetune", tuned.value)
    # the same worlds for the same few epochs, toybox also for as many as the recipe says
    worlds = {name: load(name) for name in ("toybox-above", "toybox-sky")}
    worlds |= {"toybox": data, "toybox, turned": turned(data, seed, ("train", "val", "test"), least=0)}
    yield row("rotnet", "pretext", pretext_accuracy(rotnet.method, data.test.floats()), data="toybox")
    for world, other in worlds.items():
        run = trained("rotnet", other, seed, epochs=SHORT)
        found = pretext_accuracy(run.method, other.test.floats())
        yield row("rotnet, short", "pretext", found, data=world)
        yield row("rotnet, short", "probe", probe(run.encoder, other), data=world)
        yield row("random", "probe", probe(runs["random"], other), data=world)
        yield row("rotnet, short", "probe on toybox", probe(run.encoder, data), data=world)
