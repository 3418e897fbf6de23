"""The toybox worlds: which factors are drawn, and how.

Every factor has its own random stream, keyed by (seed, world, split, factor) and read row by row as uniforms,
so that
the first n rows do not depend on how many are drawn. Factors are independent of the class, but for colour in
`toybox-natural`. Angles are radians.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sslcourse.data.toybox.toys import CLASSES, NATURAL, SHAPE_DRAWS

PATTERNS = {  # weights of wave(u), wave(v) and their product, and the warp: see trace.floor_colour
    "plain": (0.0, 0.0, 0.0, 0.0),
    "stripes": (1.0, 0.0, 0.0, 0.0),
    "spots": (0.0, 0.0, 1.3, 0.0),
    "checker": (1.0, 1.0, -2.0, 0.0),
    "tiles": (1.0, 1.0, -1.0, 0.0),
    "waves": (1.0, 0.0, 0.0, 0.5),
    "marble": (1.0, 1.0, -2.0, 1.1),
}
NATURAL_FLOOR = (0.1, 0.07, 0.3, 0.02, 0.55, 0.12, 0.62)  # hue of each pattern's floor in toybox-natural
# hues of the other slots less that of slot 0
HARMONIES = torch.tensor(
    [
        [0, 0.5, 0.5, 0.08],
        [0, 0.33, 0.36, 0.67],
        [0, 0.42, 0.38, 0.1],
        [0, 0.12, 0.16, 0.6],
        [0, 0.25, 0.25, 0.75],
    ],
    dtype=torch.float64,
)


@dataclass(frozen=True)
class World:
    """One toybox world. Ranges are (low, high); angles are degrees here."""

    name: str
    about: str
    size: int = 32
    counts: tuple[int, int, int] = (10_000, 1_000, 2_000)
    toys: tuple[int, int] = (1, 1)  # how many toys an image holds
    frames: int = 1
    natural: bool = False
    sky: bool = False
    elevation: tuple[float, float] = (27.0, 52.0)  # of the camera
    roll: float = 20.0  # largest camera roll
    extent: tuple[float, float] = (0.7, 0.97)  # longest side of the toy's box over the image's side
    contrast: tuple[float, float] = (0.0, 0.08)  # of the floor's two colours
    period: tuple[float, float] = (0.45, 1.3)  # of the floor's pattern, world units
    dapple: tuple[float, float] = (0.05, 0.3)  # strength of patches of light and shade on the floor
    sun: tuple[float, float] = (18.0, 58.0)  # elevation
    strength: tuple[float, float] = (0.4, 0.75)  # share of the sun in the light
    contact: float = 0.22
    noise: float = 0.0  # standard deviation of sensor noise, images in [0, 1]

    @property
    def classes(self) -> tuple[str, ...]:
        return CLASSES if self.toys[1] else tuple(PATTERNS)[1:]


# fmt: off
WORLDS = {w.name: w for w in (
    World("toybox", "one toy, every factor known"),
    World("toybox-natural", "one toy, colours that go with the parts", natural=True, contrast=(0.08, 0.25)),
    World("toybox-above", "seen from the zenith with random roll", elevation=(90.0, 90.0), roll=180.0),
    World("toybox-sky", "a bright sky gives rotation away", sky=True, elevation=(4.0, 13.0), roll=6.0,
          extent=(0.5, 0.8), contrast=(0.0, 0.3)),
    World("toybox-texture", "textures without objects", toys=(0, 0), elevation=(90.0, 90.0), roll=180.0,
          contrast=(0.35, 0.8), dapple=(0.0, 0.4)),
    World("toybox-patches", "textured floor, sensor noise", 64, (4_000, 500, 1_000), extent=(0.62, 0.94),
          contrast=(0.25, 0.6), period=(0.22, 0.5), dapple=(0.0, 0.4), noise=0.025),
    World("toybox-scenes", "three to six toys", 64, (4_000, 300, 500), toys=(3, 6), elevation=(26.0, 48.0),
          roll=10.0, contrast=(0.0, 0.25), dapple=(0.0, 0.25)),
    World("toybox-video", "clips of moving toys and camera", 64, (800, 100, 100), toys=(2, 4), frames=8,
          elevation=(28.0, 48.0), roll=8.0, contrast=(0.0, 0.25), dapple=(0.0, 0.25)),
)}
# fmt: on


class Draw:
    """Uniform streams of one split: `draw(factor, k)` is (n, k) float64 in [0, 1), the same whatever n."""

    def __init__(self, world: World, split: str, n: int, seed: int):
        self.n, self.key = n, f"toybox/{seed}/{world.name}/{split}"

    def generator(self, factor: str, row: int = 0) -> np.random.Generator:
        digest = hashlib.sha256(f"{self.key}/{factor}".encode()).digest()
        return np.random.Generator(
            np.random.Philox(key=int.from_bytes(digest[:16], "little"), counter=row << 128)
        )

    def __call__(self, factor: str, k: int = 1) -> Tensor:
        return torch.from_numpy(self.generator(factor).random((self.n, k)))

    def between(self, factor: str, low: float, high: float, k: int = 1) -> Tensor:
        return low + (high - low) * self(factor, k)

    def choice(self, factor: str, options: int, k: int = 1) -> Tensor:
        return (self(factor, k) * options).long()

    def balanced(self, factor: str, classes: int, k: int = 1) -> Tensor:
        """(n, k) labels: every `classes` consecutive entries hold each class once, in random order."""
        blocks = -(-self.n * k // classes)
        order = self.generator(factor).random((blocks, classes)).argsort(1)
        return torch.from_numpy(order.reshape(-1)[: self.n * k].reshape(self.n, k))


def rgb(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """HSV in [0, 1], each (...), to RGB (..., 3)."""
    k = (torch.tensor([5.0, 3.0, 1.0]) + 6 * hue.unsqueeze(-1)) % 6
    return value.unsqueeze(-1) * (1 - saturation.unsqueeze(-1) * torch.minimum(k, 4 - k).clamp(0, 1))


def palettes(draw: Draw, world: World, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Hue (n, K, 4) and colour (n, K, 4, 3) of every toy's four slots."""
    k = labels.shape[1]
    base, jitter = draw("hue", k).unsqueeze(-1), draw("hue-jitter", k * 4).unflatten(1, (k, 4)) - 0.5
    hue = (base + HARMONIES[draw.choice("harmony", len(HARMONIES), k)] + 0.08 * jitter) % 1
    u, v = draw("saturation", k * 4).unflatten(1, (k, 4)), draw("value", k * 4).unflatten(1, (k, 4))
    saturation, value = 0.5 + 0.45 * u, 0.42 + 0.53 * v
    saturation[:, :, 2], value[:, :, 2] = (
        saturation[:, :, 1],
        0.8 * value[:, :, 1],
    )  # small parts: a shade of it
    bright = rgb(hue, saturation, value)[:, :, :2].mean((-1, -2)) > 0.45  # details are dark on bright toys
    saturation[:, :, 3] = 0.15 + 0.5 * u[:, :, 3]
    value[:, :, 3] = torch.where(bright, 0.1 + 0.2 * v[:, :, 3], 0.85 + 0.15 * v[:, :, 3])
    if world.natural:
        for c, name in enumerate(CLASSES):
            rows = labels == c
            for slot, law in enumerate(NATURAL[name]):
                if law is not None:
                    middle, spread, strong, light = law
                    hue[..., slot][rows] = (middle + 2 * spread * (u[..., slot] - 0.5))[rows] % 1
                    saturation[..., slot][rows] = (strong * (0.85 + 0.3 * v[..., slot]))[rows].clamp(0, 1)
                    value[..., slot][rows] = (light * (0.85 + 0.3 * jitter[..., slot].abs() * 2))[rows].clamp(
                        0, 1
                    )
    return hue, rgb(hue, saturation, value)


