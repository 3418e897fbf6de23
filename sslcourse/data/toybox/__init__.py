"""Toybox: a ray-traced world of ten toys in which every factor is known. See `load_toybox`."""

from sslcourse.data.toybox.load import load_toybox, render_world
from sslcourse.data.toybox.toys import CLASSES
from sslcourse.data.toybox.world import WORLDS, World

__all__ = ["CLASSES", "WORLDS", "World", "load_toybox", "render_world"]
