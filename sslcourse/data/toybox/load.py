"""Renders the toybox worlds in chunks on the CPU and keeps the result in the cache directory."""

from __future__ import annotations

import hashlib
import os
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from tqdm.auto import tqdm

from sslcourse.data.images import Data, ImageSet, cache_dir
from sslcourse.data.toybox.scene import assemble
from sslcourse.data.toybox.trace import Parts, Scene, render
from sslcourse.data.toybox.world import WORLDS, Draw, World, draw_factors
from sslcourse.errors import UserError, warn_once
from sslcourse.sources import digest, inside

SPLITS = ("train", "val", "test")
BLOCK = 512  # images or clips whose scenes are built at once
CHUNK = 36 * 1024  # rays traced at once: what fits into the cores' caches


def load_toybox(
    name: str = "toybox",
    size: int | None = None,
    limit: int | None = None,
    splits: tuple[str, ...] = SPLITS,
    seed: int = 0,
) -> Data:
    """The world `name` of `WORLDS` at `size` pixels (default: the world's own), at most `limit` rows a split.

    `limit` is an exact prefix; a split not in `splits` has no rows. What was rendered is kept in the cache
    directory.
    Masks are "instance" (1..K, 0 is floor) and "class" (class + 1, 0 is floor), by the ray through the
    pixel's centre;
    boxes hold the visible pixels of each instance. Labels are balanced in every ten consecutive rows.
    `toybox-texture` is labelled by the kind of texture; `toybox-scenes` and `toybox-video` have no labels.

    Factors, with N rows; float32 unless said, angles in radians. Where an image holds several toys, a toy's
    factor is
    (N, K, ...); in videos what moves has frames, (N, T) or (N, T, K, ...).
        hue (N, 4), colour (N, 4, 3)    of the toy's slots: largest parts, second, small parts, details; sRGB
        in [0, 1]
        yaw             turn about the vertical, 0 faces the camera (videos: the mean camera)
        symmetry        yaw repeats every 2 pi / symmetry; 0 is a body of revolution
        size            longest side of the toy's box over the image's; with several toys, their scale
        place (N, 2)    x, y of the box's centre in [-1, 1], y down; with several toys, where each stands on
        the floor
        shape (N, 16)   uniforms behind the proportions; what they mean depends on the class
        light_azimuth (from the camera's), light_elevation, light_strength (the sun's share), light_softness
        camera_azimuth, camera_elevation, camera_roll, camera_distance (world units)
        floor_kind int64, an index into PATTERNS; floor_hue, floor_colour (N, 2, 3), floor_contrast;
        floor_angle,
        floor_period (N, 2) and floor_shift (N, 2) of the pattern, world units
        dapple, dapple_angle (N, 2), dapple_period (N, 2)    strength and waves of the light and shade on the
        floor
        sky_hue, sky_value              seen in toybox-sky only
        label int64 (-1: no toy), present bool, count int64    where there are several toys only
    """
    if name not in WORLDS:
        raise UserError(f"toybox world {name!r} is unknown: use one of {', '.join(WORLDS)}")
    if size is not None and not 8 <= size <= 512:
        raise UserError(f"toybox size {size} is out of range: use 8 to 512 pixels")
    if limit is not None and limit < 1:
        raise UserError(f"limit {limit} leaves no images: use 1 or more")
    world = WORLDS[name]
    size = size or world.size
    sets = {}
    for split, count in zip(SPLITS, world.counts, strict=True):
        n = min(count, limit or count) if split in splits else 0
        sets[split] = cached(world, split, n, size, seed)
    return Data(name, **sets)


def render_world(
    world: World | str, split: str = "train", count: int = 16, size: int | None = None, seed: int = 0
) -> ImageSet:
    """Renders the first `count` rows of a split, without the cache."""
    world = WORLDS[world] if isinstance(world, str) else world
    return image_set(world, render_split(world, split, count, size or world.size, seed))


def cached(world: World, split: str, n: int, size: int, seed: int) -> ImageSet:
    """The first n rows of a split from the cache, rendered first where they are missing or unreadable."""
    if n == 0:
        return image_set(world, render_split(world, split, 1, size, seed))[:0]
    code = digest(inside("sslcourse.data.toybox"))  # other code might give the same factors other bytes
    what = hashlib.sha256(repr((code, world, split, size, seed)).encode()).hexdigest()[:12]
    folder = cache_dir() / "toybox"
    stem = f"{world.name}-{size}-{split}-{what}"
    for path in sorted(folder.glob(f"{stem}-*.safetensors")):
        held = int(re.search(r"-(\d+)$", path.stem).group(1))
        if held >= n and (tensors := read(path, n)) is not None:
            return image_set(world, tensors)
    tensors = render_split(world, split, n, size, seed)
    path = folder / f"{stem}-{n}.safetensors"
    beside = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_file(tensors, beside)
        os.replace(beside, path)
    except (OSError, SafetensorError) as error:
        with suppress(OSError):
            beside.unlink()
        reason = getattr(error, "strerror", None) or error  # without the file's name: one warning
        warn_once(
            f"toybox is rendered anew each time: {folder} takes no files ({reason}); set SSLCOURSE_CACHE"
        )
    return image_set(world, tensors)


def read(path: Path, n: int) -> dict[str, Tensor] | None:
    """The first n rows of every tensor in a cache file, or None if it cannot be read."""
    try:
        with safe_open(path, "pt") as file:
            tensors = {key: file.get_slice(key)[:n] for key in file.keys()}
    except (SafetensorError, OSError, ValueError):
        return None
    return tensors if "images" in tensors and all(len(v) == n for v in tensors.values()) else None


