"""Lesson 02: what RotNet learns, where, and where it fails."""

from __future__ import annotations

from dataclasses import replace

import torch

from sslcourse import evaluate, load, nets
from sslcourse.data.images import Data
from sslcourse.evaluate.features import Layer
from sslcourse.studies import trained
from sslcourse.studies.cifar import images
from sslcourse.studies.foundation import pretext_accuracy
from sslcourse.views import rotate90

PARTS = ("train", "val", "test")
PAIRS = {"toys": ("lamp", "mushroom"), "photographs": ("cat", "dog")}  # alike
UNLIKE = {"toys": ("car", "rocket"), "photographs": ("ship", "frog")}
SHORT = {"toys": 3, "photographs": 2}  # epochs in the worlds that are compared


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


def under_a_sky(data: Data) -> Data:
    """The same images, their upper third lightened towards white, most at the edge: every part."""

    def lighten(part):
        H = part.images.shape[2]
        sky = (1 - torch.arange(H, device=part.images.device) / (H / 3)).clamp(min=0)[:, None]  # (H, 1)
        bright = part.images + (255 - part.images) * sky  # (N, 3, H, W)
        return replace(part, images=bright.round().to(torch.uint8))

    return replace(data, name=f"{data.name}, under a sky", **{n: lighten(getattr(data, n)) for n in PARTS})


def worlds(data: Data, kind: str, seed: int) -> dict[str, Data]:
    """Where the turn can be learned, cannot, or is given away, by name."""
    found = {"upright": data, "turned": turned(data, seed, PARTS, least=0)}
    if kind == "toys":
        return found | {"above": load("toybox-above"), "sky": load("toybox-sky")}
    return found | {"sky": under_a_sky(data)}


def study(seed: int, kind: str = "toys"):
    data = images(kind)
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

    for name, encoder in runs.items():
        for layer in ("stage1", "stage2", "stage3"):
            yield row(name, "linear", probe(encoder, data, layer=layer), layer=layer)
    for name in ("random", "rotnet", "simclr"):
        encoder = runs[name]
        yield row(name, "turned", probe(encoder, turned(data, seed)))
        yield row(name, "pair", probe(encoder, only(data, PAIRS[kind])))
        yield row(name, "unlike pair", probe(encoder, only(data, UNLIKE[kind])))
    # the same worlds for the same few epochs, upright also for as many as the recipe says
    yield row("rotnet", "pretext", pretext_accuracy(rotnet.method, data.test.floats()), data="upright")
    for world, other in worlds(data, kind, seed).items():
        run = trained("rotnet", other, seed, epochs=SHORT[kind])
        found = pretext_accuracy(run.method, other.test.floats())
        yield row("rotnet, short", "pretext", found, data=world)
        yield row("rotnet, short", "probe", probe(run.encoder, other), data=world)
        yield row("random", "probe", probe(runs["random"], other), data=world)
        yield row("rotnet, short", "probe on upright", probe(run.encoder, data), data=world)
    if kind == "toys":
        yield from more_of_toys(data, seed, runs)


def more_of_toys(data: Data, seed: int, runs: dict):
    """Stages of one width, and few labels."""
    deeper = trained("rotnet", data, seed, encoder={"blocks": (1, 1, 1, 1)}).encoder
    told = {"method": "rotnet, four stages"}
    for layer in ("stage1", "stage2", "stage3", "stage4"):
        score = evaluate.linear(deeper, data, seed=seed, layer=layer, beside_random=False)
        yield {**told, "protocol": "linear", "value": score.value, "layer": layer}
        yield {
            **told,
            "protocol": "32 components",
            "value": few_components(deeper, data, layer),
            "layer": layer,
        }
    for name in ("random", "rotnet", "simclr"):
        few = evaluate.lowshot(
            runs[name], data, shots=(), fractions=(0.05,), draws=1, seed=seed, beside_random=False
        )
        yield {"method": name, "protocol": "frozen, 5% of labels", "value": few[0].value}
        tuned = evaluate.finetune(runs[name], data, fraction=0.05, seed=seed, beside_random=False)
        yield {"method": name, "protocol": "finetune", "value": tuned.value}
