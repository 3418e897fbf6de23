"""The ten toys, each built from convex parts: n toys of a class at once, proportions drawn from uniforms.

A toy stands on z = 0 about the origin, faces +x, and is roughly 1 high. Colours are slots of the toy's own
palette:
0 the largest parts, 1 the second largest, 2 small parts, 3 details that must stand out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

CLASSES = ("car", "tree", "house", "mushroom", "snowman", "rocket", "table", "lamp", "dumbbell", "chair")
SHAPE_DRAWS = 16  # uniforms behind one toy's proportions
MAX_PARTS = 14
Value = Tensor | float
CONE, OGIVE = (0.25, -0.5, 0.25, -1.0), (0.5, -0.5, 0.0, -1.0)  # round shapes, see solids.py
CYLINDER, BALL = (1.0, 0.0, 0.0, -1.0), (1.0, 0.0, -1.0, -1.0)

# fmt: off
# (hue, spread of hue, saturation, value) of the four slots in toybox-natural; None is any bright colour
NATURAL = {
    "car": (None, (0.55, 0.05, 0.25, 0.75), (0.6, 0.1, 0.1, 0.2), (0.14, 0.03, 0.4, 0.95)),
    "tree": ((0.32, 0.06, 0.75, 0.55), (0.07, 0.02, 0.6, 0.4), (0.0, 0.03, 0.8, 0.8), (0.0, 0.03, 0.8, 0.85)),
    "house": ((0.11, 0.05, 0.3, 0.85), (0.02, 0.03, 0.7, 0.6), (0.07, 0.02, 0.65, 0.4),
              (0.55, 0.04, 0.35, 0.85)),
    "mushroom": ((0.0, 0.03, 0.85, 0.8), (0.12, 0.03, 0.18, 0.9), (0.12, 0.03, 0.1, 0.95),
                 (0.12, 0.03, 0.1, 0.97)),
    "snowman": ((0.58, 0.04, 0.06, 0.95), (0.58, 0.04, 0.05, 0.92), (0.07, 0.02, 0.9, 0.95),
                (0.6, 0.1, 0.2, 0.12)),
    "rocket": ((0.6, 0.05, 0.1, 0.85), (0.0, 0.03, 0.85, 0.8), (0.0, 0.03, 0.8, 0.7), (0.55, 0.04, 0.5, 0.8)),
    "table": ((0.08, 0.02, 0.6, 0.6), (0.07, 0.02, 0.65, 0.45), (0.07, 0.02, 0.6, 0.4),
              (0.07, 0.02, 0.5, 0.6)),
    "lamp": ((0.14, 0.02, 0.5, 0.95), (0.12, 0.03, 0.6, 0.5), (0.12, 0.03, 0.6, 0.55),
             (0.15, 0.02, 0.3, 1.0)),
    "dumbbell": ((0.62, 0.06, 0.25, 0.3), (0.6, 0.05, 0.06, 0.7), (0.6, 0.05, 0.06, 0.6),
                 (0.0, 0.03, 0.8, 0.7)),
    "chair": ((0.07, 0.02, 0.6, 0.55), (0.0, 0.04, 0.65, 0.6), (0.07, 0.02, 0.6, 0.4), (0.1, 0.03, 0.5, 0.7)),
}
# fmt: on


@dataclass
class Part:
    """One part of n toys; every value is a number or an (n,) tensor."""

    box: bool
    shape: tuple[Value, ...]
    at: tuple[Value, Value, Value]
    half: tuple[Value, Value, Value]
    slot: int = 0
    lean: Value = 0.0  # about y, radians
    turn: Value = 0.0  # about z, after that
    gloss: Value = 0.25
    present: Value = 1.0


def ball(at, half, slot=0, low=-1.0, **more) -> Part:
    """An ellipsoid, cut flat below local z = low."""
    half = half if isinstance(half, tuple) else (half, half, half)
    return Part(False, (1.0, 0.0, -1.0, low), at, half, slot, **more)


def tube(at, radius, height, slot=0, top=1.0, **more) -> Part:
    """A cylinder, cone (top = 0) or frustum; `height` is half its height, `top` upper radius over lower."""
    middle, slope = (1 + top) / 2, (top - 1) / 2
    shape = (middle * middle, 2 * middle * slope, slope * slope, -1.0)
    return Part(False, shape, at, (radius, radius, height), slot, **more)


def either(first: Tensor, a: tuple[Value, ...], b: tuple[Value, ...]) -> tuple[Value, ...]:
    """The round shape `a` where `first` (n,) is 1, `b` where it is 0."""
    return tuple(first * x + (1 - first) * y for x, y in zip(a, b, strict=True))


def box(at, half, slot=0, taper=(1.0, 1.0), **more) -> Part:
    """A box whose top is `taper` times as wide as its bottom along x and along y."""
    return Part(True, (*taper, 0.0, 0.0), at, half, slot, **more)


# fmt: off
def car(u: Callable) -> tuple[list[Part], Value]:
    length, width, wheel = u(0.62, 0.8), u(0.3, 0.38), u(0.13, 0.19)
    body, cabin = u(0.11, 0.17), u(0.15, 0.23)
    start, end = u(-0.95, -0.6), u(0.1, 0.5)  # where the cabin lies along the car
    middle, reach = (start + end) / 2 * length, (end - start) / 2 * length
    floor, roof = wheel * 0.9, wheel * 0.9 + 2 * body
    parts = [box((0, 0, floor + body), (length, width, body), 0, taper=(0.97, 0.94), gloss=0.6),
             box((middle, 0, roof + cabin), (reach, width * 0.9, cabin), 1, (u(0.55, 0.85), 0.8), gloss=0.6),
             box((middle, 0, roof + 2 * cabin), (reach * 0.62, width * 0.74, 0.035), 0, gloss=0.6)]
    for x in (-0.6, 0.6):
        for y in (-1, 1):
            parts.append(tube((x * length, y * width, wheel), wheel, 0.07, 2, turn=math.pi / 2,
                              lean=math.pi / 2))
    parts += [ball((length, y * width * 0.62, floor + body * 1.1), 0.07, 3, gloss=0.8) for y in (-1, 1)]
    return parts, 1


def tree(u: Callable) -> tuple[list[Part], Value]:
    fir = (u(0, 1) < 0.5).double()  # a fir is three cones, a broad tree four balls
    trunk, radius, crown = u(0.12, 0.25), u(0.07, 0.11), u(0.36, 0.5)
    parts = [tube((0, 0, trunk), radius, trunk, 1, top=0.8, gloss=0.05)]
    turn = u(0, 2 * math.pi)
    for i in range(3):
        shrink = 1 - 0.24 * i
        shape = either(fir, CONE, BALL)
        
        a = turn + 2 * math.pi / 3 * i
        x, y = ((1 - fir) * 0.42 * crown * f(a) for f in (torch.cos, torch.sin))
        wide = fir * crown * shrink + (1 - fir) * crown * 0.74
        high = fir * 0.27 + (1 - fir) * crown * 0.7
        z = fir * (2 * trunk + 0.22 + 0.29 * i) + (1 - fir) * (2 * trunk + crown * (0.45 + 0.12 * i))
        parts.append(Part(False, shape, (x, y, z), (wide, wide, high), 0, gloss=0.08))
    top = 2 * trunk + crown * 1.15
    parts.append(ball((0, 0, top), (crown * 0.66, crown * 0.66, crown * 0.66), 0, gloss=0.08,
                      present=1 - fir))
    for i in range(3):
        a = turn + 2 * math.pi / 3 * (i + 0.5)
        parts.append(ball((crown * 0.75 * a.cos(), crown * 0.75 * a.sin(),
                           2 * trunk + crown * (0.4 + 0.2 * i)), 0.075, 3, present=1 - fir, gloss=0.5))
    return parts, 1 - fir


def house(u: Callable) -> tuple[list[Part], Value]:
    length, width, wall, roof = u(0.4, 0.55), u(0.36, 0.5), u(0.24, 0.36), u(0.16, 0.28)
    side = torch.where(u(0, 1) < 0.5, 1.0, -1.0)
    gable = Part(True, (1.0, 0.03, 0.0, 0.0), (0, 0, 2 * wall + roof), (length + 0.08, width + 0.1, roof), 1,
                 gloss=0.05)
    parts = [box((0, 0, wall), (length, width, wall), 0, gloss=0.05), gable,
             box((-length * 0.45, side * width * 0.45, 2 * wall + roof * 1.5), (0.075, 0.075, roof * 0.9), 2),
             box((length, u(-0.1, 0.1), 0.17), (0.025, 0.1, 0.17), 2, gloss=0.1)]
    for y in (-0.58, 0.58):
        parts.append(box((length, y * width, wall * 1.2), (0.02, 0.085, 0.085), 3, gloss=0.5))
    for y in (-1, 1):
        for x in (-0.5, 0.5):
            parts.append(box((x * length, y * width, wall * 1.2), (0.1, 0.02, 0.09), 3, gloss=0.5))
    return parts, 1


def mushroom(u: Callable) -> tuple[list[Part], Value]:
    stem, radius, cap, high = u(0.22, 0.36), u(0.12, 0.2), u(0.42, 0.58), u(0.3, 0.46)
    parts = [tube((0, 0, stem), radius, stem, 1, top=u(0.6, 0.95), gloss=0.1),
             ball((0, 0, 2 * stem - 0.06), (cap, cap, high), 0, low=-0.12, gloss=0.35),
             tube((0, 0, 2 * stem - 0.08), cap * 0.9, 0.045, 2, gloss=0.1)]
    spot, up = u(0.08, 0.12), u(0.45, 0.6)
    out = (1 - up * up).sqrt()
    for i in range(5):
        a = 2 * math.pi / 5 * i
        parts.append(ball((out * cap * math.cos(a), out * cap * math.sin(a), 2 * stem - 0.06 + up * high),
                          (spot, spot, spot * 0.9), 3, gloss=0.2))
    parts.append(ball((0, 0, 2 * stem - 0.09 + high), (spot * 1.2, spot * 1.2, 0.055), 3, gloss=0.2))
    return parts, 5


def snowman(u: Callable) -> tuple[list[Part], Value]:
    r0, r1, r2 = u(0.36, 0.44), u(0.25, 0.32), u(0.18, 0.23)
    z0, z1, z2 = r0 * 0.92, r0 * 1.75 + r1 * 0.7, r0 * 1.75 + r1 * 1.5 + r2 * 0.72
    hat, brim = u(0.08, 0.15), u(1.0, 1.3)
    parts = [
        ball((0, 0, z0), (r0, r0, r0 * 0.92), 0),
        ball((0, 0, z1), r1, 0),
        ball((0, 0, z2), r2, 0),
        tube((0, 0, z1 + r1 * 0.86), r2 * 1.02, 0.05, 1),
        tube((0, 0, z2 + r2 * 0.72), r2 * brim, 0.025, 3),
        tube((0, 0, z2 + r2 * 0.72 + hat), r2 * 0.68, hat, 3, top=0.85),
        tube((r2 + 0.1, 0, z2), 0.055, 0.13, 2, top=0.0, lean=math.pi / 2),
    ]
    parts += [ball((r2 * 0.86, y * r2 * 0.42, z2 + r2 * 0.3), 0.042, 3) for y in (-1, 1)]
    parts += [ball((r1 * 0.97 * math.cos(a), 0, z1 + r1 * 0.97 * math.sin(a)), 0.045, 3)
              for a in (-0.25, 0.3)]
    arm, droop = u(0.22, 0.32), u(0.3, 1.0)
    parts += [tube((0, y * (r1 + arm * 0.75), z1 + 0.08), 0.028, arm, 2, turn=y * math.pi / 2,
                   lean=droop + 0.3) for y in (-1, 1)]
    return parts, 1


def rocket(u: Callable) -> tuple[list[Part], Value]:
    radius, high, nose, foot = u(0.18, 0.25), u(0.34, 0.48), u(0.16, 0.28), u(0.1, 0.16)
    sharp = (u(0, 1) < 0.5).double()
    three = (u(0, 1) < 0.5).double()
    fin, tall = u(0.12, 0.2), u(0.16, 0.26)
    top = 2 * foot + 2 * high
    
    parts = [tube((0, 0, 2 * foot + high), radius, high, 0, gloss=0.6),
             Part(False, either(sharp, CONE, OGIVE), (0, 0, top + nose), (radius, radius, nose), 1, gloss=0.6),
             tube((0, 0, foot * 1.1), radius * 0.8, foot * 0.9, 2, top=0.7, gloss=0.3),
             tube((0, 0, 2 * foot + 2 * high * u(0.25, 0.4)), radius * 1.05, 0.045, 3, gloss=0.4)]
    for i in range(4):
        a = three * 2 * math.pi / 3 * i + (1 - three) * math.pi / 2 * i
        here = 1.0 if i < 3 else 1 - three
        parts.append(box(((radius + fin * 0.6) * a.cos(), (radius + fin * 0.6) * a.sin(), tall),
                         (fin, 0.04, tall), 1, taper=(0.3, 1.0), turn=a, gloss=0.5, present=here))
        b = a + three * math.pi / 3 + (1 - three) * math.pi / 4
        parts.append(ball((radius * b.cos(), radius * b.sin(), top - high * 0.5), (0.045, 0.085, 0.085), 3,
                          turn=b, gloss=0.8, present=here))
    return parts, 4 - three


def table(u: Callable) -> tuple[list[Part], Value]:
    length, width, high, thick, leg = (u(0.52, 0.72), u(0.36, 0.48), u(0.26, 0.38), u(0.035, 0.06),
                                       u(0.045, 0.075))
    shelf = (u(0, 1) < 0.35).double()
    parts = [box((0, 0, 2 * high + thick), (length, width, thick), 0, gloss=0.4),
             box((0, 0, 2 * high - 0.05), (length * 0.84, width * 0.8, 0.06), 2),
             box((0, 0, high * 0.6), (length * 0.8, width * 0.76, 0.025), 3, present=shelf)]
    narrow = u(0.5, 1.0)
    for x in (-0.86, 0.86):
        for y in (-0.82, 0.82):
            parts.append(box((x * length, y * width, high), (leg, leg, high), 1, taper=(narrow, narrow),
                             lean=math.pi))
    return parts, 2


def lamp(u: Callable) -> tuple[list[Part], Value]:
    base, pole, shade, high, top = u(0.24, 0.34), u(0.3, 0.42), u(0.34, 0.48), u(0.18, 0.28), u(0.3, 0.7)
    z = 2 * pole
    return [
        ball((0, 0, 0.0), (base, base, u(0.09, 0.16)), 1, low=0.0, gloss=0.4),
        tube((0, 0, pole), u(0.035, 0.055), pole, 2, gloss=0.5),
        ball((0, 0, pole * u(0.8, 1.2)), 0.075, 2, gloss=0.5),
        tube((0, 0, z + high * 0.8), shade, high, 0, top=top, gloss=0.15),
        tube((0, 0, z - high * 0.13), shade * 1.02, 0.035, 3, gloss=0.2),
        ball((0, 0, z + high * 1.8), 0.055, 3, gloss=0.6),
    ], 0


def dumbbell(u: Callable) -> tuple[list[Part], Value]:
    reach, radius, thick, small = u(0.4, 0.55), u(0.25, 0.34), u(0.07, 0.12), u(0.68, 0.85)
    round_ = (u(0, 1) < 0.5).double()  # balls or discs
    shape = either(round_, BALL, CYLINDER)
    
    parts = [tube((0, 0, radius), u(0.055, 0.085), reach + 0.12, 1, lean=math.pi / 2, gloss=0.6),
             tube((0, 0, radius), 0.1, 0.13, 2, lean=math.pi / 2, gloss=0.2)]
    for x in (-1, 1):
        wide = (1 - round_) * thick + round_ * radius
        parts += [
            Part(False, shape, (x * reach, 0, radius), (radius, radius, wide), 0, lean=math.pi / 2,
                 gloss=0.5),
            tube((x * (reach + 1.8 * thick), 0, radius), radius * small, thick * 0.8, 3, lean=math.pi / 2,
                 present=1 - round_, gloss=0.4),
            tube((x * (reach + radius * 0.97), 0, radius), 0.11, 0.05, 3, lean=math.pi / 2, present=round_),
        ]
    return parts, 2


def chair(u: Callable) -> tuple[list[Part], Value]:
    width, seat, thick, back, leg = (u(0.28, 0.36), u(0.2, 0.28), u(0.035, 0.055), u(0.24, 0.34),
                                     u(0.04, 0.055))
    slats = (u(0, 1) < 0.5).double()  # the back is one slab, or two slats
    lean, top = u(-0.2, 0.0), 2 * seat + 2 * thick
    parts = [box((0, 0, 2 * seat + thick), (width, width, thick), 0, gloss=0.2),
             box((0.02, 0, top + 0.03), (width * 0.86, width * 0.86, 0.035), 1, taper=(0.9, 0.9), gloss=0.1)]
    for x in (-0.85, 0.85):
        for y in (-0.85, 0.85):
            parts.append(box((x * width, y * width, seat), (leg, leg, seat), 2, taper=(0.7, 0.7),
                             lean=math.pi))
    for y in (-0.85, 0.85):
        parts.append(box((-width * 0.9 + lean.sin() * back, y * width, top + back), (leg, leg, back), 2,
                         lean=lean))
    for low, high, here in ((0.3, 1.9, 1 - slats), (0.55, 0.95, slats), (1.45, 1.95, slats)):
        middle, half = (low + high) / 2, (high - low) / 2
        parts.append(box((-width * 0.9 + lean.sin() * back * middle, 0, top + back * middle),
                         (0.035, width * 0.84, back * half), 1, lean=lean, present=here, gloss=0.2))
    return parts, 1


# fmt: on
BUILDERS = {
    f.__name__: f for f in (car, tree, house, mushroom, snowman, rocket, table, lamp, dumbbell, chair)
}


def build(labels: Tensor, shape: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """Parts of M toys in their own frames.

    labels: (M,) class of each toy; shape: (M, SHAPE_DRAWS) uniforms. Returns float64 tables centre (M, P, 3),
    rotation (M, P, 3, 3), half (M, P, 3), shape (M, P, 4), box, present (M, P) bool, slot (M, P), gloss (M, P);
    and the order of each toy's rotational symmetry about the vertical, (M,): 0 is any angle.
    """
    m = len(labels)
    sizes = {
        "centre": 3,
        "turn": 1,
        "lean": 1,
        "half": 3,
        "shape": 4,
        "box": 1,
        "present": 1,
        "slot": 1,
        "gloss": 1,
    }
    out = {name: torch.zeros(m, MAX_PARTS, k, dtype=torch.float64) for name, k in sizes.items()}
    out["half"] += 0.1
    symmetry = torch.zeros(m, dtype=torch.float64)
    for c, name in enumerate(CLASSES):
        rows = (labels == c).nonzero().squeeze(1)
        if not len(rows):
            continue
        draws = iter(shape[rows].double().t())

        def u(low: float, high: float, draws=draws) -> Tensor:
            return low + (high - low) * next(draws)

        parts, order = BUILDERS[name](u)
        for i, part in enumerate(parts):
            values = {
                "centre": part.at,
                "turn": [part.turn],
                "lean": [part.lean],
                "half": part.half,
                "shape": part.shape,
                "box": [float(part.box)],
                "present": [part.present],
                "slot": [part.slot],
                "gloss": [part.gloss],
            }
            for field, columns in values.items():
                for k, value in enumerate(columns):
                    out[field][rows, i, k] = torch.as_tensor(value, dtype=torch.float64)
        symmetry[rows] = torch.as_tensor(order, dtype=torch.float64)
    turn, lean = out.pop("turn"), out.pop("lean")
    out["rotation"] = about("z", turn.squeeze(-1)) @ about("y", lean.squeeze(-1))
    for name in ("box", "present", "slot", "gloss"):
        out[name] = out[name].squeeze(-1)
    out["box"], out["present"], out["slot"] = out["box"] > 0, out["present"] > 0, out["slot"].long()
    return out, symmetry


def about(axis: str, angle: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) by `angle` (...) radians about the axis y or z."""
    c, s, o, i = angle.cos(), angle.sin(), torch.zeros_like(angle), torch.ones_like(angle)
    rows = (c, -s, o, s, c, o, o, o, i) if axis == "z" else (c, o, s, o, i, o, -s, o, c)
    return torch.stack(rows, -1).unflatten(-1, (3, 3))
