"""A small batched ray tracer in torch: convex parts on a floor, one sun, soft shadows, adaptive anti-aliasing.

Two kinds of part, each given in a local frame where it fits [-1, 1]^3 and mapped to the world by half sizes, a
rotation and a centre:
    round   x^2 + y^2 <= a + b z + c z^2,  low <= z <= 1      ball, dome, tube, cone, frustum, paraboloid
    box     |x| <= 1 + (kx - 1) (z + 1) / 2, same for y with ky, |z| <= 1      box, gable roof, pyramid, cabin
Only pairs (ray, part) that can meet are intersected: a ray meets a part's bounding ellipsoid when a quadratic form of
two ray coordinates is positive (a conic), so one matrix product tests all pairs; the survivors are solved exactly.
Colours are linear inside and gamma 2 outside. Lengths are world units; z is up, the floor is z = 0.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

SUBSAMPLES = ((-0.125, -0.375), (0.375, -0.125), (0.125, 0.375), (-0.375, 0.125))  # in pixels; maps to itself at 90 deg
FAR = 1e4
UP = 0.0


@dataclass
class Parts:
    """P convex parts for each of N images; rows with instance 0 are absent."""

    centre: Tensor  # (N, P, 3)
    rotation: Tensor  # (N, P, 3, 3), columns are the part's axes in the world
    half: Tensor  # (N, P, 3)
    shape: Tensor  # (N, P, 4): a, b, c, low for round parts; kx, ky, 0, 0 for boxes
    box: Tensor  # (N, P) bool
    colour: Tensor  # (N, P, 3) linear albedo
    gloss: Tensor  # (N, P)
    instance: Tensor  # (N, P) int64, 1..K, 0 for absent

    def __getitem__(self, rows) -> Parts:
        return Parts(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})


@dataclass
class Scene:
    """N images to render: what is there, who looks, what shines. Every tensor's first dimension is N."""

    parts: Parts
    eye: Tensor  # (N, 3)
    view: Tensor  # (N, 3, 3): direction of the ray through image point (x, y) in [-1, 1] is view @ (x, y, 1)
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


def dot(a: Tensor, b: Tensor) -> Tensor:
    """Inner product over the first dimension of two (3, ...) tensors."""
    return (a * b).sum(0)


def unit(a: Tensor) -> Tensor:
    """(3, ...) -> (3, ...) of length 1."""
    return a * (dot(a, a) + 1e-12).rsqrt()


def wave(x: Tensor) -> Tensor:
    """A smooth bump of period 1 with values in [0, 1]."""
    x = x - x.floor()
    return (4 * x * (1 - x)).square()


