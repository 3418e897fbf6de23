"""Convex solids and rays: which pairs can meet, where they do, and the surface there.

Two kinds of part, each given in a local frame where it fits [-1, 1]^3 and mapped to the world by half sizes, a
rotation and a centre:
    round   x^2 + y^2 <= a + b z + c z^2,  low <= z <= 1      ball, dome, tube, cone, frustum, paraboloid
    box     |x| <= 1 + (kx - 1) (z + 1) / 2, same for y with ky, |z| <= 1      box, gable roof, cabin
Only pairs (ray, part) that can meet are solved: a ray meets a part's bounding ellipsoid where a quadratic form of
two coordinates of the ray is positive (a conic), so one matrix product tests all pairs; the rest is exact.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

FAR = 1e4


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


def dot(a: Tensor, b: Tensor) -> Tensor:
    """Inner product over the first dimension of two (3, ...) tensors."""
    return (a * b).sum(0)


def unit(a: Tensor) -> Tensor:
    """(3, ...) -> (3, ...) of length 1."""
    return a * (dot(a, a) + 1e-12).rsqrt()


def apply(matrix: Tensor, v: Tensor) -> Tensor:
    """Matrices (3, 3, ...) times vectors (3, ...)."""
    return matrix[:, 0] * v[0] + matrix[:, 1] * v[1] + matrix[:, 2] * v[2]


def columns(*values: Tensor) -> Tensor:
    """(N, P, ...) tensors -> one table (F, N * P), so that a part's numbers are a column and vector maths is
    fast."""
    return torch.cat([v.flatten(2) for v in values], 2).flatten(0, 1).t().contiguous()


# --- which pairs can meet ---


def bounding(parts: Parts) -> Tensor:
    """World -> a frame in which the part's bounding ellipsoid is the unit ball, without the shift: (N, P, 3,
    3).

    Balls bound themselves; boxes and tubes get the circumscribed ellipsoid of least volume.
    """
    box, ball = parts.box.unsqueeze(-1), parts.shape[..., 2:3] < -0.99
    tube = torch.tensor([1.5, 1.5, 3.0]).sqrt()
    grow = torch.where(box, tube.new_tensor(3.0).sqrt(), torch.where(ball, tube.new_tensor(1.0), tube))
    return parts.rotation.transpose(-1, -2) / (parts.half * grow * 1.01 + 0.01).unsqueeze(-1)


def conic(basis: Tensor, way: Tensor, absent: Tensor) -> Tensor:
    """C (N, P, 3, 3) with h C h >= 0 where the line through basis @ h along `way` meets the unit ball.

    basis (N, P, 3, 3), way (N, P, 3, 1): the discriminant (p . w)^2 - w . w (p . p - 1), p = basis h. The
    last
    entry of h is 1.
    """
    turned, square = basis.transpose(-1, -2), way.square().sum(-2, keepdim=True)
    along = turned @ way
    out = along @ along.transpose(-1, -2) - square * (turned @ basis)
    out[..., 2, 2] += square[..., 0, 0]
    out[absent] = torch.diag(out.new_tensor([0.0, 0.0, -1.0]))
    return out


def candidates(conics: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Pairs (ray, part) with (x, y, 1) C (x, y, 1) >= 0.

    conics: (N, P, 3, 3); x, y: (N, R). Returns flat indices: rays into N * R, parts into N * P, both (M,).
    """
    (n, rays), p = x.shape, conics.shape[1]
    entries = ((0, 0, 1), (0, 1, 2), (1, 1, 1), (0, 2, 2), (1, 2, 2), (2, 2, 1))
    c = torch.stack([conics[..., i, j] * times for i, j, times in entries], 2)
    terms = torch.stack([x * x, x * y, y * y, x, y, torch.ones_like(x)], 1)
    meets = torch.bmm(c, terms) >= 0  # (N, P, 6) x (N, 6, R) -> (N, P, R)
    part, ray = meets.flatten(0, 1).nonzero().unbind(1)
    start = torch.arange(0, n * rays, rays).repeat_interleave(p)  # first ray of each part's image, (N * P,)
    return ray + start.index_select(0, part), part


