"""Things to play with: each is a plain function that returns a figure, and controls above it."""

from sslcourse.widgets.colour import coloured, play_pointer, play_temperature, pointed, pointing
from sslcourse.widgets.controls import controls, play
from sslcourse.widgets.lens import lens_view, play_lens
from sslcourse.widgets.patches import PLACES, patch_puzzle, place_belief, play_patches
from sslcourse.widgets.rotation import play_rotation, rotation_belief, turn_belief
from sslcourse.widgets.toybox import toybox_explorer, toybox_image, turn_hue

__all__ = [
    "PLACES",
    "coloured",
    "controls",
    "lens_view",
    "patch_puzzle",
    "place_belief",
    "play",
    "play_lens",
    "play_patches",
    "play_pointer",
    "play_rotation",
    "play_temperature",
    "pointed",
    "pointing",
    "rotation_belief",
    "toybox_explorer",
    "toybox_image",
    "turn_belief",
    "turn_hue",
]