def candidates(conics: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Pairs (ray, part) with (x, y, 1) C (x, y, 1) >= 0.

    conics: (N, P, 3, 3); x, y: (N, R). Returns flat indices: rays into N * R, parts into N * P, both (M,).
    """
    (n, rays), p = x.shape, conics.shape[1]
    c = torch.stack([conics[..., i, j] * (1 if i == j else 2) for i, j in ((0, 0), (0, 1), (1, 1), (0, 2), (1, 2), (2, 2))], 1)
    terms = torch.stack([x * x, x * y, y * y, x, y, torch.ones_like(x)], 1)  # (N, 6, R)
    meets = torch.bmm(c.transpose(1, 2), terms) >= 0  # (N, P, 6) x (N, 6, R) -> (N, P, R)
    part, ray = meets.flatten(0, 1).nonzero().unbind(1)
    start = torch.arange(0, n * rays, rays).repeat_interleave(p)  # first ray of each part's image, (N * P,)
    return ray + start.index_select(0, part), part


def round_interval(o: Tensor, d: Tensor, shape: Tensor) -> tuple[Tensor, Tensor]:
    """Where rays o + t d are inside round parts: o, d (3, M), shape (4, M) -> near, far (M,); near > far is a miss."""
    a, b, c, low = shape
    qa = d[0] * d[0] + d[1] * d[1] - c * d[2] * d[2]
    qa = torch.where(qa.abs() < 1e-9, 1e-9, qa)
    qb = o[0] * d[0] + o[1] * d[1] - (0.5 * b + c * o[2]) * d[2]
    qc = o[0] * o[0] + o[1] * o[1] - a - (b + c * o[2]) * o[2]
    square = qb * qb - qa * qc
    root = square.clamp(min=0).sqrt()
    t0, t1 = (-qb - root) / qa, (root - qb) / qa
    first, last = torch.minimum(t0, t1), torch.maximum(t0, t1)
    steep, up = qa < 0, d[2] > 0  # a steep ray stays in the lower half of a double cone: t <= first if it rises
    near = torch.where(steep, torch.where(up, -FAR, last), first)
    far = torch.where(steep, torch.where(up, first, FAR), last)
    near = torch.where(square < 0, FAR, near)
    t0, t1 = (low - o[2]) / d[2], (1 - o[2]) / d[2]
    return torch.maximum(near, torch.minimum(t0, t1)), torch.minimum(far, torch.maximum(t0, t1))


def box_interval(o: Tensor, d: Tensor, shape: Tensor) -> tuple[Tensor, Tensor]:
    """The same for tapered boxes; shape is kx, ky, 0, 0."""
    t0, t1 = (-1 - o[2]) / d[2], (1 - o[2]) / d[2]
    near, far = torch.minimum(t0, t1), torch.maximum(t0, t1)
    for axis in (0, 1):
        middle, slope = (1 + shape[axis]) / 2, (shape[axis] - 1) / 2
        for sign in (1, -1):
            value = sign * o[axis] - middle - slope * o[2]  # <= 0 inside
            change = sign * d[axis] - slope * d[2]
            change = torch.where(change.abs() < 1e-9, 1e-9, change)
            t = -value / change
            near = torch.where(change < 0, torch.maximum(near, t), near)
            far = torch.where(change > 0, torch.minimum(far, t), far)
    return near, far


def interval(table: Tensor, box: Tensor, part: Tensor, ray: Tensor, o: Tensor | None, d: Tensor) -> tuple[Tensor, ...]:
    """Solves pairs exactly. `table` (F, N * P): rows 0-8 a matrix B, 9-11 an offset, 12-15 shape, 16 a shift of t.

    Camera rays (o is None): local origin = offset, local direction = B h with h = d (3, N * R).
    Sun rays: local origin = B o + offset, with o the points (3, N * R); local direction = d (3, N * P), one for each part.
    Returns ray, part, near, far of the pairs that meet, (M,) each.
    """
    out = []
    for kind, solve in ((False, round_interval), (True, box_interval)):
        keep = (box.index_select(0, part) == kind).nonzero().squeeze(1)
        p, r = part.index_select(0, keep), ray.index_select(0, keep)
        q = table.index_select(1, p)  # (F, N * P) -> (F, M)
        matrix, offset, shape = q[:9].reshape(3, 3, -1), q[9:12], q[12:16]  # (9, M) -> (3, 3, M)
        h = (d if o is None else o).index_select(1, r)
        local = matrix[:, 0] * h[0] + matrix[:, 1] * h[1] + matrix[:, 2] * h[2]
        if o is None:
            shift = q[16]
            near, far = solve(offset + shift * local, local, shape)  # from nearby: fp32 is short of digits from afar
            near, far = near + shift, far + shift
        else:
            near, far = solve(local + offset, d.index_select(1, p), shape)
        meets = (near < far).nonzero().squeeze(1)
        out.append([v.index_select(0, meets) for v in (r, p, near, far)])
    return tuple(torch.cat(v) for v in zip(*out, strict=True))


def bounds(parts: Parts, margin: float) -> Tensor:
    """Half axes of an ellipsoid about each part, (N, P, 3): balls are their own, tubes and boxes get circumscribed ones."""
    ball = (parts.shape[..., 2] < -0.99) & ~parts.box
    tube = torch.tensor([1.2248, 1.2248, 1.7321])
    grow = torch.where(parts.box.unsqueeze(-1), torch.tensor(1.7321), torch.where(ball.unsqueeze(-1), torch.tensor(1.0), tube))
    return parts.half * grow * 1.01 + margin


def normals(q: Tensor, box: Tensor, shape: Tensor, half: Tensor, bevel: Tensor) -> tuple[Tensor, Tensor]:
    """Local surface normals with softened edges, and which face was hit.

    q: (3, M) local points, shape (4, M), half (3, M), bevel (M,) the width of softened edges in world units.
    Returns (3, M), not of unit length, in the part's axes and world scale; and face (M,) in 0..2.
    """
    x, y, z = q
    slope_x, slope_y = (shape[0] - 1) / 2, (shape[1] - 1) / 2
    inside_x = (x.abs() - (1 + shape[0]) / 2 - slope_x * z) * half[0]  # <= 0: distance to the face
    inside_y = (y.abs() - (1 + shape[1]) / 2 - slope_y * z) * half[1]
    a, b, c, low = shape
    radius = (a + (b + c * z) * z).clamp(min=0).sqrt()
    inside_r = ((x * x + y * y).sqrt() - radius) * torch.minimum(half[0], half[1])
    bottom = torch.where(box, torch.tensor(-1.0), low)
    inside_z = torch.maximum(z - 1, bottom - z) * half[2]
    inside_x, inside_y = torch.where(box, inside_x, inside_r), torch.where(box, inside_y, -FAR)
    wx, wy, wz = ((1 + v / bevel).clamp(0, 1).square() for v in (inside_x, inside_y, inside_z))
    sign_z = torch.where(z - 1 > bottom - z, 1.0, -1.0)
    # gradients divided by the half sizes are normals in world scale; each is made a unit vector before blending
    gx = unit(torch.stack([torch.where(box, x.sign(), x) / half[0], torch.where(box, torch.tensor(0.0), y) / half[1],
                           torch.where(box, -slope_x, -(0.5 * b + c * z)) / half[2]]))
    gy = unit(torch.stack([torch.zeros_like(x), y.sign() / half[1], -slope_y / half[2]]))
    normal = wx * gx + wy * gy
    normal[2] += wz * sign_z
    face = torch.where(inside_z > torch.maximum(inside_x, inside_y), 2, (inside_y > inside_x).long())
    return normal, face


def floor_colour(x: Tensor, y: Tensor, scene: Scene) -> Tensor:
    """Colour (3, N, R) of the floor at x, y (N, R).

    pattern: 0-3 a 2x2 map to pattern coordinates, 4-6 weights of wave(u), wave(v), their product, 7 warp, 8 sharpness,
    9 fade with distance (only where the horizon is seen), 10-11 shift,
    12-15 a 2x2 map to dapple coordinates, 16 strength of the dapple (patches of light and shade).
    """
    m = scene.pattern.unsqueeze(-1)
    u, v = m[:, 0] * x + m[:, 1] * y + m[:, 10], m[:, 2] * x + m[:, 3] * y + m[:, 11]
    u, v = u + m[:, 7] * wave(0.31 * v), v + m[:, 7] * wave(0.37 * u + 0.2)
    a, b = wave(u + 0.25), wave(v + 0.25)
    mix = ((m[:, 4] * a + m[:, 5] * b + m[:, 6] * a * b - 0.5) * m[:, 8] + 0.5).clamp(0, 1)
    mix = mix * mix * (3 - 2 * mix)
    base, other = scene.floor.permute(1, 2, 0).unsqueeze(-1)  # (N, 2, 3) -> (2, 3, N, 1)
    p, q = m[:, 12] * x + m[:, 13] * y, m[:, 14] * x + m[:, 15] * y
    dapple = 1 + m[:, 16] * (wave(p + m[:, 10]) + wave(q + m[:, 11]) - 1.067)  # the mean of a wave is 8 / 15
    return (base + (other - base) * mix) * dapple


def trace(scene: Scene, x: Tensor, y: Tensor) -> dict[str, Tensor]:
    """Linear colour (3, N, R), part (N, R) with -1 for none, face (N, R) and depth (N, R) at image points x, y (N, R)."""
    parts, (n, rays), p = scene.parts, x.shape, scene.parts.half.shape[1]
    turn = parts.rotation.transpose(-1, -2)  # world -> part axes
    to_local = turn / parts.half.unsqueeze(-1)  # (N, P, 3, 3)
    absent = parts.instance == 0
    eye = parts.centre - scene.eye.unsqueeze(1)  # (N, P, 3), from the eye to the part
    axis = scene.view[:, :, 2]
    bounding = turn / bounds(parts, 0.01).unsqueeze(-1)
    h = torch.stack([x, y, torch.ones_like(x)]).flatten(1)  # (3, N * R)
    view = scene.view.unsqueeze(1)

    def table(matrix, offset, shift):  # -> (17, N * P)
        return torch.cat([matrix.flatten(2), offset, parts.shape, shift], 2).flatten(0, 1).t().contiguous()

    # nearest part along each camera ray
    bound = bounding @ view  # (N, P, 3, 3)
    centre = (bounding @ eye.unsqueeze(-1))  # (N, P, 3, 1)
    toward = bound.transpose(-1, -2) @ centre
    size = (centre.square().sum(-2, keepdim=True) - 1)
    conic = toward @ toward.transpose(-1, -2) - size * (bound.transpose(-1, -2) @ bound)
    conic[absent] = torch.diag(torch.tensor([0.0, 0.0, -1.0]))
    ray, part = candidates(conic, x, y)
    shift = (eye * axis.unsqueeze(1)).sum(-1, keepdim=True) / axis.square().sum(-1)[:, None, None]
    offset = -(to_local @ eye.unsqueeze(-1)).squeeze(-1)
    ray, part, near, _ = interval(table(to_local @ view, offset, shift), parts.box.flatten(), part, ray, None, h)

    view_ = scene.view.permute(1, 2, 0).unsqueeze(-1)  # (N, 3, 3) -> (3, 3, N, 1)
    d = view_[:, 0] * x + view_[:, 1] * y + view_[:, 2]  # (3, N, R)
    origin = scene.eye.t().unsqueeze(-1)  # (3, N, 1)
    floor_t = torch.where(d[2] < -1e-4, -origin[2] / d[2].clamp(max=-1e-4), FAR).clamp(max=FAR)
    t = floor_t.flatten().scatter_reduce(0, ray, near, "amin")
    first = (near == t.index_select(0, ray)).nonzero().squeeze(1)
    best = torch.full((n * rays,), -1).scatter_reduce(0, ray.index_select(0, first), part.index_select(0, first), "amax")  # flat index into N * P
    t = t.view(n, rays)

    # surface: floor everywhere, then the parts' points
    point = (origin + t * d).contiguous()
    normal = torch.zeros(3, n, rays)
    normal[2] = 1
    albedo = floor_colour(point[0], point[1], scene).contiguous()
    gloss = torch.zeros(n, rays)
    face = torch.zeros_like(best)
    hit = (best >= 0).nonzero().squeeze(1)
    own = best.index_select(0, hit)
    on_floor = (best < 0).view(n, rays)
    rows = torch.cat([to_local.flatten(2), parts.rotation.flatten(2), parts.half, parts.shape, parts.centre,
                      parts.colour, parts.gloss.unsqueeze(-1)], 2).flatten(0, 1).t().contiguous()  # (32, N * P)
    rows = rows.index_select(1, own)  # (32, M)
    inward, outward = rows[:9].view(3, 3, -1), rows[9:18].view(3, 3, -1)
    world = point.view(3, -1).index_select(1, hit) - rows[25:28]
    local = inward[:, 0] * world[0] + inward[:, 1] * world[1] + inward[:, 2] * world[2]
    bevel = 0.25 * rows[18:21].amin(0)
    turned, side_ = normals(local, parts.box.flatten().index_select(0, own), rows[21:25], rows[18:21], bevel)
    face.index_copy_(0, hit, side_)
    turned = unit(outward[:, 0] * turned[0] + outward[:, 1] * turned[1] + outward[:, 2] * turned[2])
    normal.view(3, -1).index_copy_(1, hit, turned)
    albedo.view(3, -1).index_copy_(1, hit, rows[28:31])
    gloss.view(-1).index_copy_(0, hit, rows[31])

    # sun: light that passes all parts; the chord through a part over the penumbra's width
    sun = scene.sun.t().unsqueeze(-1)  # (3, N, 1)
    side = F.normalize(torch.linalg.cross(scene.sun, torch.tensor([[0.3, 0.5, 0.81]]).expand(n, 3)), dim=-1)
    frame = torch.stack([side, torch.linalg.cross(scene.sun, side)], 1)  # (N, 2, 3), across the sun's rays
    frame_ = frame.permute(1, 2, 0).unsqueeze(-1)  # (N, 2, 3) -> (2, 3, N, 1)
    faces_sun = dot(normal, sun)
    basis = bounding @ frame.transpose(1, 2).unsqueeze(1)  # (N, P, 3, 2)
    basis = torch.cat([basis, -(bounding @ parts.centre.unsqueeze(-1))], -1)  # (N, P, 3, 3)
    along = bounding @ scene.sun[:, None, :, None]  # (N, P, 3, 1)
    across = basis.transpose(-1, -2) @ along
    length = along.square().sum(-2, keepdim=True)
    conic = across @ across.transpose(-1, -2) - length * (basis.transpose(-1, -2) @ basis)
    conic[..., 2, 2] += length[..., 0, 0]
    conic[absent] = torch.diag(torch.tensor([0.0, 0.0, -1.0]))
    ray, part = candidates(conic, dot(frame_[0], point), dot(frame_[1], point))
    from_ = torch.where(faces_sun.flatten() > 0, best, -2).index_select(0, ray)  # -2: turned away, dark anyway
    keep = ((from_ != part) & (from_ != -2)).nonzero().squeeze(1)  # a convex part does not shade itself
    offset = -(to_local @ parts.centre.unsqueeze(-1)).squeeze(-1)
    towards = (to_local @ scene.sun[:, None, :, None]).flatten(0, 1).squeeze(-1).t()  # (3, N * P)
    ray, part, near, far = interval(table(to_local, offset, shift), parts.box.flatten(), part.index_select(0, keep),
                                    ray.index_select(0, keep), point.view(3, -1), towards)
    near, chord = near.clamp(min=0), far - near.clamp(min=0)
    width = 0.02 + scene.light[:, 2].repeat_interleave(rays).index_select(0, ray) * near
    passes = (1 - (chord / width).clamp(0, 1)).square()
    lit = torch.ones(n * rays).scatter_reduce(0, ray, passes, "amin").view(n, rays)

    # contact: the floor is darker close to what stands on it
    shade = torch.ones(n, rays)
    for footprint in scene.contact.unsqueeze(-1).unbind(1):  # (N, 6, 1) for each toy
        u, v = point[0] - footprint[:, 0], point[1] - footprint[:, 1]
        close = 1 - (footprint[:, 2] * u + footprint[:, 3] * v) * u - footprint[:, 4] * v * v
        shade = torch.minimum(shade, 1 - footprint[:, 5] * close.clamp(min=0))
    shade = torch.where(on_floor, shade, 1.0)

    # shading
    strength, ambient = scene.light[:, 0:1], scene.light[:, 1:2]
    toward_eye = unit(-d)
    gleam = dot(normal, unit(toward_eye + sun)).clamp(0, 1)
    for _ in range(5):
        gleam = gleam * gleam
    direct = strength * faces_sun.clamp(min=0) * lit
    around = ambient * shade * (1 + UP * (normal[2] - 0.5) + 0.3 * (dot(normal, toward_eye).clamp(min=0) - 0.6))
    tint_sun, tint_sky = (torch.tensor(c).view(3, 1, 1) for c in ((1.05, 1.0, 0.92), (0.95, 1.0, 1.07)))
    colour = albedo * (tint_sun * direct + tint_sky * around) + gloss * gleam * lit * strength
    if bool((floor_t >= FAR).any()) or bool((scene.pattern[:, 9] > 0).any()):
        horizon, zenith = scene.sky.permute(1, 2, 0).unsqueeze(-1)  # (N, 2, 3) -> (2, 3, N, 1)
        rise = (-toward_eye[2]).clamp(0, 1).sqrt()
        sky = horizon + (zenith - horizon) * rise
        haze = torch.where(on_floor, scene.pattern[:, 9:10] * t, 0.0).clamp(0, 1)
        colour = colour + (sky - colour) * haze.square()
    depth = t * dot(d, d).sqrt()
    return {"colour": colour, "part": best.view(n, rays), "face": face.view(n, rays), "depth": depth}


def render(scene: Scene, size: int) -> dict[str, Tensor]:
    """Renders N images: "images" (N, 3, S, S) uint8, "instance" (N, S, S) uint8, "depth" (N, S, S) float16.

    Masks and depth come from the ray through each pixel's centre. Colour is the mean of four rays at pixels whose
    neighbours show another part or face, and one ray elsewhere.
    """
    n = len(scene)
    at = (torch.arange(size) + 0.5) * (2 / size) - 1
    y, x = (v.flatten().expand(n, -1) for v in torch.meshgrid(at, at, indexing="ij"))  # (N, S * S)
    seen = trace(scene, x, y)
    colour = seen["colour"].clamp(0, 1)
    key = (seen["part"] * 3 + seen["face"]).view(n, size, size)
    edge = torch.zeros(n, size, size, dtype=torch.bool)
    for across, here, there in ((key[:, 1:] != key[:, :-1], slice(1, None), slice(None, -1)),):
        edge[:, here] |= across
        edge[:, there] |= across
    across = key[:, :, 1:] != key[:, :, :-1]
    edge[:, :, 1:] |= across
    edge[:, :, :-1] |= across
    image, pixel = edge.flatten(1).nonzero().unbind(1)
    if len(image):
        count = edge.flatten(1).sum(1)
        slot = torch.arange(len(image)) - (count.cumsum(0) - count)[image]
        pixels = torch.zeros(n, int(count.max()), dtype=torch.int64)
        pixels[image, slot] = pixel
        step = torch.tensor(SUBSAMPLES) * (2 / size)  # (4, 2)
        sub_x = (x.gather(1, pixels).unsqueeze(-1) + step[:, 0]).flatten(1)  # (N, E, 4) -> (N, E * 4)
        sub_y = (y.gather(1, pixels).unsqueeze(-1) + step[:, 1]).flatten(1)
        fine = trace(scene, sub_x, sub_y)["colour"].clamp(0, 1).view(3, n, -1, 4)  # (3, N, E * 4) -> (3, N, E, 4)
        fine = (fine[..., 0] + fine[..., 1] + fine[..., 2] + fine[..., 3]) / 4
        colour[:, image, pixel] = fine[:, image, slot]
    images = (colour.sqrt() * 255).round().to(torch.uint8).permute(1, 0, 2).reshape(n, 3, size, size)  # (3, N, S * S) ->
    instance = F.pad(scene.parts.instance.flatten(), (0, 1))[seen["part"]]  # part -1 takes the appended 0
    return {"images": images, "instance": instance.to(torch.uint8).view(n, size, size),
            "depth": seen["depth"].clamp(max=6e4).to(torch.float16).view(n, size, size)}
