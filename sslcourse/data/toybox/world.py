"""The toybox worlds: which factors are drawn how, and how factors become scenes.

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

from sslcourse.data.toybox.toys import CLASSES, NATURAL, SHAPE_DRAWS, about, build
from sslcourse.data.toybox.trace import Parts, Scene

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
        [0, 0.5, 0.08, 0.5],
        [0, 0.33, 0.67, 0.33],
        [0, 0.42, 0.58, 0.1],
        [0, 0.12, 0.5, 0.6],
        [0, 0.25, 0.5, 0.75],
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
    extent: tuple[float, float] = (0.62, 0.94)  # longest side of the toy's box over the image's side
    contrast: tuple[float, float] = (0.0, 0.3)  # of the floor's two colours
    period: tuple[float, float] = (0.45, 1.3)  # of the floor's pattern, world units
    dapple: tuple[float, float] = (0.0, 0.5)  # strength of patches of light and shade on the floor
    sun: tuple[float, float] = (18.0, 58.0)  # elevation
    strength: tuple[float, float] = (0.4, 0.75)  # share of the sun in the light
    contact: float = 0.35
    noise: float = 0.0  # standard deviation of sensor noise, images in [0, 1]

    @property
    def classes(self) -> tuple[str, ...]:
        return CLASSES if self.toys[1] else tuple(PATTERNS)[1:]


WORLDS = {
    w.name: w
    for w in (
        World("toybox", "one toy, every factor known"),
        World("toybox-natural", "one toy, colours that go with the parts", natural=True),
        World("toybox-above", "seen from the zenith with random roll", elevation=(90.0, 90.0), roll=180.0),
        World(
            "toybox-sky",
            "a bright sky gives rotation away",
            sky=True,
            elevation=(4.0, 13.0),
            roll=6.0,
            extent=(0.5, 0.8),
        ),
        World(
            "toybox-texture",
            "textures without objects",
            toys=(0, 0),
            elevation=(90.0, 90.0),
            roll=180.0,
            contrast=(0.35, 0.8),
        ),
        World(
            "toybox-patches",
            "textured floor, sensor noise",
            64,
            (4_000, 500, 1_000),
            contrast=(0.25, 0.6),
            period=(0.22, 0.5),
            noise=0.025,
        ),
        World(
            "toybox-scenes",
            "three to six toys",
            64,
            (4_000, 300, 500),
            toys=(3, 6),
            elevation=(26.0, 48.0),
            roll=10.0,
            dapple=(0.0, 0.25),
        ),
        World(
            "toybox-video",
            "clips of moving toys and camera",
            64,
            (800, 100, 100),
            toys=(2, 4),
            frames=8,
            elevation=(28.0, 48.0),
            roll=8.0,
            dapple=(0.0, 0.25),
        ),
    )
}


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
    time = torch.linspace(-0.5, 0.5, t, dtype=torch.float64) if t > 1 else torch.zeros(1, dtype=torch.float64)
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


def draw_factors(world: World, split: str, n: int, seed: int = 0) -> dict[str, Tensor]:
    """All factors of the first n images or clips of a split, float64 and int64; (n, K, ...) where there are K
    toys.

    label, present, shape (uniforms behind the proportions), hue and colour (n, K, 4[, 3]) of the slots, yaw
    from the
    camera's azimuth, size; place; sun from the camera's azimuth; floor; camera. `load_toybox` says more.
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
    time = torch.linspace(-0.5, 0.5, t, dtype=torch.float64) if t > 1 else torch.zeros(1, dtype=torch.float64)
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


def camera(eye: Tensor, target: Tensor, roll: Tensor, azimuth: Tensor) -> Tensor:
    """Right, down and forward unit vectors as the columns of (N, 3, 3), for a camera at `eye` looking at
    `target`."""
    forward = torch.nn.functional.normalize(target - eye, dim=-1)
    right = torch.stack([-azimuth.sin(), azimuth.cos(), torch.zeros_like(azimuth)], -1)
    down = torch.linalg.cross(forward, right)
    c, s = roll.cos().unsqueeze(-1), roll.sin().unsqueeze(-1)
    return torch.stack([c * right + s * down, c * down - s * right, forward], -1)


OUTLINE = 60  # points that `outline` puts on each part


