"""Every shortcut of the talk, by name."""

from __future__ import annotations

from functools import partial

from sslcourse.data import load
from sslcourse.methods import METHODS
from sslcourse.shortcuts import controls
from sslcourse.shortcuts.autoencoders import Inpainter
from sslcourse.shortcuts.experiment import Shortcut, Variant
from sslcourse.shortcuts.tasks import AbsolutePosition, GuessScale, LeakySimCLR, Turned
from sslcourse.views import standardise

FINE = {"stem_stride": 2, "width": 16}  # patches of 16 px are too small for a stem that quarters them
VIT = {"name": "vit", "patch": 4, "dim": 96, "depth": 4, "heads": 3, "pool": "mean"}


def world(name: str, limit: int | None = None):
    """seed -> Data: the same images for every seed; only the training differs."""
    return lambda seed: load(name, limit=limit)


def builder(method, **arguments):
    return lambda encoder: method(encoder, **arguments)


# The puzzle of neighbours with everything that could help or hinder switched off but what is studied.
context = partial(
    builder,
    METHODS["context"],
    patch=14,
    gap=7,
    jitter=1,
    colours="keep",
    degrade=0.0,
    min_area=1.0,
    grids=1,
    hidden=128,
)
jigsaw = partial(builder, METHODS["jigsaw"], channels=0, grey=0.0, hidden=512, tower=128)


def shuffle_groups(method: LeakySimCLR) -> None:
    method.shuffled = True