def arrange(draw: Draw, world: World) -> tuple[Tensor, Tensor, Tensor]:
    """Where several toys stand: place (n, T, K, 2), turned (n, T, K), present (n, K) bool.

    Of 48 random walks, those are kept in turn that stay clear of the toys before them in every frame.
    """
    n, t, (fewest, most), tries = draw.n, world.frames, world.toys, 48
    wanted = fewest + draw.choice("count", most - fewest + 1).squeeze(1)
    time = times(world)
    radius = 1.75 * draw("place-radius", tries).sqrt()
    angle = 2 * math.pi * draw("place-angle", tries)
    middle = torch.stack([radius * angle.cos(), radius * angle.sin()], -1)  # (n, tries, 2)
    speed, course = draw.between("speed", 0.2, 1.5, tries), 2 * math.pi * draw("course", tries)
    step = torch.stack([speed * course.cos(), speed * course.sin()], -1)
    walk = middle.unsqueeze(1) + time.view(1, t, 1, 1) * step.unsqueeze(1)  # (n, T, tries, 2)
    place = torch.full((n, t, most, 2), 1e3, dtype=torch.float64)
    found = torch.zeros(n, dtype=torch.long)
    for i in range(tries):
        # (n, T, K, 2) -> (n,)
        clear = ((place - walk[:, :, i : i + 1]).square().sum(-1) > 1.15**2).all(2).all(1)
        rows = (clear & (found < wanted)).nonzero().squeeze(1)
        place[rows, :, found[rows]] = walk[rows, :, i]
        found[rows] += 1
    present = torch.arange(most) < found.unsqueeze(1)
    spin = draw.between("spin", -0.9, 0.9, most).unsqueeze(1) * time.view(1, t, 1)  # (n, T, K)
    return torch.where(present[:, None, :, None], place, 0.0), spin, present


