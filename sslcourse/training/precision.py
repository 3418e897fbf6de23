"""The precisions a training can have: their names, and mixed precision inside the networks alone."""

from __future__ import annotations

from lightning_fabric.plugins import MixedPrecision

PRECISIONS = {"32": "32-true", "64": "64-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}


class Mixed(MixedPrecision):
    """Mixed precision inside the networks alone.

    Fabric's own would hand the images over in half precision, where views quantise colours and miscount pixels.
    """

    def convert_input(self, data):
        return data
