"""One image file -> RGB pixels, whatever lies in it; or one reason why not."""

from __future__ import annotations

import os
import stat
import warnings

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

Image.init()
# No format without a signature (TGA claims plain text) and none that starts another program (EPS).
FORMATS = [
    name
    for name in ("JPEG", "MPO", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "JPEG2000", "AVIF")
    if name in Image.OPEN
]
EXTENSIONS = frozenset(ext for ext, name in Image.EXTENSION.items() if name in FORMATS)
MAX_PIXELS = 178_956_970  # Pillow's own bound on decompression bombs: 0.5 GB of RGB
ENDINGS = {"JPEG": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82"}  # the last bytes of a file that is whole
WHITE = (255, 255, 255, 255)


class BadImage(Exception):
    """Why a file does not load, as the end of a sentence: "is truncated"."""


def read_rgb(path: str | bytes, size: int | None = None) -> np.ndarray:
    """The file as (H, W, 3) uint8; with `size`, its short side resized to it, antialiased, its centre cut.

    Rotated as its EXIF says; transparency is laid over white; 16-bit and float greys are scaled to 8 bits.
    Raises BadImage.
    """
    return _guarded(path, lambda image: _pixels(image, size))


def image_size(path: str | bytes) -> tuple[int, int]:
    """(height, width) as stored, from the header alone. Raises BadImage."""
    return _guarded(path, lambda image: (image.height, image.width))


def check(path: str | bytes) -> None:
    """Raises BadImage if the file cannot load. Reads only the header and the ending where those can tell."""

    def whole(image: Image.Image) -> None:
        ending = ENDINGS.get(image.format, b"")
        with open(path, "rb") as file:
            file.seek(-len(ending), os.SEEK_END)
            if not ending or file.read() != ending:  # other formats, and trailing bytes after a whole image
                _pixels(image, None)

    _guarded(path, whole)


def _guarded(path, work):
    """`work(opened image)`, with everything that can go wrong told as a BadImage."""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise BadImage("is not a regular file")
        if status.st_size == 0:
            raise BadImage("is empty (0 bytes)")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # large images, odd EXIF: either they load or they raise
            with Image.open(path, formats=FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise BadImage(f"is too large ({image.width} x {image.height} pixels)")
                # an MPO holds a still and its preview
                frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
                if frames > 1:
                    raise BadImage(f"is animated or has pages ({frames} frames)")
                return work(image)
    except BadImage:
        raise
    except FileNotFoundError:
        raise BadImage("is a broken link" if os.path.islink(path) else "has vanished") from None
    except PermissionError:
        raise BadImage("cannot be read (permission denied)") from None
    except UnidentifiedImageError:
        raise BadImage("is not an image") from None
    except Image.DecompressionBombError:
        raise BadImage(f"is too large (more than {MAX_PIXELS} pixels)") from None
    except (
        Exception
    ) as error:  # decoders of hostile files raise anything: struct.error, SyntaxError, MemoryError
        what = str(error).split("\n")[0] or type(error).__name__
        raise BadImage("is truncated" if "truncated" in what.lower() else f"is corrupt ({what})") from None


def _pixels(image: Image.Image, size: int | None) -> np.ndarray:
    if size is not None:
        image.draft(
            "RGB", (2 * size, 2 * size)
        )  # JPEG decodes at 1/2, 1/4 or 1/8, still twice what is needed
    image.load()
    try:
        image = ImageOps.exif_transpose(image)
    except Exception:  # EXIF that does not parse says nothing about orientation
        pass
    image = _rgb(image)
    if size is not None and image.size != (size, size):
        image = ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC)
    return np.asarray(image)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        grey = np.nan_to_num(np.asarray(image).astype(np.float64))
        if image.mode == "F":
            top = 1 if grey.max() <= 1 else 255
        else:
            top = 65535 if grey.max() <= 65535 else 2**31 - 1
        image = Image.fromarray((grey / top * 255).round().clip(0, 255).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, WHITE), image)
    return image.convert("RGB")
