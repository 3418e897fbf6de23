"""From factors to scenes: toys put together, framed by a camera, lit, on a floor."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from sslcourse.data.toybox.toys import CLASSES, about, build
from sslcourse.data.toybox.trace import Parts, Scene
from sslcourse.data.toybox.world import PATTERNS, World, rgb

OUTLINE = 60  # points that `outline` puts on each part
REACH = 2.0, 1.4  # half the width that a camera sees: of scenes with several toys, of textures
BACK = 1.5  # how much further away the camera is from several toys


def camera(eye: Tensor, target: Tensor, roll: Tensor, azimuth: Tensor) -> Tensor:
    """Right, down and forward unit vectors as the columns of (N, 3, 3); eye, target (N, 3), roll, azimuth
    (N,)."""
    forward = F.normalize(target - eye, dim=-1)
    right = torch.stack([-azimuth.sin(), azimuth.cos(), torch.zeros_like(azimuth)], -1)
    down = torch.linalg.cross(forward, right)
    c, s = roll.cos().unsqueeze(-1), roll.sin().unsqueeze(-1)
    return torch.stack([c * right + s * down, c * down - s * right, forward], -1)


def towards(azimuth: Tensor, elevation: Tensor) -> Tensor:
    """Unit vectors (N, 3) from azimuths and elevations (N,)."""
    return torch.stack(
        [azimuth.cos() * elevation.cos(), azimuth.sin() * elevation.cos(), elevation.sin()], -1
    )


def outline(parts: Parts) -> Tensor:
    """Points about the parts' surfaces, (N, P * OUTLINE, 3): 5 levels of 12, to frame a toy to a few per
    cent."""
    turn = torch.arange(12) * (math.pi / 6)
    z = torch.linspace(-1, 1, 5, dtype=torch.float64)
    a, b, c, low = parts.shape.unsqueeze(-1).unbind(-2)  # (N, P, 1) each
    level = low + (1 - low) * (z + 1) / 2  # (N, P, 5)
    radius = 1.017 * (a + (b + c * level) * level).clamp(min=0).sqrt().unsqueeze(-1)  # (N, P, 5, 1)
    round_ = torch.stack(
        [radius * turn.cos(), radius * turn.sin(), level.unsqueeze(-1).expand(*level.shape, 12)], -1
    )
    corner = torch.tensor([[1, 1], [1, -1], [-1, 1], [-1, -1]] * 3, dtype=torch.float64)
    wide = 1 + (parts.shape[..., None, :2] - 1) * (z.unsqueeze(-1) + 1) / 2  # (N, P, 5, 2)
    boxed = torch.cat([wide.unsqueeze(-2) * corner, z.view(5, 1, 1).expand(*wide.shape[:2], 5, 12, 1)], -1)
    # (N, P, 5, 12, 3) -> (N, P, 60, 3)
    local = torch.where(parts.box[..., None, None, None], boxed, round_).flatten(2, 3)
    world = (local * parts.half.unsqueeze(-2)) @ parts.rotation.transpose(-1, -2) + parts.centre.unsqueeze(-2)
    return world.flatten(1, 2)


def place_parts(world: World, f: dict[str, Tensor]) -> tuple[Parts, Tensor]:
    """The parts of all toys of an image, (n * T, K * P, ...), and the toys' order of symmetry, (n, K)."""
    (n, k), t, several = f["label"].shape, world.frames, world.toys[1] > 1
    toys, symmetry = build(f["label"].flatten() % len(CLASSES), f["shape"].flatten(0, 1))
    toys = {name: v.unflatten(0, (n, 1, k)) for name, v in toys.items()}  # (n, 1, K, P, ...)
    # (n, T, K)
    yaw = (f["yaw"] if several else f["yaw"].unsqueeze(1)) + f["camera_azimuth"].mean(1).view(n, 1, 1)
    scale = f["size"].view(n, 1, k, 1, 1) if several else 1.0
    turn = about("z", yaw).unsqueeze(-3)  # (n, T, K, 1, 3, 3)
    centre = (turn @ (toys["centre"] * scale).unsqueeze(-1)).squeeze(-1)  # (n, T, K, P, 3)
    if several:
        centre[..., :2] += f["place"].unsqueeze(-2)
    present = toys["present"] & f["present"].view(n, 1, k, 1)
    slot = toys["slot"].unsqueeze(-1).expand(*toys["slot"].shape, 3)
    colour = f["colour"].unsqueeze(1).gather(3, slot).square()  # gamma 2 to linear
    number = torch.where(present, torch.arange(1, k + 1).view(k, 1), 0)

    def flat(v: Tensor) -> Tensor:  # (n, 1 or T, K, P, ...) -> (n * T, K * P, ...)
        return v.expand(n, t, *v.shape[2:]).flatten(2, 3).flatten(0, 1)

    parts = Parts(
        flat(centre),
        flat(turn @ toys["rotation"]),
        flat(toys["half"] * scale),
        flat(toys["shape"]),
        flat(toys["box"]),
        flat(colour),
        flat(toys["gloss"]),
        flat(number),
    )
    return parts, symmetry.view(n, k)


