"""Whether views are blurred: images of 32 px do not survive it."""

from __future__ import annotations

from sslcourse.nets import Encoder


def blurs(encoder: Encoder, blur: bool | None) -> bool:
    """What `blur` says; None says: only an encoder for more than 32 px."""
    return encoder.spec.get("size", 32) > 32 if blur is None else blur
