"""Every method by name: `METHODS["simclr"]`."""

from sslcourse.methods.contrastive.simclr import SimCLR
from sslcourse.methods.method import Method, Paper
from sslcourse.methods.pretext.rotnet import RotNet
from sslcourse.methods.supervised import Supervised

__all__ = ["METHODS", "Method", "Paper", "RotNet", "SimCLR", "Supervised"]

METHODS: dict[str, type[Method]] = {cls.name: cls for cls in (Supervised, RotNet, SimCLR)}
