"""Lesson 07: what MoCo depends on. Batch beside SimCLR, momentum, length of the queue, v1 beside v2, and how old keys drift."""

from __future__ import annotations

from sslcourse import evaluate, load, nets
from sslcourse.data.images import Data
from sslcourse.studies import trained
from sslcourse.studies.drift import drift, predicted_age
from sslcourse.training import recipes
from sslcourse.training.loop import Run

EPOCHS = 3  # every run here, so that they are comparable with each other only
BATCHES = (16, 128)
MOMENTA = (0.0, 0.9, 0.99, 0.999)
LENGTHS = (128, 1024, 8192)  # 1,024 is the recipe's
COLD = 0.07  # v1's temperature
VERSIONS = {
    "v1": {"head": "linear", "temperature": COLD, "views": "v1"},
    "v2": {},
    "v2 with v1's head": {"head": "linear"},
    "v2 with v1's views": {"views": "v1"},
    "v2 with v1's temperature": {"temperature": COLD},
}


def study(seed: int):
    data = load("toybox")

    def drifted(run: Run) -> dict:
        return {"drift": drift(run.method, data.train, batch=run.config["recipe"]["batch"], seed=seed)}

    def scores(what: str, run: Run, **more):
        for protocol in (evaluate.knn, evaluate.linear):
            score = protocol(run.encoder, data, seed=seed, beside_random=False)
            yield {
                "what": what, **more, "protocol": score.protocol, "value": score.value, "seconds": run.seconds,
                "loss": [line["loss"] for line in run.history],
                "accuracy": [line["accuracy"] for line in run.history],
            }  # fmt: skip

    def ages(what: str, run: Run, **more):
        """How old the keys are against what the schedule predicts, and what their age has cost, after each epoch."""
        length, batch = run.method.length, run.config["recipe"]["batch"]
        age, steps = run.history[-1]["age"], run.history[-1]["step"]
        yield {"what": "age", **more, "value": age, "predicted": predicted_age(length, batch, steps)}
        for line in run.history:
            yield from ({"what": what, **more, "epoch": line["epoch"], **row} for row in line["drift"])

    fresh = nets.random_like(nets.encoder("small"), seed)
    for protocol in (evaluate.knn, evaluate.linear):
        score = protocol(fresh, data, seed=seed, beside_random=False)
        yield {"what": "random", "protocol": score.protocol, "value": score.value}
    for batch in BATCHES:
        for name, method, arguments in small_batch_rivals():
            lr = square_root_rule(method, data, batch)
            run = trained(method, data, seed, epochs=EPOCHS, changes={"batch": batch, "lr": lr}, **arguments)
            yield from scores("batch", run, method=name, batch=batch)
    for momentum in MOMENTA:
        run = trained("moco", data, seed, epochs=EPOCHS, on_epoch=drifted, momentum=momentum)
        yield from scores("momentum", run, momentum=momentum)
        yield from ages("drift by momentum", run, momentum=momentum)
    for length in LENGTHS:
        run = trained("moco", data, seed, epochs=EPOCHS, on_epoch=drifted, length=length)
        yield from scores("length", run, length=length)
        yield from ages("drift by length", run, length=length)
        run = trained("moco", data, seed, epochs=EPOCHS, on_epoch=drifted, length=length, temperature=COLD)
        yield from scores("cold length", run, length=length)
    run = trained(
        "moco", data, seed, epochs=EPOCHS, on_epoch=drifted, length=LENGTHS[-1], momentum=MOMENTA[-1]
    )
    yield from scores("slow and long", run, length=LENGTHS[-1], momentum=MOMENTA[-1])
    yield from ages("drift, slow and long", run, length=LENGTHS[-1], momentum=MOMENTA[-1])
    for version, arguments in VERSIONS.items():
        run = trained("moco", data, seed, epochs=EPOCHS, on_epoch=drifted, **arguments)  # v2 is momentum 0.99
        yield from scores("version", run, version=version)


def small_batch_rivals():
    """Name, method and arguments. Symmetric MoCo shows the network each image twice in a step, as SimCLR does."""
    yield "simclr", "simclr", {}
    yield "moco", "moco", {}
    yield "moco, symmetric", "moco", {"symmetric": True}


def square_root_rule(method: str, data: Data, batch: int) -> float:
    """The laptop recipe's learning rate, moved with the square root of the batch (AdamW)."""
    recipe = recipes.recipe(method, data.name, "laptop")
    return recipe.lr * (batch / recipe.batch) ** 0.5