def outline(parts: Parts) -> Tensor:
    """Points about the parts' surfaces, (N, P * OUTLINE, 3): 5 levels of 12, enough to frame a toy to a few
    per cent."""
    turn = torch.arange(12) * (math.pi / 6)
    z = torch.linspace(-1, 1, 5, dtype=torch.float64)
    a, b, c, low = parts.shape.unsqueeze(-1).unbind(-2)  # (N, P, 1) each
    level = low + (1 - low) * (z + 1) / 2  # (N, P, 5)
    radius = 1.017 * (a + (b + c * level) * level).clamp(min=0).sqrt()
    # (N, P, 5, 12, 3)
    round_ = torch.stack(
        [
            radius.unsqueeze(-1) * turn.cos(),
            radius.unsqueeze(-1) * turn.sin(),
            level.unsqueeze(-1).expand(*level.shape, 12),
        ],
        -1,
    )
    corner = torch.tensor([[1, 1], [1, -1], [-1, 1], [-1, -1]] * 3, dtype=torch.float64)
    wide = 1 + (parts.shape[..., None, :2] - 1) * (z.unsqueeze(-1) + 1) / 2  # (N, P, 5, 2)
    boxed = torch.cat([wide.unsqueeze(-2) * corner, z.view(5, 1, 1).expand(*wide.shape[:2], 5, 12, 1)], -1)
    local = torch.where(parts.box[..., None, None, None], boxed, round_).flatten(2, 3) * parts.half.unsqueeze(
        -2
    )
    return (local @ parts.rotation.transpose(-1, -2) + parts.centre.unsqueeze(-2)).flatten(1, 2)


