"""A small batched ray tracer in torch: convex parts on a floor, one sun, soft shadows, adaptive anti-aliasing.

Colours are linear inside and gamma 2 outside. Lengths are world units; z is up, the floor is z = 0. Where a comment
says (3, N, R), R rays of each of N images are meant.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from sslcourse.data.toybox.solids import (
    FAR,
    Parts,
    apply,
    bounding,
    candidates,
    columns,
    conic,
    dot,
    normals,
    solve,
    unit,
)

# offsets of the rays in a pixel that needs several, in pixels; a quarter turn maps them to themselves
SUBSAMPLES = ((-0.125, -0.375), (0.375, -0.125), (0.125, 0.375), (-0.375, 0.125))


@dataclass
class Scene:
    """N images to render: what is there, who looks, what shines. Every tensor's first dimension is N."""

    parts: Parts
    eye: Tensor  # (N, 3)
    view: Tensor  # (N, 3, 3): the ray through image point (x, y) in [-1, 1] has direction view @ (x, y, 1)
    sun: Tensor  # (N, 3) unit vector towards the sun
    light: Tensor  # (N, 3): sun, ambient, penumbra (width per distance)
    contact: Tensor  # (N, K, 6): x, y, inverse covariance xx, 2 xy, yy, and strength of each toy's footprint
    floor: Tensor  # (N, 2, 3) the two linear colours of the pattern
    pattern: Tensor  # (N, 17), see `floor_colour`
    sky: Tensor  # (N, 2, 3) linear colours at the horizon and overhead

    def __getitem__(self, rows) -> Scene:
        return Scene(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def __len__(self) -> int:
        return len(self.eye)


def nearest(scene: Scene, x: Tensor, y: Tensor, floor_t: Tensor, bound: Tensor, to_local: Tensor):
    """t (N, R) and part (N * R,), a flat index into N * P or -1, where camera rays first meet something.

    x, y, floor_t: (N, R); bound, to_local: (N, P, 3, 3).
    """
    parts, view = scene.parts, scene.view.unsqueeze(1)
    apart = (parts.centre - scene.eye.unsqueeze(1)).unsqueeze(-1)  # (N, P, 3, 1)
    # all rays start in the eye: conic's line through the fixed point bound @ apart along bound @ view @ h
    basis, fixed = bound @ view, bound @ apart
    toward = basis.transpose(-1, -2) @ fixed
    conics = toward @ toward.transpose(-1, -2)
    conics = conics - (fixed.square().sum(-2, keepdim=True) - 1) * (basis.transpose(-1, -2) @ basis)
    conics[parts.instance == 0] = torch.diag(x.new_tensor([0.0, 0.0, -1.0]))
    ray, part = candidates(conics, x, y)

    # t is counted from near the part: fp32 is short of digits when a thin part is seen from afar
    axis = scene.view[:, :, 2]
    shift = (apart.squeeze(-1) * axis.unsqueeze(1)).sum(-1) / axis.square().sum(-1, keepdim=True)  # (N, P)
    # (17, N * P)
    table = columns(to_local @ view, -(to_local @ apart).squeeze(-1), parts.shape, shift.unsqueeze(-1))
    h = torch.stack([x, y, torch.ones_like(x)]).flatten(1)  # (3, N, R) -> (3, N * R)

    def local(r: Tensor, p: Tensor):
        q = table.index_select(1, p)
        d = apply(q[:9].view(3, 3, -1), h.index_select(1, r))
        return q[9:12] + q[16] * d, d, q[12:16]

    ray, part, near, _ = solve(parts.box.flatten(), ray, part, local)
    near = near + shift.flatten().index_select(0, part)
    t = floor_t.flatten().scatter_reduce(0, ray, near, "amin")
    first = (near == t.index_select(0, ray)).nonzero().squeeze(1)
    ray, part = ray.index_select(0, first), part.index_select(0, first)
    return t.view_as(x), torch.full((x.numel(),), -1).scatter_reduce(0, ray, part, "amax")


def sunlight(scene: Scene, point: Tensor, own: Tensor, bound: Tensor, to_local: Tensor) -> Tensor:
    """Share (N, R) of the sun that reaches points (3, N, R); own (N * R,) is the part they lie on, -2 to skip
    them.

    A part lets 1 - chord / penumbra through, where the penumbra widens with the distance to the part: an edge
    that
    is soft, and softer from afar, for the price of one ray.
    """
    parts, sun, rays = scene.parts, scene.sun, point.shape[2]
    side = F.normalize(torch.linalg.cross(sun, sun.new_tensor([[0.3, 0.5, 0.81]]).expand_as(sun)), dim=-1)
    across = torch.stack([side, torch.linalg.cross(sun, side)], 2)  # (N, 3, 2): a plane across the sun's rays
    centre = parts.centre.unsqueeze(-1)
    basis = torch.cat([bound @ across.unsqueeze(1), -(bound @ centre)], -1)  # (N, P, 3, 3)
    conics = conic(basis, bound @ sun[:, None, :, None], parts.instance == 0)
    u, v = (dot(across[:, :, i].t().unsqueeze(-1), point) for i in (0, 1))  # (3, N, 1) x (3, N, R) -> (N, R)
    ray, part = candidates(conics, u, v)
    from_ = own.index_select(0, ray)
    keep = ((from_ != part) & (from_ != -2)).nonzero().squeeze(1)  # a convex part does not shade itself
    ray, part = ray.index_select(0, keep), part.index_select(0, keep)

    # (19, N * P)
    table = columns(to_local, -(to_local @ centre), parts.shape, to_local @ sun[:, None, :, None])
    points = point.flatten(1)  # (3, N, R) -> (3, N * R)

    def local(r: Tensor, p: Tensor):
        q = table.index_select(1, p)
        return apply(q[:9].view(3, 3, -1), points.index_select(1, r)) + q[9:12], q[16:19], q[12:16]

    ray, part, near, far = solve(parts.box.flatten(), ray, part, local)
    near = near.clamp(min=0)
    penumbra = 0.02 + scene.light[:, 2].repeat_interleave(rays).index_select(0, ray) * near
    passes = (1 - ((far - near) / penumbra).clamp(0, 1)).square()
    return torch.ones(own.numel()).scatter_reduce(0, ray, passes, "amin").view(-1, rays)


def wave(x: Tensor) -> Tensor:
    """A smooth bump of period 1 with values in [0, 1] and mean 8 / 15."""
    x = x - x.floor()
    return (4 * x * (1 - x)).square()


def floor_colour(x: Tensor, y: Tensor, scene: Scene) -> Tensor:
    """Colour (3, N, R) of the floor at x, y (N, R).

    pattern: 0-3 a 2x2 map to pattern coordinates, 4-6 weights of wave(u), wave(v) and their product, 7 warp,
    8 sharpness, 9 haze with distance, 10-11 shift, 12-15 a 2x2 map to dapple coordinates, 16 strength of the
    dapple
    (patches of light and shade).
    """
    m = scene.pattern.unsqueeze(-1)
    u, v = m[:, 0] * x + m[:, 1] * y + m[:, 10], m[:, 2] * x + m[:, 3] * y + m[:, 11]
    u, v = u + m[:, 7] * wave(0.31 * v), v + m[:, 7] * wave(0.37 * u + 0.2)
    a, b = wave(u + 0.25), wave(v + 0.25)
    mix = ((m[:, 4] * a + m[:, 5] * b + m[:, 6] * a * b - 0.5) * m[:, 8] + 0.5).clamp(0, 1)
    mix = mix * mix * (3 - 2 * mix)
    base, other = scene.floor.permute(1, 2, 0).unsqueeze(-1)  # (N, 2, 3) -> (2, 3, N, 1)
    u, v = m[:, 12] * x + m[:, 13] * y + m[:, 10], m[:, 14] * x + m[:, 15] * y + m[:, 11]
    return (base + (other - base) * mix) * (1 + m[:, 16] * (wave(u) + wave(v) - 16 / 15))


def contact_shade(scene: Scene, point: Tensor) -> Tensor:
    """Share (N, R) of ambient light on floor points (3, N, R): darker close to what stands there."""
    shade = torch.ones_like(point[0])
    for foot in scene.contact.unsqueeze(-1).unbind(1):  # (N, 6, 1) for each toy
        u, v = point[0] - foot[:, 0], point[1] - foot[:, 1]
        close = 1 - (foot[:, 2] * u + foot[:, 3] * v) * u - foot[:, 4] * v * v
        shade = torch.minimum(shade, 1 - foot[:, 5] * close.clamp(min=0))
    return shade


def trace(scene: Scene, x: Tensor, y: Tensor) -> dict[str, Tensor]:
    """What is seen at image points x, y (N, R) in [-1, 1]: linear "colour" (3, N, R), "part" (N, R), a flat
    index into
    N * P or -1, "face" (N, R) of the part, and "depth" (N, R), the distance from the eye."""
    parts, (n, rays) = scene.parts, x.shape
    bound = bounding(parts)
    to_local = parts.rotation.transpose(-1, -2) / parts.half.unsqueeze(-1)  # (N, P, 3, 3)
    view = scene.view.permute(1, 2, 0).unsqueeze(-1)  # (N, 3, 3) -> (3, 3, N, 1)
    d = view[:, 0] * x + view[:, 1] * y + view[:, 2]  # (3, N, R)
    eye, sun = scene.eye.t().unsqueeze(-1), scene.sun.t().unsqueeze(-1)  # (3, N, 1)
    falls = d[2] < -1e-4
    floor_t = torch.where(falls, eye[2] / torch.where(falls, -d[2], 1.0), FAR).clamp(max=FAR)
    t, part = nearest(scene, x, y, floor_t, bound, to_local)
    point = (eye + t * d).contiguous()

    # the floor everywhere, then the parts' points over it
    normal, albedo = torch.zeros(3, n, rays), floor_colour(point[0], point[1], scene).contiguous()
    normal[2] = 1
    gloss, face = torch.zeros(n * rays), torch.zeros_like(part)
    hit = (part >= 0).nonzero().squeeze(1)
    own = part.index_select(0, hit)
    # (32, M)
    q = columns(
        to_local,
        parts.rotation,
        parts.half,
        parts.shape,
        parts.centre,
        parts.colour,
        parts.gloss.unsqueeze(-1),
    ).index_select(1, own)
    local = apply(q[:9].view(3, 3, -1), point.view(3, -1).index_select(1, hit) - q[25:28])
    turned, sides = normals(local, parts.box.flatten().index_select(0, own), q[21:25], q[18:21])
    normal.view(3, -1).index_copy_(1, hit, unit(apply(q[9:18].view(3, 3, -1), turned)))
    albedo.view(3, -1).index_copy_(1, hit, q[28:31])
    gloss.index_copy_(0, hit, q[31])
    face.index_copy_(0, hit, sides)
    gloss, on_floor = gloss.view(n, rays), (part < 0).view(n, rays)

    # light: the sun where it reaches, an even ambient light, a little more of it on what faces the eye, and a
    # gleam
    slant, toward_eye = dot(normal, sun), unit(-d)
    lit = sunlight(scene, point, torch.where(slant.flatten() > 0, part, -2), bound, to_local)
    strength, ambient = scene.light[:, 0:1], scene.light[:, 1:2]
    direct = strength * slant.clamp(min=0) * lit
    around = ambient * (0.82 + 0.3 * dot(normal, toward_eye).clamp(min=0))
    around = around * torch.where(on_floor, contact_shade(scene, point), 1.0)
    gleam = dot(normal, unit(toward_eye + sun)).clamp(0, 1)
    for _ in range(5):  # to the power of 32
        gleam = gleam * gleam
    warm, cool = (x.new_tensor(c).view(3, 1, 1) for c in ((1.05, 1.0, 0.92), (0.95, 1.0, 1.07)))
    colour = albedo * (warm * direct + cool * around) + gloss * gleam * lit * strength
    haze = scene.pattern[:, 9:10]
    if bool((haze > 0).any()):
        horizon, zenith = scene.sky.permute(1, 2, 0).unsqueeze(-1)  # (N, 2, 3) -> (2, 3, N, 1)
        sky = horizon + (zenith - horizon) * (-toward_eye[2]).clamp(0, 1).sqrt()
        colour = colour + (sky - colour) * torch.where(on_floor, haze * t, 0.0).clamp(0, 1).square()
    return {
        "colour": colour,
        "part": part.view(n, rays),
        "face": face.view(n, rays),
        "depth": t * dot(d, d).sqrt(),
    }


def render(scene: Scene, size: int) -> dict[str, Tensor]:
    """Renders N images: "images" (N, 3, S, S) uint8, "instance" (N, S, S) uint8, "depth" (N, S, S) float16.

    Masks and depth come from the ray through each pixel's centre. Colour is the mean of four rays at pixels
    beside
    which another part or face is seen, and one ray elsewhere.
    """
    n = len(scene)
    at = (torch.arange(size) + 0.5) * (2 / size) - 1
    y, x = (v.flatten().expand(n, -1) for v in torch.meshgrid(at, at, indexing="ij"))  # (N, S * S)
    seen = trace(scene, x, y)
    colour = seen["colour"].clamp(0, 1)
    key = (seen["part"] * 3 + seen["face"]).view(n, size, size)
    edge = torch.zeros(n, size, size, dtype=torch.bool)
    rows, columns_ = key[:, 1:] != key[:, :-1], key[:, :, 1:] != key[:, :, :-1]
    edge[:, 1:] |= rows
    edge[:, :-1] |= rows
    edge[:, :, 1:] |= columns_
    edge[:, :, :-1] |= columns_
    image, pixel = edge.flatten(1).nonzero().unbind(1)
    if len(image):
        count = edge.flatten(1).sum(1)
        slot = torch.arange(len(image)) - (count.cumsum(0) - count)[image]
        pixels = torch.zeros(n, int(count.max()), dtype=torch.int64)
        pixels[image, slot] = pixel
        step = torch.tensor(SUBSAMPLES) * (2 / size)  # (4, 2)
        x, y = (
            (v.gather(1, pixels).unsqueeze(-1) + s).flatten(1)  # (N, E, 4) -> (N, E * 4)
            for v, s in zip((x, y), step.t(), strict=True)
        )
        fine = trace(scene, x, y)["colour"].clamp(0, 1).view(3, n, -1, 4)  # (3, N, E * 4) -> (3, N, E, 4)
        colour[:, image, pixel] = ((fine[..., 0] + fine[..., 1] + fine[..., 2] + fine[..., 3]) / 4)[
            :, image, slot
        ]
    # from (3, N, S * S)
    images = (colour.sqrt() * 255).round().to(torch.uint8).permute(1, 0, 2).reshape(n, 3, size, size)
    instance = F.pad(scene.parts.instance.flatten(), (0, 1))[seen["part"]]  # part -1 takes the appended 0
    return {
        "images": images,
        "instance": instance.to(torch.uint8).view(n, size, size),
        "depth": seen["depth"].clamp(max=6e4).to(torch.float16).view(n, size, size),
    }