def footprints(points: Tensor, present: Tensor, strength: float) -> Tensor:
    """Ellipses (m, K, 6) about each toy's lowest points, for `Scene.contact`; points (m, K, Q, 3), present
    (m, K, Q)."""
    low = present & (points[..., 2] < 0.3)
    weight = (low / low.sum(-1, keepdim=True).clamp(min=1)).unsqueeze(-1)
    middle = (weight * points[..., :2]).sum(2)  # (m, K, 2)
    spread = (points[..., :2] - middle.unsqueeze(2)) * weight.sqrt()
    cover = spread.transpose(-1, -2) @ spread + 0.02 * torch.eye(2, dtype=torch.float64)  # (m, K, 2, 2)
    inverse = torch.linalg.inv(cover) / 3.2  # points on an ellipse's rim have 2: reach somewhat further
    (xx, xy), (_, yy) = ([inverse[..., i, j] for j in (0, 1)] for i in (0, 1))
    return torch.stack([*middle.unbind(-1), xx, 2 * xy, yy, torch.where(low.any(-1), strength, 0.0)], -1)


def floor_pattern(world: World, f: dict[str, Tensor]) -> Tensor:
    """(n, 17), see `trace.floor_colour`."""
    pattern = torch.zeros(len(f["label"]), 17, dtype=torch.float64)
    c, s = f["floor_angle"].cos(), f["floor_angle"].sin()
    pattern[:, :4] = torch.cat([c, s, -s, c], 1) / f["floor_period"].repeat_interleave(2, 1)
    pattern[:, 4:8] = torch.tensor(list(PATTERNS.values()), dtype=torch.float64)[f["floor_kind"].squeeze(1)]
    pattern[:, 8], pattern[:, 9] = 1.5, 0.03 * world.sky
    pattern[:, 10:12] = f["floor_shift"]
    wave = torch.stack([f["dapple_angle"].cos(), f["dapple_angle"].sin()], -1) / f["dapple_period"].unsqueeze(
        -1
    )
    pattern[:, 12:16] = wave.flatten(1)  # (n, 2, 2) -> (n, 4)
    pattern[:, 16:] = f["dapple"]
    return pattern


def assemble(world: World, f: dict[str, Tensor]) -> tuple[Scene, dict[str, Tensor]]:
    """Scenes of all images (clips: n * T, frame by frame), float64, and the factors that come of building
    them."""
    (n, k), t, several = f["label"].shape, world.frames, world.toys[1] > 1
    parts, symmetry = place_parts(world, f)
    m = n * t

    def each(v: Tensor) -> Tensor:  # (n, 1 or T, ...) -> (n * T, ...)
        return v.expand(n, t, *v.shape[2:]).flatten(0, 1)

    def per_image(v: Tensor) -> Tensor:  # (n, ...) -> (n * T, ...)
        return v.repeat_interleave(t, 0)

    # the camera looks at the middle of the toy, or of the scene; zoom and shift then frame the toy
    azimuth, distance = each(f["camera_azimuth"]), f["camera_distance"] * (BACK if several else 1.0)
    target = torch.tensor([[0.0, 0.0, 0.3 if several else 0.5]], dtype=torch.float64)
    eye = target + towards(azimuth, each(f["camera_elevation"])) * each(distance).unsqueeze(-1)
    axes = camera(eye, target, each(f["camera_roll"]), azimuth)
    points, present = outline(parts), (parts.instance > 0).repeat_interleave(OUTLINE, 1)  # (m, Q, 3), (m, Q)
    if world.toys[1] == 1:
        seen = (points - eye.unsqueeze(1)) @ axes  # (m, Q, 3) along right, down, forward
        seen, absent = seen[..., :2] / seen[..., 2:], ~present.unsqueeze(-1)
        low, high = seen.masked_fill(absent, 1e3).amin(1), seen.masked_fill(absent, -1e3).amax(1)
        zoom = 2 * f["size"] / (high - low).amax(1, keepdim=True)  # (m, 1)
        shift = f["place"] - zoom * (low + high) / 2
    else:
        zoom = per_image(distance.mean(1, keepdim=True)) / (REACH[0] if several else REACH[1])
        shift = torch.zeros(m, 2, dtype=torch.float64)
    across = axes[..., :2] / zoom.unsqueeze(-1)
    view = torch.cat([across, axes[..., 2:] - across @ shift.unsqueeze(-1)], -1)  # (m, 3, 3)

    sun = towards(
        per_image(f["light_azimuth"] + f["camera_azimuth"].mean(1, keepdim=True)).squeeze(1),
        each(f["light_elevation"]),
    )
    strength = per_image(f["light_strength"])
    light = torch.cat([1.1 * strength, 1.02 - 0.7 * strength, per_image(f["light_softness"])], 1)
    contact = footprints(points.unflatten(1, (k, -1)), present.unflatten(1, (k, -1)), world.contact)
    sky = rgb(f["sky_hue"], torch.tensor([[0.12, 0.5]], dtype=torch.float64), f["sky_value"])  # (n, 2, 3)
    # present parts first: chunks are cut short
    first = (parts.instance == 0).long().argsort(dim=1, stable=True)
    parts = Parts(
        **{
            name: v.gather(1, first.view(m, -1, *[1] * (v.dim() - 2)).expand(v.shape))
            for name, v in vars(parts).items()
        }
    )
    return Scene(
        parts,
        eye,
        view,
        sun,
        light,
        contact,
        per_image(f["floor_colour"].square()),
        per_image(floor_pattern(world, f)),
        per_image(sky.square()),
    ), {"symmetry": symmetry}