def assemble(world: World, f: dict[str, Tensor]) -> tuple[Scene, dict[str, Tensor]]:
    """Scenes of all images (clips: n * T, frame by frame), and the factors that follow from building them."""
    n, k = f["label"].shape
    t, several = world.frames, world.toys[1] > 1
    azimuth = f["camera_azimuth"]  # (n, T)
    toys, symmetry = build(f["label"].flatten() % len(CLASSES), f["shape"].flatten(0, 1))
    toys = {name: v.unflatten(0, (n, 1, k)) for name, v in toys.items()}  # (n, 1, K, P, ...)
    # (n, T, K) in the world
    yaw = (f["yaw"] if several else f["yaw"].unsqueeze(1)) + azimuth.mean(1).view(n, 1, 1)
    scale = f["size"].view(n, 1, k, 1) if several else torch.ones(n, 1, 1, 1, dtype=torch.float64)
    turn = about("z", yaw).unsqueeze(-3)  # (n, T, K, 1, 3, 3)
    centre = (turn @ (toys["centre"] * scale.unsqueeze(-1)).unsqueeze(-1)).squeeze(-1)  # (n, T, K, P, 3)
    if several:
        centre[..., :2] += f["place"].unsqueeze(-2)
    p = toys["half"].shape[3]
    present = (toys["present"] & f["present"].view(n, 1, k, 1)).expand(n, t, k, p)
    colour = f["colour"].unsqueeze(1).expand(n, 1, k, 4, 3)
    colour = colour.gather(3, toys["slot"].unsqueeze(-1).expand(n, 1, k, p, 3)).square()  # gamma 2 to linear
    number = torch.arange(1, k + 1).view(1, 1, k, 1).expand(n, t, k, p)

    def flat(v: Tensor) -> Tensor:  # (n, 1 or T, K, P, ...) -> (n * T, K * P, ...)
        return v.expand(n, t, *v.shape[2:]).flatten(2, 3).flatten(0, 1)

    parts = Parts(
        flat(centre),
        flat(turn @ toys["rotation"]),
        flat(toys["half"] * scale.unsqueeze(-1)),
        flat(toys["shape"]),
        flat(toys["box"]),
        flat(colour),
        flat(toys["gloss"]),
        flat(torch.where(present, number, 0)),
    )
    m = n * t

    def each(v: Tensor) -> Tensor:  # (n, 1 or T, ...) -> (n * T, ...)
        return v.expand(n, t, *v.shape[2:]).flatten(0, 1)

    points, present = outline(parts), (parts.instance > 0).repeat_interleave(OUTLINE, 1)  # (m, Q, 3), (m, Q)

    # camera: looks at the middle of the toy, or of the scene; zoom and shift then frame the toy
    azimuth, elevation = each(azimuth), each(f["camera_elevation"])
    away = torch.stack(
        [azimuth.cos() * elevation.cos(), azimuth.sin() * elevation.cos(), elevation.sin()], -1
    )
    target = torch.zeros(m, 3, dtype=torch.float64)
    target[:, 2] = 0.3 if several else 0.5
    backwards = 1.5 if several else 1.0
    eye = target + away * each(f["camera_distance"]).unsqueeze(-1) * backwards
    axes = camera(eye, target, each(f["camera_roll"]), azimuth)
    extra = {"symmetry": symmetry.view(n, k)}
    if world.toys[1] == 1:
        seen = (points - eye.unsqueeze(1)) @ axes  # (m, Q, 3) along right, down, forward
        flat_ = seen[..., :2] / seen[..., 2:]
        absent = ~present.unsqueeze(-1)
        low, high = flat_.masked_fill(absent, 1e3).amin(1), flat_.masked_fill(absent, -1e3).amax(1)
        zoom = 2 * f["size"] / (high - low).amax(1, keepdim=True)  # (m, 1)
        shift = f["place"] - zoom * (low + high) / 2
    else:
        reach = 2.0 if several else 1.4
        zoom = each(f["camera_distance"].mean(1, keepdim=True)).unsqueeze(-1) * backwards / reach
        shift = torch.zeros(m, 2, dtype=torch.float64)
    # (m, 3, 3)
    view = torch.cat(
        [axes[..., :2] / zoom.unsqueeze(-1), axes[..., 2:] - axes[..., :2] @ (shift / zoom).unsqueeze(-1)], -1
    )
    sun_azimuth = each(f["light_azimuth"] + f["camera_azimuth"].mean(1, keepdim=True))
    sun_elevation = each(f["light_elevation"])
    sun = torch.stack(
        [
            sun_azimuth.cos() * sun_elevation.cos(),
            sun_azimuth.sin() * sun_elevation.cos(),
            sun_elevation.sin(),
        ],
        -1,
    )
    strength = each(f["light_strength"])
    light = torch.stack([strength * 1.1, 1.02 - 0.7 * strength, each(f["light_softness"])], -1)

    # (m, K * Q[, 3]) -> (m, K, Q[, 3])
    points, present = points.unflatten(1, (k, -1)), present.unflatten(1, (k, -1))
    low = present & (points[..., 2] < 0.3)
    weight = (low / low.sum(-1, keepdim=True).clamp(min=1)).unsqueeze(-1)
    middle = (weight * points[..., :2]).sum(2)  # (m, K, 2)
    spread = (points[..., :2] - middle.unsqueeze(2)) * weight.sqrt()
    cover = spread.transpose(-1, -2) @ spread + 0.02 * torch.eye(2, dtype=torch.float64)  # (m, K, 2, 2)
    inverse = torch.linalg.inv(cover) / 3.2
    strength = torch.where(low.any(-1), world.contact, 0.0).unsqueeze(-1)
    contact = torch.cat(
        [middle, inverse[..., :1, 0], 2 * inverse[..., :1, 1], inverse[..., 1:, 1], strength], -1
    )

    pattern = torch.zeros(n, 17, dtype=torch.float64)
    c, s = f["floor_angle"].cos(), f["floor_angle"].sin()
    pattern[:, :4] = torch.cat([c, s, -s, c], 1) / f["floor_period"].repeat_interleave(2, 1)
    weights = torch.tensor(list(PATTERNS.values()), dtype=torch.float64)[f["floor_kind"].squeeze(1)]
    pattern[:, 4:8], pattern[:, 8], pattern[:, 9] = weights, 1.5, 0.03 * world.sky
    pattern[:, 10:12] = f["floor_shift"]
    c, s = f["dapple_angle"].cos(), f["dapple_angle"].sin()
    pattern[:, 12:16] = torch.cat([c[:, :1], s[:, :1], c[:, 1:], s[:, 1:]], 1) / f[
        "dapple_period"
    ].repeat_interleave(2, 1)
    pattern[:, 16:] = f["dapple"]
    sky = rgb(f["sky_hue"], torch.tensor([[0.12, 0.5]], dtype=torch.float64), f["sky_value"])  # (n, 2, 3)

    def per_image(v: Tensor) -> Tensor:  # (n, ...) -> (n * T, ...)
        return v.repeat_interleave(t, 0)

    scene = Scene(
        parts,
        eye,
        view,
        sun,
        light,
        contact,
        per_image(f["floor_colour"].square()),
        per_image(pattern),
        per_image(sky.square()),
    )
    # present parts first, so that chunks can be cut short
    order = (parts.instance == 0).long().argsort(dim=1, stable=True)
    scene.parts = Parts(
        **{
            name: v.gather(1, order.view(m, -1, *[1] * (v.dim() - 2)).expand(v.shape))
            for name, v in vars(parts).items()
        }
    )
    return scene, extra