def times(world: World) -> Tensor:
    """When the frames of a clip are taken, (T,) in [-0.5, 0.5]; a still is taken at 0."""
    return (
        torch.linspace(-0.5, 0.5, world.frames, dtype=torch.float64)
        if world.frames > 1
        else torch.zeros(1).double()
    )


def draw_factors(world: World, split: str, n: int, seed: int = 0) -> dict[str, Tensor]:
    """All factors of the first n images or clips of a split, float64 and int64; `load_toybox` says what they
    are.

    Here every toy's factor has a dimension for the K toys (1 in most worlds), and azimuths are from the
    camera's.
    """
    draw, several, t = Draw(world, split, n, seed), world.toys[1] > 1, world.frames
    f: dict[str, Tensor] = {}
    k = max(world.toys[1], 1)
    f["label"] = draw.balanced("label", len(world.classes), k)
    f["hue"], f["colour"] = palettes(draw, world, f["label"])
    f["shape"] = draw("shape", k * SHAPE_DRAWS).unflatten(1, (k, SHAPE_DRAWS))
    f["yaw"] = draw.between("yaw", -math.pi, math.pi, k)
    f["present"] = torch.full((n, k), world.toys[1] > 0)
    if several:
        f["size"] = draw.between("size", 0.85, 1.2, k)
        f["place"], f["spin"], f["present"] = arrange(draw, world)
        f["yaw"] = f["yaw"].unsqueeze(1) + f["spin"]  # (n, T, K)
    else:
        f["size"] = draw.between("size", *world.extent)
        slack = 1 - f["size"]  # the toy's box stays inside the image
        f["place"] = slack * draw.between("place", -1, 1, 2)  # (n, 2)
    tilt = [math.radians(v) for v in world.elevation]
    time = times(world)
    drift = draw.between("camera-motion", -1, 1, 3) * (t > 1)
    # (n, T)
    f["camera_azimuth"] = draw.between("camera-azimuth", -math.pi, math.pi) + 0.7 * drift[:, :1] * time
    f["camera_elevation"] = draw.between("camera-elevation", *tilt) + 0.16 * drift[:, 1:2] * time
    f["camera_roll"] = draw.between("camera-roll", -1, 1) * math.radians(world.roll) + 0 * time
    f["camera_distance"] = draw.between("camera-distance", 4.5, 8.0) * (1 + 0.25 * drift[:, 2:] * time)
    f["light_azimuth"] = draw.between("light-azimuth", -math.pi, math.pi)
    f["light_elevation"] = draw.between("light-elevation", *(math.radians(v) for v in world.sun))
    f["light_strength"] = draw.between("light-strength", *world.strength)
    f["light_softness"] = draw.between("light-softness", 0.06, 0.3)
    hue = draw("floor-hue")
    other = hue + draw.between("floor-hue-change", -0.12, 0.12)
    saturation, value = draw.between("floor-saturation", 0.08, 0.5), draw.between("floor-value", 0.22, 0.95)
    f["floor_kind"] = draw.choice("floor-kind", len(PATTERNS)) if world.toys[1] else f["label"] + 1
    if world.natural:
        hue = (torch.tensor(NATURAL_FLOOR, dtype=torch.float64)[f["floor_kind"]] + 0.05 * (hue - 0.5)) % 1
        other, saturation = hue, saturation + 0.15
    f["floor_contrast"] = draw.between("floor-contrast", *world.contrast)
    second = (value + torch.where(value > 0.55, -0.8, 0.8) * f["floor_contrast"]).clamp(0.05, 1)
    f["floor_hue"] = hue
    f["floor_colour"] = torch.stack(
        [rgb(hue[:, 0], saturation[:, 0], value[:, 0]), rgb(other[:, 0] % 1, saturation[:, 0], second[:, 0])],
        1,
    )
    f["floor_angle"] = draw.between("floor-angle", 0, 2 * math.pi)
    f["floor_period"] = draw.between("floor-period", *world.period, 2)
    f["floor_shift"] = draw("floor-shift", 2)
    f["dapple"] = draw.between("dapple", *world.dapple)
    f["dapple_angle"], f["dapple_period"] = (
        draw.between("dapple-angle", 0, 2 * math.pi, 2),
        draw.between("dapple-period", 1.3, 4, 2),
    )
    f["sky_hue"] = draw.between("sky-hue", 0.45, 0.7)
    f["sky_value"] = draw.between("sky-value", 0.85, 1.0)
    return f