SHORTCUTS: dict[str, Shortcut] = {
    shortcut.name: shortcut
    for shortcut in (
        Shortcut(
            "gap",
            "edges continue from a patch into its neighbour, and matching edges needs no idea of the object",
            "which of eight neighbours a patch is",
            0.15,
            (
                Variant("no gap", "leaky", context(gap=0, jitter=0)),
                Variant("gap of half a patch", "cured", context(jitter=0)),
            ),
            world("toybox-patches"),
            lambda seed: controls.smooth_noise(64, seed),
            "smooth noise",
            encoder=FINE,
        ),
        Shortcut(
            "jitter",
            "exact distances between patches can be read from any regular pattern",
            "which of eight neighbours a patch is",
            0.15,
            (
                Variant("exact places", "leaky", context(jitter=0)),
                Variant("jitter 2 px", "cured", context(jitter=2)),
            ),
            world("toybox-patches"),
            lambda seed: controls.plaid(64, seed),
            "plaid of 20 px",
            encoder=FINE,
        ),
        Shortcut(
            "statistics",
            "tiles of one image differ in brightness and contrast in ways that tell their place",
            "which of 100 orders nine tiles are in",
            0.01,
            (
                Variant("tiles as they are", "leaky", jigsaw(normalise=False)),
                Variant("each tile standardised", "cured", jigsaw(normalise=True)),
            ),
            world("toybox-patches"),
            lambda seed: controls.shaded_noise(63, seed),
            "shaded noise",
            treat=standardise,
            encoder=FINE,
        ),
        Shortcut(
            "aberration",
            "a lens magnifies colours differently, and the fringes of a patch tell its place in the image",
            "from which ninth of the image a patch is",
            1 / 9,
            (
                Variant("as the lens gives it", "leaky", builder(AbsolutePosition, cure="none")),
                Variant("projection", "cured", builder(AbsolutePosition, cure="projection")),
                Variant("channel jitter", "cured", builder(AbsolutePosition, cure="channel jitter")),
                Variant("one channel", "cured", builder(AbsolutePosition, cure="one channel")),
                Variant("no lens", "baseline", builder(AbsolutePosition, aberration=0.0)),
            ),
            world("toybox-patches"),
            lambda seed: controls.smooth_noise(64, seed),
            "smooth noise",
            extra={"photos": world("photos")},
            encoder=FINE,
        ),
        Shortcut(
            "interpolation",
            "turning by anything but quarters resamples, and resampling leaves traces that need no content",
            "which of four angles an image was turned by",
            0.25,
            (
                Variant("steps of 45 degrees, interpolated", "leaky", builder(Turned, step=45)),
                Variant("steps of 90 degrees, flip and transpose", "cured", builder(Turned, step=90)),
            ),
            world("toybox"),
            lambda seed: controls.white_noise(32, seed),
            "white noise",
            batch=32,
        ),
        Shortcut(
            "scale",
            "an enlarged crop is smoother than one that was not, whatever it shows",
            "by which of four factors a crop was enlarged",
            0.25,
            (
                Variant("one kernel", "leaky", builder(GuessScale, kernel="bilinear")),
                Variant("a random kernel", "cured", builder(GuessScale, kernel="random")),
                Variant("all crops coarsened first", "cured", builder(GuessScale, kernel="coarse")),
            ),
            world("toybox"),
            lambda seed: controls.white_noise(32, seed),
            "white noise",
            batch=32,
        ),
        Shortcut(
            "histogram",
            "crops of one image share their colours, and a histogram of colours finds the partner",
            "which of 127 other views shows the same image",
            1 / 127,
            (
                Variant(
                    "crops alone",
                    "leaky",
                    builder(METHODS["simclr"], temperature=0.2, min_scale=0.3, strength=0.0, grey=0.0),
                ),
                Variant(
                    "crops and colour distortion",
                    "cured",
                    builder(METHODS["simclr"], temperature=0.2, min_scale=0.3),
                ),
            ),
            world("toybox"),
            lambda seed: controls.shuffled_pixels(load("toybox", limit=2000), seed),
            "toys with their pixels shuffled",
            steps=400,
            control_steps=200,
            batch=64,
        ),
        Shortcut(
            "sky",
            "where something always lies on top, up is known without looking at the object",
            "which of four quarters an image was turned by",
            0.25,
            (
                Variant(
                    "a bright sky",
                    "leaky",
                    builder(METHODS["rotnet"]),
                    world=world("toybox-sky"),
                    control=lambda seed: controls.rows_only(load("toybox-sky", limit=2000)),
                ),
                Variant(
                    "no sky, light from everywhere",
                    "cured",
                    builder(METHODS["rotnet"]),
                    world=world("toybox"),
                    control=lambda seed: controls.rows_only(load("toybox", limit=2000)),
                ),
            ),
            None,
            None,
            "mean colours of rows",
            0.5,  # rows lie flat, or stand after a quarter turn: half of the answer is free
            batch=32,
            probe=lambda: load("toybox"),
        ),
        Shortcut(
            "batchnorm",
            "batch norm tells each image about the others in its device's batch, so a partner can be found by its company",
            "which of 127 other views shows the same image",
            1 / 127,
            (
                Variant(
                    "groups of 4, the same for both views",
                    "leaky",
                    builder(LeakySimCLR, rows=4),
                ),
                Variant(
                    "groups of 4, second views shuffled",
                    "cured",
                    builder(LeakySimCLR, rows=4, shuffled=True),
                ),
                Variant(
                    "the whole batch",
                    "cured",
                    builder(LeakySimCLR, rows=0),
                ),
            ),
            world("toybox"),
            steps=400,
            batch=64,
            batch_statistics=True,
            closed=shuffle_groups,
        ),
        Shortcut(
            "architecture",
            "the same idea, fill what is missing, stands or falls with the network, the mask, and what the encoder is shown",
            "share of the hidden pixels' variance that is explained",
            0.0,
            (
                Variant("convolutions, hole in the middle", "leaky", builder(Inpainter, mask="centre")),
                Variant("convolutions, random 75%", "between", builder(Inpainter, mask="random")),
                Variant(
                    "ViT, hole in the middle, left out",
                    "between",
                    builder(Inpainter, mask="centre", dropped=True),
                    encoder=VIT,
                ),
                Variant("ViT, hole in the middle", "between", builder(Inpainter, mask="centre"), encoder=VIT),
                Variant("ViT, random 75%", "between", builder(Inpainter, mask="random"), encoder=VIT),
                Variant(
                    "ViT, random 75%, left out",
                    "cured",
                    builder(Inpainter, mask="random", dropped=True),
                    encoder=VIT,
                ),
            ),
            world("toybox"),
            steps=120,
        ),
    )
}