# --- where they meet ---


def round_interval(o: Tensor, d: Tensor, shape: Tensor) -> tuple[Tensor, Tensor]:
    """Where rays o + t d are inside round parts: o, d (3, M), shape (4, M) -> near, far (M,); near > far is a
    miss."""
    a, b, c, low = shape
    qa = d[0] * d[0] + d[1] * d[1] - c * d[2] * d[2]
    qa = torch.where(qa.abs() < 1e-9, 1e-9, qa)
    qb = o[0] * d[0] + o[1] * d[1] - (0.5 * b + c * o[2]) * d[2]
    qc = o[0] * o[0] + o[1] * o[1] - a - (b + c * o[2]) * o[2]
    square = qb * qb - qa * qc
    root = square.clamp(min=0).sqrt()
    t0, t1 = (-qb - root) / qa, (root - qb) / qa
    first, last = torch.minimum(t0, t1), torch.maximum(t0, t1)
    # a steep ray meets both nappes of a cone; ours is below: t <= first if it rises
    steep, up = qa < 0, d[2] > 0
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


def solve(box: Tensor, ray: Tensor, part: Tensor, local) -> tuple[Tensor, ...]:
    """Solves pairs exactly. box (N * P,); ray, part (M,); local(ray, part) -> o (3, M), d (3, M), shape (4,
    M).

    Returns ray, part, near, far of the pairs that meet, each (L,).
    """
    out = []
    for kind, inside in ((False, round_interval), (True, box_interval)):
        keep = (box.index_select(0, part) == kind).nonzero().squeeze(1)
        r, p = ray.index_select(0, keep), part.index_select(0, keep)
        near, far = inside(*local(r, p))
        meets = (near < far).nonzero().squeeze(1)
        out.append([v.index_select(0, meets) for v in (r, p, near, far)])
    return tuple(torch.cat(v) for v in zip(*out, strict=True))


def normals(q: Tensor, box: Tensor, shape: Tensor, half: Tensor) -> tuple[Tensor, Tensor]:
    """Surface normals with softened edges, in the part's axes, and which face was hit.

    q: (3, M) local points, box (M,), shape (4, M), half (3, M). Returns (3, M), not of unit length, and (M,)
    in 0..2.
    Near an edge the normals of the faces that meet there are blended, as if it were rounded.
    """
    x, y, z = q
    bevel = 0.25 * half.amin(0)  # width of a softened edge, world units
    slope_x, slope_y = (shape[0] - 1) / 2, (shape[1] - 1) / 2
    a, b, c, low = shape
    radius = (a + (b + c * z) * z).clamp(min=0).sqrt()
    bottom = torch.where(box, -1.0, low)
    # signed distances to the faces, about 0 on the one that was hit and negative to the others
    to_x = torch.where(
        box,
        (x.abs() - (1 + shape[0]) / 2 - slope_x * z) * half[0],
        ((x * x + y * y).sqrt() - radius) * torch.minimum(half[0], half[1]),
    )
    to_y = torch.where(box, (y.abs() - (1 + shape[1]) / 2 - slope_y * z) * half[1], -FAR)
    to_z = torch.maximum(z - 1, bottom - z) * half[2]
    wx, wy, wz = ((1 + v / bevel).clamp(0, 1).square() for v in (to_x, to_y, to_z))
    zero = torch.zeros_like(x)
    side = torch.stack(
        [
            torch.where(box, x.sign(), x),
            torch.where(box, zero, y),
            torch.where(box, -slope_x, -(0.5 * b + c * z)),
        ]
    )
    normal = wx * unit(side / half) + wy * unit(torch.stack([zero, y.sign(), -slope_y]) / half)
    normal[2] += wz * torch.where(z - 1 > bottom - z, 1.0, -1.0)
    return normal, torch.where(to_z > torch.maximum(to_x, to_y), 2, (to_y > to_x).long())