def image_set(world: World, tensors: dict[str, Tensor]) -> ImageSet:
    """An ImageSet from the flat dictionary that the cache holds."""

    def part(prefix):
        return {key[len(prefix) :]: v for key, v in tensors.items() if key.startswith(prefix)}

    return ImageSet(
        tensors["images"],
        tensors.get("labels"),
        world.classes,
        part("factors."),
        part("masks."),
        tensors.get("boxes"),
        tensors.get("depth"),
    )


def render_split(world: World, split: str, n: int, size: int, seed: int) -> dict[str, Tensor]:
    """Renders n rows: images, labels, boxes, depth, masks.*, factors.*; blocks of rows keep memory flat."""
    f = draw_factors(world, split, n, seed)
    rows = max(BLOCK // world.frames // world.toys[1] if world.toys[1] else BLOCK, 1)
    blocks = []
    bar = tqdm(total=n, desc=f"rendering {world.name} {split}", unit="image", leave=False, disable=None)
    with bar, workers() as pool:
        for start in range(0, n, rows):
            part = {name: v[start : start + rows] for name, v in f.items()}
            blocks.append(render_block(world, part, size, pool, Draw(world, split, n, seed), start))
            bar.update(len(part["label"]))
    return {name: torch.cat([b[name] for b in blocks]) for name in blocks[0]}


def workers() -> ThreadPoolExecutor:
    """One thread for each of torch's, each computing alone: chunks are too small to be shared."""
    return ThreadPoolExecutor(torch.get_num_threads(), initializer=torch.set_num_threads, initargs=(1,))


def render_block(
    world: World, f: dict[str, Tensor], size: int, pool: ThreadPoolExecutor, draw: Draw, start: int
):
    """Renders the rows whose factors are f; `start` is the first one's number, for its noise."""
    (n, k), t = f["label"].shape, world.frames
    scene, extra = assemble(world, f)
    scene = single(scene)
    chunk = max(CHUNK // size**2, 1)
    # images with equally many parts go together
    order = (scene.parts.instance > 0).sum(1).argsort(stable=True)
    scene = scene[order]

    def work(rows: slice) -> dict[str, Tensor]:
        piece = scene[rows]
        held = max(int((piece.parts.instance > 0).sum(1).max()), 1)
        piece.parts = piece.parts[:, :held]
        return render(piece, size)

    done = list(pool.map(work, [slice(a, a + chunk) for a in range(0, n * t, chunk)]))
    back = order.argsort()
    images, instance, depth = (
        torch.cat([d[key] for d in done])[back] for key in ("images", "instance", "depth")
    )
    if world.noise:
        shape = (3, *images.shape[1:])  # the sum of three uniforms is nearly normal, with deviation 0.5
        grain = [draw.generator("noise", start + i).random(shape, "float32").sum(0) - 1.5 for i in range(n)]
        grain = torch.from_numpy(np.stack(grain))  # (N, 3, S, S)
        images = (images + grain * (510 * world.noise)).round().clamp(0, 255).to(torch.uint8)
    # (N * T, K + 1)
    lookup = torch.cat([torch.zeros(n, 1, dtype=torch.int64), f["label"] + 1], 1).repeat_interleave(t, 0)
    kind = lookup.gather(1, instance.flatten(1).long()).to(torch.uint8).view_as(instance)
    out = {
        "images": images,
        "masks.instance": instance,
        "masks.class": kind,
        "boxes": boxes(instance, k),
        "depth": depth,
    }
    if t > 1:
        out = {name: v.unflatten(0, (n, t)) for name, v in out.items()}
    f = {**f, **extra}
    label, present, _ = f.pop("label"), f.pop("present"), f.pop("spin", None)
    if world.toys[1] > 1:
        f.update(label=label.where(present, -1), present=present, count=present.sum(1))
    else:
        out["labels"] = label.squeeze(1)
    if not world.toys[1]:
        f = {name: v for name, v in f.items() if name.split("_")[0] in ("floor", "light", "camera", "dapple")}
    for name, v in f.items():
        v = v.float() if v.is_floating_point() else v
        squeeze = v.shape[1:2] == (1,)  # one toy, one frame, or one value for the image
        out[f"factors.{name}"] = v.squeeze(1) if squeeze else v
    return {name: v.contiguous() for name, v in out.items()}


def single(scene: Scene) -> Scene:
    """The scene in float32."""

    def cast(v):
        return v.float() if v.is_floating_point() else v

    parts = Parts(**{name: cast(v) for name, v in vars(scene.parts).items()})
    return Scene(parts, **{name: cast(v) for name, v in vars(scene).items() if name != "parts"})


def boxes(instance: Tensor, k: int) -> Tensor:
    """Tight boxes (N, K, 4) x0 y0 x1 y1 about the pixels of instances 1..K in masks (N, S, S); -1 where not
    seen."""
    size = instance.shape[-1]
    mine = instance.unsqueeze(1) == torch.arange(1, k + 1).view(1, k, 1, 1)  # (N, K, S, S)
    edges = []
    for axis in (2, 3):  # columns, then rows
        line = mine.any(axis).long()  # (N, K, S)
        edges.append((line.argmax(2), size - line.flip(2).argmax(2)))
    (x0, x1), (y0, y1) = edges
    box = torch.stack([x0, y0, x1, y1], -1).float()
    return box.where(mine.flatten(2).any(2, keepdim=True), -1.0)
